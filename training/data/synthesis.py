"""Synthesis by many processes: each makes whole shards, any of them may be killed, and a rerun makes the same bytes."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, as_completed
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from modelzoo.retrieval.library import write_whole
from training.data.annotated import AnnotatedTargets
from training.data.composed import example_of
from training.data.mesh_folder import MeshFolder, prepare_folder
from training.data.photographs import (
    Photographs,
    PhotographsRefused,
    folder_photographs,
    packaged_photographs,
)
from training.data.placeable import ObjectSource
from training.data.samples import Example
from training.data.scenes import SceneKind
from training.data.shards import ShardRecord, is_whole, shard_bytes, write_manifest
from training.data.synthesis_kinds import KINDS, Ingredients, SynthesisKind, compose

SHARD_SIZE = 256
MAX_DRAWS = 400  # for one example
RECORDS = "records"
PASTED = ("fo", "os-r")  # kinds that need photographs besides annotated ones
SCENE_KINDS: dict[SynthesisKind, SceneKind] = {
    "iso": "isolated",
    "fo": "composited",
    "os-r": "composited",
    "os-a": "composited",
}

#: Hears how many of how many examples are done.
Progress = Callable[[int, int], None]


class SynthesisFailed(RuntimeError):
    """No composition out of MAX_DRAWS keeps the kind's rules; the message counts why."""


class SynthesisRefused(ValueError):
    """A synthesis that cannot be done as asked, refused before any compute."""


@dataclass(frozen=True, kw_only=True)
class SynthesisSettings:
    """What to make. ``procedural`` is the share of procedural objects; ``size`` and ``resolution`` are the model's."""

    kind: SynthesisKind
    count: int
    seed: int = 0
    procedural: float = 1.0
    size: int = 64
    resolution: int = 64
    side: int = 256  # of the picture that is composed, in pixels
    max_tilt_deg: float = 180.0
    shard_size: int = SHARD_SIZE

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise SynthesisRefused(f"{self.kind!r} is no kind; there are {', '.join(KINDS)}")
        if self.count < 1 or self.shard_size < 1 or self.seed < 0:
            raise SynthesisRefused("count and shard size must be positive, the seed not negative")
        if not 0 < self.max_tilt_deg <= 180:
            raise SynthesisRefused(f"the tilt lies in (0, 180] degrees, not {self.max_tilt_deg}")
        if self.size < 16 or self.side < self.size:
            raise SynthesisRefused(
                "views have at least 16 pixels a side, and pictures at least as many as views"
            )


@dataclass(frozen=True, kw_only=True)
class SynthesisPlaces:
    """Where things lie: meshes (or none), photographs (none: those that installed packages ship), annotations."""

    out: Path
    meshes: Path | None = None
    prepared: Path | None = None  # where prepared meshes are kept; ``out/meshes`` when it is None
    photographs: Path | None = None
    annotations: Path | None = None


def synthesise(
    settings: SynthesisSettings,
    places: SynthesisPlaces,
    *,
    pool: Executor,
    on_progress: Progress | None = None,
) -> str:
    """Make all shards that are not there yet, then the manifest, whose sha256 is returned.

    Raises SynthesisRefused for settings that do not fit together or another run's folder, NoMeshes,
    PhotographsRefused, ManifestRefused for bad sources, SynthesisFailed when the rules cannot be kept.
    """
    meshes = None
    if places.meshes is not None:
        meshes = prepare_folder(places.meshes, places.prepared or places.out / "meshes", pool=pool)
    plan = plan_of(settings, places, meshes)
    _keep_to(plan, places.out)
    numbers = range(-(-settings.count // settings.shard_size))
    done = {number: record for number in numbers if (record := _finished(places.out, number))}
    report = on_progress or _ignore
    report(_num_examples(done), settings.count)
    running = [
        pool.submit(make_shard, settings, places, meshes, number) for number in numbers if number not in done
    ]
    try:
        for future in as_completed(running):
            number, record = future.result()
            done[number] = record
            report(_num_examples(done), settings.count)
    finally:
        for future in running:
            future.cancel()
    return write_manifest(places.out, plan, [done[number] for number in numbers])


def plan_of(
    settings: SynthesisSettings, places: SynthesisPlaces, meshes: MeshFolder | None
) -> dict[str, Any]:
    """What the examples are a function of: settings and sources by hash, never by place. Raises as the sources do."""
    ingredients = ingredients_of(settings, places, meshes)
    if settings.kind == "os-a" and ingredients.annotated is None:
        raise SynthesisRefused("os-a needs annotations: a frozen dataset version with meshes and poses")
    photographs = ingredients.photographs
    if settings.kind == "os-r" and photographs is not None and not photographs.targets:
        raise PhotographsRefused("os-r needs photographs with masks and point maps; these have none")
    return {
        **asdict(settings),
        "meshes": None
        if meshes is None
        else {"sha256": meshes.sha256, "count": len(meshes), "refused": meshes.refused},
        "photographs": None
        if photographs is None
        else {"sha256": photographs.sha256, "count": len(photographs)},
        "annotations": None if ingredients.annotated is None else {"sha256": ingredients.annotated.sha256},
    }


@lru_cache(maxsize=2)
def _cached_ingredients(
    settings: SynthesisSettings, places: SynthesisPlaces, keys: tuple[str, ...]
) -> Ingredients:
    prepared = places.prepared or places.out / "meshes"
    meshes = MeshFolder(prepared=prepared, keys=keys, refused={}) if keys else None
    photographs = None
    if settings.kind in PASTED:
        files = (
            packaged_photographs() if places.photographs is None else folder_photographs(places.photographs)
        )
        photographs = Photographs(files)
    annotated = None
    if places.annotations is not None and settings.kind == "os-a":
        annotated = AnnotatedTargets(places.annotations, side=settings.side)
    return Ingredients(
        objects=ObjectSource(meshes, procedural=settings.procedural, seed=settings.seed),
        photographs=photographs,
        annotated=annotated,
        side=settings.side,
        max_tilt_deg=settings.max_tilt_deg,
    )


def ingredients_of(
    settings: SynthesisSettings, places: SynthesisPlaces, meshes: MeshFolder | None
) -> Ingredients:
    """The sources, read once per process. Raises as they do."""
    return _cached_ingredients(settings, places, () if meshes is None else meshes.keys)


def make_shard(
    settings: SynthesisSettings, places: SynthesisPlaces, meshes: MeshFolder | None, number: int
) -> tuple[int, ShardRecord]:
    """Make shard ``number`` and its record: the shard first, so that a record always has its shard."""
    ingredients = ingredients_of(settings, places, meshes)
    first = number * settings.shard_size
    made = [
        synthetic_example(settings, ingredients, index)
        for index in range(first, min(first + settings.shard_size, settings.count))
    ]
    examples = [example for example, _ in made]
    data = shard_bytes(examples, kind=SCENE_KINDS[settings.kind])
    record = ShardRecord(
        file=f"shard-{number:05d}.safetensors",
        sha256=hashlib.sha256(data).hexdigest(),
        num_bytes=len(data),
        num_examples=len(examples),
        families=dict(sorted(Counter(example.family for example in examples).items())),
        refused=dict(sorted(sum((refused for _, refused in made), Counter[str]()).items())),
    )
    write_whole(places.out / record.file, data)
    text = json.dumps(asdict(record), sort_keys=True) + "\n"
    write_whole(_record_path(places.out, number), text.encode())
    return number, record


def synthetic_example(
    settings: SynthesisSettings, ingredients: Ingredients, index: int
) -> tuple[Example, Counter[str]]:
    """Example ``index``, always the same, and why earlier draws of it were refused. Raises SynthesisFailed."""
    refused: Counter[str] = Counter()
    for attempt in range(MAX_DRAWS):
        rng = np.random.default_rng([settings.seed, KINDS.index(settings.kind), index, attempt])
        composed = compose(settings.kind, index, ingredients, rng, seed=settings.seed)
        example = (
            composed
            if isinstance(composed, str)
            else example_of(
                composed,
                SCENE_KINDS[settings.kind],
                rng,
                size=settings.size,
                resolution=settings.resolution,
            )
        )
        if isinstance(example, Example):
            return example, refused
        refused[example] += 1
    raise SynthesisFailed(f"example {index} of {settings.kind}: {MAX_DRAWS} draws refused, {dict(refused)}")


def _keep_to(plan: dict[str, Any], out: Path) -> None:
    """Let a folder hold the shards of one plan only."""
    text = json.dumps(plan, sort_keys=True) + "\n"
    path = out / "plan.json"
    if not path.exists():
        write_whole(path, text.encode())
    elif path.read_text() != text:
        raise SynthesisRefused(f"{out} holds examples of other settings or sources; choose another folder")


def _finished(out: Path, number: int) -> ShardRecord | None:
    """The record of a shard that is there and whole."""
    path = _record_path(out, number)
    if not path.exists():
        return None
    record = ShardRecord(**json.loads(path.read_text()))
    return record if is_whole(out, record) else None


def _record_path(out: Path, number: int) -> Path:
    return out / RECORDS / f"{number:05d}.json"


def _num_examples(done: Mapping[int, ShardRecord]) -> int:
    return sum(record.num_examples for record in done.values())


def _ignore(done: int, total: int) -> None:
    """Nobody listens."""
