"""A reduced stand-in of the official release: its tensors' names, with random numbers of the shapes they have there."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from modelzoo.presets import PRESETS, ModelPreset

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
