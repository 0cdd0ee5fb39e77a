"""DINOv2 and point-map embedders, and the released preprocessing."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from modelzoo.checkpoint import CheckpointRefused
from modelzoo.conditioning import Square, encode_layout, flat_points
from modelzoo.encoders.condition import ConditionEncoder
from modelzoo.encoders.dinov2 import DinoV2Embedder
from modelzoo.encoders.point_patch import PointPatchEmbedder
from modelzoo.encoders.preparation import (
    decoded_layout,
    object_centric_normaliser,
    prepare,
    released_condition,
    released_square,
    resized_points,
)
from modelzoo.frames import rotation_from_wxyz
from modelzoo.ports.axes import released_from_layout
from modelzoo.ports.dinov2_network import EncoderMissing, renamed
from modelzoo.presets import EmbedderPreset, preset_named

DINO = EmbedderPreset(kind="dinov2", reads="image", size=56, patch=14, width=32, depth=2, heads=2)
POINTS = EmbedderPreset(kind="point_patch", reads="points", size=32, patch=8, width=32, depth=1, heads=2)


def _views(size: int, *, batch: int = 2, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    views = torch.rand(2, batch, 8, size, size, generator=generator) * 2 - 1
    views[:, :, 3] = (views[:, :, 3] > 0).float()
    views[:, :, 7] = (views[:, :, 7] > -0.5).float()
    views[:, :, 4:7] *= views[:, :, 7:]
    box = torch.tensor([0.1, -0.2, 0.5, 1.0]).repeat(batch, 1)
    return views[0], views[1], box


def _trained(module: torch.nn.Module) -> torch.nn.Module:
    """Weights that are nowhere zero or one, so that a missing term shows."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) * 0.1)
    return module


# --- point map --------------------------------------------------------------------------------------------------------


def _plain_point_tokens(model: PointPatchEmbedder, view: Tensor, known: Tensor) -> Tensor:
    """Window by window, head by head, every token through the whole block."""
    preset, block = model.preset, model.block
    side = preset.size // preset.patch
    pixel = torch.arange(preset.size) * view.shape[-1] // preset.size
    small = view[:, :, pixel][:, :, :, pixel]
    rows = []
    for sample in range(view.shape[0]):
        for row in range(side):
            for col in range(side):
                if not known[sample]:
                    rows.append(model.dropped + model.position[row, col])
                    continue
                tokens = [model.cls + model.window_position[0]]
                for at in range(preset.patch**2):
                    y, x = row * preset.patch + at // preset.patch, col * preset.patch + at % preset.patch
                    point = small[sample, 4:, y, x]
                    token = model.point(point[:3]) if point[3] > 0.5 else model.invalid
                    tokens.append(token + model.window_position[1 + at])
                whole = _plain_block(torch.stack(tokens), block, preset.heads)
                rows.append(whole[0] + model.position[row, col])
    return torch.stack(rows).view(view.shape[0], side**2, preset.width)


def _plain_block(tokens: Tensor, block: torch.nn.Module, heads: int) -> Tensor:
    width = tokens.shape[1]
    query, key, value = block.qkv(block.norm_attention(tokens)).split(width, dim=1)
    size = width // heads
    mixed = []
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        weights = (query[:, part] @ key[:, part].T / size**0.5).softmax(dim=1)
        mixed.append(weights @ value[:, part])
    tokens = tokens + block.out(torch.cat(mixed, dim=1))
    return tokens + block.mlp(block.norm_mlp(tokens))


def test_point_tokens_and_their_gradients_are_those_of_windows_taken_one_by_one() -> None:
    model = _trained(PointPatchEmbedder(replace(POINTS, size=16))).double()
    crop, full, box = (part.double() for part in _views(24))
    box[1, 3] = 0.0
    fast = torch.cat(model(crop, full, box), dim=1)
    weights = torch.randn(fast.shape, generator=torch.Generator().manual_seed(3)).double()
    found = torch.autograd.grad((fast * weights).sum(), list(model.parameters()))
    slow = torch.cat([_plain_point_tokens(model, view, box[:, 3]) for view in (crop, full)], dim=1)
    expected = torch.autograd.grad((slow * weights).sum(), list(model.parameters()))
    torch.testing.assert_close(fast, slow)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_unknown_pixels_change_nothing_even_when_they_hold_nan() -> None:
    model = PointPatchEmbedder(POINTS)
    crop, full, box = _views(32)
    before = model(crop, full, box)
    crop[:, 4:7] = torch.where(crop[:, 7:] > 0.5, crop[:, 4:7], torch.nan)
    after = model(crop, full, box)
    assert torch.equal(before[0], after[0]) and torch.isfinite(after[0]).all()


def test_without_a_point_map_all_windows_say_the_same_learned_token() -> None:
    model = PointPatchEmbedder(POINTS)
    crop, full, box = _views(32)
    box[0, 3] = 0.0
    tokens = model(crop, full, box)[0]
    assert torch.equal(tokens[0], (model.dropped + model.position).flatten(0, 1))
    other = model(crop.roll(1, 0), full, box)[0]
    assert torch.equal(tokens[0], other[0]) and not torch.equal(tokens[1], other[1])


def test_the_released_point_embedder_has_its_published_size_and_start() -> None:
    preset = next(
        one for one in preset_named("released").geometry.condition.embedders if one.reads == "points"
    )
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in PointPatchEmbedder(preset).parameters())
    assert count == pytest.approx(2.7e6, rel=0.02)
    model = PointPatchEmbedder(replace(POINTS, width=256))
    for start in (model.invalid, model.cls, model.window_position, model.position):
        assert start.std().item() == pytest.approx(0.02, rel=0.2)
    assert model.point.weight.abs().max().item() <= 0.02 * (6 / (3 + 256)) ** 0.5


# --- DINOv2 -----------------------------------------------------------------------------------------------------------


def test_an_image_gives_a_class_token_and_patches_and_registers_only_where_asked() -> None:
    crop, full, box = _views(56)
    plain = DinoV2Embedder(DINO)
    before_norm = DinoV2Embedder(replace(DINO, registers=True))
    before_norm.load_state_dict(plain.state_dict())
    for model, count in ((plain, 1 + 16), (before_norm, 5 + 16)):
        tokens = model(crop, full, box)
        assert [one.shape for one in tokens] == [(2, count, 32)] * 2
        assert model.preset.tokens_per_view == count
    kept = before_norm(crop, full, box)[0]
    torch.testing.assert_close(kept.mean(-1), torch.zeros(2, 21), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        torch.cat([kept[:, :1], kept[:, 5:]], 1), plain(crop, full, box)[0], atol=0.03, rtol=0
    )


def _plain_dinov2(state: dict[str, Tensor], image: Tensor, *, heads: int, depth: int) -> Tensor:
    """The published network from Meta's tensors, for one image: normed tokens, registers included."""
    width = state["cls_token"].shape[-1]
    patches = F.conv2d(
        image[None], state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], stride=14
    )
    tokens = torch.cat([state["cls_token"][0], patches[0].flatten(1).T]) + state["pos_embed"][0]
    tokens = torch.cat([tokens[:1], state["register_tokens"][0], tokens[1:]])
    for index in range(depth):
        of = {key.removeprefix(f"blocks.{index}."): value for key, value in state.items()}
        normed = F.layer_norm(tokens, (width,), of["norm1.weight"], of["norm1.bias"], 1e-6)
        joined = F.linear(normed, of["attn.qkv.weight"], of["attn.qkv.bias"])
        query, key, value = joined.view(len(tokens), 3, heads, width // heads).permute(1, 2, 0, 3)
        mixed = (query @ key.mT * (width // heads) ** -0.5).softmax(-1) @ value
        mixed = F.linear(mixed.transpose(0, 1).flatten(1), of["attn.proj.weight"], of["attn.proj.bias"])
        tokens = tokens + of["ls1.gamma"] * mixed
        normed = F.layer_norm(tokens, (width,), of["norm2.weight"], of["norm2.bias"], 1e-6)
        hidden = F.gelu(F.linear(normed, of["mlp.fc1.weight"], of["mlp.fc1.bias"]))
        tokens = tokens + of["ls2.gamma"] * F.linear(hidden, of["mlp.fc2.weight"], of["mlp.fc2.bias"])
    return F.layer_norm(tokens, (width,), state["norm.weight"], state["norm.bias"], 1e-6)


def _meta_state(preset: EmbedderPreset) -> dict[str, Tensor]:
    """Random tensors under the names and in the shapes that Meta publishes."""
    width, side = preset.width, preset.size // preset.patch
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, width),
        "mask_token": (1, width),
        "register_tokens": (1, 4, width),
        "pos_embed": (1, 1 + side**2, width),
        "patch_embed.proj.weight": (width, 3, preset.patch, preset.patch),
        "patch_embed.proj.bias": (width,),
        "norm.weight": (width,),
        "norm.bias": (width,),
    }
    block: dict[str, tuple[int, ...]] = {
        "norm1.weight": (width,),
        "norm1.bias": (width,),
        "attn.qkv.weight": (3 * width, width),
        "attn.qkv.bias": (3 * width,),
        "attn.proj.weight": (width, width),
        "attn.proj.bias": (width,),
        "ls1.gamma": (width,),
        "norm2.weight": (width,),
        "norm2.bias": (width,),
        "mlp.fc1.weight": (4 * width, width),
        "mlp.fc1.bias": (4 * width,),
        "mlp.fc2.weight": (width, 4 * width),
        "mlp.fc2.bias": (width,),
        "ls2.gamma": (width,),
    }
    for index in range(preset.depth):
        shapes |= {f"blocks.{index}.{name}": shape for name, shape in block.items()}
    generator = torch.Generator().manual_seed(5)
    return {name: torch.randn(shape, generator=generator) * 0.2 for name, shape in shapes.items()}


def _published_transformers_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors as published transformers files name them."""
    out = {}
    for given, tensor in renamed(state).items():
        name = given
        for ours, theirs in (
            ("attention.q_proj.", "attention.attention.query."),
            ("attention.k_proj.", "attention.attention.key."),
            ("attention.v_proj.", "attention.attention.value."),
            ("attention.o_proj.", "attention.output.dense."),
        ):
            name = name.replace(ours, theirs)
        out[name] = tensor
    return out


@pytest.mark.parametrize("reads", ["image", "mask"])
@pytest.mark.parametrize("named_by", ["meta", "transformers"])
def test_local_weights_give_the_tokens_of_the_published_network(
    reads: str, named_by: str, tmp_path: Path
) -> None:
    preset = replace(DINO, reads=reads)
    state = _meta_state(preset)
    save_file(
        state if named_by == "meta" else _published_transformers_names(state), tmp_path / "dino.safetensors"
    )
    model = DinoV2Embedder(preset)
    model.load_local(tmp_path / "dino.safetensors")
    crop, full, box = _views(56, batch=1)
    levels = (full[0, :3] + 1) / 2 if reads == "image" else full[0, 3:4].expand(3, -1, -1)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    image = (levels - mean[:, None, None]) / std[:, None, None]
    plain = _plain_dinov2(state, image, heads=preset.heads, depth=preset.depth)
    expected = torch.cat([plain[:1], plain[5:]])
    torch.testing.assert_close(model(crop, full, box)[1][0], expected, atol=1e-4, rtol=1e-4)


def test_an_image_encoder_stays_frozen_and_in_evaluation_mode() -> None:
    model = DinoV2Embedder(DINO)
    assert not model.train().training and not model.network.training
    tokens = model(*_views(56))
    assert not any(one.requires_grad for one in tokens)
    model.requires_grad_(True)
    assert model.train().training and model(*_views(56))[0].requires_grad


def test_smaller_views_are_brought_to_the_encoders_size() -> None:
    crop, full, box = _views(28)
    assert DinoV2Embedder(DINO)(crop, full, box)[0].shape == (2, 17, 32)
    mask = DinoV2Embedder(replace(DINO, reads="mask"))
    large = F.interpolate(crop, size=(56, 56), mode="nearest")
    assert torch.equal(mask(crop, full, box)[0], mask(large, large, box)[0])


@pytest.mark.parametrize("fault", ["missing", "unknown", "shape"])
def test_weights_that_do_not_fit_are_refused_and_named(fault: str, tmp_path: Path) -> None:
    state, model = _meta_state(DINO), DinoV2Embedder(DINO)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    if fault == "missing":
        del state["blocks.1.ls1.gamma"]
    elif fault == "unknown":
        state["head.weight"] = torch.zeros(3)
    else:
        state["pos_embed"] = torch.zeros(1, 1 + 37**2, 32)
    save_file(state, tmp_path / "dino.safetensors")
    word = {"missing": "layer.1.layer_scale1", "unknown": "head.weight", "shape": "position_embeddings"}[
        fault
    ]
    with pytest.raises(CheckpointRefused, match=word) as refused:
        model.load_local(tmp_path / "dino.safetensors")
    assert refused.value.code == "weights_do_not_fit"
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_file_that_is_no_safetensors_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dino.pth").write_bytes(b"\x80\x02pickled")
    for name in ("dino.pth", "absent.safetensors"):
        with pytest.raises(CheckpointRefused, match="not a safetensors file"):
            DinoV2Embedder(DINO).load_local(tmp_path / name)


def test_without_the_package_the_error_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(EncoderMissing, match=r"candid8\[dinov2\]"):
        DinoV2Embedder(DINO)


# --- the released preprocessing ------------------------------------------------------------------------------------


def _photo(height: int = 40, width: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    mask = np.zeros((height, width), dtype=np.bool_)
    mask[10:31, 20:36] = True  # rows 10 .. 30, columns 20 .. 35
    points = flat_points(height, width) * 2.0 + rng.normal(0, 0.1, (height, width, 3)).astype(np.float32)
    return image, mask, points.astype(np.float32)


def test_the_released_crop_is_a_whole_square_about_the_span_of_the_mask() -> None:
    _, mask, _ = _photo()
    square = released_square(mask)
    assert square.side == int(1.2 * 20) and (square.left, square.top) == (
        15,
        8,
    )  # centre 27.5, 20; corner rounded down
    mask[:] = False
    mask[5, 7] = mask[7, 9] = True
    assert released_square(mask) == Square(left=7, top=5, side=2)


def test_masks_that_the_released_crop_cannot_hold_are_refused() -> None:
    image, mask, points = _photo()
    with pytest.raises(ValueError, match="no pixel"):
        released_condition(image, np.zeros_like(mask), points, size=32)
    thin = np.zeros_like(mask)
    thin[4:6, 4:30] = True
    with pytest.raises(ValueError, match="25 x 1 pixels"):
        released_condition(image, thin, points, size=32)
    with pytest.raises(ValueError, match="do not fit"):
        released_condition(image[:20], mask, points, size=32)


def test_the_released_normaliser_is_a_hand_counted_median() -> None:
    points = np.full((2, 3, 3), np.nan)
    points[0] = [[1, 10, 2], [3, 30, 4], [2, 20, 9]]  # masked: medians 2, 20, 4
    points[1, 0] = [2, 20, 10]  # off the mask: largest shifted coordinate 6
    mask = np.array([[True, True, True], [False, False, True]])
    found = object_centric_normaliser(points, mask)
    assert found.shift.tolist() == [2.0, 20.0, 4.0]
    # largest shifted coordinates over all known pixels: 10, 10, 5, 6; the lower of the two middle ones is 6
    assert found.scale == 6.0
    alone = object_centric_normaliser(points, np.array([[False] * 3, [False, True, True]]))
    assert alone.shift.tolist() == [0, 0, 0] and alone.scale == 1.0


def test_a_resized_point_map_is_smooth_inside_and_unknown_where_the_nearest_point_is() -> None:
    points = np.ones((4, 4, 3))
    points[:, :, 0] = np.arange(4)
    points[0, 0] = np.nan
    points[3, 3, 1] = np.inf
    large = resized_points(points, height=8, width=8)
    unknown = np.isnan(large).any(axis=2)
    expected = np.zeros((8, 8), dtype=np.bool_)
    expected[:2, :2] = expected[6:, 6:] = True
    assert np.array_equal(unknown, expected)
    assert large[4, 3, 0] == pytest.approx(1.25) and large[4, 0, 0] == 0.0
    assert large[2, 0, 1] == pytest.approx(
        0.75
    )  # a quarter of its neighbour counts as the zero it was filled with
    assert np.array_equal(resized_points(points, height=4, width=4)[1:3], points[1:3])


def test_outside_the_photograph_the_released_views_hold_zeros_and_the_full_view_no_points() -> None:
    image, mask, points = _photo()
    mask[:] = False
    mask[0:31, 0:30] = True  # the crop reaches over the upper left corner
    made = released_condition(image, mask, points, size=36)
    square = released_square(mask)
    assert (square.left, square.top, square.side) == (-4, -3, 36)
    assert np.array_equal(made.crop[:3, :, :4], np.full((3, 36, 4), -1.0)) and not made.crop[3, :, :4].any()
    assert (
        not made.crop[4:7, :, :4].any() and made.crop[7].all()
    )  # padded points are zeros that count as known
    wide = released_condition(image, mask, points, size=60)
    assert not wide.full[7, :10].any() and not wide.full[7, 50:].any() and wide.full[7, 10:50].all()
    assert np.allclose((wide.full[:3, 10:50] + 1) / 2, image.transpose(2, 0, 1) / 255, atol=1e-6)
    assert np.array_equal(wide.full[3, 10:50], mask)


def test_points_in_released_views_are_pytorch3d_points_and_the_normaliser_undoes_them_in_our_axes() -> None:
    image, mask, points = _photo()
    points[5, 5] = np.nan
    made = released_condition(image, mask, points, size=60)
    seen = made.full[4:7, 10:50].transpose(1, 2, 0) * np.array([-1.0, -1.0, 1.0])
    back = seen * made.normaliser.scale + made.normaliser.shift
    assert np.allclose(
        np.delete(back.reshape(-1, 3), 5 * 60 + 5, 0),
        np.delete(points.reshape(-1, 3), 5 * 60 + 5, 0),
        atol=1e-5,
    )
    assert made.full[7, 15, 5] == 0 and not made.full[4:7, 15, 5].any()


def test_without_points_released_views_hold_none_and_layouts_are_those_of_a_flat_wall() -> None:
    image, mask, _ = _photo()
    made = released_condition(image, mask, None, size=32)
    assert not made.crop[4:].any() and not made.full[4:].any() and made.box[3] == 0
    flat = released_condition(image, mask, flat_points(40, 60), size=32)
    assert np.array_equal(made.normaliser.shift, flat.normaliser.shift) and flat.box[3] == 1


def test_a_preset_chooses_its_preparation_and_both_decode_the_same_layout() -> None:
    image, mask, points = _photo()
    rotation = rotation_from_wxyz([0.9, 0.1, -0.3, 0.2])
    translation, scale = np.array([0.2, -0.1, 2.2]), 0.7
    small = replace(preset_named("nano"), axes="opencv")
    released = replace(small, axes="pytorch3d_rows")
    ours, theirs = (prepare(image, mask, points, preset=preset) for preset in (small, released))
    assert ours.crop.shape == theirs.crop.shape and not np.allclose(ours.crop, theirs.crop)
    layout = encode_layout(rotation, translation, scale, theirs.normaliser)
    for preset, drawn in ((small, layout), (released, released_from_layout(layout))):
        found = decoded_layout(drawn, theirs.normaliser, preset=preset)
        assert np.allclose(found[0], rotation, atol=1e-5)
        assert np.allclose(found[1], translation, atol=1e-5) and found[2] == pytest.approx(scale, rel=1e-5)


def test_a_preset_without_dinov2_takes_no_image_encoder(tmp_path: Path) -> None:
    encoder = ConditionEncoder(preset_named("tiny").geometry.condition)
    assert not encoder.needs_image_encoder
    with pytest.raises(ValueError, match="takes no DINOv2"):
        encoder.load_image_encoder(tmp_path / "dinov2.safetensors")
