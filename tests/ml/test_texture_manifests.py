"""Texture training from frozen datasets at nano: what becomes of latents, poses and pairs, and what is refused."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from modelzoo.latents import CandidateLatents, latents_to_bytes
from modelzoo.models.cells import active_cells
from modelzoo.models.texture_flow import TextureFlow
from modelzoo.presets import preset_named
from modelzoo.vae.structured_latent import StructuredLatentVAE
from training.data.manifests import Dataset, ManifestRefused, read_dataset
from training.data.texture_manifests import (
    TextureDemonstrationSource,
    TexturePreferenceSource,
    texture_demonstrations,
    texture_pairs,
)
from training.objectives.texture import TextureObjective, TexturePreferenceObjective

NANO = preset_named("nano")
SIDE = 48
POSE = {"rotation_wxyz": [1.0, 0.0, 0.0, 0.0], "translation": [0.0, 0.0, 3.0], "scale": 1.0}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def _latents(width: int) -> CandidateLatents:
    """A box, ``width`` voxels wide, with a structured latent of its own on its surface's cells."""
    occupancy = np.zeros((32, 32, 32), np.bool_)
    occupancy[8 : 8 + width, 8:24, 8:24] = True
    coords = active_cells(torch.from_numpy(occupancy)[None], grid=8, max_cells=512)[0].numpy()
    feats = np.random.default_rng(width).normal(size=(len(coords), 4))
    return CandidateLatents(
        occupancy=occupancy,
        slat_coords=coords.astype(np.uint8),
        slat_feats=feats.astype(np.float16),
        layout=np.array([1, 0, 0, 0, 1, 0, 0, 0, 0.2, 0, 0, 0, 1], np.float32),
    )


def _dataset(folder: Path, *, chosen: CandidateLatents | None = None, pose: bool = True) -> Dataset:
    rng = np.random.default_rng(0)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[12:36, 12:36] = 255
    v, u = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
    points = np.stack([(u + 0.5 - 24) / 24, (v + 0.5 - 24) / 24, np.full_like(u, 2.5)], axis=-1)
    stream = io.BytesIO()
    np.savez_compressed(stream, points=points)
    blobs = {
        "image.png": _png(rng.integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)),
        "mask.png": _png(mask),
        "points.npz": stream.getvalue(),
        "wide.safetensors": latents_to_bytes(_latents(16) if chosen is None else chosen),
        "thin.safetensors": latents_to_bytes(_latents(8)),
    }
    (folder / "blobs").mkdir(parents=True)
    for name, data in blobs.items():
        (folder / "blobs" / name).write_bytes(data)
    seen = {"image": "image.png", "mask": "mask.png", "pointmap": "points.npz"}
    lines = [
        {**seen, "kind": "demonstration", "id": "d", "latents": "wide.safetensors", "mesh": None}
        | ({"pose": POSE} if pose else {}),
        {**seen, "kind": "demonstration", "id": "art", "latents": None, "mesh": "art.glb"},
        {
            **seen,
            "kind": "preference",
            "id": "p",
            "chosen_latents": "wide.safetensors",
            "chosen_mesh": None,
            "rejected_latents": "thin.safetensors",
            "rejected_mesh": None,
        },
    ]
    (folder / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return read_dataset(folder)


def _png(values: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, format="PNG")
    return stream.getvalue()


def _vae() -> StructuredLatentVAE:
    return StructuredLatentVAE(NANO.latent).eval().requires_grad_(False)


def test_a_demonstration_teaches_its_own_latents_and_the_colours_that_they_decode_to(tmp_path: Path) -> None:
    dataset, vae = _dataset(tmp_path), _vae()
    items = texture_demonstrations(dataset, NANO)
    assert len(items) == 1  # the artist's mesh has no structured latent
    assert items[0].layout.translation.tolist() == POSE["translation"]
    batch = TextureDemonstrationSource(items, vae, NANO, batch_size=2, seed=0).batch(3)
    given = torch.from_numpy(_latents(16).slat_feats.astype(np.float32))
    assert torch.equal(batch.latent, torch.cat([given, given]))
    torch.testing.assert_close(batch.colour, vae.decode(batch.latent, batch.cells)[0].colour)
    loss, metrics = TextureObjective(vae=vae).loss(
        TextureFlow(NANO.texture, NANO.latent), batch, torch.Generator().manual_seed(0)
    )
    assert torch.isfinite(loss) and metrics["latent"] > 0


def test_without_a_pose_the_model_s_own_layout_is_used_as_it_was_shown(tmp_path: Path) -> None:
    (item,) = texture_demonstrations(_dataset(tmp_path, pose=False), NANO)
    assert item.layout.translation[2] > 2.0 and item.layout.scale > 0
    bare = replace(_latents(16), layout=None)
    with pytest.raises(ManifestRefused, match=r"demonstration d: .* neither a pose nor a layout"):
        texture_demonstrations(_dataset(tmp_path / "bare", chosen=bare, pose=False), NANO)


def test_pairs_keep_each_candidate_s_own_cells_and_learn_the_preference(tmp_path: Path) -> None:
    pairs = texture_pairs(_dataset(tmp_path), NANO)
    vae, policy = _vae(), TextureFlow(NANO.texture, NANO.latent)
    reference = TextureFlow(NANO.texture, NANO.latent)
    reference.load_state_dict(policy.state_dict())
    source = TexturePreferenceSource(pairs, vae, NANO, batch_size=2, seed=0)
    objective = TexturePreferenceObjective(reference=reference, beta=20.0)
    optimizer = torch.optim.Adam(policy.parameters(), lr=3e-3)
    seen = []
    for step in range(12):
        batch = source.batch(step)
        loss, metrics = objective.loss(policy, batch, torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seen.append(metrics)
    assert batch.chosen.cells.counts != batch.rejected.cells.counts
    assert seen[0]["preference"] == pytest.approx(np.log(2), rel=1e-6)
    assert sum(row["preference"] for row in seen[-3:]) / 3 < 0.9 * np.log(2)
    assert seen[-1]["implicit_accuracy"] == 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"slat_coords": np.zeros((0, 3), np.uint8)}, "no structured latent"),
        ({"slat_feats": np.zeros((5, 9), np.float16)}, "do not fit nano"),
    ],
)
def test_latents_that_cannot_be_learned_are_refused_by_the_line_s_name(
    tmp_path: Path, change: dict[str, np.ndarray], message: str
) -> None:
    dataset = _dataset(tmp_path, chosen=replace(_latents(16), **change))  # type: ignore[arg-type]
    with pytest.raises(ManifestRefused, match=f"demonstration d: .*{message}"):
        texture_demonstrations(dataset, NANO)
    with pytest.raises(ManifestRefused, match=f"preference p: .*{message}"):
        texture_pairs(dataset, NANO)


def test_nothing_to_learn_from_is_refused() -> None:
    with pytest.raises(ValueError, match="no demonstrations"):
        TextureDemonstrationSource([], _vae(), NANO, batch_size=1, seed=0)
    with pytest.raises(ValueError, match="no preference pairs"):
        TexturePreferenceSource([], _vae(), NANO, batch_size=1, seed=0)
