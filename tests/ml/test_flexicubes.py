"""Surfaces from signed distances on cubes: closed, of the right kind, equal to a plain twin, and trainable."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
import torch
import trimesh
from torch import Tensor

from modelzoo.decoders.cubes import CubeGrid, cube_grid, dense_grid, rows_of
from modelzoo.decoders.flexicubes import EDGES, CubeSurface, extract, links, patches_of


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def _corner_places(resolution: int) -> Tensor:
    axis = torch.linspace(-0.5, 0.5, resolution + 1, dtype=torch.float64)
    return torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).reshape(-1, 3)


def _sphere(resolution: int, radius: float = 0.37) -> Tensor:
    return _corner_places(resolution).norm(dim=1) - radius


def _torus(resolution: int) -> Tensor:
    places = _corner_places(resolution)
    around = places[:, :2].norm(dim=1) - 0.3
    return torch.sqrt(around**2 + places[:, 2] ** 2) - 0.12


def _noise(resolution: int, *, seed: int, blur: bool) -> Tensor:
    """Random distances, outside at the cube's faces: white ones meet every case there is."""
    side = resolution + 1
    generator = torch.Generator().manual_seed(seed)
    field = torch.randn(side, side, side, generator=generator, dtype=torch.float64)
    if blur:
        field = torch.nn.functional.avg_pool3d(field[None, None], 3, stride=1, padding=1)[0, 0]
    inner = torch.zeros(side, side, side, dtype=torch.bool)
    inner[1:-1, 1:-1, 1:-1] = True
    return torch.where(inner, field, 1.0).flatten()


def _solid(surface: CubeSurface) -> trimesh.Trimesh:
    return trimesh.Trimesh(surface.vertices.detach().numpy(), surface.faces.numpy(), process=False)


def _faces_per_edge(surface: CubeSurface) -> np.ndarray:
    edges = np.sort(surface.faces.numpy()[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    return np.unique(edges, axis=0, return_counts=True)[1]


def _euler(surface: CubeSurface) -> int:
    return len(surface.vertices) - len(_faces_per_edge(surface)) + len(surface.faces)


def test_a_sphere_is_closed_has_no_handle_and_its_volume() -> None:
    surface = extract(dense_grid(24), _sphere(24))
    assert (_faces_per_edge(surface) == 2).all() and _euler(surface) == 2
    solid = _solid(surface)
    assert solid.is_winding_consistent
    assert solid.volume == pytest.approx(4 / 3 * np.pi * 0.37**3, rel=0.02)
    assert float((surface.vertices.norm(dim=1) - 0.37).abs().max()) < 0.3 / 24


def test_a_torus_is_closed_and_has_one_handle() -> None:
    surface = extract(dense_grid(24), _torus(24))
    assert (_faces_per_edge(surface) == 2).all() and _euler(surface) == 0
    assert _solid(surface).volume == pytest.approx(2 * np.pi**2 * 0.3 * 0.12**2, rel=0.05)


@pytest.mark.parametrize(("seed", "blur"), [(0, False), (1, False), (2, True), (3, True)])
@pytest.mark.parametrize("quads", ["cut", "fan"])
def test_random_fields_are_closed_manifolds_whatever_the_weights(seed: int, blur: bool, quads: str) -> None:
    grid, sdf = dense_grid(10), _noise(10, seed=seed, blur=blur)
    surface = extract(
        grid,
        sdf,
        deform=torch.randn(len(sdf), 3, dtype=torch.float64),
        weights=torch.randn(1000, 21, dtype=torch.float64),
        quads=quads,
    )
    assert len(surface.faces) > 500
    assert (_faces_per_edge(surface) == 2).all()
    assert _solid(surface).is_winding_consistent
    assert _fans_around_vertices_are_whole(surface.faces.numpy())


def _fans_around_vertices_are_whole(faces: np.ndarray) -> bool:
    """The edges opposite to a vertex are one ring: no two sheets touch in a point."""
    opposite: dict[int, list[tuple[int, int]]] = {}
    for a, b, c in faces.tolist():
        for vertex, edge in ((a, (b, c)), (b, (c, a)), (c, (a, b))):
            opposite.setdefault(vertex, []).append(edge)
    for edges in opposite.values():
        following = dict(edges)
        at = start = edges[0][0]
        for _ in edges:
            at = following[at]
        if at != start or len(set(_walk(following, start))) != len(edges):
            return False
    return True


def _walk(following: dict[int, int], start: int) -> list[int]:
    seen, at = [start], following[start]
    while at != start and len(seen) <= len(following):
        seen.append(at)
        at = following[at]
    return seen


def test_every_case_links_each_crossed_edge_twice_and_turning_the_cube_changes_nothing() -> None:
    for signs in range(256):
        crossed = [(signs >> a & 1) != (signs >> b & 1) for a, b in EDGES]
        joined = [edge for pairs in links(signs, 0) for pair in pairs for edge in pair]
        assert [joined.count(edge) for edge in range(12)] == [2 if one else 0 for one in crossed]
        assert [patch >= 0 for patch in patches_of(signs, 0)] == crossed
    counts = [max(patches_of(signs, 0)) + 1 for signs in range(256)]
    for signs in range(256):
        turned = sum((signs >> corner & 1) << (corner << 1 & 7 | corner >> 2) for corner in range(8))
        assert counts[signs] == counts[turned]
    opposite_corners, all_diagonal = 0b10000001, 0b01101001
    assert counts[opposite_corners] == 2 and counts[all_diagonal] == 4


def test_without_flipped_faces_two_tunnels_side_by_side_would_share_an_edge_of_four_faces() -> None:
    """Two outside corners across a face between two cubes, all else inside: where plain dual contouring fails."""
    for signs, face in ((0b01111101, 1), (0b10111110, 0)):
        (first, _), (second, _) = links(signs, 0)[face]
        assert patches_of(signs, 0)[first] == patches_of(signs, 0)[second]
        assert patches_of(signs, 1 << face)[first] != patches_of(signs, 1 << face)[second]
    sdf = torch.full((5, 5, 5), 1.0, dtype=torch.float64)
    sdf[1:4, 1:4, 1:4] = -1.0
    sdf[2, 2, 2] = sdf[2, 1, 1] = 1.0
    surface = extract(dense_grid(4), sdf.flatten())
    assert (_faces_per_edge(surface) == 2).all()


@pytest.mark.parametrize("quads", ["cut", "fan"])
def test_the_fast_way_gives_the_plain_twin_s_mesh_and_gradients(quads: str) -> None:
    grid, inputs = dense_grid(5), _inputs(5, seed=4)
    fast = extract(grid, **inputs, quads=quads)
    fast_gradients = _gradients(fast, inputs)
    plain = _extract_plainly(grid, **inputs, quads=quads)
    plain_gradients = _gradients(plain, inputs)
    assert torch.allclose(fast.vertices, plain.vertices, atol=1e-9)
    assert torch.allclose(fast.attributes, plain.attributes, atol=1e-9)
    assert torch.allclose(fast.deviation, plain.deviation, atol=1e-9)
    assert _as_set(fast.faces) == _as_set(plain.faces) and len(fast.faces) == len(plain.faces)
    for name, gradient in fast_gradients.items():
        assert torch.allclose(gradient, plain_gradients[name], atol=1e-9), name
        assert gradient.abs().sum() > 0, name


def test_gradients_are_those_of_finite_differences() -> None:
    grid, inputs = dense_grid(3), _inputs(3, seed=1)

    def of(sdf: Tensor, deform: Tensor, weights: Tensor, attributes: Tensor) -> tuple[Tensor, ...]:
        found = extract(grid, sdf, deform=deform, weights=weights, attributes=attributes, quads="fan")
        return found.vertices, found.attributes, found.deviation

    given = tuple(inputs[name] for name in ("sdf", "deform", "weights", "attributes"))
    assert torch.autograd.gradcheck(of, given, eps=1e-7, atol=1e-4, fast_mode=True)


def test_a_sparse_grid_around_the_surface_gives_the_dense_mesh() -> None:
    resolution, sdf = 16, _sphere(16)
    dense = extract(dense_grid(resolution), sdf)
    full = dense_grid(resolution)
    crossing = (sdf[full.corners] < 0).any(dim=1) & (sdf[full.corners] >= 0).any(dim=1)
    cubes = full.points[full.corners[crossing, 0]]
    sparse, _ = cube_grid(cubes[torch.randperm(len(cubes))], resolution=resolution)
    found = extract(sparse, sdf[rows_of(sparse.points, full.points, resolution=resolution)])
    assert len(sparse.corners) < 0.4 * len(full.corners)
    assert torch.equal(found.vertices, dense.vertices) and torch.equal(found.faces, dense.faces)


def test_objects_of_a_batch_do_not_mix() -> None:
    resolution = 12
    grid = dense_grid(resolution, objects=2)
    both = extract(grid, torch.cat([_sphere(resolution), _torus(resolution)]))
    alone = [extract(dense_grid(resolution), field) for field in (_sphere(resolution), _torus(resolution))]
    bounds = [0, len(alone[0].vertices), len(both.vertices)]
    for index, (start, stop) in enumerate(pairwise(bounds)):
        assert torch.equal(both.vertices[start:stop], alone[index].vertices)
        assert (both.vertex_batch[start:stop] == index).all()
    assert int(both.faces.max()) + 1 == bounds[2]


def test_attributes_that_are_places_come_out_as_the_vertices() -> None:
    resolution = 8
    sdf = _sphere(resolution)
    weights = torch.randn(resolution**3, 21, dtype=torch.float64)
    found = extract(dense_grid(resolution), sdf, weights=weights, attributes=_corner_places(resolution))
    assert torch.allclose(found.attributes, found.vertices, atol=1e-12)


def test_a_field_of_one_sign_has_an_empty_surface() -> None:
    found = extract(dense_grid(4), torch.ones(125))
    assert found.vertices.shape == (0, 3) and found.faces.shape == (0, 3)


def test_an_open_grid_ends_the_surface_instead_of_inventing_one() -> None:
    surface = extract(dense_grid(6), _corner_places(6)[:, 2] - 0.1)
    counts = _faces_per_edge(surface)
    assert len(surface.faces) > 0 and set(counts.tolist()) == {1, 2}


@pytest.mark.parametrize(
    "wrong",
    [
        {"sdf": torch.ones(7)},
        {"sdf": torch.full((27,), float("nan"))},
        {"deform": torch.zeros(27, 2)},
        {"weights": torch.zeros(8, 20)},
        {"attributes": torch.zeros(26, 3)},
    ],
)
def test_input_that_does_not_fit_is_refused(wrong: dict[str, Tensor]) -> None:
    given = {"sdf": torch.ones(27), **wrong}
    with pytest.raises(ValueError, match=next(iter(wrong))):
        extract(dense_grid(2), given.pop("sdf"), **given)


def test_cubes_named_twice_or_far_outside_are_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        cube_grid(torch.zeros(2, 4, dtype=torch.long), resolution=4)
    with pytest.raises(ValueError, match="within"):
        cube_grid(torch.tensor([[0, 0, 0, 5]]), resolution=4)


def _inputs(resolution: int, *, seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()

    count = (resolution + 1) ** 3
    sdf = _noise(resolution, seed=seed, blur=False).requires_grad_()
    return {
        "sdf": sdf,
        "deform": draw(count, 3),
        "weights": draw(resolution**3, 21),
        "attributes": draw(count, 2),
    }


def _gradients(surface: CubeSurface, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    a = surface.vertices
    mix = torch.sin(torch.arange(a.numel(), dtype=a.dtype)).view_as(a)
    total = (a * mix).sum() + surface.attributes.square().sum() + surface.deviation.sum()
    return dict(zip(inputs, torch.autograd.grad(total, list(inputs.values())), strict=True))


def _as_set(faces: Tensor) -> set[tuple[int, int, int]]:
    """Triangles without the place where each begins."""
    return {min((a, b, c), (b, c, a), (c, a, b)) for a, b, c in faces.tolist()}


def _extract_plainly(
    grid: CubeGrid, sdf: Tensor, deform: Tensor, weights: Tensor, attributes: Tensor, *, quads: str
) -> CubeSurface:
    """The definition, cube by cube and edge by edge, for one object."""
    value = {tuple(p[1:]): sdf[i] for i, p in enumerate(grid.points.tolist())}
    carried = {
        tuple(p[1:]): torch.cat([grid.points[i, 1:] + 0.5 * torch.tanh(deform[i]), attributes[i]])
        for i, p in enumerate(grid.points.tolist())
    }
    cubes = {tuple(grid.points[row[0], 1:].tolist()): row for row in grid.corners}
    flips = _flips_plainly(value, cubes)
    vertices, deviations, gammas, patch_at = [], [], [], {}
    for number, cube in enumerate(cubes):
        beta = 1 + 0.99 * torch.tanh(weights[number, :12])
        alpha = 1 + 0.99 * torch.tanh(weights[number, 12:20])
        label = patches_of(_signs(value, cube), flips.get(cube, 0))
        for patch in range(max(label) + 1):
            crossings, shares = [], []
            for edge, (first, second) in enumerate(EDGES):
                if label[edge] != patch:
                    continue
                a, b = _corner(cube, first), _corner(cube, second)
                sa, sb = value[a] * alpha[first], value[b] * alpha[second]
                crossings.append((sa * carried[b] - sb * carried[a]) / (sa - sb))
                shares.append(beta[edge])
                patch_at[edge // 4, a, cube] = len(vertices)
            vertex = torch.stack([c * s for c, s in zip(crossings, shares, strict=True)]).sum(0)
            vertex = vertex / torch.stack(shares).sum()
            far = torch.stack([(c[:3] - vertex[:3]).square().sum().sqrt() for c in crossings])
            vertices.append(vertex)
            deviations.append((far - far.mean()).abs().mean())
            gammas.append(0.005 + 0.99 * torch.sigmoid(weights[number, 20]))
    faces: list[tuple[int, int, int]] = []
    made = list(vertices)
    for point, axis in product(value, range(3)):
        ahead = tuple(p + (k == axis) for k, p in enumerate(point))
        if ahead not in value or (value[point] < 0) == (value[ahead] < 0):
            continue
        u, v = (axis + 1) % 3, (axis + 2) % 3
        ring = []
        for du, dv in ((0, 0), (1, 0), (1, 1), (0, 1)):
            origin = list(point)
            origin[u] -= du
            origin[v] -= dv
            ring.append(patch_at.get((axis, point, tuple(origin))))
        if None in ring:
            continue
        a, b, c, d = ring if value[point] < 0 else ring[::-1]
        one, other = gammas[a] * gammas[c], gammas[b] * gammas[d]
        if quads == "fan":
            m = len(made)
            total = one * (made[a] + made[c]) + other * (made[b] + made[d])
            made.append(total / (2 * (one + other)))
            deviations.append(sdf.new_zeros(()))
            faces += [(a, b, m), (b, c, m), (c, d, m), (d, a, m)]
        elif one > other:
            faces += [(a, b, c), (a, c, d)]
        else:
            faces += [(b, c, d), (b, d, a)]
    table = torch.stack(made)
    return CubeSurface(
        vertices=table[:, :3] / grid.resolution - 0.5,
        faces=torch.tensor(faces),
        attributes=table[:, 3:],
        vertex_batch=torch.zeros(len(made), dtype=torch.long),
        deviation=torch.stack(deviations),
    )


def _corner(cube: tuple[int, ...], corner: int) -> tuple[int, ...]:
    return tuple(place + (corner >> axis & 1) for axis, place in enumerate(cube))


def _signs(value: dict[tuple[int, ...], Tensor], cube: tuple[int, ...]) -> int:
    return sum(int(value[_corner(cube, corner)] < 0) << corner for corner in range(8))


def _flips_plainly(
    value: dict[tuple[int, ...], Tensor], cubes: dict[tuple[int, ...], Tensor]
) -> dict[tuple[int, ...], int]:
    """Round by round, the first of the doubled faces of both its cubes links the other way."""
    flips: dict[tuple[int, ...], int] = {}

    def doubled(cube: tuple[int, ...], face: int) -> bool:
        signs, flipped = _signs(value, cube), flips.get(cube, 0)
        pairs, label = links(signs, flipped)[face], patches_of(signs, flipped)
        return len(pairs) == 2 and label[pairs[0][0]] == label[pairs[1][0]]

    while True:
        bad = []
        for cube, axis in product(cubes, range(3)):
            ahead = tuple(p + (k == axis) for k, p in enumerate(cube))
            if ahead in cubes and doubled(cube, 2 * axis + 1) and doubled(ahead, 2 * axis):
                bad.append((cube, ahead, axis))
        if not bad:
            return flips
        for index, (cube, ahead, axis) in enumerate(bad):
            earlier = {one for pair in bad[:index] for one in pair[:2]}
            if cube not in earlier and ahead not in earlier:
                flips[cube] = flips.get(cube, 0) | 1 << (2 * axis + 1)
                flips[ahead] = flips.get(ahead, 0) | 1 << (2 * axis)
