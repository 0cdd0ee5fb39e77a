"""Signed distances at the corners of cubes to a closed triangle mesh that gradients flow through.

Dual marching cubes with learned weights, after FlexiCubes (Shen et al. 2023): each patch of surface in a cube is one
vertex, a weighted mean of where the surface crosses the cube's edges, and each crossed edge is a quad of the four
cubes around it. Which crossings of a cube make one patch is worked out by code for all 256 signs of its corners.
On a face whose corners alternate, two links are possible; where the plain choice would lead two quads over the same
pair of vertices, both cubes take the other one, so that every edge of a closed surface has exactly two faces.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Literal

import torch
from torch import Tensor

from modelzoo.decoders.cubes import CubeGrid, rows_of

NUM_WEIGHTS = 21  # per cube: beta of 12 edges, alpha of 8 corners, gamma
EDGES = tuple(
    (corner, corner | 1 << axis) for axis in range(3) for corner in range(8) if not corner >> axis & 1
)
_WEIGHT_RANGE = 0.99  # weights of edges and corners stay within 1 +- this
_TINY = 1e-12  # of a grid's unit: keeps a crossing defined where both ends are zero

Quads = Literal["cut", "fan"]  # cut along a diagonal, or meet in a middle vertex, which gamma is trained by


@dataclass(frozen=True, kw_only=True)
class CubeSurface:
    """Triangles in the object frame (Z-up, unit cube), counter-clockwise from outside; objects packed one by one.

    ``vertex_batch`` (V,) names each vertex's object. ``deviation`` (V,) is how unevenly far a vertex is from the
    crossings that it stands for, in cubes: L_dev of the paper before its mean; zero at the middle of a fan.
    """

    vertices: Tensor  # (V, 3)
    faces: Tensor  # (F, 3) long
    attributes: Tensor  # (V, A)
    vertex_batch: Tensor
    deviation: Tensor


@dataclass(frozen=True, kw_only=True)
class _Patches:
    """The cubes that the surface passes, and which patch (row of vertices) each of their crossed edges belongs to."""

    cube: Tensor  # (S,) rows of the grid's cubes
    crossed: Tensor  # (S, 12) bool
    patch: Tensor  # (S, 12) rows of vertices, meaningless where not crossed
    owner: Tensor  # (P,) rows of S


@dataclass(frozen=True, kw_only=True)
class _Tables:
    """By signs * 64 + flipped faces: the patch of each edge (-1 where not crossed), how many, and doubled faces."""

    patch: Tensor  # (16384, 12)
    count: Tensor  # (16384,)
    doubled: Tensor  # (16384, 6) bool: both links of the face lie in one patch


def extract(
    grid: CubeGrid,
    sdf: Tensor,
    *,
    deform: Tensor | None = None,
    weights: Tensor | None = None,
    attributes: Tensor | None = None,
    quads: Quads = "cut",
) -> CubeSurface:
    """The surface where ``sdf`` (V,) at the grid's corners changes sign; negative is inside.

    ``deform`` (V, 3), raw, moves a corner by up to half a cube; ``weights`` (M, 21), raw, are each cube's beta, alpha
    and gamma, neutral at zero; ``attributes`` (V, A) are interpolated as positions are. Closed wherever all four cubes
    around every crossed edge are in the grid; elsewhere it ends. Raises ValueError for shapes that do not fit.
    """
    _check(grid, sdf, deform, weights, attributes)
    patches = _patches(grid, sdf < 0)
    given = torch.zeros_like(grid.corners[:, :1]) if weights is None else weights
    raw = given[patches.cube].to(sdf.dtype).expand(-1, NUM_WEIGHTS)
    beta = 1 + _WEIGHT_RANGE * torch.tanh(raw[:, :12])
    alpha = 1 + _WEIGHT_RANGE * torch.tanh(raw[:, 12:20])
    gamma = 0.005 + _WEIGHT_RANGE * torch.sigmoid(raw[:, 20])
    carried = grid.points[:, 1:].to(sdf.dtype)
    if deform is not None:
        carried = carried + 0.5 * torch.tanh(deform)
    num_attributes = 0 if attributes is None else attributes.shape[1]
    if attributes is not None:
        carried = torch.cat([carried, attributes.to(sdf.dtype)], dim=1)
    crossings, edge_patch = _crossings(grid, patches, sdf, alpha, carried)
    values = _weighted_means(crossings, beta[patches.crossed], edge_patch, count=len(patches.owner))
    deviation = _deviations(crossings[:, :3], values[:, :3], edge_patch)
    quad_rows = _quads(grid, patches, sdf < 0)
    batch = grid.points[grid.corners[patches.cube[patches.owner], 0], 0]
    vertex_gamma = gamma[patches.owner]
    if quads == "fan":
        values, faces, batch, deviation = _fans(values, quad_rows, vertex_gamma, batch, deviation)
    else:
        faces = _cut(values[:, :3], quad_rows, vertex_gamma)
    return CubeSurface(
        vertices=values[:, :3] / grid.resolution - 0.5,
        faces=faces,
        attributes=values[:, 3 : 3 + num_attributes],
        vertex_batch=batch,
        deviation=deviation,
    )


def _check(
    grid: CubeGrid, sdf: Tensor, deform: Tensor | None, weights: Tensor | None, attributes: Tensor | None
) -> None:
    num_points, num_cubes = len(grid.points), len(grid.corners)
    if sdf.shape != (num_points,) or not sdf.is_floating_point():
        raise ValueError(f"sdf must be {num_points} real numbers, one a corner, not {tuple(sdf.shape)}")
    if deform is not None and deform.shape != (num_points, 3):
        raise ValueError(f"deform must be ({num_points}, 3), not {tuple(deform.shape)}")
    if weights is not None and weights.shape != (num_cubes, NUM_WEIGHTS):
        raise ValueError(f"weights must be ({num_cubes}, {NUM_WEIGHTS}), not {tuple(weights.shape)}")
    if attributes is not None and (attributes.ndim != 2 or len(attributes) != num_points):
        raise ValueError(f"attributes must be ({num_points}, A), not {tuple(attributes.shape)}")
    if not torch.isfinite(sdf).all():
        raise ValueError("sdf has numbers that are not finite")


@torch.no_grad()
def _patches(grid: CubeGrid, inside: Tensor) -> _Patches:
    tables = _tables_on(inside.device)
    bits = 1 << torch.arange(8, device=inside.device)
    signs = (inside[grid.corners] * bits).sum(dim=1)
    cube = ((signs > 0) & (signs < 255)).nonzero()[:, 0]
    state = signs[cube] * 64
    state = state + _flips(grid, cube, state, tables)
    patch, count = tables.patch[state], tables.count[state]
    start = torch.cumsum(count, 0) - count
    return _Patches(
        cube=cube,
        crossed=patch >= 0,
        patch=patch + start[:, None],
        owner=torch.repeat_interleave(torch.arange(len(cube), device=cube.device), count),
    )


def _flips(grid: CubeGrid, cube: Tensor, state: Tensor, tables: _Tables) -> Tensor:
    """Which faces (S,), as bits, link the other way so that no two patches share two links.

    Two patches on both sides of a face share two links when each side is one patch; linking the other way splits
    either side in two. One flip a cube and round, lowest face first, so each adds two patches and an end is reached.
    """
    flips = torch.zeros_like(state)
    origins = grid.points[grid.corners[cube, 0]]
    suspect = tables.doubled[state].any(dim=1).nonzero()[:, 0]
    if not len(suspect):
        return flips
    # Face 2 a + 1 of a cube is face 2 a of the next one along axis a.
    steps = torch.eye(3, dtype=torch.long, device=cube.device)
    steps = torch.cat([torch.zeros_like(steps[:, :1]), steps], dim=1)
    ahead = (origins[suspect][:, None] + steps).view(-1, 4)
    across = rows_of(ahead, origins, resolution=grid.resolution).view(-1, 3)  # -1 where there is none
    first = suspect[:, None].expand(-1, 3)[across >= 0]
    axis = torch.arange(3, device=cube.device).expand(len(suspect), 3)[across >= 0]
    second = across[across >= 0]
    while True:
        doubled = tables.doubled[state + flips]
        bad = (doubled[first, 2 * axis + 1] & doubled[second, 2 * axis]).nonzero()[:, 0]
        if not len(bad):
            return flips
        order = torch.full_like(flips, len(first))
        ends = torch.cat([first[bad], second[bad]])
        order = order.scatter_reduce(0, ends, torch.cat([bad, bad]), "amin")
        chosen = bad[(order[first[bad]] == bad) & (order[second[bad]] == bad)]
        flips[first[chosen]] += 1 << (2 * axis[chosen] + 1)
        flips[second[chosen]] += 1 << (2 * axis[chosen])


def _crossings(
    grid: CubeGrid, patches: _Patches, sdf: Tensor, alpha: Tensor, carried: Tensor
) -> tuple[Tensor, Tensor]:
    """Per crossed edge of each cube: what is carried there (E, 3 + A) and the patch's row."""
    ends = torch.tensor(EDGES, device=sdf.device)
    cube, edge = patches.crossed.nonzero(as_tuple=True)
    local = ends[edge]  # (E, 2) corners of the cube
    corner = torch.gather(grid.corners[patches.cube][cube], 1, local)
    size = (sdf[corner] * torch.gather(alpha[cube], 1, local)).abs() + _TINY
    share = size.flip(1) / size.sum(
        dim=1, keepdim=True
    )  # of each end: the nearer one has the smaller distance
    found = (carried[corner] * share[..., None]).sum(dim=1)
    return found, patches.patch[cube, edge]


def _weighted_means(values: Tensor, weight: Tensor, row: Tensor, *, count: int) -> Tensor:
    total = values.new_zeros(count, values.shape[1]).index_add(0, row, values * weight[:, None])
    mass = weight.new_zeros(count).index_add(0, row, weight)
    return total / mass[:, None]


def _deviations(crossings: Tensor, vertices: Tensor, row: Tensor) -> Tensor:
    distance = torch.sqrt((crossings - vertices[row]).square().sum(dim=1) + _TINY)
    number = torch.bincount(row, minlength=len(vertices)).to(distance.dtype)
    zero = distance.new_zeros(len(vertices))
    mean = zero.index_add(0, row, distance) / number
    return zero.index_add(0, row, (distance - mean[row]).abs()) / number


@torch.no_grad()
def _quads(grid: CubeGrid, patches: _Patches, inside: Tensor) -> Tensor:
    """The four patches (Q, 4) around each crossed edge, counter-clockwise from outside."""
    device = inside.device
    lower = torch.tensor([ends[0] for ends in EDGES], device=device)
    axis = torch.arange(12, device=device) // 4
    turn = torch.tensor(_TURNS, device=device)
    cube, edge = patches.crossed.nonzero(as_tuple=True)
    start = grid.corners[patches.cube[cube], lower[edge]]
    keys, which = torch.unique(start * 3 + axis[edge], return_inverse=True)
    around = torch.full((len(keys), 4), -1, device=device)
    around[which, turn[edge]] = patches.patch[cube, edge]
    whole = (around >= 0).all(dim=1)
    around, outward = around[whole], inside[keys[whole] // 3]
    return torch.where(outward[:, None], around, around.flip(1))


def _cut(points: Tensor, quads: Tensor, gamma: Tensor) -> Tensor:
    """Two triangles a quad, along the diagonal of larger gamma; of equal ones, the shorter."""
    a, b, c, d = quads.unbind(dim=1)
    first, second = gamma[a] * gamma[c], gamma[b] * gamma[d]
    shorter = (points[a] - points[c]).square().sum(1) <= (points[b] - points[d]).square().sum(1)
    along = torch.where(first == second, shorter, first > second)[:, None, None]
    one = torch.stack([a, b, c, a, c, d], dim=1).view(-1, 2, 3)
    other = torch.stack([b, c, d, b, d, a], dim=1).view(-1, 2, 3)
    return torch.where(along, one, other).reshape(-1, 3)


def _fans(
    values: Tensor, quads: Tensor, gamma: Tensor, batch: Tensor, deviation: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Four triangles a quad around a vertex between the middles of its diagonals, weighted by gamma."""
    a, b, c, d = quads.unbind(dim=1)
    first, second = (gamma[a] * gamma[c])[:, None], (gamma[b] * gamma[d])[:, None]
    middle = (first * (values[a] + values[c]) + second * (values[b] + values[d])) / (2 * (first + second))
    m = len(values) + torch.arange(len(quads), device=quads.device)
    faces = torch.stack([a, b, m, b, c, m, c, d, m, d, a, m], dim=1).view(-1, 3)
    return (
        torch.cat([values, middle]),
        faces,
        torch.cat([batch, batch[a]]),
        torch.cat([deviation, deviation.new_zeros(len(quads))]),
    )


def _turn_of(edge: int) -> int:
    """Where a cube lies around its own edge, counter-clockwise looking down the edge's axis, 0 ahead of both others."""
    axis, corner = edge // 4, EDGES[edge][0]
    behind = (corner >> (axis + 1) % 3 & 1, corner >> (axis + 2) % 3 & 1)
    return ((0, 0), (1, 0), (1, 1), (0, 1)).index(behind)


_TURNS = tuple(_turn_of(edge) for edge in range(12))


def _face_edges(face: int) -> tuple[tuple[int, int, int], ...]:
    """(corner, edge before, edge after) around face 2 axis + side, in the same order on both sides."""
    axis, side = face // 2, face % 2
    u, v = 1 << (axis + 1) % 3, 1 << (axis + 2) % 3
    ring = [(side << axis) + step for step in (0, u, u | v, v)]
    edges = [EDGES.index((min(a, b), max(a, b))) for a, b in zip(ring, [*ring[1:], ring[0]], strict=True)]
    return tuple((ring[k], edges[k - 1], edges[k]) for k in range(4))


_FACE_EDGES = tuple(_face_edges(face) for face in range(6))


def links(signs: int, flips: int) -> tuple[tuple[tuple[int, int], ...], ...]:
    """Per face, the pairs of crossed edges that the surface joins on it.

    Where corners alternate, each inside corner is cut off alone; on a flipped face, each outside corner.
    """
    found = []
    for face, around in enumerate(_FACE_EDGES):
        crossed = [after for corner, _, after in around if _changes(signs, EDGES[after])]
        if len(crossed) == 4:
            alone = 1 - (flips >> face & 1)
            pairs = [(before, after) for corner, before, after in around if signs >> corner & 1 == alone]
        else:
            pairs = [(crossed[0], crossed[1])] if crossed else []
        found.append(tuple(pairs))
    return tuple(found)


def _changes(signs: int, ends: tuple[int, int]) -> bool:
    return (signs >> ends[0] & 1) != (signs >> ends[1] & 1)


def patches_of(signs: int, flips: int) -> tuple[int, ...]:
    """The patch of each of the 12 edges, numbered by first edge; -1 where the edge is not crossed."""
    label = [edge if _changes(signs, ends) else -1 for edge, ends in enumerate(EDGES)]
    joined = [pair for pairs in links(signs, flips) for pair in pairs]
    for _ in range(12):
        for a, b in joined:
            label[a] = label[b] = min(label[a], label[b])
    names = sorted(set(label) - {-1})
    return tuple(-1 if one < 0 else names.index(one) for one in label)


@cache
def _tables() -> _Tables:
    patch = torch.full((256 * 64, 12), -1)
    doubled = torch.zeros(256 * 64, 6, dtype=torch.bool)
    for signs in range(1, 255):
        ambiguous = [face for face, pairs in enumerate(links(signs, 0)) if len(pairs) == 2]
        for chosen in product((0, 1), repeat=len(ambiguous)):
            flips = sum(bit << face for bit, face in zip(chosen, ambiguous, strict=True))
            state, found = signs * 64 + flips, patches_of(signs, flips)
            patch[state] = torch.tensor(found)
            for face in ambiguous:
                (a, _), (b, _) = links(signs, flips)[face]
                doubled[state, face] = found[a] == found[b]
    return _Tables(patch=patch, count=patch.amax(dim=1) + 1, doubled=doubled)


@cache
def _tables_on(device: torch.device) -> _Tables:
    tables = _tables()
    return _Tables(
        patch=tables.patch.to(device), count=tables.count.to(device), doubled=tables.doubled.to(device)
    )
