"""The objective of the structured latent's VAE: surface, colours and Gaussians of what its decoders make."""

from __future__ import annotations

import numpy as np
import torch
from torch import Generator, Tensor

from modelzoo.decoders.flexicubes import CubeSurface
from modelzoo.vae.structured_latent import StructuredLatentVAE
from training.data.cells import nearest_surface
from training.data.latent_batches import LatentBatch
from training.data.objects import ProceduralObject
from training.losses.autoencoder import kl_loss
from training.losses.structured_latent import CubeTargets, cube_loss, gaussian_loss, surface_loss

WEIGHTS = {
    "field": 1.0,
    "sign": 0.5,
    "colour": 3.0,
    "covered": 1.0,
    "accurate": 1.0,
    "gaussian_colour": 1.5,
    "flat": 0.3,
    "scale": 0.2,
    "opacity": 0.2,
    "kl": 2e-3,
    "surface": 1.0,
    "normal": 0.5,
    "deviation": 0.5,
    "weights": 0.2,
    "spread": 0.01,
}


class LatentObjective:
    """The weighted sum of all terms, with the latent drawn from its posterior."""

    def loss(
        self, model: StructuredLatentVAE, batch: LatentBatch, generator: Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """The loss and every term of it."""
        terms = losses(model, batch, generator)
        return weighted(terms), {name: float(value.detach()) for name, value in terms.items()}


def losses(model: StructuredLatentVAE, batch: LatentBatch, generator: Generator) -> dict[str, Tensor]:
    """All terms for one batch, with the latent drawn from its posterior."""
    mean, log_variance = model.encode(batch.seen, batch.cells)
    latent = mean + torch.randn(mean.shape, generator=generator) * (0.5 * log_variance).exp()
    terms = decoded_terms(model, batch, model.standardise(latent))
    return {**terms, "kl": kl_loss(mean, log_variance)}


def weighted(terms: dict[str, Tensor]) -> Tensor:
    """The sum that is trained."""
    return torch.stack([WEIGHTS[name] * value for name, value in terms.items()]).sum()


def decoded_terms(model: StructuredLatentVAE, batch: LatentBatch, latent: Tensor) -> dict[str, Tensor]:
    """Terms of the surface, and of the sets of Gaussians as their mean."""
    preset = model.preset
    sets = range(len(preset.gaussians))
    if preset.surface == "flexicubes":
        cubes = model.decode_cubes(latent, batch.cells)
        found = cubes.surface(quads="fan")
        targets = cube_targets(batch.items, cubes.grid.points, found, resolution=cubes.grid.resolution)
        surface = cube_loss(cubes, found, targets)
        gaussians = [model.decode_gaussians(latent, batch.cells, which=which) for which in sets]
    else:
        content, first = model.decode(latent, batch.cells)
        surface = surface_loss(content, batch.targets)
        gaussians = [first, *(model.decode_gaussians(latent, batch.cells, which=which) for which in sets[1:])]
    each = [gaussian_loss(one, batch.targets, grid=preset.grid) for one in gaussians]
    return {**surface, **{name: torch.stack([one[name] for one in each]).mean() for name in each[0]}}


def cube_targets(
    items: tuple[ProceduralObject, ...], points: Tensor, surface: CubeSurface, *, resolution: int
) -> CubeTargets:
    """What is true of each object at a grid's corners ``points`` (V, 4) and at the vertices found."""
    distance = np.empty(len(points), np.float32)
    columns = {
        name: np.empty((len(surface.vertices), 3), np.float32) for name in ("surface", "normal", "colour")
    }
    corner_batch, corners = points[:, 0].numpy(), (points[:, 1:].numpy() / resolution - 0.5)
    vertex_batch, vertices = surface.vertex_batch.numpy(), surface.vertices.detach().numpy()
    for index, item in enumerate(items):
        own = corner_batch == index
        distance[own] = nearest_surface(item, corners[own]).distance
        own = vertex_batch == index
        near = nearest_surface(item, vertices[own])
        for name, column in columns.items():
            column[own] = getattr(near, name)
    return CubeTargets(
        distance=torch.from_numpy(distance), **{name: torch.from_numpy(one) for name, one in columns.items()}
    )
