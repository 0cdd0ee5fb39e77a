"""Clean-up steps: what each changes, what it leaves alone, and what it says of itself."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from modelzoo.decoders.cleanup import (
    AFTER_EXTRACTION,
    CleanUp,
    Surface,
    at_most,
    calmed,
    cleaned,
    drop_floaters,
    fill_small_holes,
)
from modelzoo.decoders.colour_volume import ColourVolume


def _ball(
    *, subdivisions: int = 3, centre: tuple[float, float, float] = (0, 0, 0), size: float = 0.3
) -> Surface:
    shape = trimesh.creation.icosphere(subdivisions=subdivisions, radius=size)
    return Surface(vertices=(shape.vertices + centre).astype(np.float32), faces=shape.faces.astype(np.int32))


def _joined(*parts: Surface) -> Surface:
    offsets = np.cumsum([0, *(len(part.vertices) for part in parts)])
    return Surface(
        vertices=np.concatenate([part.vertices for part in parts]),
        faces=np.concatenate(
            [part.faces + offset for part, offset in zip(parts, offsets, strict=False)]
        ).astype(np.int32),
    )


def _without_faces(surface: Surface, gone: np.ndarray) -> Surface:
    return Surface(vertices=surface.vertices, faces=np.delete(surface.faces, gone, axis=0))


def _solid(surface: Surface) -> trimesh.Trimesh:
    return trimesh.Trimesh(surface.vertices, surface.faces, process=False)


@pytest.mark.parametrize("step", AFTER_EXTRACTION)
def test_a_clean_surface_passes_through_every_step_unchanged_and_unnamed(step: CleanUp) -> None:
    ball = _ball()
    after, note = step(ball)
    assert after is ball and note is None


def test_small_pieces_go_with_their_vertices_and_are_counted() -> None:
    pebbles = [_ball(subdivisions=0, centre=(0.4, 0.1 * i, 0), size=0.01) for i in range(2)]
    ball = _ball(subdivisions=4)
    after, note = drop_floaters(_joined(ball, *pebbles))
    assert str(note) == "floaters_dropped(pieces=2, faces=40)"
    np.testing.assert_array_equal(after.vertices, ball.vertices)
    np.testing.assert_array_equal(after.faces, ball.faces)


def test_the_pieces_kept_are_those_that_another_library_keeps() -> None:
    whole = _joined(
        _ball(),
        _ball(subdivisions=2, centre=(0.4, 0, 0), size=0.05),
        _ball(subdivisions=0, centre=(0, 0, 0.45), size=0.01),
    )
    pieces = _solid(whole).split(only_watertight=False)
    after, note = drop_floaters(whole)
    assert min(len(piece.faces) for piece in pieces) == 20, "just above one in a hundred of 1620"
    assert note is None and len(after.faces) == sum(len(piece.faces) for piece in pieces)


def test_a_small_hole_is_closed_outwards_and_a_large_opening_stays() -> None:
    ball = _ball()
    one_vertex = np.flatnonzero((ball.faces == 50).any(axis=1))
    closed, note = fill_small_holes(_without_faces(ball, one_vertex))
    assert note is not None and note.name == "small_holes_filled"
    assert note.numbers == {"holes": 1, "faces": len(one_vertex)}
    solid = _solid(closed)
    assert solid.is_watertight and solid.is_winding_consistent
    assert solid.volume == pytest.approx(_solid(ball).volume, rel=0.01)
    bowl = _without_faces(ball, np.flatnonzero((ball.vertices[ball.faces][:, :, 2] > 0.1).any(axis=1)))
    assert fill_small_holes(bowl) == (bowl, None)


def test_two_holes_that_touch_in_one_vertex_are_left_alone() -> None:
    ball = _ball(subdivisions=1)
    around = np.flatnonzero((ball.faces == 0).any(axis=1))
    opposite = around[[0, 2]]  # two triangles that share only the vertex 0
    holed = _without_faces(ball, opposite)
    assert fill_small_holes(holed) == (holed, None)


def test_decimation_keeps_the_shape_and_names_both_counts() -> None:
    ball = _ball(subdivisions=4)
    after, note = at_most(800)(ball)
    assert note is not None and note.numbers == {"faces_before": 5120, "faces": len(after.faces)}
    assert len(after.faces) <= 800
    assert _solid(after).volume == pytest.approx(_solid(ball).volume, rel=0.02)


def test_steps_run_in_turn_and_only_those_that_changed_something_are_named() -> None:
    whole = _joined(_ball(subdivisions=4), _ball(subdivisions=0, centre=(0.4, 0, 0), size=0.01))
    after, taken = cleaned(whole, (drop_floaters, fill_small_holes, at_most(1000)))
    assert [step.name for step in taken] == ["floaters_dropped", "mesh_decimated"]
    assert taken[1].numbers["faces_before"] == 5120 and len(after.faces) <= 1000


def test_a_calm_field_is_not_blurred() -> None:
    asked: list[float] = []

    def surface_of(volume: np.ndarray, level: float) -> Surface:
        asked.append(level)
        return _ball()

    _, note = calmed(np.zeros((4, 4, 4), np.float32), 0.5, surface_of)
    assert note is None and asked == [0.5]


@pytest.mark.parametrize("faces", [np.zeros((0, 3), np.int32), np.zeros((4, 4), np.int32)])
def test_a_surface_without_triangles_is_refused(faces: np.ndarray) -> None:
    with pytest.raises(ValueError, match="faces must be"):
        Surface(vertices=np.zeros((3, 3), np.float32), faces=faces)


def test_colours_between_voxels_are_the_plain_trilinear_mean() -> None:
    generator = np.random.default_rng(0)
    size = 4
    voxels = np.argwhere(np.ones((size,) * 3))
    colours = generator.uniform(size=(len(voxels), 3)).astype(np.float32)
    volume = ColourVolume(voxels=voxels, colours=colours, resolution=size)
    points = generator.uniform(-0.3, 0.3, size=(20, 3))
    grid = colours.reshape(size, size, size, 3)
    for point, found in zip(points, volume.at(points), strict=True):
        place = (point + 0.5) * size - 0.5
        low = np.floor(place).astype(int)
        mean = np.zeros(3)
        for corner in np.ndindex(2, 2, 2):
            share = np.prod(np.where(corner, place - low, 1 - (place - low)))
            mean += share * grid[tuple(low + corner)]
        np.testing.assert_allclose(found, mean, atol=1e-5)


def test_a_point_without_known_voxels_around_it_takes_the_nearest_colour() -> None:
    volume = ColourVolume(
        voxels=np.array([[0, 0, 0], [7, 7, 7]]),
        colours=np.array([[1, 0, 0], [0, 0, 1]], np.float32),
        resolution=8,
    )
    np.testing.assert_allclose(
        volume.at(np.array([[-0.2, -0.2, -0.2], [0.3, 0.2, 0.2]])), [[1, 0, 0], [0, 0, 1]]
    )
