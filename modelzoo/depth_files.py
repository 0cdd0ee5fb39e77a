"""Point maps from files: NPZ, PLY, depth images, disparity. No torch; every mistake is a ValueError."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from modelzoo.camera import intrinsics_from_points
from modelzoo.contracts import Intrinsics, PointMapData
from modelzoo.frames import pixel_grid, project, unproject

MAX_UNPACKED_BYTES = 512 * 1024 * 1024
MAX_POINTS = 40_000_000
ASPECT_TOLERANCE = 0.02
MIN_KNOWN = 64  # points, for a map to be worth anything
CAMERA_KEYS = ("fx", "fy", "cx", "cy")
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

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class DepthFileSource:
    """A PointMapSource over one file that came with the photograph."""

    data: bytes
    filename: str
    form: Mapping[str, str]
    name: str = "file"

    def estimate(self, image: NDArray[np.uint8], *, intrinsics: Intrinsics | None = None) -> PointMapData:
        """The file's point map at the photograph's size; a known camera stands in for one the form does not give."""
        form = dict(self.form)
        if intrinsics is not None:
            known = intrinsics.resized(width=image.shape[1], height=image.shape[0])
            form = {key: str(getattr(known, key)) for key in CAMERA_KEYS} | form
        return read_point_map(
            self.data, filename=self.filename, form=form, width=image.shape[1], height=image.shape[0]
        )


def read_point_map(
    data: bytes, *, filename: str, form: Mapping[str, str], width: int, height: int
) -> PointMapData:
    """The point map in a file, at the photograph's ``width`` x ``height``, in the OpenCV camera frame.

    ``form`` may hold fx, fy, cx, cy (pixels of the map itself), depth_scale (units per metre, default 1000 for
    integer depth and 1 for floating), baseline (metres; the image is then a disparity map) with doffs, and metric
    ("true" or "false"). Raises ValueError that says what is wrong and what would be right.
    """
    numbers = _numbers(form)
    suffix = filename.lower().rsplit(".", 1)[-1] if "." in filename else ""
    if suffix == "npz":
        points, camera = _from_npz(data, numbers)
    elif suffix == "ply":
        points, camera = _from_ply(data, numbers, width=width, height=height)
    elif suffix in {"png", "tif", "tiff"}:
        points, camera = _from_image(_read_image(data), numbers)
    else:
        raise ValueError(f"a point map is an .npz, .ply or .png (16-bit depth) file, not {filename!r}")
    points = np.where(np.isfinite(points).all(axis=-1, keepdims=True), points, np.nan)
    _check(points)
    camera = camera or intrinsics_from_points(points)
    if camera is None:
        raise ValueError("no camera can be worked out from these points; give fx, fy, cx and cy in pixels")
    points, camera = _resized(points, camera, width=width, height=height)
    return PointMapData(
        points=points.astype(np.float32),
        intrinsics=camera,
        metric=form.get("metric", "true").strip().lower() != "false",
        approximate=False,
        source=f"file:{suffix}",
    )


def _from_npz(data: bytes, numbers: Mapping[str, float]) -> tuple[Floats, Intrinsics | None]:
    arrays = _arrays(data)
    camera_given = _camera_matrix(arrays["intrinsics"]) if "intrinsics" in arrays else {}
    numbers = {**camera_given, **numbers}
    if "points" in arrays:
        points = arrays["points"]
        if points.ndim != 3 or points.shape[2] != 3 or not np.issubdtype(points.dtype, np.floating):
            raise ValueError(f"points must be height x width x 3 floating, not {points.shape} {points.dtype}")
        return points.astype(np.float64), _camera(numbers, points.shape[1], points.shape[0], required=False)
    for name in ("depth", "disparity"):
        if name in arrays:
            if name == "disparity" and "baseline" not in numbers:
                raise ValueError("a disparity map needs baseline (metres) besides fx, fy, cx and cy")
            return _from_image(arrays[name], numbers)
    raise ValueError(
        f"the .npz must hold points, depth or disparity; it holds {', '.join(sorted(arrays)) or 'nothing'}"
    )


def _arrays(data: bytes) -> dict[str, NDArray[np.generic]]:
    """Every array of an NPZ; pickled ones are refused, and so is one that unpacks to too much."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MAX_UNPACKED_BYTES:
                raise ValueError(f"the .npz unpacks to more than {MAX_UNPACKED_BYTES // 2**20} MiB")
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            return {name: np.asarray(archive[name]) for name in archive.files}
    except (
        zipfile.BadZipFile,
        zlib.error,
        OSError,
        EOFError,
        NotImplementedError,
        RuntimeError,
        MemoryError,
    ) as error:
        raise ValueError(f"the .npz cannot be read: {error}") from error
    except ValueError as error:
        if "pickle" in str(error).lower():
            raise ValueError("the .npz holds Python objects; save plain number arrays") from error
        raise


def _camera_matrix(matrix: NDArray[np.generic]) -> dict[str, float]:
    if matrix.shape != (3, 3) or not np.issubdtype(matrix.dtype, np.number):
        raise ValueError(f"intrinsics must be a 3 x 3 camera matrix, not {matrix.shape}")
    k = matrix.astype(np.float64)
    return {"fx": float(k[0, 0]), "fy": float(k[1, 1]), "cx": float(k[0, 2]), "cy": float(k[1, 2])}


def _read_image(data: bytes) -> NDArray[np.generic]:
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.width * image.height > MAX_POINTS:
                raise ValueError(f"a depth image has at most {MAX_POINTS} pixels")
            if image.mode not in {"I;16", "I;16B", "I", "F"}:
                raise ValueError(f"a depth image has one 16-bit or floating channel, not mode {image.mode}")
            return np.asarray(image)
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise ValueError(f"the depth image cannot be read: {error}") from error


def _from_image(image: NDArray[np.generic], numbers: Mapping[str, float]) -> tuple[Floats, Intrinsics]:
    """Depth, or disparity when there is a baseline; zero and non-finite values are unknown."""
    if image.ndim != 2 or not np.issubdtype(image.dtype, np.number):
        raise ValueError(f"a depth map is height x width, not {image.shape}")
    height, width = image.shape
    camera = _camera(numbers, width, height, required=True)
    assert camera is not None
    values = image.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        if "baseline" in numbers:
            depth = (
                camera.fx
                * numbers["baseline"]
                / (values / numbers.get("depth_scale", 1.0) + numbers.get("doffs", 0.0))
            )
        else:
            whole = np.issubdtype(image.dtype, np.integer)
            depth = values / numbers.get("depth_scale", 1000.0 if whole else 1.0)
    depth = np.where((values > 0) & np.isfinite(depth) & (depth > 0), depth, np.nan)
    return unproject(pixel_grid(width=width, height=height), depth, camera), camera


def _from_ply(
    data: bytes, numbers: Mapping[str, float], *, width: int, height: int
) -> tuple[Floats, Intrinsics | None]:
    """Organised clouds have one vertex per pixel, row by row; others are projected with the camera."""
    cloud = _ply_vertices(data)
    camera = _camera(numbers, width, height, required=False)
    if len(cloud) == width * height:
        return cloud.reshape(height, width, 3), camera
    if camera is None:
        raise ValueError(
            f"the .ply has {len(cloud)} vertices and the photograph {width * height} pixels; "
            "for a cloud that is not organised give fx, fy, cx and cy in pixels of the photograph"
        )
    return _projected(cloud, camera), camera


def _projected(cloud: Floats, camera: Intrinsics) -> Floats:
    """The nearest point in each pixel."""
    cloud = cloud[np.isfinite(cloud).all(axis=1) & (cloud[:, 2] > 0)]
    pixels = np.floor(project(cloud, camera)).astype(np.int64)
    inside = (pixels >= 0).all(axis=1) & (pixels[:, 0] < camera.width) & (pixels[:, 1] < camera.height)
    cloud, pixels = cloud[inside], pixels[inside]
    order = np.argsort(-cloud[:, 2], kind="stable")  # far first, so that near ones overwrite them
    points = np.full((camera.height, camera.width, 3), np.nan)
    points[pixels[order, 1], pixels[order, 0]] = cloud[order]
    return points


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
    layout = np.dtype([(field[2], "<" + PLY_TYPES[field[1]]) for field in fields])
    count = int(elements[0][2])
    return _ascii_rows(body, count, names) if formats == ["ascii"] else _binary_rows(body, count, layout)


def _binary_rows(body: bytes, count: int, layout: np.dtype[np.void]) -> Floats:
    if len(body) < count * layout.itemsize:
        raise ValueError(f"the .ply ends before its {count} vertices do")
    table = np.frombuffer(body, layout, count)
    return np.stack([table[axis] for axis in ("x", "y", "z")], axis=-1).astype(np.float64)


def _ascii_rows(body: bytes, count: int, names: list[str]) -> Floats:
    rows = body.decode("ascii", errors="replace").split("\n")[:count]
    try:
        table = np.array(
            [[float(word) for word in row.split()[: len(names)]] for row in rows], dtype=np.float64
        )
    except ValueError as error:
        raise ValueError(f"the .ply has a vertex that is not numbers: {error}") from error
    if table.shape != (count, len(names)):
        raise ValueError(f"the .ply ends before its {count} vertices do")
    return table[:, [names.index(axis) for axis in ("x", "y", "z")]]


def _numbers(form: Mapping[str, str]) -> dict[str, float]:
    found = {}
    for key in (*CAMERA_KEYS, "depth_scale", "baseline", "doffs"):
        text = form.get(key)
        if text is None or not str(text).strip():
            continue
        try:
            value = float(text)
        except ValueError as error:
            raise ValueError(f"{key} must be a number, not {text!r}") from error
        if not np.isfinite(value) or (key not in {"cx", "cy", "doffs"} and value <= 0):
            raise ValueError(f"{key} must be a positive number, not {text!r}")
        found[key] = value
    return found


def _camera(numbers: Mapping[str, float], width: int, height: int, *, required: bool) -> Intrinsics | None:
    missing = [key for key in CAMERA_KEYS if key not in numbers]
    if missing:
        if required or len(missing) < len(CAMERA_KEYS):
            raise ValueError(f"the camera is incomplete; give {', '.join(missing)} in pixels too")
        return None
    return Intrinsics(**{key: numbers[key] for key in CAMERA_KEYS}, width=width, height=height)


def _check(points: Floats) -> None:
    known = np.isfinite(points).all(axis=-1)
    if known.sum() < MIN_KNOWN:
        raise ValueError(f"the point map knows only {int(known.sum())} points; it needs at least {MIN_KNOWN}")
    if (points[known][:, 2] <= 0).mean() > 0.5:
        raise ValueError(
            "most points lie behind the camera; the frame must be OpenCV's: x right, y down, z forward"
        )


def _resized(points: Floats, camera: Intrinsics, *, width: int, height: int) -> tuple[Floats, Intrinsics]:
    """Nearest points at the photograph's size; the map may be smaller or larger but not of another shape."""
    rows, cols = points.shape[:2]
    if abs((cols / rows) / (width / height) - 1) > ASPECT_TOLERANCE:
        raise ValueError(
            f"the point map is {cols} x {rows} and the photograph {width} x {height}: not the same view"
        )
    if (rows, cols) == (height, width):
        return points, camera
    down = np.minimum((np.arange(height) + 0.5) * rows / height, rows - 1).astype(int)
    across = np.minimum((np.arange(width) + 0.5) * cols / width, cols - 1).astype(int)
    return points[down[:, None], across[None]], camera.resized(width=width, height=height)
