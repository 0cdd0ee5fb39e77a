"""Point maps are read from files exactly, and a malformed file is refused with a reason."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from modelzoo.contracts import Intrinsics, PointMapData
from modelzoo.depth_files import DepthFileSource, read_point_map
from modelzoo.frames import pixel_grid, unproject

WIDTH, HEIGHT = 48, 32
CAMERA = Intrinsics(fx=50.0, fy=52.0, cx=23.0, cy=17.0, width=WIDTH, height=HEIGHT)
FORM = {"fx": "50", "fy": "52", "cx": "23", "cy": "17"}


def _depth() -> np.ndarray:
    return 1.0 + 0.01 * np.arange(WIDTH)[None] + 0.02 * np.arange(HEIGHT)[:, None]


def _points() -> np.ndarray:
    return unproject(pixel_grid(width=WIDTH, height=HEIGHT), _depth(), CAMERA)


def _npz(**arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def _png(values: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, format="PNG")
    return stream.getvalue()


def _ply(points: np.ndarray, *, ascii_: bool = False) -> bytes:
    head = [
        "ply",
        f"format {'ascii' if ascii_ else 'binary_little_endian'} 1.0",
        f"element vertex {len(points)}",
    ]
    head += [
        "property float x",
        "property float y",
        "property float z",
        "property uchar red",
        "end_header",
        "",
    ]
    table = np.zeros(len(points), dtype=[("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("red", "u1")])
    for axis, name in enumerate("xyz"):
        table[name] = points[:, axis]
    rows = "\n".join(f"{r['x']} {r['y']} {r['z']} {r['red']}" for r in table)
    return "\n".join(head).encode() + (rows.encode() if ascii_ else table.tobytes())


def _read(data: bytes, name: str, form: dict[str, str] | None = None, **size: int) -> PointMapData:
    return read_point_map(
        data,
        filename=name,
        form=form or {},
        width=size.get("width", WIDTH),
        height=size.get("height", HEIGHT),
    )


def test_points_in_an_npz_come_back_with_the_camera_they_imply() -> None:
    found = _read(_npz(points=_points().astype(np.float32)), "cloud.npz")
    assert np.allclose(found.points, _points(), atol=1e-6)
    assert found.metric and not found.approximate and found.source == "file:npz"
    assert found.intrinsics.fx == pytest.approx(50, abs=0.01) and found.intrinsics.cy == pytest.approx(
        17, abs=0.01
    )


def test_a_camera_matrix_in_the_npz_is_used_for_its_depth() -> None:
    matrix = np.array([[50.0, 0, 23], [0, 52, 17], [0, 0, 1]])
    found = _read(_npz(depth=_depth(), intrinsics=matrix), "a.npz")
    assert np.allclose(found.points, _points(), atol=1e-5)
    assert found.intrinsics == CAMERA


def test_a_sixteen_bit_depth_image_is_divided_by_its_scale_and_zero_is_unknown() -> None:
    stored = np.rint(_depth() * 5000).astype(np.uint16)
    stored[3, 4] = 0
    found = _read(_png(stored), "depth.png", {**FORM, "depth_scale": "5000"})
    assert np.isnan(found.points[3, 4]).all()
    known = np.isfinite(found.points[..., 0])
    assert np.abs(found.points[known] - _points()[known]).max() < 1e-3


def test_disparity_becomes_depth_by_focal_length_and_baseline() -> None:
    disparity = 50.0 * 0.2 / _depth() - 1.5
    found = _read(_npz(disparity=disparity), "d.npz", {**FORM, "baseline": "0.2", "doffs": "1.5"})
    assert np.allclose(found.points, _points(), atol=1e-4)


@pytest.mark.parametrize("ascii_", [False, True])
def test_an_organised_ply_is_read_row_by_row(ascii_: bool) -> None:
    found = _read(_ply(_points().reshape(-1, 3), ascii_=ascii_), "cloud.ply")
    assert np.allclose(found.points, _points(), atol=1e-5)


def test_an_unorganised_ply_is_projected_and_the_nearest_point_wins() -> None:
    near, order = _points().reshape(-1, 3), np.random.default_rng(0).permutation(WIDTH * HEIGHT)
    cloud = np.concatenate([near[order], near[order] * 3.0])
    found = _read(_ply(cloud), "cloud.ply", FORM)
    assert np.allclose(found.points, _points(), atol=1e-5)


def test_a_smaller_map_of_the_same_view_grows_to_the_photograph_with_its_camera() -> None:
    found = _read(_npz(depth=_depth()), "a.npz", FORM, width=2 * WIDTH, height=2 * HEIGHT)
    assert found.points.shape == (2 * HEIGHT, 2 * WIDTH, 3)
    assert (found.intrinsics.fx, found.intrinsics.cx, found.intrinsics.width) == (100.0, 46.0, 2 * WIDTH)


def test_a_source_over_a_file_uses_the_camera_it_is_given() -> None:
    source = DepthFileSource(data=_npz(depth=_depth()), filename="a.npz", form={})
    found = source.estimate(np.zeros((HEIGHT, WIDTH, 3), np.uint8), intrinsics=CAMERA)
    assert np.allclose(found.points, _points(), atol=1e-5)


MALFORMED = {
    "not a zip": (b"hello", "a.npz", FORM),
    "empty": (b"", "a.npz", FORM),
    "no known array": (_npz(other=np.zeros(3)), "a.npz", FORM),
    "wrong shape": (_npz(points=np.zeros((4, 4))), "a.npz", {}),
    "pickled": (_npz(points=np.array([{"a": 1}], dtype=object)), "a.npz", FORM),
    "all unknown": (_npz(points=np.full((HEIGHT, WIDTH, 3), np.nan)), "a.npz", {}),
    "behind the camera": (_npz(points=-_points()), "a.npz", FORM),
    "no camera": (_npz(depth=_depth()), "a.npz", {}),
    "half a camera": (_npz(depth=_depth()), "a.npz", {"fx": "50"}),
    "negative focal length": (_npz(depth=_depth()), "a.npz", {**FORM, "fx": "-50"}),
    "focal length in words": (_npz(depth=_depth()), "a.npz", {**FORM, "fx": "fifty"}),
    "disparity without baseline": (_npz(disparity=_depth()), "a.npz", FORM),
    "another aspect": (_npz(depth=np.ones((32, 32))), "a.npz", FORM),
    "eight bits": (_png(np.zeros((HEIGHT, WIDTH), np.uint8)), "a.png", FORM),
    "not an image": (b"\x89PNG\r\n\x1a\nrubbish", "a.png", FORM),
    "unorganised without camera": (_ply(_points().reshape(-1, 3)[:900]), "a.ply", {}),
    "cut short": (_ply(_points().reshape(-1, 3))[:-40], "a.ply", {}),
    "big endian": (_ply(_points().reshape(-1, 3)).replace(b"little", b"big"), "a.ply", {}),
    "no header": (b"ply\nformat ascii 1.0\n", "a.ply", {}),
    "unknown kind": (b"", "a.obj", {}),
    "no suffix": (b"", "cloud", {}),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_point_map_is_refused_with_a_reason(name: str) -> None:
    data, filename, form = MALFORMED[name]
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        _read(data, filename, form)


@pytest.mark.parametrize("seed", range(40))
def test_flipped_bytes_are_refused_or_read_but_never_crash(seed: int) -> None:
    generator = np.random.default_rng(seed)
    for data, name in (
        (_npz(points=_points().astype(np.float32)), "a.npz"),
        (_ply(_points().reshape(-1, 3)), "a.ply"),
    ):
        broken = bytearray(data)
        for _ in range(3):
            broken[int(generator.integers(len(broken)))] ^= int(generator.integers(1, 256))
        try:
            _read(bytes(broken), name)
        except ValueError:
            continue


def test_reading_files_needs_no_torch() -> None:
    code = "import sys; import modelzoo.depth_files; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
