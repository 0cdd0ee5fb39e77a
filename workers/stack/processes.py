"""The steps and processes of the application: what the supervisor runs and docker-compose.yml must repeat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

# What every application process reads; each may also come as NAME_FILE. engine/settings says what they mean.
ENVIRONMENT_NAMES = (
    "DJANGO_SETTINGS_MODULE",
    "SECRET_KEY",
    "DATABASE_URL",
    "REDIS_URL",
    "S3_ENDPOINT_URL",
    "S3_PUBLIC_ENDPOINT_URL",
    "S3_ACCESS_KEY_ID",
    "S3_SECRET_ACCESS_KEY",
    "S3_BUCKET",
    "ALLOWED_HOSTS",
    "CANDIDATE_SOURCES",
    "CANDID8_HOME",
)

# A photograph is decoded in the web process: large blocks must go back to the system when it is done. Its threads take
# turns anyway, so that one heap serves them; a second one keeps megabytes of its own.
RETURN_MEMORY = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "131072",
    "MALLOC_TRIM_THRESHOLD_": "131072",
}

# A page that measures agreement makes thousands of tiny products: more threads than one only wait for one another.
ONE_BLAS_THREAD = {"OPENBLAS_NUM_THREADS": "1"}

# Celery's quick shutdown: the task at hand goes back to its queue instead of holding the worker until it is done.
QUICK_SHUTDOWN = {"REMAP_SIGTERM": "SIGQUIT"}

# On a busy machine torch's threads would burn their cores waiting for one another: let them sleep instead.
PATIENT_THREADS = {"OMP_WAIT_POLICY": "PASSIVE"}


@dataclass(frozen=True, kw_only=True)
class Step:
    """One run of manage.py that must have succeeded before any process starts; it changes nothing the second time."""

    name: str
    arguments: tuple[str, ...]
    takes_origins: bool = False

    def command(self, *, manage: Sequence[str], origins: Sequence[str]) -> tuple[str, ...]:
        """The whole command line; ``origins`` are where the site's pages come from."""
        return (*manage, *self.arguments, *(origins if self.takes_origins else ()))


@dataclass(frozen=True, kw_only=True)
class AppProcess:
    """One process of the application: the module that Python runs, its arguments, and how one sees that it is up."""

    name: str
    module: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    ready_path: str | None = None
    ready_line: str | None = None
    grace_s: float = 10
    uses_gpu: bool = False

    def command(self, *, python: str, host: str, port: int, home: str) -> tuple[str, ...]:
        """The whole command line for one place: this machine, or a container."""
        places = {"host": host, "port": port, "home": home}
        return (python, "-m", self.module, *(argument.format(**places) for argument in self.arguments))


def _worker(name: str, *, queues: str, concurrency: int, uses_gpu: bool = False) -> AppProcess:
    return AppProcess(
        name=name,
        module="celery",
        arguments=(
            *("-A", "workers.celery", "worker", "-Q", queues, "-c", str(concurrency), "-n", f"{name}@%h"),
            *("--loglevel", "INFO", "--without-gossip", "--without-mingle"),
        ),
        environment=QUICK_SHUTDOWN | (PATIENT_THREADS if uses_gpu else {}),
        ready_line=" ready.",
        grace_s=15,
        uses_gpu=uses_gpu,
    )


STEPS = (
    Step(name="migrate", arguments=("migrate", "--noinput")),
    # Browsers fetch photographs and meshes from the store itself, so it must let the site's pages read.
    Step(name="bucket", arguments=("ensure_bucket",), takes_origins=True),
)

WEB = AppProcess(
    name="web",
    module="uvicorn",
    arguments=(
        *("annotate.asgi:application", "--host", "{host}", "--port", "{port}", "--lifespan", "off"),
        *("--no-access-log", "--timeout-graceful-shutdown", "5"),
    ),
    environment=RETURN_MEMORY | ONE_BLAS_THREAD,
    ready_path="/healthz",
)

BEAT = AppProcess(
    name="beat",
    module="celery",
    # A process of its own: a worker's built-in beat would outlive a killed worker, and then there would be two.
    arguments=(
        *("-A", "workers.celery", "beat", "--loglevel", "INFO"),
        *("--schedule", "{home}/beat/schedule", "--pidfile="),
    ),
    ready_line="beat: Starting",
)

APP_PROCESSES = (
    WEB,
    _worker("worker-gpu", queues="gpu", concurrency=1, uses_gpu=True),
    _worker("worker-cpu", queues="interactive,cpu", concurrency=2),
    _worker("worker-train", queues="train", concurrency=1, uses_gpu=True),
    BEAT,
)


GPU_WORKER = next(process for process in APP_PROCESSES if process.name == "worker-gpu")


def more_gpu_workers(number: int) -> tuple[AppProcess, ...]:
    """Beside the usual one, so that ``number`` of them draw candidates at once. Each holds the models in memory of its
    own. Raises ValueError below one."""
    if number < 1:
        raise ValueError("at least one worker draws candidates")
    names = [f"{GPU_WORKER.name}-{each}" for each in range(2, number + 1)]
    return tuple(_worker(name, queues="gpu", concurrency=1, uses_gpu=True) for name in names)


def source_worker(name: str) -> AppProcess:
    """The worker of one foreign generator: it asks the child process that lives in the generator's own environment."""
    worker = _worker(f"worker-source-{name}", queues=f"source.{name}", concurrency=1)
    return replace(worker, environment=QUICK_SHUTDOWN | PATIENT_THREADS)
