"""Point clouds from files: PLY, PCD, LAS and KITTI's .bin, and the calibrations that come with LiDAR. No torch."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAX_POINTS = 40_000_000
PLY_TYPES = {
    **dict.fromkeys(("char", "int8"), "i1"),
    **dict.fromkeys(("uchar", "uint8"), "u1"),
    **dict.fromkeys(("short", "int16"), "i2"),
    **dict.fromkeys(("ushort", "uint16"), "u2"),
    **dict.fromkeys(("int", "int32"), "i4"),
    **dict.fromkeys(("uint", "uint32"), "u4"),
    **dict.fromkeys(("float", "float32"), "f4"),
    **dict.fromkeys(("double", "float64"), "f8"),
}
PCD_TYPES = {"I": "i", "U": "u", "F": "f"}
LAS_HEADER = 227  # bytes of the oldest header that is read (1.2)
KITTI_CAMERA, KITTI_RECTIFICATION = "P2", ("R0_rect", "R_rect")
KITTI_LIDAR = ("Tr_velo_to_cam", "Tr_velo_cam")

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """Points (N, 3) in the file's frame; ``grid`` is (height, width) when they are pixels, row by row."""

    points: Floats
    grid: tuple[int, int] | None = None


@dataclass(frozen=True, kw_only=True)
class LidarCalibration:
    """T_camera_lidar (4, 4), OpenCV axes, and the camera matrix (3, 3) with pixel centres at +0.5."""

    T_camera_lidar: Floats
    camera_matrix: Floats


def read_cloud(data: bytes, *, filename: str) -> Cloud:
    """The points of a .ply, .pcd, .las or .bin file. Raises ValueError that says what is wrong."""
    suffix = filename.lower().rsplit(".", 1)[-1]
    match suffix:
        case "ply":
            return Cloud(points=_ply_vertices(data))
        case "pcd":
            return _pcd(data)
        case "las":
            return Cloud(points=_las(data))
        case "bin":
            return Cloud(points=_lidar_rows(data, columns=5 if filename.lower().endswith(".pcd.bin") else 4))
    raise ValueError(f"a point cloud is a .ply, .pcd, .las or .bin file, not {filename!r}")


def kitti_calibration(text: str) -> LidarCalibration:
    """KITTI's calib file: P2, R0_rect (identity when missing) and Tr_velo_to_cam. Raises ValueError.

    P2 counts pixels from the centre of the first one; this project counts from its corner, hence the half.
    """
    rows = {}
    for line in text.splitlines():
        name, _, numbers = line.replace("=", ":", 1).partition(":" if ":" in line else " ")
        if name.strip() and numbers.strip():
            rows[name.strip()] = numbers
    projection = _matrix(rows, (KITTI_CAMERA,), (3, 4))
    lidar = _square(_matrix(rows, KITTI_LIDAR, (3, 4)))
    rectification = np.eye(4)
    if any(name in rows for name in KITTI_RECTIFICATION):
        rectification[:3, :3] = _matrix(rows, KITTI_RECTIFICATION, (3, 3))
    matrix = projection[:, :3].copy()
    if abs(np.linalg.det(matrix)) < 1e-9 or matrix[0, 0] <= 0 or matrix[1, 1] <= 0:
        raise ValueError(f"{KITTI_CAMERA} of the calibration is no camera matrix")
    shift = np.eye(4)
    shift[:3, 3] = np.linalg.solve(matrix, projection[:, 3])
    matrix[:2, 2] += 0.5
    return LidarCalibration(T_camera_lidar=shift @ rectification @ lidar, camera_matrix=matrix)


def transform_from_text(text: str, *, name: str) -> Floats:
    """A rigid 4 x 4 transform from 12 or 16 numbers, row by row. Raises ValueError."""
    try:
        numbers = np.array([float(word) for word in text.replace(",", " ").split()])
    except ValueError as error:
        raise ValueError(f"{name} must be 12 or 16 numbers: {error}") from error
    if numbers.size not in {12, 16} or not np.isfinite(numbers).all():
        raise ValueError(f"{name} must be 12 or 16 finite numbers, row by row, not {numbers.size}")
    matrix = _square(numbers.reshape(-1, 4)[:3])
    rotation = matrix[:3, :3]
    if np.abs(rotation @ rotation.T - np.eye(3)).max() > 1e-2 or np.linalg.det(rotation) < 0:
        raise ValueError(f"{name} must be a rotation and a translation, without scale or mirroring")
    return matrix


def _square(rows: Floats) -> Floats:
    return np.concatenate([rows, [[0.0, 0.0, 0.0, 1.0]]])


def _matrix(rows: Mapping[str, str], names: tuple[str, ...], shape: tuple[int, int]) -> Floats:
    name = next((one for one in names if one in rows), None)
    if name is None:
        raise ValueError(f"the calibration has no {names[0]}")
    try:
        numbers = np.array([float(word) for word in rows[name].split()])
    except ValueError as error:
        raise ValueError(f"{name} of the calibration is not numbers: {error}") from error
    if numbers.size != shape[0] * shape[1] or not np.isfinite(numbers).all():
        raise ValueError(f"{name} of the calibration must be {shape[0]} x {shape[1]} finite numbers")
    return numbers.reshape(shape)


def _lidar_rows(data: bytes, *, columns: int) -> Floats:
    """Rows of little-endian float32: x, y, z, reflectance (and the ring, in nuScenes' .pcd.bin)."""
    row = 4 * columns
    if not data or len(data) % row or len(data) // row > MAX_POINTS:
        raise ValueError(f"the .bin must be rows of {columns} 4-byte numbers; it has {len(data)} bytes")
    return np.frombuffer(data, "<f4").reshape(-1, columns)[:, :3].astype(np.float64)


def _las(data: bytes) -> Floats:
    """x, y, z of an uncompressed LAS 1.0 to 1.4 file."""
    if len(data) < LAS_HEADER or not data.startswith(b"LASF"):
        raise ValueError("the .las has no header")
    minor = data[25]
    start, format_, row, count = (
        struct.unpack_from("<IBHI", data, 96)[0],
        *struct.unpack_from("<BHI", data, 104),
    )
    if format_ & 0xC0:
        raise ValueError("the points are compressed (LAZ); save the file as plain .las")
    if minor >= 4 and len(data) >= 255:
        count = struct.unpack_from("<Q", data, 247)[0] or count
    if not 0 < count <= MAX_POINTS or row < 12 or start + count * row > len(data):
        raise ValueError(f"the .las ends before its {count} points do, or has none")
    scale, offset = np.frombuffer(data, "<f8", 3, 131), np.frombuffer(data, "<f8", 3, 155)
    layout = np.dtype({"names": ["xyz"], "formats": ["(3,)<i4"], "offsets": [0], "itemsize": row})
    points: Floats = np.frombuffer(data, layout, count, start)["xyz"] * scale + offset
    return points


def _pcd(data: bytes) -> Cloud:
    header, kind, body = _pcd_header(data)
    names = header.get("FIELDS", [])
    sizes, types = header.get("SIZE", []), header.get("TYPE", [])
    counts = header.get("COUNT", ["1"] * len(names))
    if not {"x", "y", "z"} <= set(names) or len(set(names)) != len(names):
        raise ValueError("the .pcd's FIELDS must have x, y and z once each")
    if not len(names) == len(sizes) == len(types) == len(counts):
        raise ValueError("the .pcd's FIELDS, SIZE, TYPE and COUNT differ in length")
    try:
        width, height = int(header["WIDTH"][0]), int(header["HEIGHT"][0])
        layout = np.dtype(
            [
                (name, f"<{PCD_TYPES[kind_]}{int(size)}", (int(count),))
                for name, kind_, size, count in zip(names, types, sizes, counts, strict=True)
            ]
        )
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise ValueError(f"the .pcd's header is malformed: {error}") from error
    if width <= 0 or height <= 0 or width * height > MAX_POINTS:
        raise ValueError(f"the .pcd must have 1 to {MAX_POINTS} points, not {width} x {height}")
    if kind == "binary":
        points = _binary_rows(body, width * height, layout, what="points of the .pcd")
    else:
        columns = [name for name, count in zip(names, counts, strict=True) for _ in range(int(count))]
        points = _ascii_rows(body, width * height, columns, what="points of the .pcd")
    return Cloud(points=points, grid=(height, width) if height > 1 else None)


def _pcd_header(data: bytes) -> tuple[dict[str, list[str]], str, bytes]:
    """Words of each header line, ascii or binary, and what follows the header."""
    header: dict[str, list[str]] = {}
    place = 0
    for _ in range(64):
        end = data.find(b"\n", place)
        if end < 0:
            break
        words = data[place:end].decode("ascii", errors="replace").split()
        place = end + 1
        if not words or words[0].startswith("#"):
            continue
        if words[0] == "DATA":
            if words[1:] not in (["ascii"], ["binary"]):
                raise ValueError(f"the .pcd's DATA must be ascii or binary, not {' '.join(words[1:])}")
            return header, words[1], data[place:]
        header[words[0]] = words[1:]
    raise ValueError("the .pcd has no header")


def _ply_vertices(data: bytes) -> Floats:
    """x, y, z of the vertex element, which must come first; ascii or binary little endian."""
    end = data.find(b"end_header")
    if not data.startswith(b"ply") or end < 0:
        raise ValueError("the .ply has no header")
    lines = data[:end].decode("ascii", errors="replace").split("\n")
    body = data[data.index(b"\n", end) + 1 :] if b"\n" in data[end:] else b""
    words = [line.split() for line in lines]
    formats = [line[1] for line in words if len(line) == 3 and line[0] == "format"]
    elements = [line for line in words if len(line) == 3 and line[0] == "element"]
    if formats not in (["ascii"], ["binary_little_endian"]) or not elements or elements[0][1] != "vertex":
        raise ValueError("the .ply must be ascii or binary_little_endian with its vertices first")
    if not elements[0][2].isdigit() or not 0 < int(elements[0][2]) <= MAX_POINTS:
        raise ValueError(f"the .ply must have 1 to {MAX_POINTS} vertices, not {elements[0][2]}")
    first = words.index(elements[0])
    later = words.index(elements[1]) if len(elements) > 1 else len(words)
    fields = [line for line in words[first:later] if line and line[0] == "property"]
    if any(len(field) != 3 or field[1] not in PLY_TYPES for field in fields):
        raise ValueError("the .ply's vertices must have plain number properties only")
    names = [field[2] for field in fields]
    if not {"x", "y", "z"} <= set(names) or len(set(names)) != len(names):
        raise ValueError("the .ply's vertices must have x, y and z once each")
    count = int(elements[0][2])
    if formats == ["ascii"]:
        return _ascii_rows(body, count, names, what="vertices of the .ply")
    layout = np.dtype([(field[2], "<" + PLY_TYPES[field[1]]) for field in fields])
    return _binary_rows(body, count, layout, what="vertices of the .ply")


def _binary_rows(body: bytes, count: int, layout: np.dtype[np.void], *, what: str) -> Floats:
    if len(body) < count * layout.itemsize:
        raise ValueError(f"the file ends before the {count} {what} do")
    table = np.frombuffer(body, layout, count)
    return np.stack([table[axis].reshape(count) for axis in ("x", "y", "z")], axis=-1).astype(np.float64)


def _ascii_rows(body: bytes, count: int, names: list[str], *, what: str) -> Floats:
    rows = body.decode("ascii", errors="replace").split("\n")[:count]
    try:
        table = np.array(
            [[float(word) for word in row.split()[: len(names)]] for row in rows], dtype=np.float64
        )
    except ValueError as error:
        raise ValueError(f"among the {what} is one that is not numbers: {error}") from error
    if table.shape != (count, len(names)):
        raise ValueError(f"the file ends before the {count} {what} do")
    return table[:, [names.index(axis) for axis in ("x", "y", "z")]]
