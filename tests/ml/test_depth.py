"""The depth net's contract, its loss, and the seam for an operator's estimator."""

from __future__ import annotations

import json
import math
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch

from modelzoo.checkpoint import CheckpointRefused
from modelzoo.contracts import Intrinsics
from modelzoo.depth import SmallDepthNet
from modelzoo.frames import project
from modelzoo.models.depth_net import DepthConfig, DepthNet, DepthPrediction
from modelzoo.ports.monocular_depth import (
    FARTHEST,
    DepthAnythingPort,
    EstimatorMissing,
    MogePort,
    TorchScriptDepth,
    TransformersDepthAnything,
    depth_from_relative,
)
from training.losses.depth import depth_loss

CHECKPOINTS = Path(__file__).resolve().parents[2] / "fixtures" / "checkpoints"


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.mark.parametrize("size", [(40, 60), (333, 200), (64, 300)])
def test_a_photograph_of_any_size_gets_a_point_map_that_projects_onto_itself(size: tuple[int, int]) -> None:
    height, width = size
    image = np.random.default_rng(0).integers(0, 255, (height, width, 3)).astype(np.uint8)
    found = SmallDepthNet(DepthNet(DepthConfig())).estimate(image)
    assert found.points.shape == (height, width, 3)
    assert (found.metric, found.approximate, found.source) == (False, True, "candid8-depth-tiny")
    known = np.isfinite(found.points).all(axis=-1)
    rows, cols = np.nonzero(known)
    pixels = project(found.points[known], found.intrinsics)
    assert known.any() and np.allclose(pixels, np.stack([cols + 0.5, rows + 0.5], axis=1), atol=1e-2)


def test_a_known_camera_is_kept() -> None:
    camera = Intrinsics(fx=90, fy=91, cx=30, cy=20, width=60, height=40)
    found = SmallDepthNet(DepthNet(DepthConfig())).estimate(
        np.zeros((40, 60, 3), np.uint8), intrinsics=camera
    )
    assert found.intrinsics == camera


def test_the_depth_loss_does_not_change_with_scale_and_is_zero_at_the_truth() -> None:
    log_depth, known = torch.rand(2, 16, 16), torch.ones(2, 16, 16, dtype=torch.bool)
    known[:, :4] = False
    sky = torch.where(known, -20.0, 20.0)
    focal = torch.tensor([0.1, 0.4])
    for shift in (0.0, 3.0):
        guess = DepthPrediction(log_depth=log_depth + shift, sky=sky, log_focal=focal)
        terms = depth_loss(guess, log_depth=log_depth, known=known, log_focal=focal)
        assert all(float(value) < 1e-5 for value in terms.values()), terms


def test_a_checkpoint_of_another_kind_is_refused() -> None:
    with pytest.raises(CheckpointRefused):
        SmallDepthNet.load(CHECKPOINTS / "tiny")


def test_a_torchscript_estimator_is_used_as_given(tmp_path: Path) -> None:
    class Ramp(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return image[:, 0] + 1.0

    torch.jit.script(Ramp()).save(str(tmp_path / "ramp.pt"))
    image = np.full((20, 30, 3), 255, np.uint8)
    found = TorchScriptDepth(tmp_path / "ramp.pt", metric=True).estimate(image)
    assert found.metric and found.approximate and found.source == "torchscript:ramp"
    assert np.allclose(found.points[..., 2], 2.0)


# What MoGe's model/v1.py and v2.py do with their arguments and give back: an image in [0, 1]; points are
# x right, y down, z forward, infinite outside the mask; v2 has a scale head, and then they are metres.
MOGE = """
import torch
from torch import nn

class MoGeModel(nn.Module):
    def __init__(self, metric):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))
        if metric:
            self.scale_head = nn.Linear(1, 1)
        self.seen = {}

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, model_kwargs=None, **hf_kwargs):
        checkpoint = torch.load(pretrained_model_name_or_path, map_location="cpu", weights_only=True)
        model = cls(**checkpoint["model_config"])
        model.load_state_dict(checkpoint["model"], strict=True)
        return model

    @torch.inference_mode()
    def infer(self, image, ARGUMENTS):
        self.seen = dict(image=image, fov_x=fov_x, force_projection=force_projection, use_fp16=use_fp16)
        assert image.ndim == 3 and image.shape[0] == 3 and 0 <= float(image.min()) and float(image.max()) <= 1
        height, width = image.shape[1:]
        v, u = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
        depth = 2.0 + u / width
        points = torch.stack([(u - width / 2) / 80 * depth, (v - height / 2) / 80 * depth, depth], dim=-1)
        mask = v > 3
        points = torch.where(mask[..., None], points, torch.inf) if apply_mask else points
        focal = torch.tensor([[80 / width, 0, 0.5], [0, 80 / height, 0.5], [0, 0, 1]])
        return {"points": points * self.gain, "intrinsics": focal, "depth": points[..., 2], "mask": mask}
"""
MOGE_1 = (
    "fov_x=None, resolution_level=9, num_tokens=None, apply_mask=True, force_projection=True, use_fp16=True"
)
MOGE_2 = (
    "num_tokens=None, resolution_level=9, force_projection=True, apply_mask=True, fov_x=None, use_fp16=True"
)

# What Depth Anything V2's dpt.py does: image2tensor takes BGR, forward gives (B, h, w); metric_depth's takes max_depth.
DEPTH_ANYTHING = """
import torch
from torch import nn

class DepthAnythingV2(nn.Module):
    def __init__(self, encoder="vitl", features=256, out_channels=[256, 512, 1024, 1024], use_bn=False,
                 use_clstoken=FalseMAX_DEPTH):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))
        self.made_with = (encoder, features, tuple(out_channels))

    def image2tensor(self, raw_image, input_size=518):
        height, width = raw_image.shape[:2]
        image = torch.from_numpy(raw_image[..., ::-1] / 255.0).permute(2, 0, 1)[None].float()
        return nn.functional.interpolate(image, (28, 42), mode="area"), (height, width)

    def forward(self, x):
        return (x[:, 0] * 3 + 1) * self.gain
"""


@pytest.fixture
def foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path of imports, whose packages no other test has seen or will see."""
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.split(".")[0] in {"moge", "depth_anything_v2"}]:
        monkeypatch.delitem(sys.modules, name)
    yield tmp_path
    for name in [name for name in sys.modules if name.split(".")[0] in {"moge", "depth_anything_v2"}]:
        del sys.modules[name]


def _package(folder: Path, module: str, source: str) -> None:
    path = folder / Path(*module.split(".")).with_suffix(".py")
    path.parent.mkdir(parents=True, exist_ok=True)
    for parent in path.relative_to(folder).parents[:-1]:
        (folder / parent / "__init__.py").touch()
    path.write_text(textwrap.dedent(source))


def _moge(folder: Path, version: int) -> Path:
    _package(folder, f"moge.model.v{version}", MOGE.replace("ARGUMENTS", MOGE_1 if version == 1 else MOGE_2))
    state = {"gain": torch.tensor(1.0)}
    if version == 2:
        state |= {"scale_head.weight": torch.zeros(1, 1), "scale_head.bias": torch.zeros(1)}
    weights = folder / "model.pt"
    torch.save({"model_config": {"metric": version == 2}, "model": state}, weights)
    return weights


PHOTO = np.random.default_rng(0).integers(0, 255, (40, 60, 3)).astype(np.uint8)


@pytest.mark.parametrize("version", [1, 2])
def test_moge_is_called_as_it_wants_and_its_points_are_already_ours(foreign: Path, version: int) -> None:
    port = MogePort(_moge(foreign, version), version=version)
    found = port.estimate(PHOTO)
    assert found.metric is (version == 2) and not found.approximate
    assert np.isnan(found.points[:3]).all() and np.isfinite(found.points[4:]).all()
    assert found.points[20, 59, 2] > found.points[20, 0, 2] > 0 and found.points[39, 30, 1] > 0
    assert found.intrinsics.fx == pytest.approx(80, rel=1e-3)
    assert port.model.seen["force_projection"] is False and port.model.seen["use_fp16"] is False
    assert port.model.seen["fov_x"] is None


def test_moge_is_told_the_view_of_a_known_camera(foreign: Path) -> None:
    port = MogePort(_moge(foreign, 1))
    camera = Intrinsics(fx=30, fy=30, cx=30, cy=20, width=60, height=40)
    assert port.estimate(PHOTO, intrinsics=camera).intrinsics == camera
    assert port.model.seen["fov_x"] == pytest.approx(math.degrees(2 * math.atan(1)))


def test_moges_weights_are_never_fetched_and_foreign_ones_are_refused(foreign: Path) -> None:
    weights = _moge(foreign, 1)
    with pytest.raises(EstimatorMissing, match="nothing is downloaded"):
        MogePort(Path("Ruicheng/moge-vitl"))
    weights.write_bytes(b"rubbish")
    with pytest.raises(EstimatorMissing, match="no MoGe 1 checkpoint"):
        MogePort(weights)
    with pytest.raises(EstimatorMissing, match=r"MoGe 2\) is not installed"):
        MogePort(weights, version=2)


def _depth_anything(folder: Path, *, metric: bool) -> Path:
    source = DEPTH_ANYTHING.replace("MAX_DEPTH", ", max_depth=20.0" if metric else "")
    _package(folder, "depth_anything_v2.dpt", source)
    torch.save({"gain": torch.tensor(1.0)}, folder / "weights.pth")
    return folder / "weights.pth"


def test_metric_depth_anything_gives_metres_of_a_picture_in_the_right_channel_order(foreign: Path) -> None:
    port = DepthAnythingPort(_depth_anything(foreign, metric=True), encoder="vits", max_depth_m=20.0)
    image = np.zeros((40, 60, 3), np.uint8)
    image[..., 0] = 255  # red: the stand-in's depth grows with it
    camera = Intrinsics(fx=50, fy=50, cx=30, cy=20, width=60, height=40)
    found = port.estimate(image, intrinsics=camera)
    assert np.allclose(found.points[..., 2], 4.0) and found.metric and not found.approximate
    assert port.model.made_with == ("vits", 64, (48, 96, 192, 384)) and found.source.endswith("vits-metric")
    assert port.estimate(image).approximate  # the lens is a guess


def test_relative_depth_anything_is_an_approximate_guess_in_which_nearer_is_nearer(foreign: Path) -> None:
    port = DepthAnythingPort(_depth_anything(foreign, metric=False), encoder="vitb", dtype=torch.float64)
    image = np.zeros((40, 60, 3), np.uint8)
    image[:, :30] = 255
    found = port.estimate(image, intrinsics=Intrinsics(fx=50, fy=50, cx=30, cy=20, width=60, height=40))
    assert found.approximate and not found.metric
    assert np.allclose(found.points[20, 5, 2], 1.0) and np.allclose(found.points[20, 55, 2], FARTHEST)


def test_depth_anything_says_which_package_or_file_is_wrong(foreign: Path) -> None:
    with pytest.raises(EstimatorMissing, match="depth_anything_v2 package is not installed"):
        DepthAnythingPort(foreign / "weights.pth")
    weights = _depth_anything(foreign, metric=False)
    with pytest.raises(EstimatorMissing, match="metric_depth"):
        DepthAnythingPort(weights, max_depth_m=20.0)
    with pytest.raises(EstimatorMissing, match=r"depth_anything_v2_vits\.pth"):
        DepthAnythingPort(foreign / "none.pth", encoder="vits")
    torch.save({"other": torch.zeros(1)}, weights)
    with pytest.raises(EstimatorMissing, match="does not fit"):
        DepthAnythingPort(weights)
    with pytest.raises(ValueError, match="vits, vitb, vitl, vitg"):
        DepthAnythingPort(weights, encoder="vitx")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["relative", "metric"])
def test_a_transformers_folder_is_loaded_by_the_real_package_without_a_network(
    tmp_path: Path, kind: str
) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    backbone = transformers.Dinov2Config(
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        image_size=28,
        patch_size=14,
        out_indices=[1, 2, 3, 4],
        reshape_hidden_states=False,
        apply_layernorm=True,
    )
    config = transformers.DepthAnythingConfig(
        backbone_config=backbone,
        reassemble_hidden_size=16,
        patch_size=14,
        neck_hidden_sizes=[8, 8, 8, 8],
        fusion_hidden_size=8,
        head_hidden_size=4,
        depth_estimation_type=kind,
        max_depth=20,
    )
    transformers.DepthAnythingForDepthEstimation(config).save_pretrained(tmp_path)
    with pytest.raises(EstimatorMissing, match=r"preprocessor_config\.json"):
        TransformersDepthAnything(tmp_path)
    picture = {"image_processor_type": "DPTImageProcessor", "size": {"height": 28, "width": 28}}
    picture |= {"keep_aspect_ratio": True, "ensure_multiple_of": 14, "do_resize": True, "do_rescale": True}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(picture))
    found = TransformersDepthAnything(tmp_path).estimate(PHOTO)
    depth = found.points[..., 2]
    assert found.points.shape == (40, 60, 3) and np.isfinite(depth).all() and found.approximate
    assert found.metric is (kind == "metric") and (depth > 0).all() and depth.max() <= 20


def test_relative_disparity_keeps_its_order_and_its_unknowns() -> None:
    disparity = np.array([[1.0, 2.0, np.nan, 5.0, 3.0]])
    depth = depth_from_relative(disparity)
    assert np.isnan(depth[0, 2]) and list(np.argsort(-depth[0, [0, 1, 3, 4]])) == [0, 1, 3, 2]
    assert np.nanmin(depth) == pytest.approx(1.0) and np.nanmax(depth) == pytest.approx(FARTHEST)
    assert np.isnan(depth_from_relative(np.full((2, 2), np.nan))).all()


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((1, 1, 3), np.uint8)]
)
def test_a_picture_of_another_kind_is_refused_before_the_model_runs(foreign: Path, image: np.ndarray) -> None:
    port = MogePort(_moge(foreign, 1))
    with pytest.raises(ValueError, match="H x W x 3 uint8"):
        port.estimate(image)
    assert port.model.seen == {}


def test_a_missing_estimator_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(EstimatorMissing, match="TorchScript"):
        TorchScriptDepth(tmp_path / "none.pt", metric=False)
    with pytest.raises(EstimatorMissing, match="moge"):
        MogePort(tmp_path / "any.pt")
    with pytest.raises(EstimatorMissing, match="transformers"):
        TransformersDepthAnything(tmp_path)
