"""Endless numbered examples: procedural scenes made on demand, shards read in an order of their own, or both.

Example ``i`` of a stream is always the same, so a run that is fed by one can be repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.data.manifests import ManifestRefused
from training.data.samples import Example, Mixture, make_example
from training.data.shards import ShardSource

Stream = Callable[[int], Example]


@dataclass(frozen=True, kw_only=True)
class SceneStream:
    """Procedural scenes of a mixture, each made when it is asked for."""

    stream: int
    mixture: Mixture
    size: int
    resolution: int

    def __call__(self, index: int) -> Example:
        return make_example(
            stream=self.stream,
            index=index,
            mixture=self.mixture,
            size=self.size,
            resolution=self.resolution,
        )


class ShardStream:
    """All examples of several shard folders, over and over, each round in another order.

    Raises ManifestRefused when a folder holds no example, or ones of another size than asked for.
    """

    def __init__(self, folders: Sequence[Path], *, size: int, resolution: int, seed: int) -> None:
        self.sources = [ShardSource(folder) for folder in folders]
        self.seed = seed
        for folder, source in zip(folders, self.sources, strict=True):
            if len(source) == 0:
                raise ManifestRefused(f"{folder} holds no example")
            example = source.example(0)
            found = (example.crop_rgb.shape[0], example.occupancy.shape[0])
            if found != (size, resolution):
                raise ManifestRefused(
                    f"{folder} has views of {found[0]} pixels and solids of {found[1]} voxels a side; "
                    f"this preset needs {size} and {resolution}: synthesise with --size and --resolution"
                )
        self._ends = np.cumsum([len(source) for source in self.sources])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __call__(self, index: int) -> Example:
        turn, place = divmod(index, len(self))
        number = int(np.random.default_rng([self.seed, turn]).permutation(len(self))[place])
        which = int(np.searchsorted(self._ends, number, side="right"))
        return self.sources[which].example(number - (int(self._ends[which - 1]) if which else 0))


@dataclass(frozen=True, kw_only=True)
class MixedStream:
    """Examples of ``second`` at a fixed share of the numbers, of ``first`` at the others."""

    first: Stream
    second: Stream
    second_share: float
    seed: int

    def __post_init__(self) -> None:
        if not 0.0 < self.second_share <= 1.0:
            raise ValueError(
                f"the share of the second stream must be within 0 and 1, not {self.second_share}"
            )

    def __call__(self, index: int) -> Example:
        other = np.random.default_rng([self.seed, index]).random() < self.second_share
        return (self.second if other else self.first)(index)
