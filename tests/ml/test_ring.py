"""The stream of examples between writer and trainer gives a step the same batch whatever the timing of the two."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
import torch

from modelzoo.presets import preset_named
from modelzoo.vae.sparse_structure import SparseStructureVAE
from training.data import ring as ring_module
from training.data.ring import CHUNK, ExampleRing, RingSource, fill_ring
from training.data.samples import Mixture
from training.data.streams import SceneStream

GEOMETRY = preset_named("nano").geometry
CAPACITY, AHEAD, LEAST = 96, 32, 16
SCENES = SceneStream(
    stream=4,
    mixture=Mixture(isolated=1.0, composited=0.0),
    size=GEOMETRY.image_size,
    resolution=GEOMETRY.resolution,
)


@pytest.fixture(scope="module")
def vae() -> SparseStructureVAE:
    torch.manual_seed(0)
    return SparseStructureVAE(GEOMETRY.structure).eval().requires_grad_(False)


@pytest.fixture(autouse=True)
def _short_lead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ring_module, "AHEAD", AHEAD)


def _batches(folder: Path, vae: SparseStructureVAE, *, steps: int, late_s: float) -> list[torch.Tensor]:
    """What ``steps`` steps draw while a thread writes, pausing ``late_s`` before each chunk."""
    ring = ExampleRing(folder, preset=GEOMETRY, capacity=CAPACITY)
    source = RingSource(ring, batch_size=8, least=LEAST, seed=3)
    done = threading.Event()

    def write() -> None:
        for _ in fill_ring(ring, vae, SCENES):
            time.sleep(late_s)
            if done.is_set():
                return

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    drawn = []
    for step in range(steps):
        batch = source.batch(step)
        drawn.append(
            torch.cat([batch.shape.flatten(1), batch.layout, batch.condition.crop.flatten(1)], dim=1)
        )
    done.set()
    writer.join(timeout=30)
    assert ring.num_written > CAPACITY, "the ring did not come round, so nothing was overwritten"
    return drawn


def test_a_slow_writer_changes_no_batch(tmp_path: Path, vae: SparseStructureVAE) -> None:
    fast = _batches(tmp_path / "fast", vae, steps=40, late_s=0.0)
    slow = _batches(tmp_path / "slow", vae, steps=40, late_s=0.02)
    assert all(torch.equal(a, b) for a, b in zip(fast, slow, strict=True))
    assert not torch.equal(fast[0], fast[1])


def test_the_writer_stops_before_it_overwrites_what_a_step_may_draw(
    tmp_path: Path, vae: SparseStructureVAE
) -> None:
    ring = ExampleRing(tmp_path, preset=GEOMETRY, capacity=CAPACITY)
    source = RingSource(ring, batch_size=8, least=LEAST, seed=3)
    writer = fill_ring(ring, vae, SCENES)
    for step in (0, 10, 25):
        first, head = source.window(step)
        reader = threading.Thread(target=ring.reach, args=(head,), daemon=True)
        reader.start()
        while reader.is_alive() or not ring.must_wait():
            next(writer)
        assert ring.num_written - CAPACITY <= first < head
    assert ring.num_written >= CAPACITY + CHUNK
