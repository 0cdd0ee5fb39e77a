"""Official pickles to our checkpoint: the names of a reduced release, what the numbers then do, and hostile files."""

from __future__ import annotations

import json
import os
import re
import zipfile
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from modelzoo.checkpoint import CheckpointRefused, load
from modelzoo.models.cells import batch_cells
from modelzoo.models.geometry import GeometryModel
from modelzoo.models.texture_flow import TextureFlow
from modelzoo.ports import official_weights
from modelzoo.ports.official_weights import LATENT_MEAN, LATENT_STD, convert, converted, official_tensors
from modelzoo.ports.weight_names import Rule, rules_from_json
from modelzoo.presets import PRESETS, ModelPreset
from modelzoo.vae.sparse_structure import SparseStructureVAE
from modelzoo.vae.structured_latent import StructuredLatentVAE

C, D, X = 48, 2, 64  # width and depth of both flows, width of the condition
IMAGE, POINTS = 32, 32  # widths of the encoders
WIDE, IO = 32, 8  # of the structured latent's networks, of the texture flow's entry
GENERATOR = "_base_models.generator.reverse_fn.backbone."
CONDITION = "_base_models.condition_embedder."


def reduced() -> ModelPreset:
    """The released preset with every width and depth made small; its structure stays."""
    released = PRESETS["released"]
    image, mask, points = released.geometry.condition.embedders
    small = {"size": 28, "width": IMAGE, "depth": 2, "heads": 2}
    dino = (replace(image, **small), replace(mask, **small))
    condition = replace(
        released.geometry.condition,
        width=X,
        embedders=(*dino, replace(points, size=16, width=POINTS, heads=4)),
    )
    structure = replace(released.geometry.structure, resolution=16, widths=(4, 8, 16))
    geometry = replace(released.geometry, structure=structure, condition=condition, width=C, depth=D, heads=4)
    latent = replace(
        released.latent, grid=8, feature_width=IMAGE, width=WIDE, depth=2, heads=2, gaussians=(4, 2)
    )
    texture_condition = replace(
        released.texture.condition, width=X, embedders=tuple(replace(one, registers=True) for one in dino)
    )
    texture = replace(released.texture, condition=texture_condition, io_width=IO, width=C, depth=D, heads=4)
    return replace(released, geometry=geometry, latent=latent, texture=texture)


class Names:
    """Collects official names with random tensors of the shapes that the official modules have at these widths."""

    def __init__(self, seed: int) -> None:
        self.state: dict[str, Tensor] = {}
        self.generator = torch.Generator().manual_seed(seed)

    def add(self, name: str, *shape: int) -> None:
        self.state[name] = torch.randn(shape, generator=self.generator)

    def linear(self, name: str, out: int, into: int) -> None:
        self.add(f"{name}.weight", out, into)
        self.add(f"{name}.bias", out)

    def norm(self, name: str, width: int) -> None:
        self.add(f"{name}.weight", width)
        self.add(f"{name}.bias", width)

    def conv(self, name: str, out: int, *kernel: int) -> None:
        self.add(f"{name}.weight", out, *kernel)
        self.add(f"{name}.bias", out)

    def mlp(self, name: str, width: int, hidden: int) -> None:
        self.linear(f"{name}.0", hidden, width)
        self.linear(f"{name}.2", width, hidden)

    def mlp_time(self, name: str) -> None:
        self.linear(f"{GENERATOR}{name}.mlp.0", C, 256)
        self.linear(f"{GENERATOR}{name}.mlp.2", C, C)

    def attention(self, name: str) -> None:
        self.linear(f"{name}.to_q", C, C)
        self.linear(f"{name}.to_kv", 2 * C, X)
        self.linear(f"{name}.to_out", C, C)

    def residual(self, name: str, width: int) -> None:
        for part in ("1", "2"):
            self.norm(f"{name}.norm{part}", width)
            self.conv(f"{name}.conv{part}", width, width, 3, 3, 3)

    def dino(self, name: str) -> None:
        for token, count in (("cls_token", 1), ("register_tokens", 4), ("pos_embed", 5)):
            self.add(f"{name}.{token}", 1, count, IMAGE)
        self.add(f"{name}.mask_token", 1, IMAGE)
        self.conv(f"{name}.patch_embed.proj", IMAGE, 3, 14, 14)
        for block in (f"{name}.blocks.{index}" for index in range(2)):
            self.norm(f"{block}.norm1", IMAGE)
            self.norm(f"{block}.norm2", IMAGE)
            self.linear(f"{block}.attn.qkv", 3 * IMAGE, IMAGE)
            self.linear(f"{block}.attn.proj", IMAGE, IMAGE)
            self.linear(f"{block}.mlp.fc1", 4 * IMAGE, IMAGE)
            self.linear(f"{block}.mlp.fc2", IMAGE, 4 * IMAGE)
            self.add(f"{block}.ls1.gamma", IMAGE)
            self.add(f"{block}.ls2.gamma", IMAGE)
        self.norm(f"{name}.norm", IMAGE)

    def condition(self, widths: tuple[int, ...]) -> None:
        self.add(f"{CONDITION}idx_emb", 3, X)
        for index, width in enumerate(widths):
            net = f"{CONDITION}projection_nets.{index}"
            self.norm(f"{net}.0", width)
            self.add(f"{net}.1.w1.weight", 192, width)
            self.add(f"{net}.1.w3.weight", 192, width)
            self.add(f"{net}.1.w2.weight", X, 192)


def ss_generator() -> dict[str, Tensor]:
    names = Names(1)
    names.condition((IMAGE, IMAGE, POINTS))
    names.dino(f"{CONDITION}module_list.0.backbone")
    names.dino(f"{CONDITION}module_list.1.backbone.backbone")  # a mask's encoder wraps an image's
    patch = f"{CONDITION}module_list.2"
    names.linear(f"{patch}.point_proj", POINTS, 3)
    names.add(f"{patch}.invalid_xyz_token", POINTS)
    names.add(f"{patch}.pos_embed", 1, POINTS, 2, 2)
    names.add(f"{patch}.pos_embed_window", 1, 65, POINTS)
    names.add(f"{patch}.cls_token", 1, 1, POINTS)
    for layer, out, into in (("attn.qkv", 3, 1), ("attn.proj", 1, 1), ("mlp.fc1", 2, 1), ("mlp.fc2", 1, 2)):
        names.linear(f"{patch}.blocks.0.{layer}", out * POINTS, into * POINTS)
    names.norm(f"{patch}.blocks.0.norm1", POINTS)
    names.norm(f"{patch}.blocks.0.norm2", POINTS)
    names.mlp_time("t_embedder")
    names.mlp_time("d_embedder")
    sizes = {"6drotation_normalized": 6, "translation": 3, "scale": 3, "translation_scale": 1, "shape": 8}
    for latent, size in sizes.items():
        names.linear(f"{GENERATOR}latent_mapping.{latent}.input_layer", C, size)
        names.linear(f"{GENERATOR}latent_mapping.{latent}.out_layer", size, C)
        names.add(f"{GENERATOR}latent_mapping.{latent}.pos_emb", 64 if latent == "shape" else 1, C)
    for block in (f"{GENERATOR}blocks.{index}" for index in range(D)):
        names.linear(f"{block}.adaLN_modulation.1", 6 * C, C)
        for stream in ("shape", "6drotation_normalized"):
            names.norm(f"{block}.norm2.{stream}", C)
            names.linear(f"{block}.self_attn.to_qkv.{stream}", 3 * C, C)
            names.linear(f"{block}.self_attn.to_out.{stream}", C, C)
            names.add(f"{block}.self_attn.q_rms_norm.{stream}.gamma", 4, C // 4)
            names.add(f"{block}.self_attn.k_rms_norm.{stream}.gamma", 4, C // 4)
            names.attention(f"{block}.cross_attn.{stream}")
            names.mlp(f"{block}.mlp.{stream}.mlp", C, 4 * C)
    names.add("_base_models.ss_decoder.input_layer.weight", 3)  # the copy that the release carries along
    return names.state


def slat_generator() -> dict[str, Tensor]:
    names = Names(2)
    names.condition((IMAGE, IMAGE))
    for index in range(2):
        names.dino(f"{CONDITION}module_list.{index}.backbone")
    for name in [one for one in names.state if ".backbone.mask_token" in one or ".backbone.norm." in one]:
        del names.state[name]  # pruned: features are taken before the last norm
    names.mlp_time("t_embedder")
    names.linear(f"{GENERATOR}input_layer", IO, 8)
    names.linear(f"{GENERATOR}out_layer", 8, IO)
    for name, into, out in (
        ("input_blocks.0", IO, IO),
        ("input_blocks.1", IO, C),
        ("out_blocks.0", 2 * C, IO),
        ("out_blocks.1", 2 * IO, IO),
    ):
        block = GENERATOR + name
        names.norm(f"{block}.norm1", into)
        names.conv(f"{block}.conv1.conv", out, 3, 3, 3, into)
        names.conv(f"{block}.conv2.conv", out, 3, 3, 3, out)
        names.linear(f"{block}.emb_layers.1", 2 * out, C)
        if into != out:
            names.linear(f"{block}.skip_connection", out, into)
    for block in (f"{GENERATOR}blocks.{index}" for index in range(D)):
        names.linear(f"{block}.adaLN_modulation.1", 6 * C, C)
        names.norm(f"{block}.norm2", C)
        names.linear(f"{block}.self_attn.to_qkv", 3 * C, C)
        names.linear(f"{block}.self_attn.to_out", C, C)
        names.add(f"{block}.self_attn.q_rms_norm.gamma", 4, C // 4)
        names.add(f"{block}.self_attn.k_rms_norm.gamma", 4, C // 4)
        names.attention(f"{block}.cross_attn")
        names.mlp(f"{block}.mlp.mlp", C, 4 * C)
    return names.state


def structure(half: str) -> dict[str, Tensor]:
    names, widths = Names(3 if half == "encoder" else 4), (4, 8, 16)
    order = widths if half == "encoder" else widths[::-1]
    names.conv("input_layer", order[0], 1 if half == "encoder" else 8, 3, 3, 3)
    levels: list[tuple[str, int, int]] = []
    for index, width in enumerate(order):
        levels += [("block", width, width)] * 2
        if index < 2:
            levels.append(("step", width, order[index + 1]))
    for index, (kind, width, out) in enumerate(levels):
        if kind == "step":
            kernel = (out, width, 2, 2, 2) if half == "encoder" else (8 * out, width, 3, 3, 3)
            names.conv(f"blocks.{index}.conv", *kernel)
        else:
            names.residual(f"blocks.{index}", width)
    for index in range(2):
        names.residual(f"middle_block.{index}", 16)
    names.norm("out_layer.0", order[-1])
    names.conv("out_layer.2", 16 if half == "encoder" else 1, order[-1], 3, 3, 3)
    return names.state


def swin(seed: int, into: int, out: int) -> dict[str, Tensor]:
    names = Names(seed)
    names.linear("input_layer", WIDE, into)
    for block in (f"blocks.{index}" for index in range(2)):
        names.linear(f"{block}.attn.to_qkv", 3 * WIDE, WIDE)
        names.linear(f"{block}.attn.to_out", WIDE, WIDE)
        names.mlp(f"{block}.mlp.mlp", WIDE, 4 * WIDE)
    if out:
        names.linear("out_layer", out, WIDE)
    return names.state


def mesh_decoder() -> dict[str, Tensor]:
    names = Names(8)
    names.state.update(swin(9, 8, 0))
    for index, (into, out) in enumerate(((WIDE, WIDE // 4), (WIDE // 4, WIDE // 8))):
        block = f"upsample.{index}"
        names.norm(f"{block}.act_layers.0", into)
        names.conv(f"{block}.out_layers.0.conv", out, 3, 3, 3, into)
        names.norm(f"{block}.out_layers.1", out)
        names.conv(f"{block}.out_layers.3.conv", out, 3, 3, 3, out)
        names.conv(f"{block}.skip_connection.conv", out, 1, 1, 1, into)
    names.linear("out_layer", 101, WIDE // 8)
    return names.state


def official() -> dict[str, dict[str, Tensor]]:
    gaussians = {
        name: {**swin(seed, 8, 14 * count), "offset_perturbation": torch.zeros(count, 3)}
        for name, seed, count in (("slat_decoder_gs", 5, 4), ("slat_decoder_gs_4", 6, 2))
    }
    return {
        "ss_generator": ss_generator(),
        "slat_generator": slat_generator(),
        "ss_encoder": structure("encoder"),
        "ss_decoder": structure("decoder"),
        "slat_encoder": swin(7, IMAGE, 16),
        "slat_decoder_mesh": mesh_decoder(),
        **gaussians,
    }


@pytest.fixture(scope="module")
def files() -> dict[str, dict[str, Tensor]]:
    return official()


@pytest.fixture(scope="module")
def result(files):
    return converted(files, preset=reduced())


# ------------------------------------------------------------------------------------------------ names and numbers


def test_every_tensor_of_a_reduced_release_finds_its_place(result):
    components, report = result
    assert report.complete, (report.missing[:5], report.wrong_shape[:5], report.unmapped[:5])
    preset = reduced()
    GeometryModel(preset.geometry).load_state_dict(components["geometry"])
    SparseStructureVAE(preset.geometry.structure).load_state_dict(components["ss_vae"])
    StructuredLatentVAE(preset.latent).load_state_dict(components["slat_vae"])
    TextureFlow(preset.texture, preset.latent).load_state_dict(components["texture"])


def test_what_the_release_does_not_have_is_filled_and_said(result):
    _, report = result
    expected = {f"texture.condition_encoder.embedders.{i}.network.embeddings.mask_token" for i in range(2)}
    for part in ("weight", "bias"):
        expected |= {f"texture.condition_encoder.embedders.{i}.network.layernorm.{part}" for i in range(2)}
    assert set(report.filled) == expected | {"geometry.encoder.embedders.2.dropped"}
    assert all(
        name.startswith(("ss_vae.encoder", "slat_vae.encoder", "slat_vae.to_moments"))
        for name in report.uncertain
    )


def test_standardisation_comes_from_the_release(result):
    components, _ = result
    geometry, latent = components["geometry"], components["slat_vae"]
    assert geometry["layout_mean"][5] == pytest.approx(0.51661) and geometry["layout_std"][8] == 1
    assert geometry["shape_std"].eq(1).all() and not geometry["shape_mean"].any()
    torch.testing.assert_close(latent["latent_mean"], torch.tensor(LATENT_MEAN))
    torch.testing.assert_close(latent["latent_std"], torch.tensor(LATENT_STD))


def test_layout_tokens_keep_their_order(files, result):
    positions = result[0]["geometry"]["layout_position"]
    for index, name in enumerate(("6drotation_normalized", "translation", "scale", "translation_scale")):
        theirs = files["ss_generator"][f"{GENERATOR}latent_mapping.{name}.pos_emb"]
        torch.testing.assert_close(positions[0, index], theirs[0])


def test_image_attention_is_split_into_query_key_and_value(files, result):
    joined = files["ss_generator"][f"{CONDITION}module_list.1.backbone.backbone.blocks.1.attn.qkv.weight"]
    prefix = "encoder.embedders.1.network.encoder.layer.1.attention"
    split = [result[0]["geometry"][f"{prefix}.{part}_proj.weight"] for part in "qkv"]
    torch.testing.assert_close(torch.cat(split), joined)


def test_window_positions_are_laid_out_by_row_and_column(files, result):
    theirs = files["ss_generator"][f"{CONDITION}module_list.2.pos_embed"]
    ours = result[0]["geometry"]["encoder.embedders.2.position"]
    torch.testing.assert_close(ours[1, 0], theirs[0, :, 1, 0])


def test_the_fuser_gates_as_the_official_projection_does(files, result):
    model = GeometryModel(reduced().geometry)
    model.load_state_dict(result[0]["geometry"])
    state, net = files["ss_generator"], f"{CONDITION}projection_nets.1"
    x = torch.randn(3, IMAGE, generator=torch.Generator().manual_seed(0))
    normed = F.layer_norm(x, (IMAGE,), state[f"{net}.0.weight"], state[f"{net}.0.bias"])
    w1, w2, w3 = (state[f"{net}.1.{name}.weight"] for name in ("w1", "w2", "w3"))
    expected = (F.silu(normed @ w1.T) * (normed @ w3.T)) @ w2.T
    torch.testing.assert_close(model.encoder.fuser.projections[1](x), expected)


def test_sparse_kernels_do_what_the_official_convolution_does(files, result):
    preset = reduced()
    model = TextureFlow(preset.texture, preset.latent)
    model.load_state_dict(result[0]["texture"])
    cells = batch_cells([torch.cartesian_prod(*[torch.arange(4)] * 3)], grid=4)
    values = torch.randn(64, IO, generator=torch.Generator().manual_seed(0))
    kernel = files["slat_generator"][f"{GENERATOR}input_blocks.0.conv1.conv.weight"]  # out, x, y, z, in
    bias = files["slat_generator"][f"{GENERATOR}input_blocks.0.conv1.conv.bias"]
    x, y, z = cells.coords.unbind(dim=1)
    dense = torch.zeros(1, IO, 4, 4, 4)
    dense[0, :, x, y, z] = values.T
    expected = F.conv3d(dense, kernel.permute(0, 4, 1, 2, 3), bias, padding=1)[0, :, x, y, z].T
    torch.testing.assert_close(model.enter[0].first(values, cells), expected, atol=1e-4, rtol=1e-4)


def test_the_occupancy_decoder_shuffles_channels_into_space_as_the_official_one(files, result):
    vae = SparseStructureVAE(reduced().geometry.structure)
    vae.load_state_dict(result[0]["ss_vae"])
    state = files["ss_decoder"]
    x = torch.randn(1, 16, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    wide = F.conv3d(x, state["blocks.2.conv.weight"], state["blocks.2.conv.bias"], padding=1)
    batch, channels, side = 1, 8, 4
    cut = wide.reshape(batch, channels, 2, 2, 2, side, side, side).permute(0, 1, 5, 2, 6, 3, 7, 4)
    torch.testing.assert_close(vae.decoder.levels[2](x), cut.reshape(batch, channels, 8, 8, 8))


# ------------------------------------------------------------------------------------------------ what does not fit


def test_missing_left_over_and_misshapen_tensors_are_listed(files):
    changed = {name: dict(state) for name, state in files.items()}
    del changed["ss_generator"][f"{GENERATOR}blocks.1.adaLN_modulation.1.bias"]
    changed["ss_decoder"]["middle_block.0.attn.weight"] = torch.zeros(2)
    changed["slat_decoder_gs"]["out_layer.bias"] = torch.zeros(3)
    del changed["slat_encoder"]
    _, report = converted(changed, preset=reduced())
    assert not report.complete
    assert "geometry.blocks.1.modulation.bias" in report.missing
    assert "slat_vae.encoder.embed.weight" in report.missing
    assert report.unmapped == ("ss_decoder: middle_block.0.attn.weight",)
    assert report.wrong_shape == (f"slat_vae.to_gaussians.0.out.1.bias: (3,) for ({14 * 4},)",)


def test_an_operators_rule_comes_before_the_table(files, tmp_path):
    changed = {name: dict(state) for name, state in files.items()}
    moved = changed["ss_generator"].pop(f"{GENERATOR}t_embedder.mlp.0.weight")
    changed["ss_generator"][f"{GENERATOR}timestep.net.0.weight"] = moved.T
    rule = {
        "ours": r"geometry\.time\.net\.0\.weight",
        "file": "ss_generator",
        "theirs": [f"{GENERATOR}timestep.net.0.weight"],
        "transform": "reshaped",
    }
    (tmp_path / "names.json").write_text(json.dumps([rule]))
    components, report = converted(
        changed, preset=reduced(), overrides=rules_from_json(tmp_path / "names.json")
    )
    assert report.complete
    torch.testing.assert_close(components["geometry"]["time.net.0.weight"], moved.T.reshape(moved.shape))


@pytest.mark.parametrize(
    "text",
    ["{}", '[{"ours": "("}]', '[{"ours": "a", "file": "b", "theirs": [], "transform": "guess"}]', "no json"],
)
def test_rules_that_are_none_are_refused(text, tmp_path):
    (tmp_path / "names.json").write_text(text)
    with pytest.raises(ValueError):
        rules_from_json(tmp_path / "names.json")


def test_rules_are_tried_in_order_and_alternatives_too():
    state = {"b": torch.zeros(4, 1, 1, 1)}
    rule = Rule(ours=r"geometry\.shape_mean", file="x", theirs=("a", "b"))
    found = official_weights._looked_up("geometry.shape_mean", [(re.compile(rule.ours), rule)], {"x": state})
    assert found[0] is rule and found[2] == [("x", "b")]


# ------------------------------------------------------------------------------------------------ files on disk


def save(folder: Path, files: dict[str, dict[str, Tensor]]) -> None:
    for name, state in files.items():
        torch.save({"state_dict": OrderedDict(state), "epoch": 3}, folder / f"{name}.ckpt")


def test_pickles_become_a_checkpoint_that_names_them(files, tmp_path):
    source, out = tmp_path / "official", tmp_path / "ours"
    source.mkdir()
    save(source, files)
    report = convert(source, out, preset=reduced())
    manifest, components = load(out)
    assert manifest.preset == "released" and manifest.lineage.objective == "converted_official_weights"
    assert set(report.files) == {f"{name}.ckpt" for name in files}
    kept = components["geometry"]["blocks.0.modulation.weight"]
    theirs = files["ss_generator"][f"{GENERATOR}blocks.0.adaLN_modulation.1.weight"]
    torch.testing.assert_close(kept, theirs.half().float())
    assert json.loads((out / "report.json").read_text())["mapped"] == report.mapped


def test_nothing_is_written_unless_all_is_there_or_a_part_is_asked_for(files, tmp_path):
    source, out = tmp_path / "official", tmp_path / "ours"
    source.mkdir()
    save(source, {"ss_decoder": files["ss_decoder"]})
    with pytest.raises(CheckpointRefused, match="nothing was written") as refused:
        convert(source, out, preset=reduced())
    assert refused.value.code == "conversion_incomplete" and not out.exists()
    convert(source, out, preset=reduced(), allow_partial=True)
    assert sorted(one.name for one in out.iterdir()) == ["partial.safetensors", "report.json"]


def test_a_folder_without_checkpoints_is_refused(tmp_path):
    with pytest.raises(CheckpointRefused, match=r"no \.ckpt"):
        convert(tmp_path, tmp_path / "out", preset=reduced())


def test_tensors_of_every_kind_survive_the_reading(tmp_path):
    base = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    state = {
        "view": base[:, 1:3],
        "turned": base.T,
        "half": base.half(),
        "brain": base.bfloat16(),
        "flag": torch.tensor([True, False]),
        "whole": torch.tensor([1, 2]),
        "trained": torch.nn.Parameter(base.clone()),
        "empty": torch.zeros(0, 3),
        "one": torch.tensor(5.0),
    }
    torch.save(state, tmp_path / "kinds.ckpt")
    found = official_tensors(tmp_path / "kinds.ckpt")["kinds"]
    assert set(found) == set(state)
    for name, tensor in state.items():
        torch.testing.assert_close(found[name], tensor.detach())


class Call:
    """A pickle that calls a function when it is read."""

    def __init__(self, function, *arguments) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def test_a_pickle_that_would_run_a_command_is_refused_by_name_and_runs_nothing(tmp_path):
    trace = tmp_path / "it_ran"
    torch.save(
        {"weight": torch.zeros(2), "config": Call(os.system, f"touch {trace}")}, tmp_path / "evil.ckpt"
    )
    with pytest.raises(CheckpointRefused, match=r"(posix|nt|os)\.system") as refused:
        official_tensors(tmp_path / "evil.ckpt")
    assert refused.value.code == "pickle_refused" and not trace.exists()


@pytest.mark.parametrize(
    ("thing", "name"),
    [
        (Call(eval, "1 + 1"), r"(__builtin__|builtins)\.eval"),
        (Call(getattr, "name", "upper"), r"(__builtin__|builtins)\.getattr"),
        (Path("/etc"), "pathlib"),
        (torch.nn.Linear(1, 1), "torch.nn.modules.linear.Linear"),
        (torch.float16, "torch.float16"),
    ],
)
def test_anything_but_tensors_is_refused_by_name(thing, name, tmp_path):
    torch.save({"weight": torch.zeros(2), "other": thing}, tmp_path / "other.ckpt")
    with pytest.raises(CheckpointRefused, match=name):
        official_tensors(tmp_path / "other.ckpt")


def test_damaged_files_are_refused(tmp_path):
    torch.save({"weight": torch.zeros(1000)}, tmp_path / "good.ckpt")
    with zipfile.ZipFile(tmp_path / "good.ckpt") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    short = {name: data[:400] if name.endswith("data/0") else data for name, data in parts.items()}
    for name, changed in (("short", short), ("no_pickle", {"readme": b"hello"})):
        with zipfile.ZipFile(tmp_path / f"{name}.ckpt", "w") as archive:
            for part, data in changed.items():
                archive.writestr(part, data)
        with pytest.raises(CheckpointRefused):
            official_tensors(tmp_path / f"{name}.ckpt")
    torch.save({"weight": torch.zeros(2)}, tmp_path / "old.ckpt", _use_new_zipfile_serialization=False)
    with pytest.raises(CheckpointRefused, match="zip format"):
        official_tensors(tmp_path / "old.ckpt")
