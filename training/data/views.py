"""Evenly lit pictures of a procedural object from all around, with depth and cameras, for an image encoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modelzoo.contracts import Intrinsics
from modelzoo.vae.view_features import FeatureViews
from training.data.cells import display_colour
from training.data.objects import ProceduralObject
from training.data.raycast import TARGET, Light, Planes, Rendering, Sky, render
from training.data.scenes import points_from_depth

DISTANCE, FOCAL = 2.0, 1.1  # of the unit cube, in picture sides: the whole of the cube is seen

ViewEmbedder = Callable[[Tensor], Tensor]  # (V, 3, H, W) in [-1, 1] to (V, F, h, w)


@dataclass(frozen=True, kw_only=True)
class ObjectViews:
    """V square pictures (V, S, S, 3), depth along z (V, S, S), infinite beside the object, and the cameras."""

    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]
    intrinsics: NDArray[np.float32]  # (V, 4), shares of the picture's side
    T_camera_object: NDArray[np.float32]  # (V, 4, 4)


_NO_PLANES = Planes(
    normal=np.zeros((0, 3)),
    offset=np.zeros(0),
    axes=np.zeros((0, 2, 3)),
    colour=np.zeros((0, 2, 3)),
    frequency=np.zeros(0),
)
_ANY_LIGHT = Light(direction=np.array([0.0, 0.0, -1.0]), ambient=1.0, tint=np.ones(3), shadows=False)
_ANY_SKY = Sky(colours=np.zeros((3, 3)), frequency=1.0, amount=0.0, seed=0)


def object_views(item: ProceduralObject, *, num_views: int, size: int) -> ObjectViews:
    """The object alone before black, from directions spread evenly over the sphere (Fibonacci's).

    Colours are those that the structured latent is to hold: lit evenly, whatever way a surface faces.
    """
    intrinsics = Intrinsics(
        fx=FOCAL * size, fy=FOCAL * size, cx=size / 2, cy=size / 2, width=size, height=size
    )
    pictures, depths, poses = [], [], []
    for direction in sphere_directions(num_views):
        rotation = facing(-direction)
        translation = np.array([0.0, 0.0, DISTANCE])
        solids = item.solids.mapped(rotation, translation)
        seen = render(
            solids,
            np.full(len(solids.kind), TARGET, dtype=np.int64),
            _NO_PLANES,
            _ANY_LIGHT,
            _ANY_SKY,
            intrinsics=intrinsics,
            supersample=1,
        )
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = rotation, translation
        pictures.append(_evenly_lit(item, seen, intrinsics, rotation))
        depths.append(np.where(seen.mask, seen.depth, np.inf))
        poses.append(pose)
    camera = np.tile(np.array([FOCAL, FOCAL, 0.5, 0.5], np.float32), (num_views, 1))
    return ObjectViews(
        rgb=np.stack(pictures),
        depth=np.stack(depths).astype(np.float32),
        intrinsics=camera,
        T_camera_object=np.stack(poses).astype(np.float32),
    )


@torch.no_grad()
def feature_views(views: ObjectViews, embed: ViewEmbedder) -> FeatureViews:
    """The pictures as an image encoder sees them, with their depth and cameras."""
    pictures = torch.from_numpy(views.rgb).permute(0, 3, 1, 2).float() / 127.5 - 1
    return FeatureViews(
        features=embed(pictures),
        depth=torch.from_numpy(views.depth),
        intrinsics=torch.from_numpy(views.intrinsics),
        T_camera_object=torch.from_numpy(views.T_camera_object),
    )


def pixel_patches(pictures: Tensor, *, patch: int = 4) -> Tensor:
    """The simplest embedder: a patch's own pixels (V, 3 patch^2, H / patch, W / patch)."""
    return torch.nn.functional.pixel_unshuffle(pictures, patch)


def _evenly_lit(
    item: ProceduralObject, seen: Rendering, intrinsics: Intrinsics, rotation: NDArray[np.float64]
) -> NDArray[np.uint8]:
    rgb = np.zeros((*seen.mask.shape, 3), np.uint8)
    in_camera = points_from_depth(seen.depth, intrinsics)[seen.mask]
    in_object = (in_camera - np.array([0.0, 0.0, DISTANCE])) @ rotation
    rgb[seen.mask] = np.round(255 * display_colour(item, in_object))
    return rgb


def sphere_directions(count: int) -> NDArray[np.float64]:
    """Unit vectors (count, 3) spread evenly over the sphere (Fibonacci's), from the top down; none is vertical."""
    index = np.arange(count) + 0.5
    height, turn = 1 - 2 * index / count, np.pi * (1 + 5**0.5) * index
    radius = np.sqrt(1 - height**2)
    return np.stack([radius * np.cos(turn), radius * np.sin(turn), height], axis=-1)


def facing(forward: NDArray[np.float64]) -> NDArray[np.float64]:
    """Object to OpenCV camera that looks along ``forward``, upright; no direction of ours is exactly vertical."""
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(forward, right), forward])
