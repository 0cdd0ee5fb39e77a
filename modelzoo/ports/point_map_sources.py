"""An operator's point-map estimator by one line of text, as a setting holds it."""

from __future__ import annotations

from pathlib import Path

from modelzoo.contracts import PointMapSource
from modelzoo.ports.monocular_depth import (
    DepthAnythingPort,
    MogePort,
    TorchScriptDepth,
    TransformersDepthAnything,
)

FORMS = (
    "moge:FILE, moge2:FILE, depth-anything:FILE (relative, vitl), depth-anything-vits:FILE, "
    "depth-anything-vitl@20:FILE (metric weights trained to 20 m), transformers:FOLDER, torchscript:FILE, "
    "torchscript-metric:FILE"
)


def point_map_source(line: str, *, device: str) -> PointMapSource:
    """The estimator that ``line`` names, ``KIND:PATH``, loaded onto ``device``.

    Raises ValueError for a line that is none of the forms, EstimatorMissing (a ValueError) that names what to install.
    """
    kind, colon, place = line.partition(":")
    path = Path(place)
    if not colon or not place:
        raise ValueError(f"{line!r} names no point-map estimator; the forms are {FORMS}")
    if kind in {"moge", "moge2"}:
        return MogePort(path, version=2 if kind == "moge2" else 1, device=device)
    if kind.startswith("depth-anything"):
        return _depth_anything(kind, path, device=device)
    if kind == "transformers":
        return TransformersDepthAnything(path, device=device)
    if kind in {"torchscript", "torchscript-metric"}:
        return TorchScriptDepth(path, metric=kind == "torchscript-metric", device=device)
    raise ValueError(f"{kind!r} is no point-map estimator; the forms are {FORMS}")


def _depth_anything(kind: str, path: Path, *, device: str) -> PointMapSource:
    name, at, far = kind.partition("@")
    encoder = name.removeprefix("depth-anything").removeprefix("-") or "vitl"
    try:
        max_depth_m = float(far) if at else None
    except ValueError as error:
        raise ValueError(f"{far!r} is no depth in metres; the forms are {FORMS}") from error
    return DepthAnythingPort(path, encoder=encoder, max_depth_m=max_depth_m, device=device)
