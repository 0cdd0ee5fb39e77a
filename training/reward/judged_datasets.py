"""The preference pairs of a frozen dataset, people's or simulated, as a reward learns from them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from modelzoo.conditioning import TYPICAL_FOCAL, Condition, condition
from modelzoo.contracts import Intrinsics
from modelzoo.latents import CandidateLatents, latents_from_bytes
from modelzoo.registry import Models
from training.data.batches import ConditionBatch
from training.data.manifests import Dataset, ManifestRefused, PreferencePair
from training.reward.candidates import CandidateSet, JudgedPairs, coarse
from training.reward.measurements import NAMES, Sight, measured, window_on
from training.simulation.proposals import encoded


@dataclass(frozen=True, kw_only=True)
class _Photograph:
    """A target of the dataset, and its candidates by blob key, in the order in which pairs name them."""

    item: PreferencePair
    numbers: dict[str, int] = field(default_factory=dict)
    latents: list[CandidateLatents] = field(default_factory=list)


def judged_dataset(dataset: Dataset, models: Models) -> tuple[CandidateSet, JudgedPairs]:
    """Every pair of two candidates that have a solid and a layout; artists' meshes have neither and are left out.

    Targets with fewer candidates than others are filled up with empty ones that no pair names. Raises ManifestRefused
    for blobs that cannot be read, ValueError when no pair is left.
    """
    photographs, rows = dict[tuple[str, str], _Photograph](), list[tuple[int, int, int]]()
    for item in dataset.preferences:
        keys = (item.chosen_latents, item.rejected_latents)
        try:
            halves = {key: _candidate(dataset, key) for key in keys if key is not None}
        except ValueError as error:
            raise ManifestRefused(f"preference {item.id}: {error}") from error
        known = {key: half for key, half in halves.items() if half is not None}
        if len(known) < 2:
            continue
        seen = photographs.setdefault((item.image, item.mask), _Photograph(item=item))
        numbers = [_number(seen, key, half) for key, half in known.items()]
        rows.append((list(photographs).index((item.image, item.mask)), numbers[0], numbers[1]))
    if not rows:
        raise ValueError("no preference pair of this dataset has two candidates with a solid and a layout")
    table = np.array(rows, dtype=np.int64)
    pairs = JudgedPairs(target=table[:, 0], chosen=table[:, 1], rejected=table[:, 2])
    return _candidates(dataset, list(photographs.values()), models), pairs


def _candidate(dataset: Dataset, key: str) -> CandidateLatents | None:
    latents = latents_from_bytes(dataset.blob(key))
    return None if latents.layout is None else latents


def _number(seen: _Photograph, key: str, latents: CandidateLatents) -> int:
    if key not in seen.numbers:
        seen.numbers[key] = len(seen.latents)
        seen.latents.append(latents)
    return seen.numbers[key]


def _candidates(dataset: Dataset, photographs: Sequence[_Photograph], models: Models) -> CandidateSet:
    most = max(len(each.latents) for each in photographs)
    size = models.geometry.preset.image_size
    conditions, solids, rows = [], [], []
    for each in photographs:
        seen, sight = _sight(dataset, each.item, size=size)
        grids = np.stack([one.occupancy for one in each.latents])
        layouts = np.stack([one.layout for one in each.latents if one.layout is not None])
        values = measured(sight, grids, layouts)
        conditions.append(seen)
        solids.append(_filled(coarse(grids), most))
        rows.append(_filled(values, most))
    views = ConditionBatch(
        crop=torch.from_numpy(np.stack([one.crop for one in conditions])),
        full=torch.from_numpy(np.stack([one.full for one in conditions])),
        box=torch.from_numpy(np.stack([one.box for one in conditions])),
    )
    measurements = torch.from_numpy(np.stack(rows)).float()
    assert measurements.shape[2] == len(NAMES), measurements.shape
    return CandidateSet(
        tokens=encoded(models.geometry, views),
        solids=torch.from_numpy(np.stack(solids)),
        measurements=measurements,
    )


def _sight(dataset: Dataset, item: PreferencePair, *, size: int) -> tuple[Condition, Sight]:
    """As the model saw it: a guessed point map was withheld, and layouts are those of a flat cut-out then."""
    try:
        colours = np.asarray(Image.open(io.BytesIO(dataset.blob(item.image))).convert("RGB"))
        mask = np.asarray(Image.open(io.BytesIO(dataset.blob(item.mask))).convert("L")) > 127
    except UnidentifiedImageError as error:
        raise ManifestRefused(f"preference {item.id}: image or mask cannot be read: {error}") from error
    height, width = mask.shape
    points, focal = None, TYPICAL_FOCAL * max(height, width)
    camera = Intrinsics(fx=focal, fy=focal, cx=width / 2, cy=height / 2, width=width, height=height)
    depth: NDArray[np.floating] = np.full((height, width), np.nan)
    if item.pointmap is not None and not item.pointmap_approximate:
        points, camera = _point_map(dataset, item.pointmap, height=height, width=width)
        depth = points[..., 2]
    seen = condition(colours, mask, points, size=size)
    return seen, window_on(mask, depth, camera, seen.normaliser)


def _point_map(
    dataset: Dataset, key: str, *, height: int, width: int
) -> tuple[NDArray[np.float32], Intrinsics]:
    """Points at the photograph's size (nearest ones) and its camera."""
    with np.load(io.BytesIO(dataset.blob(key)), allow_pickle=False) as stored:
        points, numbers = np.asarray(stored["points"], np.float32), stored["intrinsics"]
    fx, fy, cx, cy, wide, high = (float(v) for v in numbers)
    camera = Intrinsics(fx=fx, fy=fy, cx=cx, cy=cy, width=int(wide), height=int(high))
    rows = ((np.arange(height) + 0.5) * points.shape[0] / height).astype(int)
    cols = ((np.arange(width) + 0.5) * points.shape[1] / width).astype(int)
    return points[rows[:, None], cols[None]], camera.resized(width=width, height=height)


def _filled(rows: NDArray[np.floating], most: int) -> NDArray[np.floating]:
    """``most`` rows, the last ones zero."""
    filled = np.zeros((most, *rows.shape[1:]), rows.dtype)
    filled[: len(rows)] = rows
    return filled
