"""The Celery application: queues, limits and what beat does. The truth of a job is its row, not its message."""

from __future__ import annotations

import os

from celery import Celery
from kombu.entity import Exchange, Queue

from engine.settings import env

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "engine.settings.dev")

QUEUES = ("interactive", "cpu", "gpu", "train")  # of engine.jobs.QUEUES, which needs Django to be up
SOURCE_QUEUES = tuple(f"source.{name}" for name in env.words("CANDIDATE_SOURCES", default=""))
TASK_LIMIT_S = 900
SWEEP_EVERY_S = 5.0
EXPIRE_LEASES_EVERY_S = 10.0
WATCH_QUALITY_EVERY_S = 300.0
DESCRIBE_SHAPES_EVERY_S = 60.0
REBAND_EVERY_S = 120.0

app = Celery("candid8")
app.config_from_object("django.conf:settings", namespace="CELERY")  # the broker's address
app.conf.update(
    task_queues=[Queue(name, Exchange(name), routing_key=name) for name in (*QUEUES, *SOURCE_QUEUES)],
    task_default_queue="cpu",
    task_create_missing_queues=False,
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    task_soft_time_limit=TASK_LIMIT_S - 30,
    task_time_limit=TASK_LIMIT_S,
    worker_cancel_long_running_tasks_on_connection_loss=True,
    worker_soft_shutdown_timeout=5,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        # Longer than any task: a message must not come back while its task runs. A dead worker's job does not wait
        # for this; the sweep sends it again as soon as the lease in its row has run out.
        "visibility_timeout": 4 * TASK_LIMIT_S,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "socket_keepalive": True,
    },
    include=[
        "workers.tasks.artists",
        "workers.tasks.candidates",
        "workers.tasks.housekeeping",
        "workers.tasks.layouts",
        "workers.tasks.masks",
        "workers.tasks.point_maps",
        "workers.tasks.poses",
        "workers.tasks.shapes",
        "workers.tasks.sources",
        "workers.tasks.training",
    ],
    beat_schedule={
        "sweep": {
            "task": "workers.sweep",
            "schedule": SWEEP_EVERY_S,
            "options": {"queue": "interactive", "expires": SWEEP_EVERY_S},
        },
        "expire-leases": {
            "task": "workers.expire_leases",
            "schedule": EXPIRE_LEASES_EVERY_S,
            "options": {"queue": "interactive", "expires": EXPIRE_LEASES_EVERY_S},
        },
        "watch-quality": {
            "task": "workers.watch_quality",
            "schedule": WATCH_QUALITY_EVERY_S,
            "options": {"queue": "cpu", "expires": WATCH_QUALITY_EVERY_S},
        },
        "describe-shapes": {
            "task": "workers.describe_shapes",
            "schedule": DESCRIBE_SHAPES_EVERY_S,
            "options": {"queue": "cpu", "expires": DESCRIBE_SHAPES_EVERY_S},
        },
        "reband-tasks": {
            "task": "workers.reband_tasks",
            "schedule": REBAND_EVERY_S,
            "options": {"queue": "cpu", "expires": REBAND_EVERY_S},
        },
    },
)
