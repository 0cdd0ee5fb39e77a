"""Any folder of meshes: what the paper's filters drop is refused and counted by reason, the rest prepared once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh

from modelzoo.retrieval.entries import NoMeshes, folder_entries
from modelzoo.retrieval.meshes import FILL, MeshRefused
from training.data.mesh_folder import RESOLUTION, prepare_entry, prepare_folder, refuse_thin
from training.data.placeable import ObjectSource, PlaceableMesh


def _write(folder: Path, name: str, mesh: trimesh.Trimesh) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    mesh.export(folder / name)


def _far_apart() -> trimesh.Trimesh:
    """A finely divided ball and two small crumbs a long way off."""
    crumbs = [
        trimesh.creation.icosphere(1, radius=0.02).apply_translation((0, 0, side)) for side in (-6.0, 6.0)
    ]
    return trimesh.util.concatenate([trimesh.creation.icosphere(3), *crumbs])


@pytest.fixture
def meshes(tmp_path: Path) -> Path:
    folder = tmp_path / "meshes"
    ball = trimesh.creation.icosphere(2)
    _write(folder, "ball.glb", ball)
    _write(folder / "deep", "box.obj", trimesh.creation.box((1.0, 0.4, 0.2)))
    _write(folder, "again.glb", ball)
    _write(folder, "sheet.glb", trimesh.creation.box((1.0, 1.0, 0.001)))
    _write(folder, "wire.glb", trimesh.creation.cylinder(0.004, 2.0))
    _write(folder, "crumbs.glb", _far_apart())
    (folder / "torn.glb").write_bytes((folder / "ball.glb").read_bytes()[:200])
    return folder


def test_flat_tiny_and_fragmented_meshes_are_refused_with_their_reason_and_counted(
    meshes: Path, tmp_path: Path
) -> None:
    found = prepare_folder(meshes, tmp_path / "prepared")
    assert found.refused == {"duplicate": 1, "flat": 1, "fragments": 1, "tiny_volume": 1, "unreadable": 1}
    assert len(found) == 2
    names = {found.mesh(number).name for number in range(2)}
    assert "box" in names and names & {"ball", "again"}


def test_a_prepared_mesh_fills_its_cube_and_its_solid_lies_inside_it(meshes: Path, tmp_path: Path) -> None:
    found = prepare_folder(meshes, tmp_path / "prepared")
    ball = next(item for item in map(found.mesh, range(2)) if item.name != "box")
    assert np.ptp(ball.mesh.vertices, axis=0).max() == pytest.approx(FILL, abs=1e-5)
    sphere = 4 / 3 * np.pi * (FILL / 2) ** 3
    assert ball.occupancy.shape == (RESOLUTION,) * 3 and ball.occupancy.mean() == pytest.approx(
        sphere, rel=0.1
    )
    box = next(item for item in map(found.mesh, range(2)) if item.name == "box")
    extent = np.ptp(np.argwhere(PlaceableMesh(box).occupancy(32)), axis=0) + 1
    assert np.allclose(
        extent / 32, np.array([1.0, 0.2, 0.4]) * FILL, atol=2 / 32
    )  # y up in the file, z up here


def test_what_is_prepared_is_not_made_again_and_what_changed_is(meshes: Path, tmp_path: Path) -> None:
    prepared = tmp_path / "prepared"
    first = prepare_folder(meshes, prepared)
    made = {path: path.stat().st_mtime_ns for path in prepared.glob("*.safetensors")}
    assert prepare_folder(meshes, prepared) == first
    assert {path: path.stat().st_mtime_ns for path in made} == made
    _write(meshes / "deep", "box.obj", trimesh.creation.box((1.0, 0.4, 0.3)))
    assert prepare_folder(meshes, prepared).sha256 != first.sha256


def test_names_and_places_of_files_do_not_change_what_a_folder_is(meshes: Path, tmp_path: Path) -> None:
    first = prepare_folder(meshes, tmp_path / "prepared")
    (meshes / "deep" / "box.obj").rename(meshes / "aaa.obj")
    again = prepare_folder(meshes, tmp_path / "elsewhere")
    assert (again.sha256, again.keys) == (first.sha256, first.keys)


def test_a_damaged_prepared_mesh_is_refused_by_name(meshes: Path, tmp_path: Path) -> None:
    found = prepare_folder(meshes, tmp_path / "prepared")
    path = tmp_path / "prepared" / f"{found.keys[0]}.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(MeshRefused, match=found.keys[0]):
        found.mesh(0)


def test_a_folder_without_a_fit_mesh_says_why(tmp_path: Path) -> None:
    _write(tmp_path / "meshes", "sheet.glb", trimesh.creation.box((1.0, 1.0, 0.001)))
    with pytest.raises(NoMeshes, match="flat"):
        prepare_folder(tmp_path / "meshes", tmp_path / "prepared")
    with pytest.raises(NoMeshes, match="no mesh file"):
        prepare_folder(tmp_path / "prepared", tmp_path / "prepared")


def test_a_solid_of_hardly_any_voxels_is_refused() -> None:
    grid = np.zeros((RESOLUTION,) * 3, bool)
    grid[0, 0, :] = True
    with pytest.raises(MeshRefused) as error:
        refuse_thin(grid)
    assert error.value.reason == "tiny_volume"
    grid[0] = True
    refuse_thin(grid)


def test_objects_are_counted_through_the_whole_folder_before_any_comes_twice(
    meshes: Path, tmp_path: Path
) -> None:
    source = ObjectSource(prepare_folder(meshes, tmp_path / "prepared"), procedural=0.0, seed=3)
    drawn = [source.numbered(number, np.random.default_rng(number)).family for number in range(4)]
    assert len(set(drawn[:2])) == 2 and drawn[2:] == drawn[:2]
    mixed = ObjectSource(prepare_folder(meshes, tmp_path / "prepared"), procedural=0.5, seed=3)
    families = [mixed.draw(np.random.default_rng(number)).family for number in range(40)]
    assert 10 <= sum(family in drawn for family in families) <= 30
    with pytest.raises(ValueError, match="folder of meshes"):
        ObjectSource(None, procedural=0.5, seed=0)


def test_an_entry_that_was_refused_keeps_its_verdict(meshes: Path, tmp_path: Path) -> None:
    entry = next(one for one in folder_entries(meshes) if one.name == "sheet")
    assert prepare_entry(entry, tmp_path / "kept")[1] == "flat"
    assert prepare_entry(entry, tmp_path / "kept")[1] == "flat"
    assert not list((tmp_path / "kept").glob("*.safetensors"))
