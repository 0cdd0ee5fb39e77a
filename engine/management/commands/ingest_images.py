"""Takes photographs from files or folders into a project, with RGB-D siblings where there are some."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from engine.errors import BadInput, EngineError
from engine.models import Project
from engine.services import images
from engine.services.images import PointMapUpload

PHOTOGRAPHS = frozenset({".jpg", ".jpeg", ".png", ".webp"})
DEPTH_NAMES = (
    *("{stem}_depth.png", "{stem}_depth.npz", "{stem}.npz", "{stem}.npy", "{stem}.pfm"),
    *("{stem}.ply", "{stem}.pcd", "{stem}.las"),
)
CAMERA_NAMES = ("{stem}_camera.json", "camera.json")


class Command(BaseCommand):
    help = (
        "Take photographs (JPEG, PNG, WebP) into a project. NAME_depth.png, NAME.npz or NAME.ply beside NAME.jpg is "
        "its point map; a depth PNG needs NAME_camera.json or camera.json with fx, fy, cx, cy and depth_scale. In a "
        "folder with color.png, depth.png and camera.json the depth belongs to color.png."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("paths", nargs="+", type=Path, help="Files or folders.")
        parser.add_argument("--project", required=True, help="The project's slug.")
        parser.add_argument("--attribution", default="")
        parser.add_argument("--licence", default="")
        parser.add_argument("--recursive", action="store_true", help="Look into folders of folders, too.")

    def handle(self, *args: Any, **options: Any) -> None:
        project = Project.objects.filter(slug=options["project"]).first()
        if project is None:
            raise CommandError(f"There is no project {options['project']}.")
        files = list(_photographs(options["paths"], recursive=options["recursive"]))
        if not files:
            raise CommandError("There is no photograph (.jpg, .jpeg, .png, .webp) in the given paths.")
        num_new, num_failed = 0, 0
        for number, path in enumerate(files, start=1):
            try:
                with_depth, is_new = _ingest(path, project=project, options=options)
            except (EngineError, OSError) as error:
                num_failed += 1
                self.stderr.write(f"[{number}/{len(files)}] {path}: {getattr(error, 'message', error)}")
                continue
            num_new += is_new
            how = "new" if is_new else "known already"
            self.stdout.write(f"[{number}/{len(files)}] {path}: {how}{', with depth' if with_depth else ''}")
        self.stdout.write(
            f"{num_new} new, {len(files) - num_new - num_failed} known already, {num_failed} failed"
        )
        if num_failed:
            raise CommandError(f"{num_failed} of {len(files)} files were refused; see above.", returncode=1)


def _ingest(path: Path, *, project: Project, options: dict[str, Any]) -> tuple[bool, bool]:
    """Whether a point map came with it, and whether it is new."""
    point_map = _point_map_of(path)
    _, is_new = images.ingest_image(
        project_id=project.pk,
        data=path.read_bytes(),
        name=path.stem,
        attribution=options["attribution"],
        licence=options["licence"],
        point_map=point_map,
        user_id=None,
    )
    return point_map is not None, is_new


def _photographs(paths: list[Path], *, recursive: bool) -> Iterator[Path]:
    for path in paths:
        if not path.is_dir():
            yield path  # a missing file is reported when it is read
            continue
        for file in sorted(path.rglob("*") if recursive else path.iterdir()):
            if file.suffix.lower() in PHOTOGRAPHS and not _is_companion(file):
                yield file


def _is_companion(file: Path) -> bool:
    """Depth and mask pictures belong to a photograph and are none."""
    return file.stem == "depth" or file.stem.endswith("_depth") or file.stem.startswith("mask_")


def _point_map_of(path: Path) -> PointMapUpload | None:
    names = [name.format(stem=path.stem) for name in DEPTH_NAMES]
    if path.stem == "color":
        names.append("depth.png")
    depth = next((path.with_name(name) for name in names if path.with_name(name).exists()), None)
    if depth is None or depth == path:
        return None
    return PointMapUpload(data=depth.read_bytes(), filename=depth.name, form=_camera_of(path))


def _camera_of(path: Path) -> dict[str, Any]:
    file = next(
        (path.with_name(name.format(stem=path.stem)) for name in CAMERA_NAMES
         if path.with_name(name.format(stem=path.stem)).exists()),
        None,
    )  # fmt: skip
    if file is None:
        return {}
    try:
        camera = json.loads(file.read_text(encoding="utf-8"))
        return {name: camera[name] for name in ("fx", "fy", "cx", "cy", "depth_scale") if name in camera}
    except (ValueError, TypeError) as error:
        raise BadInput(
            f"{file.name} is no JSON object with fx, fy, cx, cy: {error}", code="bad_point_map"
        ) from error
