"""Point maps from files: arrays, depth and disparity images, RGB-D and LiDAR clouds. Every mistake is a ValueError."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from modelzoo.camera import intrinsics_from_points
from modelzoo.contracts import Intrinsics, PointMapData
from modelzoo.frames import pixel_grid, unproject
from modelzoo.point_clouds import kitti_calibration, read_cloud, transform_from_text
from modelzoo.sparse_depth import filled, projected

MAX_UNPACKED_BYTES = 512 * 1024 * 1024
MAX_POINTS = 40_000_000
ASPECT_TOLERANCE = 0.02
MIN_KNOWN = 64  # points, for a map to be worth anything
CAMERA_KEYS = ("fx", "fy", "cx", "cy")
MAY_BE_ZERO = frozenset({"cx", "cy", "doffs", "fill_px"})
PFM_HEADER = re.compile(rb"Pf\s+(\d{1,6})\s+(\d{1,6})\s+(-?\d+(?:\.\d+)?)\s")
CLOUDS = frozenset({"ply", "pcd", "las", "bin"})
LIDAR = frozenset({"las", "bin"})  # never in a camera's frame
LIDAR_FILL_PX = 4.0  # scan lines are a few pixels apart

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

    Files: .npz, .npy, .pfm, .png and .tif (depth, disparity or points), .ply and .pcd (clouds, organised or not),
    .las and .bin (LiDAR). ``form`` may hold fx, fy, cx, cy (pixels of the map itself), depth_scale (units per metre,
    default 1000 for integer depth and 1 for floating), baseline (metres; the image is then a disparity map) with
    doffs, metric ("true" or "false"); for clouds T_camera_cloud (12 or 16 numbers, row by row) or calibration (the
    text of KITTI's calib file), and fill_px, the radius within which pixels that no point falls into take the depth
    of the nearest that one does (default 4 for LiDAR, otherwise 0). Raises ValueError that says what is wrong and
    what would be right.
    """
    numbers = _numbers(form)
    suffix = filename.lower().rsplit(".", 1)[-1] if "." in filename else ""
    if suffix == "npz":
        points, camera = _from_npz(data, numbers)
    elif suffix in CLOUDS:
        points, camera = _from_cloud(data, numbers, form, filename=filename, width=width, height=height)
    elif suffix == "npy":
        points, camera = _from_array(_read_npy(data), numbers)
    elif suffix == "pfm":
        points, camera = _from_image(_read_pfm(data), numbers)
    elif suffix in {"png", "tif", "tiff"}:
        points, camera = _from_image(_read_image(data), numbers)
    else:
        raise ValueError(
            "a point map is an .npz, .npy, .pfm, .ply, .pcd, .las, .bin (LiDAR) or .png (16-bit depth) file, "
            f"not {filename!r}"
        )
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
        return _from_points(arrays["points"], numbers)
    for name in ("depth", "disparity"):
        if name in arrays:
            if name == "disparity" and "baseline" not in numbers:
                raise ValueError("a disparity map needs baseline (metres) besides fx, fy, cx and cy")
            return _from_image(arrays[name], numbers)
    raise ValueError(
        f"the .npz must hold points, depth or disparity; it holds {', '.join(sorted(arrays)) or 'nothing'}"
    )


def _from_array(array: NDArray[np.generic], numbers: Mapping[str, float]) -> tuple[Floats, Intrinsics | None]:
    """Points when there are three numbers per pixel, otherwise depth or disparity."""
    return _from_points(array, numbers) if array.ndim == 3 else _from_image(array, numbers)


def _from_points(
    points: NDArray[np.generic], numbers: Mapping[str, float]
) -> tuple[Floats, Intrinsics | None]:
    if points.ndim != 3 or points.shape[2] != 3 or not np.issubdtype(points.dtype, np.floating):
        raise ValueError(f"points must be height x width x 3 floating, not {points.shape} {points.dtype}")
    return points.astype(np.float64), _camera(numbers, points.shape[1], points.shape[0], required=False)


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


def _read_npy(data: bytes) -> NDArray[np.generic]:
    try:
        array = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, OSError, EOFError, MemoryError, SyntaxError, TypeError, UnicodeError) as error:
        raise ValueError(f"the .npy cannot be read as a plain number array: {error}") from error
    if not isinstance(array, np.ndarray) or array.size > 3 * MAX_POINTS:
        raise ValueError(f"a .npy depth map is one array of at most {MAX_POINTS} pixels")
    return array


def _read_pfm(data: bytes) -> NDArray[np.generic]:
    """One channel of float32, stored from the last row to the first; infinite where unknown."""
    header = PFM_HEADER.match(data)
    if header is None:
        raise ValueError("the .pfm has no header of a single channel (Pf)")
    width, height, scale, start = int(header[1]), int(header[2]), float(header[3]), header.end()
    if not 0 < width * height <= MAX_POINTS or len(data) < start + 4 * width * height:
        raise ValueError(f"the .pfm ends before its {width} x {height} pixels do, or has none")
    table = np.frombuffer(data, "<f4" if scale < 0 else ">f4", width * height, start)
    return table.reshape(height, width)[::-1].astype(np.float32)


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


def _from_cloud(
    data: bytes,
    numbers: Mapping[str, float],
    form: Mapping[str, str],
    *,
    filename: str,
    width: int,
    height: int,
) -> tuple[Floats, Intrinsics | None]:
    """Organised clouds have one point per pixel, row by row; others are projected with the camera and filled."""
    suffix = filename.lower().rsplit(".", 1)[-1]
    cloud, camera = read_cloud(data, filename=filename), _camera(numbers, width, height, required=False)
    placement, calibrated = _placement(form, width=width, height=height)
    camera = camera or calibrated
    if placement is None and suffix in LIDAR:
        raise ValueError(
            f"a .{suffix} is in the sensor's frame: give calibration (the text of KITTI's calib file) or "
            "T_camera_cloud (12 numbers) with fx, fy, cx and cy"
        )
    grid = cloud.grid or ((height, width) if len(cloud.points) == width * height else None)
    if placement is None and grid is not None:
        return cloud.points.reshape(*grid, 3), _camera(numbers, grid[1], grid[0], required=False)
    if camera is None:
        raise ValueError(
            f"the .{suffix} has {len(cloud.points)} points and the photograph {width * height} pixels; "
            "for a cloud that is not organised give fx, fy, cx and cy in pixels of the photograph"
        )
    points = cloud.points if placement is None else cloud.points @ placement[:3, :3].T + placement[:3, 3]
    radius = numbers.get("fill_px", LIDAR_FILL_PX if suffix in LIDAR else 0.0)
    return filled(projected(points, camera), camera, radius_px=radius), camera


def _placement(
    form: Mapping[str, str], *, width: int, height: int
) -> tuple[Floats | None, Intrinsics | None]:
    """T_camera_cloud where the form gives it, and the camera where a calibration does."""
    if form.get("T_camera_cloud", "").strip():
        return transform_from_text(form["T_camera_cloud"], name="T_camera_cloud"), None
    if not form.get("calibration", "").strip():
        return None, None
    found = kitti_calibration(form["calibration"])
    (fx, _, cx), (_, fy, cy) = found.camera_matrix[:2]
    camera = Intrinsics(fx=fx, fy=fy, cx=cx, cy=cy, width=width, height=height)
    return found.T_camera_lidar, camera


def _numbers(form: Mapping[str, str]) -> dict[str, float]:
    found = {}
    for key in (*CAMERA_KEYS, "depth_scale", "baseline", "doffs", "fill_px"):
        text = form.get(key)
        if text is None or not str(text).strip():
            continue
        try:
            value = float(text)
        except ValueError as error:
            raise ValueError(f"{key} must be a number, not {text!r}") from error
        if not np.isfinite(value) or (key not in MAY_BE_ZERO and value <= 0):
            raise ValueError(f"{key} must be a positive number, not {text!r}")
        found[key] = value
    if found.get("fill_px", 0.0) < 0:
        raise ValueError(f"fill_px is a radius in pixels, not {form['fill_px']!r}")
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
