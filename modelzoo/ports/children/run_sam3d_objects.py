"""Child of the port to the official sam3d_objects package: its pipeline.yaml, built by hydra, and ``pipeline.run``.

Relies on ``run(image, mask, seed, with_mesh_postprocess, with_texture_baking, with_layout_postprocess,
use_vertex_color, stage1_inference_steps, stage2_inference_steps, pointmap, decode_formats)``, of which only those are
passed that this version takes, and on its answer: ``mesh`` or ``glb``, ``gaussian``, ``rotation`` (w, x, y, z, for row
vectors), ``translation``, ``scale``, ``downsample_factor``, ``iou`` after layout optimisation. PyTorch3D camera axes;
the object frame is Z-up, the ``glb`` Y-up (sam3d facts 8).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from modelzoo.ports.children.foreign_side import (
    Asked,
    ChildError,
    array,
    item,
    needed,
    option,
    supported,
    write_gaussians,
    write_mesh,
    write_trimesh,
)

INSTALL = (
    "install github.com/facebookresearch/sam-3d-objects as its doc/setup.md says, in an environment of its own, accept "
    "the SAM License for its checkpoints, and name checkpoints/hf/pipeline.yaml as the option config"
)
ROOTS = ("sam3d_objects", "torch", "torchvision", "moge")
#: Parts of allowed packages that load or run code of a file's or a server's choosing.
FORBIDDEN = (
    "torch.hub",
    "torch.load",
    "torch.jit",
    "torch.package",
    "torch.utils.cpp_extension",
    "torch.ops",
    "torch.classes",
)
CAMERA = np.array([-1.0, -1.0, 1.0], np.float32)  # OpenCV to PyTorch3D axes


def load(options: dict[str, Any]) -> Any:
    os.environ.setdefault(
        "LIDRA_SKIP_INIT", "1"
    )  # without it the package imports a module that it does not hold
    needed("sam3d_objects", install=INSTALL)
    omegaconf = needed("omegaconf", install=INSTALL)
    hydra = needed("hydra.utils", install=INSTALL)
    file = Path(option(options, "config", meaning="the path of the official pipeline.yaml"))
    if not file.is_file():
        raise ChildError("config_missing", f"there is no pipeline configuration at {file}")
    config = omegaconf.OmegaConf.load(str(file))
    for name, document in _documents(omegaconf.OmegaConf, config, file):
        check_targets(document, file=name)
    config.rendering_engine = "pytorch3d"
    config.compile_model = False
    config.workspace_dir = str(file.parent)
    return hydra.instantiate(config)


def check_targets(document: Any, *, file: str) -> None:
    """Raises ChildError for a ``_target_`` outside the packages that a configuration may name."""
    for target in _targets(document):
        root = target.split(".", 1)[0]
        forbidden = any(target == one or target.startswith(f"{one}.") for one in FORBIDDEN)
        if root not in ROOTS or forbidden:
            raise ChildError(
                "target_refused", f"{file} names {target!r}, which this port does not let a file build"
            )


def generate(pipeline: Any, asked: Asked) -> list[dict[str, Any]]:
    photograph = np.asarray(asked.rgba())
    points = None
    if asked.points is not None:
        torch = needed("torch", install=INSTALL)
        points = torch.from_numpy(np.ascontiguousarray(asked.points * CAMERA))
    items = []
    for seed in asked.seeds:
        wanted = {
            "image": photograph,
            "mask": None,
            "seed": seed,
            "stage1_only": False,
            "with_mesh_postprocess": False,
            "with_texture_baking": False,
            "with_layout_postprocess": bool(asked.options.get("layout_postprocess", True)),
            "use_vertex_color": True,
            "stage1_inference_steps": asked.options.get("stage1_steps"),
            "stage2_inference_steps": asked.options.get("stage2_steps"),
            "pointmap": points,
            "decode_formats": ["gaussian", "mesh"],
        }
        arguments, dropped = supported(pipeline.run, wanted, required=("image", "mask", "seed"))
        lost = tuple(f"argument_ignored_{name}" for name in dropped if wanted[name] is not None)
        items.append(
            _item(
                asked,
                seed,
                pipeline.run(**arguments),
                own_points=points is not None and "pointmap" not in dropped,
                notes=lost,
            )
        )
    return items


def _item(asked: Asked, seed: int, made: Any, *, own_points: bool, notes: tuple[str, ...]) -> dict[str, Any]:
    notes = (*notes, *(() if own_points else ("point_map_guessed_by_source",)))
    if made.get("iou") is not None:
        notes = (*notes, "layout_post_optimised")
    if float(np.max(array(made.get("downsample_factor", 1)))) > 1:
        notes = (*notes, "voxels_downsampled")
    gaussians = made.get("gaussian") or ([made["gs"]] if made.get("gs") is not None else None)
    pose = {
        "convention": "pytorch3d_rows",
        "rotation_wxyz": array(made["rotation"]).reshape(4).tolist(),
        "translation": array(made["translation"]).reshape(3).tolist(),
        "scale": array(made["scale"]).reshape(-1).tolist(),
        "own_points": own_points,
    }
    mesh, axes, steps = _mesh(asked, seed, made)
    return item(
        seed,
        mesh=mesh,
        axes=axes,
        gaussians=write_gaussians(asked, f"gaussians_{seed}", gaussians[0]) if gaussians else None,
        pose=pose,
        fallbacks=(*notes, *steps),
    )


def _mesh(asked: Asked, seed: int, made: Any) -> tuple[str, str, tuple[str, ...]]:
    """The decoded surface in the Z-up object frame, or else the GLB's, which is turned to Y-up."""
    name = f"mesh_{seed}"
    decoded = made["mesh"][0] if made.get("mesh") else None
    if decoded is not None and getattr(decoded, "success", True) and len(array(decoded.faces)):
        colours = getattr(decoded, "vertex_attrs", None)
        file = write_mesh(asked, name, vertices=decoded.vertices, faces=decoded.faces, colours=colours)
        return file, "z_up", ()
    if made.get("glb") is None:
        raise ChildError("no_surface", f"the model found no surface for seed {seed}")
    return write_trimesh(asked, name, made["glb"]), "y_up", ("mesh_from_glb",)


def _documents(reader: Any, config: Any, file: Path) -> Iterator[tuple[str, Any]]:
    """The pipeline's configuration and those that it names, which the package builds in turn."""
    document = reader.to_container(config, resolve=False)
    yield file.name, document
    for key, value in document.items():
        if str(key).endswith("_config_path") and value is not None:
            named = file.parent / str(value)
            if not named.is_file():
                raise ChildError("config_missing", f"{file.name} names {value}, which is not beside it")
            yield named.name, reader.to_container(reader.load(str(named)), resolve=False)


def _targets(document: Any) -> Iterator[str]:
    if isinstance(document, dict):
        for key, value in document.items():
            if key == "_target_":
                yield str(value)
            else:
                yield from _targets(value)
    elif isinstance(document, (list, tuple)):
        for value in document:
            yield from _targets(value)
