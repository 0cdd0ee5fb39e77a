"""Point maps are read from files exactly, and a malformed file is refused with a reason."""

from __future__ import annotations

import io
import struct
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from modelzoo.contracts import Intrinsics, PointMapData
from modelzoo.depth_files import DepthFileSource, read_point_map
from modelzoo.frames import pixel_grid, project, unproject
from modelzoo.point_clouds import kitti_calibration, read_cloud
from modelzoo.sparse_depth import filled, projected

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


def _npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def _pfm(values: np.ndarray, *, order: str = "<") -> bytes:
    scale = "-1.0" if order == "<" else "1.0"
    head = f"Pf\n{values.shape[1]} {values.shape[0]}\n{scale}\n".encode()
    return head + values[::-1].astype(f"{order}f4").tobytes()


def _pcd(points: np.ndarray, *, kind: str = "binary", width: int = 0, height: int = 1) -> bytes:
    head = (
        "# .PCD v0.7\nVERSION 0.7\nFIELDS x y z rgb\nSIZE 4 4 4 4\nTYPE F F F U\nCOUNT 1 1 1 1\n"
        f"WIDTH {width or len(points)}\nHEIGHT {height}\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS {len(points)}\n"
        f"DATA {kind}\n"
    )
    table = np.zeros(len(points), dtype=[("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("rgb", "<u4")])
    for axis, name in enumerate("xyz"):
        table[name] = points[:, axis]
    rows = "\n".join(f"{r['x']} {r['y']} {r['z']} {r['rgb']}" for r in table)
    return head.encode() + (rows.encode() if kind == "ascii" else table.tobytes())


def _las(points: np.ndarray, *, minor: int = 2, format_: int = 0) -> bytes:
    """A LAS file with points in steps of a tenth of a millimetre from an offset."""
    offset, step, row = np.array([100.0, -20.0, 3.0]), 1e-4, 20
    size = 375 if minor >= 4 else 227
    header = bytearray(size)
    header[:4], header[24:26] = b"LASF", bytes([1, minor])
    struct.pack_into("<HI", header, 94, size, size)
    struct.pack_into("<BHI", header, 104, format_, row, 0 if minor >= 4 else len(points))
    struct.pack_into("<6d", header, 131, step, step, step, *offset)
    if minor >= 4:
        struct.pack_into("<Q", header, 247, len(points))
    table = np.zeros(len(points), dtype=np.dtype([("xyz", "<i4", 3), ("rest", "u1", row - 12)]))
    table["xyz"] = np.rint((points - offset) / step)
    return bytes(header) + table.tobytes()


# A LiDAR as KITTI mounts it: x forward, y left, z up, a hand above and behind the camera.
T_CAMERA_LIDAR = np.array([[0, -1, 0, 0.02], [0, 0, -1, -0.08], [1, 0, 0, -0.27], [0, 0, 0, 1.0]])
CALIBRATION = (
    "P0: 50 0 22.5 0 0 52 16.5 0 0 0 1 0\n"
    "P2: 50 0 22.5 2.5 0 52 16.5 0.52 0 0 1 0.003\n"
    "R0_rect: 1 0 0 0 1 0 0 0 1\n"
    "Tr_velo_to_cam: 0 -1 0 0.02 0 0 -1 -0.08 1 0 0 -0.27\n\n"
)


def _seen_by_lidar(points: np.ndarray, T_camera_lidar: np.ndarray) -> np.ndarray:
    back = np.linalg.inv(T_camera_lidar)
    return points @ back[:3, :3].T + back[:3, 3]


def _lidar_file(points: np.ndarray) -> bytes:
    return np.concatenate([points, np.zeros((len(points), 1))], axis=1).astype("<f4").tobytes()


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


@pytest.mark.parametrize("array", ["depth", "points"])
def test_a_plain_array_file_holds_depth_or_points(array: str) -> None:
    found = _read(_npy(_depth() if array == "depth" else _points().astype(np.float32)), "a.npy", FORM)
    assert np.allclose(found.points, _points(), atol=1e-5) and found.source == "file:npy"


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_pfm_disparity_is_read_upside_up_and_infinite_is_unknown(order: str) -> None:
    disparity = 50.0 * 0.2 / _depth()
    disparity[2, 5] = np.inf
    found = _read(_pfm(disparity, order=order), "disp0.pfm", {**FORM, "baseline": "0.2"})
    assert np.isnan(found.points[2, 5]).all()
    known = np.isfinite(found.points[..., 0])
    assert known.sum() == WIDTH * HEIGHT - 1
    assert np.allclose(found.points[known], _points()[known], atol=1e-4)


@pytest.mark.parametrize("kind", ["binary", "ascii"])
def test_an_organised_pcd_keeps_its_rows_and_a_flat_one_is_projected(kind: str) -> None:
    points = _points().reshape(-1, 3)
    organised = _read(_pcd(points, kind=kind, width=WIDTH, height=HEIGHT), "c.pcd", FORM)
    assert np.allclose(organised.points, _points(), atol=1e-5)
    order = np.random.default_rng(1).permutation(len(points))[: len(points) // 2]
    flat = _read(_pcd(points[order], kind=kind), "c.pcd", FORM)
    known = np.isfinite(flat.points[..., 0])
    assert known.sum() == len(order) and np.allclose(flat.points[known], _points()[known], atol=1e-5)


@pytest.mark.parametrize("minor", [2, 4])
def test_a_las_is_placed_by_the_given_transform(minor: int) -> None:
    lidar = _seen_by_lidar(_points().reshape(-1, 3), T_CAMERA_LIDAR)
    data = _las(lidar, minor=minor)
    assert np.allclose(read_cloud(data, filename="a.las").points, lidar, atol=1e-4)
    told = " ".join(str(number) for number in T_CAMERA_LIDAR[:3].ravel())
    found = _read(data, "scan.las", {**FORM, "T_camera_cloud": told, "fill_px": "0"})
    known = np.isfinite(found.points[..., 0])
    assert known.mean() > 0.9 and np.allclose(found.points[known], _points()[known], atol=2e-2)


def test_a_kitti_scan_lands_on_its_pixels_by_the_calibration_alone() -> None:
    calibration = kitti_calibration(CALIBRATION)
    lidar = _seen_by_lidar(_points().reshape(-1, 3), calibration.T_camera_lidar)
    found = _read(_lidar_file(lidar), "000008.bin", {"calibration": CALIBRATION, "fill_px": "0"})
    assert (found.intrinsics.fx, found.intrinsics.cx, found.intrinsics.cy) == (50, 23, 17)
    known = np.isfinite(found.points[..., 0])
    assert known.mean() > 0.9 and np.allclose(found.points[known], _points()[known], atol=3e-2)


def test_the_calibration_projects_as_kittis_own_formula_does() -> None:
    points = np.array([[8.0, 1.0, 0.3], [12.0, -2.0, -0.5]])
    p2 = np.array([[50, 0, 22.5, 2.5], [0, 52, 16.5, 0.52], [0, 0, 1, 0.003]])
    homogeneous = np.c_[points, np.ones(2)] @ T_CAMERA_LIDAR.T @ p2.T
    theirs = homogeneous[:, :2] / homogeneous[:, 2:]
    found = kitti_calibration(CALIBRATION)
    placed = points @ found.T_camera_lidar[:3, :3].T + found.T_camera_lidar[:3, 3]
    assert np.allclose(project(placed, CAMERA), theirs + 0.5)  # their pixels are counted from centres


def test_holes_take_the_nearest_known_depth_within_the_radius_as_a_plain_search_finds_it() -> None:
    sparse = _points().copy()
    keep = np.random.default_rng(2).random((HEIGHT, WIDTH)) < 0.04
    keep[:, 30:] = False
    sparse[~keep] = np.nan
    found = filled(sparse, CAMERA, radius_px=3.0)
    rows, cols = np.nonzero(keep)
    for row in range(HEIGHT):
        for col in range(WIDTH):
            distance = np.hypot(rows - row, cols - col)
            nearest = distance.min()
            if nearest > 3.0:
                assert np.isnan(found[row, col]).all()
                continue
            depths = _depth()[rows[distance == nearest], cols[distance == nearest]]
            assert np.isclose(depths, found[row, col, 2]).any()
            assert np.allclose(project(found[row, col], CAMERA), [col + 0.5, row + 0.5])
    assert np.array_equal(found[keep], sparse[keep]) and np.isnan(found[:, 40:]).all()
    assert filled(sparse, CAMERA, radius_px=0) is sparse


def test_points_behind_the_camera_or_outside_the_picture_are_not_projected() -> None:
    cloud = np.array([[0, 0, 2.0], [0, 0, -2.0], [50, 0, 1.0], [np.nan, 0, 1.0]])
    assert np.isfinite(projected(cloud, CAMERA)).all(axis=-1).sum() == 1


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
    "rows of another length": (b"\0" * 17, "a.bin", {"calibration": CALIBRATION}),
    "lidar without calibration": (_lidar_file(_points().reshape(-1, 3)), "a.bin", FORM),
    "calibration without P2": (_lidar_file(_points()[0]), "a.bin", {"calibration": "R0_rect: 1"}),
    "calibration in words": (
        _lidar_file(_points()[0]),
        "a.bin",
        {"calibration": CALIBRATION.replace("22.5", "wide")},
    ),
    "calibration of eleven numbers": (
        _lidar_file(_points()[0]),
        "a.bin",
        {"calibration": CALIBRATION.replace("2.5 0 52", "0 52")},
    ),
    "transform with scale": (
        _lidar_file(_points()[0]),
        "a.bin",
        {**FORM, "T_camera_cloud": "2 0 0 0 0 2 0 0 0 0 2 0"},
    ),
    "transform of nine numbers": (
        _lidar_file(_points()[0]),
        "a.bin",
        {**FORM, "T_camera_cloud": "1 0 0 0 1 0 0 0 1"},
    ),
    "negative radius": (_pcd(_points()[0]), "a.pcd", {**FORM, "fill_px": "-3"}),
    "nothing in sight": (
        _lidar_file(_points().reshape(-1, 3) * -1),
        "a.bin",
        {"calibration": CALIBRATION},
    ),
    "pcd cut short": (_pcd(_points().reshape(-1, 3))[:-9], "a.pcd", FORM),
    "pcd compressed": (_pcd(_points()[0], kind="binary_compressed"), "a.pcd", FORM),
    "pcd without z": (_pcd(_points()[0]).replace(b"x y z", b"x y w"), "a.pcd", FORM),
    "pcd without header": (b"# .PCD\n", "a.pcd", FORM),
    "las cut short": (_las(_points()[0])[:-1], "a.las", FORM),
    "las compressed": (_las(_points()[0], format_=0x80), "a.las", FORM),
    "las without header": (b"LASF", "a.las", FORM),
    "pickled npy": (_npy(np.array([{"a": 1}], dtype=object)), "a.npy", FORM),
    "npy cut short": (_npy(_depth())[:-8], "a.npy", FORM),
    "npy of one row": (_npy(np.zeros(4)), "a.npy", FORM),
    "pfm in colour": (_pfm(_depth()).replace(b"Pf", b"PF"), "a.pfm", FORM),
    "pfm cut short": (_pfm(_depth())[:-4], "a.pfm", FORM),
    "exr": (b"v/1\x01", "a.exr", FORM),
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
        (_pcd(_points().reshape(-1, 3)), "a.pcd"),
        (_npy(_depth()), "a.npy"),
        (_pfm(_depth()), "a.pfm"),
        (_las(_points().reshape(-1, 3)), "a.las"),
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
