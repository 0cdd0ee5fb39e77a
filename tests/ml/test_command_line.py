"""``python -m modelzoo generate`` and the guide: from files to files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from modelzoo import checkpoint, frames
from modelzoo.__main__ import CANNOT, main
from modelzoo.checkpoint import Lineage
from modelzoo.contracts import Pose, RequestRefused
from modelzoo.exports.gaussian_ply import gaussians_from_ply
from modelzoo.local_files import request_from_files
from modelzoo.registry import build, preset_config
from modelzoo.serving import golden_request
from tests.ml.foreign_request import DOUBLES, PYTHON

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "models.md"
LINEAGE = Lineage(objective="none", dataset_hash="", command="none", seed=0, steps=0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A photograph, its mask, its point map and an untrained nano checkpoint, where the guide looks for them."""
    torch.set_num_threads(1)
    request = golden_request()
    Image.fromarray(request.image).save(tmp_path / "photo.jpg", quality=95)
    Image.fromarray(request.mask.astype(np.uint8) * 255).save(tmp_path / "mask.png")
    np.savez(tmp_path / "points.npz", points=request.points)
    models = build("nano")
    checkpoint.assemble(
        models.components(),
        folder=tmp_path / "fixtures" / "checkpoints" / "tiny",
        preset="nano",
        config=preset_config(models.preset),
        lineage=LINEAGE,
    )
    return tmp_path


def _foreign(folder: Path, *more: str) -> list[str]:
    (folder / "sources.toml").write_text(
        f'[trellis]\ninterpreter = "{PYTHON}"\npaths = ["{DOUBLES / "torch"}", "{DOUBLES / "trellis"}"]\n'
        '[trellis.options]\nweights = "/w"\nstructure_sampler = {steps = 12}\n'
    )
    given = {"image": folder / "photo.jpg", "mask": folder / "mask.png", "out": folder / "out"}
    return ["generate", *(str(part) for name, path in given.items() for part in (f"--{name}", path)), *more]


def test_a_foreign_model_is_asked_instead_of_a_checkpoint(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sources = str(folder / "sources.toml")
    assert main(_foreign(folder, "--source", "trellis", "--sources", sources, "--count", "1")) == 0
    assert str(folder / "out" / "candidate-0.glb") in capsys.readouterr().out
    stated = json.loads((folder / "out" / "candidate-0.json").read_text())
    assert "pose_searched" in stated["fallbacks"]
    assert stated["settings"]["source_options"]["weights"] == "/w"


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (["--source", "trellis"], "looked up in --sources"),
        (["--source", "triposg", "--sources", "sources.toml"], "has no table [triposg]"),
        (["--source", "trellis", "--sources", "absent.toml"], "cannot be read"),
    ],
)
def test_a_foreign_model_that_is_not_installed_is_said(
    more: list[str],
    why: str,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder)
    assert main(_foreign(folder, *more)) == CANNOT
    assert why in capsys.readouterr().err and not (folder / "out").exists()


def _command(folder: Path, *more: str) -> list[str]:
    given = {"checkpoint": folder / "fixtures/checkpoints/tiny", "image": folder / "photo.jpg"}
    given |= {"mask": folder / "mask.png", "out": folder / "out"}
    return ["generate", *(str(part) for name, path in given.items() for part in (f"--{name}", path)), *more]


def test_a_photograph_becomes_meshes_splats_and_poses(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    points = str(folder / "points.npz")
    assert main(_command(folder, "--count", "2", "--seed", "7", "--steps", "2", "--points", points)) == 0
    said = capsys.readouterr()
    assert "100%" in said.err and "peak memory on" in said.err
    assert said.out.split() == [
        str(folder / "out" / f"candidate-{seed}{suffix}")
        for seed in (7, 8)
        for suffix in (".glb", ".ply", ".json")
    ]
    stated = json.loads((folder / "out" / "candidate-8.json").read_text())
    pose = Pose(
        **{**stated["pose"], **{k: tuple(stated["pose"][k]) for k in ("rotation_wxyz", "translation")}}
    )
    assert stated["seed"] == 8 and stated["settings"]["geometry_steps"] == 2 and pose.unit == "m"
    mesh = trimesh.load(folder / "out" / stated["mesh"], force="mesh")
    splats = trimesh.load(folder / "out" / stated["splat"])
    placed = frames.camera_from_object(pose, frames.object_from_glb(np.asarray(mesh.vertices)))
    assert len(mesh.faces) and len(splats.vertices) and (placed[:, 2] > 0).all()


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        ("empty mask", "mask_empty"),
        ("small mask", "mask_shape"),
        ("no photograph", "file_unreadable"),
        ("no checkpoint", "manifest_missing"),
        ("flipped byte", "weights_hash_mismatch"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line_with_its_code(
    folder: Path, capsys: pytest.CaptureFixture[str], spoil: str, code: str
) -> None:
    weights = folder / "fixtures/checkpoints/tiny" / checkpoint.WEIGHTS_NAME
    if spoil == "empty mask":
        Image.fromarray(np.zeros((96, 128), np.uint8)).save(folder / "mask.png")
    elif spoil == "small mask":
        Image.fromarray(np.full((48, 64), 255, np.uint8)).save(folder / "mask.png")
    elif spoil == "no photograph":
        (folder / "photo.jpg").write_bytes(b"not a picture")
    elif spoil == "no checkpoint":
        (weights.parent / checkpoint.MANIFEST_NAME).unlink()
    else:
        data = bytearray(weights.read_bytes())
        data[-1] ^= 1
        weights.write_bytes(data)
    assert main(_command(folder, "--quiet")) == CANNOT
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and line.endswith(f"[{code}]")
    assert not (folder / "out").exists()


def test_masks_of_one_photograph_become_one_scene(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = np.zeros((96, 128), np.uint8)
    other[10:40, 8:40] = 255
    Image.fromarray(other).save(folder / "other.png")
    command = ["scene", "--mask", str(folder / "other.png"), *_command(folder, "--quiet")[1:]]
    assert main([*command, "--points", str(folder / "points.npz")]) == 0
    assert capsys.readouterr().out.split() == [
        str(folder / "out" / f"scene.{end}") for end in ("glb", "ply", "spz")
    ]
    scene = trimesh.load_scene(folder / "out" / "scene.glb")
    assert {"other", "mask"} <= set(scene.graph.nodes)
    splats = gaussians_from_ply((folder / "out" / "scene.ply").read_bytes())
    assert splats.frame == "camera_opencv" and splats.unit == "m"


def test_a_count_of_nothing_is_refused(folder: Path) -> None:
    with pytest.raises(SystemExit):
        main(_command(folder, "--count", "0"))


def test_a_mask_may_be_an_alpha_channel_and_a_photograph_lie_on_its_side(tmp_path: Path) -> None:
    request = golden_request()
    lying = Image.fromarray(np.rot90(request.image).copy())
    exif = lying.getexif()
    exif[0x0112] = 6  # to be turned clockwise by a right angle
    lying.save(tmp_path / "photo.png", exif=exif)
    alpha = np.dstack([np.full((96, 128, 3), 255, np.uint8), request.mask.astype(np.uint8) * 255])
    Image.fromarray(alpha).save(tmp_path / "mask.png")
    found = request_from_files(tmp_path / "photo.png", tmp_path / "mask.png", seeds=[3])
    np.testing.assert_array_equal(found.image, request.image)
    np.testing.assert_array_equal(found.mask, request.mask)
    with pytest.raises(RequestRefused, match="nothing"):
        request_from_files(tmp_path / "nothing.png", tmp_path / "mask.png", seeds=[3])


def test_the_guides_ten_lines_run_as_they_stand(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    block = GUIDE.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    assert len([line for line in block.splitlines() if line.strip()]) <= 10
    monkeypatch.chdir(folder)
    exec(compile(block, str(GUIDE), "exec"), {})
    assert len(list((folder / "out").glob("candidate-*.glb"))) == 8
