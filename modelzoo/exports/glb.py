"""Triangle meshes as GLB files, Y-up: vertex colours or a texture, in small whole numbers (KHR_mesh_quantization).

``asset.extras`` of each file names its frame and unit. Vertex colours are linear as glTF wants them, textures sRGB.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from modelzoo import frames
from modelzoo.decoders.cleanup import Surface, simplified
from modelzoo.decoders.mesh import ColouredMesh, smooth_normals
from modelzoo.exports.colour_space import linear_from_srgb
from modelzoo.exports.gltf import GlbBuilder
from modelzoo.exports.meshopt_glb import compact_glb
from modelzoo.exports.texture import TexturedMesh

PREVIEW_FACES = 12_000
OBJECT_FRAME = "object"
OBJECT_EXTRAS = {
    "frame": OBJECT_FRAME,
    "unit": "unit cube",
    "axes": "Y-up: the object's Z-up (x, y, z) is stored as (x, z, -y)",
}
STEPS = 65535  # of a quantised position or colour


def glb_from_mesh(mesh: ColouredMesh, *, name: str = "candidate", copyright: str = "") -> bytes:
    """GLB of an object-frame mesh with vertex colours: u16 positions under a node's transform, i8 normals.

    glTF vertex colours are linear, and eight linear bits band the dark half, so colours take sixteen.
    """
    builder = GlbBuilder(extras=OBJECT_EXTRAS, copyright=copyright)
    light = linear_from_srgb(mesh.colours)
    opaque = np.concatenate([light, np.ones((len(light), 1))], axis=1)
    colours = builder.add_rows(np.rint(opaque * STEPS).astype(np.uint16), normalized=True)
    material = builder.add("materials", {"name": "vertex colours", "pbrMetallicRoughness": _matt()})
    node = _add_node(
        builder, mesh.vertices, mesh.normals, mesh.faces, _Paint("COLOR_0", colours, material), name=name
    )
    return builder.glb(roots=[node])


def glb_from_textured(textured: TexturedMesh, *, name: str = "candidate", copyright: str = "") -> bytes:
    """GLB of an object-frame mesh with its base colour in an embedded JPEG."""
    builder = GlbBuilder(extras=OBJECT_EXTRAS, copyright=copyright)
    # Texture coordinates stay floats: some readers take whole ones as they are, not as shares of their range.
    uvs = builder.add_rows(textured.uvs)
    texture = builder.add_texture(textured.jpeg(), mime_type="image/jpeg")
    surface = _matt() | {"baseColorTexture": {"index": texture}}
    material = builder.add("materials", {"name": "baked", "pbrMetallicRoughness": surface})
    node = _add_node(
        *(builder, textured.vertices, textured.normals, textured.faces),
        _Paint("TEXCOORD_0", uvs, material),
        name=name,
    )
    return builder.glb(roots=[node])


def preview_glb_from_mesh(mesh: ColouredMesh, *, name: str = "candidate", copyright: str = "") -> bytes:
    """The vertex-coloured GLB with at most PREVIEW_FACES faces, compressed, for a grid of eight."""
    return compact_glb(glb_from_mesh(_preview(mesh), name=name, copyright=copyright))


def _preview(mesh: ColouredMesh) -> ColouredMesh:
    """Decimated; each vertex has the mean colour of the surface around it: that of one point would be a blotch."""
    if len(mesh.faces) <= PREVIEW_FACES:
        return mesh
    fewer = simplified(Surface(vertices=mesh.vertices, faces=mesh.faces), max_faces=PREVIEW_FACES)
    normals = smooth_normals(fewer.vertices, fewer.faces)
    nearest = cKDTree(fewer.vertices).query(mesh.vertices)[1]
    # The other side of something thin is near too, but looks another way.
    same_side = (mesh.normals * normals[nearest]).sum(axis=1) > 0
    nearest, colours = nearest[same_side], mesh.colours[same_side]
    number = np.bincount(nearest, minlength=len(fewer.vertices))
    sums = np.stack(
        [np.bincount(nearest, weights=colours[:, c], minlength=len(number)) for c in range(3)], axis=-1
    )
    means, alone = sums / np.maximum(number, 1)[:, None], number == 0
    if alone.any():
        means[alone] = mesh.colours[cKDTree(mesh.vertices).query(fewer.vertices[alone])[1]]
    return ColouredMesh(
        vertices=fewer.vertices, faces=fewer.faces, normals=normals, colours=means.astype(np.float32)
    )


@dataclass(frozen=True)
class _Paint:
    attribute: str
    accessor: int
    material: int


def _add_node(
    builder: GlbBuilder,
    vertices: NDArray[np.float32],
    normals: NDArray[np.float32],
    faces: NDArray[np.int32],
    paint: _Paint,
    *,
    name: str,
) -> int:
    """The node that takes quantised positions back to where they were."""
    builder.require("KHR_mesh_quantization")
    positions = frames.glb_from_object(vertices)
    low = positions.min(axis=0)
    extent = float(max((positions.max(axis=0) - low).max(), 1e-9))
    quantised = np.rint((positions - low) / extent * STEPS).astype(np.uint16)
    directions = np.rint(frames.glb_from_object(normals) * 127).astype(np.int8)
    primitive = {
        "attributes": {
            "POSITION": builder.add_rows(quantised, with_limits=True),
            "NORMAL": builder.add_rows(directions, normalized=True),
            paint.attribute: paint.accessor,
        },
        "indices": builder.add_indices(faces, num_vertices=len(vertices)),
        "material": paint.material,
    }
    mesh = builder.add("meshes", {"name": name, "primitives": [primitive]})
    return builder.add(
        "nodes", {"name": name, "mesh": mesh, "translation": low.tolist(), "scale": [extent / STEPS] * 3}
    )


def _matt() -> dict[str, Any]:
    return {"metallicFactor": 0, "roughnessFactor": 1}
