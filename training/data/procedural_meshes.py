"""Writes procedural objects as coloured GLB files: the mesh library that needs nothing from elsewhere.

``python -m training.data.procedural_meshes FOLDER --count 60``, then
``python -m modelzoo.retrieval folder LIBRARY FOLDER``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from skimage.measure import marching_cubes
from tqdm import trange

from modelzoo.decoders.mesh import ColouredMesh, decimate, mesh_from_surface
from modelzoo.exports.glb import glb_from_mesh
from modelzoo.frames import voxel_centres
from training.data.objects import ProceduralObject, make_object, object_colour, object_field

RESOLUTION = 96
MAX_FACES = 20_000


def main(arguments: list[str] | None = None) -> int:
    """Write ``--count`` objects of ``--seed``; the same files for the same numbers."""
    parser = argparse.ArgumentParser(prog="python -m training.data.procedural_meshes", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    for index in trange(options.count, unit="mesh"):
        write_object(options.folder, seed=options.seed, index=index)
    return 0


def write_object(folder: Path, *, seed: int, index: int) -> Path:
    """One object as ``FAMILY_SEED_INDEX.glb``."""
    item = make_object(np.random.default_rng([seed, index]))
    path = folder / f"{item.family}_{seed}_{index:04d}.glb"
    path.write_bytes(glb_from_mesh(object_mesh(item), name=item.family, copyright="procedural, CC0-1.0"))
    return path


def object_mesh(item: ProceduralObject, *, resolution: int = RESOLUTION) -> ColouredMesh:
    """The object's surface with its own unlit colours."""
    distance = object_field(item, voxel_centres(resolution))[0].reshape((resolution,) * 3)
    padded = np.pad(distance, 1, constant_values=1.0)
    grid, faces, _, _ = marching_cubes(
        padded, level=0.0, allow_degenerate=False, gradient_direction="descent"
    )
    vertices = ((grid - 1 + 0.5) / resolution - 0.5).astype(np.float32)
    mesh = mesh_from_surface(vertices, faces.astype(np.int32), object_colour(item, vertices))
    return decimate(mesh, max_faces=MAX_FACES)


if __name__ == "__main__":
    sys.exit(main())
