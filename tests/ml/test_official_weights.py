"""Official weights to our checkpoint: names of a reduced release, what the numbers then do, and what does not fit."""

from __future__ import annotations

import json
import re
from collections import OrderedDict
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
from modelzoo.ports.official_weights import LATENT_MEAN, LATENT_STD, convert, converted
from modelzoo.ports.weight_names import Rule, rules_from_json
from modelzoo.vae.sparse_structure import SparseStructureVAE
from modelzoo.vae.structured_latent import StructuredLatentVAE
from tests.ml.official_release import CONDITION, GENERATOR, IMAGE, IO, official, reduced


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
