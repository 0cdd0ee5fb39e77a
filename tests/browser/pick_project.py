"""A project whose picks take no model: a green ball in a photograph, and eight ellipsoids, the first of them the ball.

``make`` runs inside the site's Django (`RunningSite.shell`); the functions below it ask from outside.
"""

from __future__ import annotations

import io
import json
import sys
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import trimesh
from PIL import Image as Pillow
from PIL import ImageDraw

from modelzoo.decoders.mesh import ColouredMesh, mesh_from_surface
from modelzoo.exports.gaussian_ply import Gaussians, ply_from_gaussians
from modelzoo.exports.glb import glb_from_mesh
from modelzoo.exports.meshopt_glb import compact_glb
from tests.running_site import RunningSite

WIDTH, HEIGHT, FOCAL = 640, 480, 600.0
DISTANCE, RADIUS = 2.4, 0.42  # of the ball from the camera, and its own
GREEN = (0.15, 0.75, 0.25)
UPRIGHT = [2**-0.5, 2**-0.5, 0.0, 0.0]
#: Half axes, sRGB: no two candidates look alike.
SHAPES = (
    ((0.42, 0.42, 0.42), GREEN),
    ((0.42, 0.30, 0.20), (0.85, 0.2, 0.2)),
    ((0.20, 0.30, 0.45), (0.2, 0.35, 0.9)),
    ((0.45, 0.20, 0.30), (0.9, 0.75, 0.2)),
    ((0.30, 0.45, 0.15), (0.7, 0.3, 0.8)),
    ((0.15, 0.15, 0.45), (0.2, 0.75, 0.8)),
    ((0.45, 0.45, 0.15), (0.9, 0.5, 0.2)),
    ((0.35, 0.25, 0.40), (0.5, 0.45, 0.4)),
)


@dataclass(frozen=True, kw_only=True)
class PickProject:
    """``ids`` are the candidates of each task, by task and index; ``files`` the keys of each: mesh and preview."""

    slug: str
    ids: list[list[int]]
    files: list[tuple[str, str]]


def pick_project(site: RunningSite, slug: str, *, mode: str, num_tasks: int) -> PickProject:
    """A new project of the running site with this many pick tasks for ana."""
    code = f"from tests.browser.pick_project import make; make({slug!r}, {mode!r}, {num_tasks})"
    made = json.loads(site.shell(code))
    return PickProject(slug=slug, ids=made["ids"], files=[(mesh, preview) for mesh, preview in made["files"]])


def last_selection(site: RunningSite, slug: str) -> dict[str, Any]:
    """The project's newest selection and its comparisons, as their rows have them."""
    code = f"from tests.browser.pick_project import tell; tell({slug!r})"
    return dict(json.loads(site.shell(code)))


def tell(slug: str) -> None:
    from engine.models import Comparison, Selection

    row = Selection.objects.filter(project__slug=slug).latest("id")
    names = ("winner_id", "mode", "shape_rating", "texture_rating", "shown_order", "inspected", "not_loaded")
    pairs = Comparison.objects.filter(assignment=row.assignment).order_by("order")
    found = {name: getattr(row, name) for name in (*names, "attention")}
    sys.stdout.write(json.dumps({**found, "pairs": list(pairs.values_list("left", "right", "outcome"))}))


def make(slug: str, mode: str, num_tasks: int) -> None:
    from django.contrib.auth import get_user_model
    from django.db import transaction

    from engine import blobs
    from engine.models import Candidate, CandidateBatch, Image, Membership, PointMap, TargetObject
    from engine.services.projects import create_project
    from engine.services.tasks import open_pick_task
    from engine.transitions import Actor

    project = create_project(slug=slug, name=slug.capitalize(), taxonomy=[], stage2_mode=mode)
    Membership.objects.create(
        project=project, user=get_user_model().objects.get(username="ana"), role="annotator"
    )
    photo, mask, box = pictures()
    key = blobs.put(photo, suffix=".png", content_type="image/png")
    image = Image.objects.create(
        project=project, name="green ball", sha256="0" * 64, key=key, thumbnail_key=key, width=WIDTH, height=HEIGHT,
        status="READY",
    )  # fmt: skip
    camera = {"fx": FOCAL, "fy": FOCAL, "cx": WIDTH / 2, "cy": HEIGHT / 2, "width": WIDTH, "height": HEIGHT}
    PointMap.objects.create(
        project=project, image=image, status="READY", source="test", key="aa/none.npz", intrinsics=camera
    )
    target = TargetObject.objects.create(
        project=project, image=image, mask_key=blobs.put(mask, suffix=".png", content_type="image/png"),
        mask_sha256="0" * 64, bbox=box, area_px=box[2] * box[3], label="ball", status="CONFIRMED",
    )  # fmt: skip
    pose = {"rotation_wxyz": UPRIGHT, "translation": [0.0, 0.0, DISTANCE], "scale": 1.0, "unit": "m"}
    files = [files_of(number) for number in range(len(SHAPES))]
    ids = []
    for number in range(num_tasks):
        with transaction.atomic():
            batch = CandidateBatch.objects.create(
                project=project, target=target, num_requested=8, num_candidates=8, seed=number, status="READY"
            )
            made = [
                Candidate.objects.create(
                    project=project, target=target, batch=batch, index=index, source="retrieval", pose=pose,
                    mesh_key=blobs.put(mesh, suffix=".glb", content_type="model/gltf-binary"),
                    preview_key=blobs.put(preview, suffix=".glb", content_type="model/gltf-binary"),
                    splat_key=blobs.put(splats, suffix=".ply", content_type="application/octet-stream"),
                )
                for index, (mesh, preview, splats) in enumerate(files)
            ]  # fmt: skip
            open_pick_task(batch=batch, by=Actor(name="test"))
        ids.append([one.pk for one in made])
    keys = [[one.mesh_key, one.preview_key] for one in made]
    sys.stdout.write(json.dumps({"ids": ids, "files": keys}))


def ellipsoid(number: int, *, subdivisions: int) -> ColouredMesh:
    half_axes, colour = SHAPES[number]
    ball = trimesh.creation.icosphere(subdivisions=subdivisions)
    vertices = (ball.vertices * np.array(half_axes)).astype(np.float32)
    colours = np.tile(np.float32(colour), (len(vertices), 1))
    return mesh_from_surface(vertices, ball.faces.astype(np.int32), colours)


def splats_of(mesh: ColouredMesh) -> Gaussians:
    """One round splat on each vertex."""
    number = len(mesh.vertices)
    return Gaussians(
        positions=mesh.vertices,
        scales=np.full((number, 3), 0.03, np.float32),
        rotations_wxyz=np.tile(np.float32([1, 0, 0, 0]), (number, 1)),
        opacities=np.full(number, 0.9, np.float32),
        colours=mesh.colours,
    )


def files_of(number: int) -> tuple[bytes, bytes, bytes]:
    """Mesh, preview and splats of one of the SHAPES."""
    whole, small = ellipsoid(number, subdivisions=4), ellipsoid(number, subdivisions=3)
    return (
        glb_from_mesh(whole),
        compact_glb(glb_from_mesh(small)),
        ply_from_gaussians(splats_of(ellipsoid(number, subdivisions=2))),
    )


@cache
def pictures() -> tuple[bytes, bytes, list[int]]:
    """Photograph and mask of the ball, and its box: its outline is a circle, as it lies on the camera's axis."""
    radius = FOCAL * RADIUS / (DISTANCE**2 - RADIUS**2) ** 0.5
    edges = [WIDTH / 2 - radius, HEIGHT / 2 - radius, WIDTH / 2 + radius, HEIGHT / 2 + radius]
    photo, mask = Pillow.new("RGB", (WIDTH, HEIGHT), (120, 120, 125)), Pillow.new("L", (WIDTH, HEIGHT), 0)
    ImageDraw.Draw(photo).ellipse(edges, fill=(38, 191, 64))
    ImageDraw.Draw(mask).ellipse(edges, fill=255)
    box = [round(edges[0]), round(edges[1]), round(2 * radius), round(2 * radius)]
    return _png(photo), _png(mask.convert("1")), box


def _png(picture: Pillow.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()
