"""What every child shares: what was asked, probing of foreign signatures, and writing of what a foreign model made."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image

from modelzoo.ports.children import protocol

SH_C0 = 0.28209479177387814  # the constant spherical harmonic: colour = 0.5 + SH_C0 * f_dc


class ChildError(Exception):
    """Ends a request with a code for machines and a message for the operator."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Asked:
    """One request: photograph H x W x 3 uint8, masks (N, H, W) bool, OpenCV camera points H x W x 3 or None.

    ``shape`` holds a mesh's ``vertices``, ``faces`` and ``colours`` where a pose is asked for.
    """

    folder: Path
    seeds: tuple[int, ...]
    options: Mapping[str, Any]
    image: np.ndarray[Any, np.dtype[np.uint8]]
    masks: np.ndarray[Any, np.dtype[np.bool_]]
    points: np.ndarray[Any, np.dtype[np.float32]] | None = None
    intrinsics: Mapping[str, float] | None = None
    shape: Mapping[str, np.ndarray[Any, Any]] = field(default_factory=dict)

    @classmethod
    def read(cls, message: Mapping[str, Any], options: Mapping[str, Any]) -> Asked:
        """From a request and the files that it names."""
        folder = Path(message["folder"])
        points, shape = folder / protocol.POINTS, folder / protocol.SHAPE
        return cls(
            folder=folder,
            seeds=tuple(int(seed) for seed in message["seeds"]),
            options={**options, **message.get("options", {})},
            image=np.asarray(Image.open(folder / protocol.IMAGE).convert("RGB")),
            masks=np.load(folder / protocol.MASKS)["masks"],
            points=np.load(points)["points"] if points.exists() else None,
            intrinsics=message.get("intrinsics"),
            shape=dict(np.load(shape)) if shape.exists() else {},
        )

    @property
    def mask(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """The only mask. Raises ChildError when there are more."""
        if len(self.masks) != 1:
            raise ChildError("one_mask_only", f"this source takes one mask at a time, not {len(self.masks)}")
        return np.asarray(self.masks[0])

    def chosen(self, names: Sequence[str]) -> dict[str, Any]:
        """Those of the named options that were given."""
        return {name: self.options[name] for name in names if name in self.options}

    def rgba(self) -> Image.Image:
        """The photograph with the mask as its alpha channel."""
        alpha = self.mask.astype(np.uint8) * 255
        return Image.fromarray(np.concatenate([self.image, alpha[..., None]], axis=-1))

    def cut_out(self, *, size_factor: float, background: int) -> Image.Image:
        """A square about the mask's box, ``size_factor`` times its longer side, on one grey level, RGB."""
        mask = self.mask
        rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        height, width = int(rows[-1] - rows[0]) + 1, int(cols[-1] - cols[0]) + 1
        side = max(2, round(size_factor * max(height, width)))
        square = np.full((side, side, 3), background, np.uint8)
        top, left = (side - height) // 2, (side - width) // 2
        box = np.s_[rows[0] : rows[0] + height, cols[0] : cols[0] + width]
        window = square[top : top + height, left : left + width]
        window[mask[box]] = self.image[box][mask[box]]
        return Image.fromarray(square)


def needed(module: str, *, install: str) -> ModuleType:
    """The foreign module. Raises ChildError, which names what to install, when it or something it needs is missing."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        missing = getattr(error, "name", None) or module
        raise ChildError(
            "package_missing", f"{module} cannot be imported ({missing}: {error}). To install: {install}"
        ) from error


def option(options: Mapping[str, Any], name: str, *, meaning: str) -> Any:
    """An option that the operator must give."""
    if not options.get(name):
        raise ChildError("option_missing", f"the option {name!r} is missing: {meaning}")
    return options[name]


def supported(
    function: Callable[..., Any], wanted: Mapping[str, Any], *, required: Sequence[str] = ()
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The wanted arguments that the foreign function takes, and the names of those that it does not.

    Raises ChildError when a required one is not taken: the foreign package then is another version than the port's.
    """
    parameters = inspect.signature(function).parameters
    anything = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())
    known = {name for name, one in parameters.items() if one.kind is not inspect.Parameter.VAR_POSITIONAL}
    taken = {name: value for name, value in wanted.items() if name in known}
    lost = [name for name in required if name not in taken]
    if lost:
        name = getattr(function, "__qualname__", function)
        raise ChildError(
            "signature_changed", f"{name} takes no {', '.join(lost)}; it takes {', '.join(parameters)}"
        )
    if anything:
        taken = dict(wanted)
    return taken, tuple(name for name in wanted if name not in taken)


def called(
    function: Callable[..., Any], wanted: Mapping[str, Any], *, required: Sequence[str] = ()
) -> tuple[Any, tuple[str, ...]]:
    """What the foreign function gives for the wanted arguments that it takes, and a note for each that it does not.

    Raises ChildError as ``supported`` does.
    """
    taken, dropped = supported(function, wanted, required=required)
    return function(**taken), tuple(f"argument_ignored_{name}" for name in dropped)


def first_supported(function: Callable[..., Any], names: Sequence[str]) -> str:
    """The first of these parameter names that the function has. Raises ChildError when it has none."""
    parameters = inspect.signature(function).parameters
    for name in names:
        if name in parameters:
            return name
    raise ChildError(
        "signature_changed",
        f"{getattr(function, '__qualname__', function)} takes none of {', '.join(names)}",
    )


def array(value: Any) -> np.ndarray[Any, Any]:
    """A foreign tensor or array as float64 or integers on the CPU."""
    for step in ("detach", "float", "cpu", "numpy"):
        if hasattr(value, step) and (step != "float" or _is_floating(value)):
            value = getattr(value, step)()
    return np.asarray(value)


def refuse_empty(seed: int, faces: Any) -> None:
    """Raises ChildError for a surface without a face, or for none at all."""
    if faces is None or not len(array(faces)):
        raise ChildError("no_surface", f"the model found no surface for seed {seed}")


def item(
    seed: int,
    *,
    mesh: str,
    axes: str,
    number: int = 0,
    gaussians: str | None = None,
    pose: dict[str, Any] | None = None,
    fallbacks: Sequence[str] = (),
) -> dict[str, Any]:
    """One candidate of an answer: ``axes`` are the mesh file's (Gaussians and pose are Z-up); ``number`` counts masks.

    ``pose`` is ``{"convention", "rotation_wxyz", "translation", "scale", "own_points"}``; ``own_points`` says that it
    stands in the point map that was sent, not in one that the foreign model guessed.
    """
    return {
        "seed": seed,
        "object": number,
        "mesh": mesh,
        "axes": axes,
        "gaussians": gaussians,
        "pose": pose,
        "fallbacks": list(fallbacks),
    }


def write_mesh(asked: Asked, name: str, *, vertices: Any, faces: Any, colours: Any = None) -> str:
    """The file that holds a mesh: vertices (V, 3), faces (F, 3), sRGB colours (V, 3) in [0, 1] where there are any."""
    arrays = {"vertices": array(vertices), "faces": array(faces)}
    if colours is not None:
        arrays["colours"] = np.clip(array(colours)[:, :3], 0.0, 1.0)
    np.savez(asked.folder / f"{name}.npz", **arrays)  # type: ignore[arg-type]  # no array is called allow_pickle
    return f"{name}.npz"


def write_trimesh(asked: Asked, name: str, mesh: Any) -> str:
    """The file that holds a trimesh object's surface, its texture looked up at the vertices."""
    return write_mesh(asked, name, vertices=mesh.vertices, faces=mesh.faces, colours=_trimesh_colours(mesh))


def _trimesh_colours(mesh: Any) -> Any:
    """sRGB in [0, 1] per vertex, None where the object was never coloured."""
    visual = mesh.visual
    if visual.kind in ("vertex", "face"):
        return np.asarray(visual.vertex_colors)[:, :3] / 255.0
    material, uv = getattr(visual, "material", None), getattr(visual, "uv", None)
    picture = getattr(material, "baseColorTexture", None) or getattr(material, "image", None)
    if picture is None or uv is None:
        return None
    pixels = np.asarray(picture.convert("RGB")) / 255.0
    height, width = pixels.shape[:2]
    columns = np.floor(np.asarray(uv)[:, 0] % 1.0 * width).astype(int).clip(0, width - 1)
    rows = np.floor((1.0 - np.asarray(uv)[:, 1]) % 1.0 * height).astype(int).clip(0, height - 1)
    return pixels[rows, columns]  # trimesh measures v upwards from the last row


def write_gaussians(asked: Asked, name: str, gaussian: Any) -> str:
    """The file that holds the activated Gaussians of TRELLIS' class: get_xyz, get_scaling, get_rotation, ..."""
    features = array(gaussian.get_features).reshape(len(array(gaussian.get_xyz)), -1)[:, :3]
    np.savez(
        asked.folder / f"{name}.npz",
        positions=array(gaussian.get_xyz),
        scales=array(gaussian.get_scaling),
        rotations_wxyz=array(gaussian.get_rotation),
        opacities=array(gaussian.get_opacity).reshape(-1),
        colours=0.5 + SH_C0 * features,
    )
    return f"{name}.npz"


def _is_floating(value: Any) -> bool:
    return bool(getattr(value, "is_floating_point", lambda: False)())
