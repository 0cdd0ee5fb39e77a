"""A stream of examples between two processes: one writes a ring of files, the other draws batches.

Each step draws from a window of examples that moves on with the steps alone; the reader waits for a slow writer, the
writer never overwrites what a step may still draw. So a run is the same whatever the timing of the two.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from modelzoo.models.geometry import LAYOUT_DIM
from modelzoo.presets import GeometryPreset
from modelzoo.vae.sparse_structure import SparseStructureVAE
from training.data.batches import DemonstrationBatch, demonstration_batch, mirrored_batch
from training.data.samples import Example
from training.data.streams import Stream

WRITTEN, HEAD = 0, 1
CHUNK = 16  # examples that are made and encoded together
AHEAD = 1_024  # examples that the writer may be ahead of the window, before it begins another chunk
DRAWS_PER_EXAMPLE = 3  # each has new noise, times and dropout, half are mirrored; the writer's core is spared


class ExampleRing:
    """Memory-mapped arrays of ``capacity`` stored examples.

    A header says how many were written and how many the reader's window has reached (its head).
    """

    def __init__(self, folder: Path, *, preset: GeometryPreset, capacity: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.capacity = capacity
        size = preset.image_size
        self.fields = {
            "crop_rgb": self._open(folder / "crop_rgb.bin", np.uint8, (size, size, 3)),
            "crop_mask": self._open(folder / "crop_mask.bin", np.uint8, (size, size)),
            "crop_points": self._open(folder / "crop_points.bin", np.float16, (size, size, 3)),
            "full_rgb": self._open(folder / "full_rgb.bin", np.uint8, (size, size, 3)),
            "full_mask": self._open(folder / "full_mask.bin", np.uint8, (size, size)),
            "full_points": self._open(folder / "full_points.bin", np.float16, (size, size, 3)),
            "box": self._open(folder / "box.bin", np.float32, (4,)),
            "layout": self._open(folder / "layout.bin", np.float32, (LAYOUT_DIM,)),
            "latent": self._open(folder / "latent.bin", np.float16, preset.latent_shape),
            "mirrored_latent": self._open(folder / "mirrored_latent.bin", np.float16, preset.latent_shape),
        }
        self.header = self._map(folder / "header.bin", np.int64, (2,))

    def _open(self, path: Path, dtype: type, shape: tuple[int, ...]) -> NDArray[np.generic]:
        return self._map(path, dtype, (self.capacity, *shape))

    def _map(self, path: Path, dtype: type, shape: tuple[int, ...]) -> NDArray[np.generic]:
        num_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        if not path.exists() or path.stat().st_size != num_bytes:
            with path.open("wb") as file:
                file.truncate(num_bytes)
        return np.memmap(path, dtype=dtype, mode="r+", shape=shape)

    @property
    def num_written(self) -> int:
        return int(self.header[WRITTEN])

    def put(
        self, example: Example, latent: NDArray[np.float32], mirrored_latent: NDArray[np.float32]
    ) -> None:
        """Store one example over the oldest, with the latents of its shape and of its mirror image."""
        slot = self.num_written % self.capacity
        latents = {"latent": latent, "mirrored_latent": mirrored_latent}
        for name, column in self.fields.items():
            column[slot] = latents[name] if name in latents else getattr(example, name)
        self.header[WRITTEN] += 1

    def rows(self, slots: NDArray[np.int64]) -> dict[str, NDArray[np.generic]]:
        """Copies of the stored examples in ``slots``."""
        return {name: np.asarray(column[slots]) for name, column in self.fields.items()}

    def must_wait(self) -> bool:
        """Whether the writer is far enough ahead; one more could overwrite what the reader's window still holds."""
        return self.num_written >= int(self.header[HEAD]) + AHEAD

    def reach(self, head: int) -> None:
        """The reader's window now ends before example ``head``; waits until that many are written."""
        self.header[HEAD] = head
        while self.num_written < head:
            time.sleep(0.05)


class RingSource:
    """Draws uniformly from a moving window of the ring, every other target mirrored.

    The window begins with ``least`` examples and grows by a ``DRAWS_PER_EXAMPLE``-th of what is drawn.
    """

    def __init__(self, ring: ExampleRing, *, batch_size: int, least: int, seed: int) -> None:
        self.ring = ring
        self.batch_size = batch_size
        self.least = least
        self.seed = seed

    def window(self, step: int) -> tuple[int, int]:
        """First and one past the last example that a step may draw."""
        head = self.least + step * self.batch_size // DRAWS_PER_EXAMPLE
        return max(0, head - (self.ring.capacity - AHEAD - CHUNK)), head

    def batch(self, step: int) -> DemonstrationBatch:
        """The step's batch; waits while the writer is behind."""
        first, head = self.window(step)
        self.ring.reach(head)
        rng = np.random.default_rng([self.seed, step])
        rows = self.ring.rows(rng.integers(first, head, self.batch_size) % self.ring.capacity)
        chosen = torch.from_numpy(rng.random(self.batch_size) < 0.5)
        mirrored = torch.from_numpy(np.asarray(rows["mirrored_latent"], dtype=np.float32))
        return mirrored_batch(demonstration_batch(rows), chosen, mirrored_shape=mirrored)


@torch.no_grad()
def fill_ring(ring: ExampleRing, vae: SparseStructureVAE, stream: Stream) -> Iterator[int]:
    """Write a stream's examples for ever, yielding after each chunk how many there are; sleeps while far ahead."""
    while True:
        if ring.must_wait():
            time.sleep(0.25)
            yield ring.num_written
            continue
        start = ring.num_written
        examples = [stream(start + i) for i in range(CHUNK)]
        grids = torch.from_numpy(np.stack([example.occupancy for example in examples]))
        latents = vae.encode(grids)[0].numpy()
        mirrored = vae.encode(grids.flip(1))[0].numpy()
        for example, latent, other in zip(examples, latents, mirrored, strict=True):
            ring.put(example, latent, other)
        yield ring.num_written
