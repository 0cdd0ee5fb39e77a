"""Texture batches from frozen dataset versions: accepted structured latents to learn, pairs of them to prefer."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from modelzoo.contracts import CandidateRequest, RequestRefused
from modelzoo.encoders.condition import Views
from modelzoo.frames import rotation_from_wxyz
from modelzoo.latents import CandidateLatents, latents_from_bytes
from modelzoo.models.cells import CellBatch, batch_cells, coarse_features
from modelzoo.models.texture_flow import TextureCondition
from modelzoo.presets import ModelPreset
from modelzoo.refinement import Layout
from modelzoo.shape_stage import surface_points
from modelzoo.targets import Target, target_of
from modelzoo.texture_conditioning import Placement, TextureView, texture_condition, texture_view
from modelzoo.vae.structured_latent import StructuredLatentVAE
from training.data.manifests import (
    Dataset,
    Demonstration,
    ManifestPose,
    ManifestRefused,
    PreferencePair,
    resized_points,
)
from training.data.memory import tidily
from training.data.texture_batches import TextureBatch

VIEWS = ("crop", "full", "box")


@dataclass(frozen=True, kw_only=True)
class TextureExample:
    """One candidate's structured latent, with the photograph as the model sees it and the pose it is seen in."""

    view: TextureView
    views: Views  # for presets with a condition encoder; one row
    layout: Layout
    occupancy: NDArray[np.bool_]
    coords: Tensor  # (N, 3)
    latent: Tensor  # (N, C), standardised


@dataclass(frozen=True, kw_only=True)
class TextureCandidates:
    """Candidates packed: their cells, what the model is told of each, and their latents (N, C)."""

    cells: CellBatch
    condition: TextureCondition
    latent: Tensor


@dataclass(frozen=True, kw_only=True)
class TexturePreferenceBatch:
    """Chosen and rejected candidates of the same targets, in the same order."""

    chosen: TextureCandidates
    rejected: TextureCandidates


class TextureDemonstrationSource:
    """Accepted candidates, drawn with replacement by the step's own generator; colours are what the VAE decodes."""

    def __init__(
        self,
        items: list[TextureExample],
        vae: StructuredLatentVAE,
        preset: ModelPreset,
        *,
        batch_size: int,
        seed: int,
    ) -> None:
        if not items:
            raise ValueError("there are no demonstrations with a structured latent to train on")
        self.items, self.vae, self.preset = items, vae, preset
        self.batch_size, self.seed = batch_size, seed

    def batch(self, step: int) -> TextureBatch:
        """The demonstrations of a step."""
        rows = _rows(len(self.items), self.batch_size, seed=self.seed, step=step)
        packed = pack([self.items[row] for row in rows], self.vae, self.preset)
        with torch.no_grad():
            content, _ = self.vae.decode(packed.latent, packed.cells)
        return TextureBatch(
            cells=packed.cells,
            condition=packed.condition,
            latent=packed.latent,
            field=content.field,
            colour=content.colour,
        )


class TexturePreferenceSource:
    """Pairs, drawn with replacement by the step's own generator."""

    def __init__(
        self,
        pairs: list[tuple[TextureExample, TextureExample]],
        vae: StructuredLatentVAE,
        preset: ModelPreset,
        *,
        batch_size: int,
        seed: int,
    ) -> None:
        if not pairs:
            raise ValueError("there are no preference pairs to train on")
        self.pairs, self.vae, self.preset = pairs, vae, preset
        self.batch_size, self.seed = batch_size, seed

    def batch(self, step: int) -> TexturePreferenceBatch:
        """The pairs of a step."""
        rows = _rows(len(self.pairs), self.batch_size, seed=self.seed, step=step)
        chosen, rejected = (
            pack([self.pairs[row][side] for row in rows], self.vae, self.preset) for side in (0, 1)
        )
        return TexturePreferenceBatch(chosen=chosen, rejected=rejected)


def texture_demonstrations(dataset: Dataset, preset: ModelPreset) -> list[TextureExample]:
    """Every demonstration that has latents; artists' meshes have none and are left out. Raises ManifestRefused."""
    found = []
    for item in tidily(dataset.demonstrations):
        if item.latents is not None:
            try:
                target = _target(dataset, item, preset)
                found.append(_example(dataset, item.latents, item.pose, target))
            except ValueError as error:
                raise ManifestRefused(f"demonstration {item.id}: {error}") from error
    return found


def texture_pairs(dataset: Dataset, preset: ModelPreset) -> list[tuple[TextureExample, TextureExample]]:
    """Every preference pair. Raises ManifestRefused where a half has no structured latent."""
    found = []
    for item in tidily(dataset.preferences):
        if item.chosen_latents is None or item.rejected_latents is None:
            raise ManifestRefused(f"preference {item.id}: both halves need latents to prefer a texture")
        try:
            target = _target(dataset, item, preset)
            chosen, rejected = (
                _example(dataset, key, None, target) for key in (item.chosen_latents, item.rejected_latents)
            )
        except ValueError as error:
            raise ManifestRefused(f"preference {item.id}: {error}") from error
        found.append((chosen, rejected))
    return found


@torch.no_grad()
def pack(items: list[TextureExample], vae: StructuredLatentVAE, preset: ModelPreset) -> TextureCandidates:
    """Candidates as one batch, told of the photograph as they were when they were made (``texture_stage``)."""
    cells = batch_cells([item.coords for item in items], grid=preset.latent.grid)
    occupancy = torch.from_numpy(np.stack([item.occupancy for item in items])).float()
    size = preset.latent.grid * preset.latent.cell
    if occupancy.shape[-1] != size:
        occupancy = F.interpolate(occupancy[:, None], size=(size,) * 3, mode="trilinear")[:, 0]
    views = Views(**{name: torch.cat([getattr(item.views, name) for item in items]) for name in VIEWS})
    condition = TextureCondition(views=views)
    if preset.texture.probes:
        condition = texture_condition(
            view=torch.stack([item.view.view for item in items]),
            depth=torch.stack([item.view.depth for item in items]),
            camera=torch.stack([item.view.camera for item in items]),
            placement=_placement([item.layout for item in items]),
            field=coarse_features(occupancy, cells),
            cells=cells,
            vae=vae,
            views=views,
        )
    return TextureCandidates(
        cells=cells, condition=condition, latent=torch.cat([item.latent for item in items])
    )


def _target(dataset: Dataset, item: Demonstration | PreferencePair, preset: ModelPreset) -> Target:
    """The request that the candidate answered, prepared as it was then."""
    try:
        image = np.asarray(Image.open(io.BytesIO(dataset.blob(item.image))).convert("RGB"))
        mask = np.asarray(Image.open(io.BytesIO(dataset.blob(item.mask))).convert("L")) > 127
    except UnidentifiedImageError as error:
        raise ManifestRefused(f"image or mask cannot be read: {error}") from error
    points = None
    if item.pointmap is not None:
        with np.load(io.BytesIO(dataset.blob(item.pointmap)), allow_pickle=False) as stored:
            points = np.asarray(stored["points"], dtype=np.float32)
        points = resized_points(points, height=mask.shape[0], width=mask.shape[1])
    try:
        request = CandidateRequest(
            image=image, mask=mask, seeds=(0,), points=points, approximate=item.pointmap_approximate
        )
    except RequestRefused as error:
        raise ManifestRefused(str(error)) from error
    return target_of(request, preset)


def _example(dataset: Dataset, key: str, pose: ManifestPose | None, target: Target) -> TextureExample:
    preset, latents = target.preset, latents_from_bytes(dataset.blob(key))
    _check(latents, preset)
    request = target.request
    views = {name: torch.from_numpy(getattr(target.condition, name))[None] for name in VIEWS}
    return TextureExample(
        view=texture_view(
            request.image, request.mask, target.shaping_points, target.intrinsics, size=preset.texture.view
        ),
        views=Views(**views),
        layout=_layout(latents, pose, target),
        occupancy=latents.occupancy,
        coords=torch.from_numpy(latents.slat_coords.astype(np.int64)),
        latent=torch.from_numpy(latents.slat_feats.astype(np.float32)),
    )


def _check(latents: CandidateLatents, preset: ModelPreset) -> None:
    coords, feats = latents.slat_coords, latents.slat_feats
    if len(coords) == 0:
        raise ManifestRefused("the candidate has no structured latent")
    if coords.shape != (len(feats), 3) or feats.shape[1:] != (preset.latent.channels,):
        raise ManifestRefused(
            f"structured latents of {feats.shape} on cells of {coords.shape} do not fit {preset.name}, "
            f"whose cells have {preset.latent.channels} numbers"
        )
    if not np.isfinite(feats).all():
        raise ManifestRefused("the structured latent holds something that is no finite number")


def _layout(latents: CandidateLatents, pose: ManifestPose | None, target: Target) -> Layout:
    """The annotator's pose where there is one, otherwise the model's own, refined as it was shown."""
    if pose is not None:
        return Layout(
            rotation=rotation_from_wxyz(pose.rotation_wxyz),
            translation=np.array(pose.translation),
            scale=pose.scale,
        )
    if latents.layout is None:
        raise ManifestRefused("the candidate has neither a pose nor a layout")
    return target.refined(latents.layout, surface_points(torch.from_numpy(latents.occupancy))).layout


def _placement(layouts: list[Layout]) -> Placement:
    return Placement(
        rotation=torch.from_numpy(np.stack([one.rotation for one in layouts]).astype(np.float32)),
        translation=torch.from_numpy(np.stack([one.translation for one in layouts]).astype(np.float32)),
        scale=torch.tensor([one.scale for one in layouts], dtype=torch.float32),
    )


def _rows(count: int, batch_size: int, *, seed: int, step: int) -> list[int]:
    generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
    return [int(row) for row in torch.randint(count, (batch_size,), generator=generator)]
