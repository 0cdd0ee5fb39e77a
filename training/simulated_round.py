"""A simulated annotation round: fresh scenes of the shifted world, eight candidates each, a noisy annotator, a dataset.

Everything made here is simulated and says so. It exercises the same manifest and the same runs as people's work does.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from modelzoo.conditioning import condition
from modelzoo.contracts import Intrinsics
from modelzoo.frames import wxyz_from_rotation
from modelzoo.latents import CandidateLatents, latents_to_bytes
from modelzoo.models.geometry import LAYOUT_DIM
from modelzoo.registry import Models, load_models
from modelzoo.samplers import FlowSettings
from modelzoo.samplers.geometry import draw_geometry
from training.data.objects import object_occupancy
from training.data.scenes import Scene, make_scene, points_from_depth, render_scene
from training.metrics.overlap import volume_iou

STREAM = 800_000
IMAGE_SIZE = 192
JUDGEMENT_NOISE = 0.03  # standard deviation of the annotator's estimate of volume IoU


@dataclass(frozen=True, kw_only=True)
class RoundSummary:
    """What the simulated round gave."""

    num_targets: int
    num_demonstrations: int
    num_preferences: int
    mean_iou: float
    picked_iou: float


def write_simulated_dataset(
    checkpoint: Path, folder: Path, *, num_targets: int, alpha: float, seed: int
) -> RoundSummary:
    """Propose, pick and write ``manifest.jsonl`` with its blobs; a pick below ``alpha`` (IoU) is not accepted."""
    manifest, models = load_models(checkpoint)
    rng = np.random.default_rng([STREAM, seed])
    (folder / "blobs").mkdir(parents=True, exist_ok=True)
    lines, means, picked = [], [], []
    for number in range(num_targets):
        scene, blobs, truth, points = _target(seed, number, folder, models.geometry.preset.resolution)
        grids = _candidates(models, folder, blobs, points, seed=seed * 1_000_003 + number)
        quality = volume_iou(torch.from_numpy(grids), torch.from_numpy(truth)).numpy()
        seen = quality + rng.normal(0.0, JUDGEMENT_NOISE, len(quality))
        best = int(seen.argmax())
        worse = [k for k in range(len(seen)) if seen[k] < seen[best] - 0.05]
        means.append(float(quality.mean()))
        picked.append(float(quality[best]))
        common = {
            **blobs,
            "target": number,
            "round": 1,
            "annotator": "simulated",
            "checkpoint": manifest.sha256,
        }
        if seen[best] >= alpha:
            lines.append(
                _demonstration(folder, common, scene, grids[best], number=number, rating=float(seen[best]))
            )
        if worse:
            other = int(rng.choice(worse))
            lines.append(_preference(folder, common, grids[best], grids[other], number=number))
    (folder / "manifest.jsonl").write_text("".join(json.dumps(line, sort_keys=True) + "\n" for line in lines))
    return RoundSummary(
        num_targets=num_targets,
        num_demonstrations=sum(line["kind"] == "demonstration" for line in lines),
        num_preferences=sum(line["kind"] == "preference" for line in lines),
        mean_iou=float(np.mean(means)),
        picked_iou=float(np.mean(picked)),
    )


def _target(
    seed: int, number: int, folder: Path, resolution: int
) -> tuple[Scene, dict[str, str], NDArray[np.bool_], NDArray[np.float32]]:
    for attempt in range(100):
        rng = np.random.default_rng([STREAM + 1 + seed, number, attempt])
        scene = make_scene(rng, "shifted")
        camera = scene.intrinsics(IMAGE_SIZE)
        seen = render_scene(scene, rng, intrinsics=camera)
        if seen.mask.sum() >= 300 and seen.visible >= 0.3:
            break
    else:
        raise RuntimeError(f"no visible target in 100 draws of target {number}")
    points = points_from_depth(seen.depth, camera)
    blobs = {"image": f"{number}/image.png", "mask": f"{number}/mask.png", "pointmap": f"{number}/points.npz"}
    _put(folder, blobs["image"], _png(seen.rgb))
    _put(folder, blobs["mask"], _png(seen.mask.astype(np.uint8) * 255))
    _put(folder, blobs["pointmap"], _npz(points, camera))
    return scene, blobs, object_occupancy(scene.target, resolution=resolution), points


@torch.no_grad()
def _candidates(
    models: Models, folder: Path, blobs: dict[str, str], points: NDArray[np.float32], *, seed: int
) -> NDArray[np.bool_]:
    image = np.asarray(Image.open(folder / "blobs" / blobs["image"]))
    mask = np.asarray(Image.open(folder / "blobs" / blobs["mask"])) > 127
    seen = condition(image, mask, points, size=models.geometry.preset.image_size)
    views = [torch.from_numpy(view)[None] for view in (seen.crop, seen.full, seen.box)]
    generator = torch.Generator().manual_seed(seed)
    sample = draw_geometry(
        models.geometry,
        models.geometry.encode(*views),
        noise_shape=torch.randn((8, *models.geometry.preset.latent_shape), generator=generator),
        noise_layout=torch.randn((8, LAYOUT_DIM), generator=generator),
        settings=FlowSettings(steps=8, rescale_t=4.0),
    )
    grids: NDArray[np.bool_] = (models.ss_vae.decode(sample.shape) > 0).numpy()
    return grids


def _demonstration(
    folder: Path,
    common: dict[str, object],
    scene: Scene,
    grid: NDArray[np.bool_],
    *,
    number: int,
    rating: float,
) -> dict[str, object]:
    pose = {
        "rotation_wxyz": list(wxyz_from_rotation(scene.rotation)),
        "translation": [float(v) for v in scene.translation],
        "scale": scene.scale,
        "unit": "pointmap",
    }
    key = _put(folder, f"{number}/chosen.safetensors", _latents(grid))
    return {
        **common,
        "kind": "demonstration",
        "id": f"demonstration-{number}",
        "latents": key,
        "mesh": None,
        "pose": pose,
        "rating": rating,
        "source": "simulated",
    }


def _preference(
    folder: Path, common: dict[str, object], best: NDArray[np.bool_], other: NDArray[np.bool_], *, number: int
) -> dict[str, object]:
    return {
        **common,
        "kind": "preference",
        "id": f"preference-{number}",
        "chosen_latents": _put(folder, f"{number}/chosen.safetensors", _latents(best)),
        "chosen_mesh": None,
        "rejected_latents": _put(folder, f"{number}/rejected.safetensors", _latents(other)),
        "rejected_mesh": None,
    }


def _latents(grid: NDArray[np.bool_]) -> bytes:
    return latents_to_bytes(
        CandidateLatents(
            occupancy=grid, slat_coords=np.zeros((0, 3), np.uint8), slat_feats=np.zeros((0, 1), np.float16)
        )
    )


def _put(folder: Path, key: str, data: bytes) -> str:
    path = folder / "blobs" / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return key


def _png(array: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, format="PNG")
    return stream.getvalue()


def _npz(points: NDArray[np.float32], camera: Intrinsics) -> bytes:
    numbers = [camera.fx, camera.fy, camera.cx, camera.cy, camera.width, camera.height]
    stream = io.BytesIO()
    np.savez_compressed(stream, points=points, intrinsics=np.array(numbers))
    return stream.getvalue()
