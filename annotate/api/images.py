"""The project's photographs: see them, hand one in."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response

from annotate.api.reading import MEBIBYTE, row_id_parameter
from annotate.api.shapes.images import Image, ImagePage, UploadRequest
from annotate.api.uploads import LimitedMultiPartParser, read_file
from annotate.api.view import ApiView, operation, present, read
from engine.access import MAY_LOOK, MAY_REVIEW, MAY_TRAIN, require
from engine.selectors.images import image_page, image_row
from engine.services.images import PointMapUpload, ingest_image
from engine.states import Role

#: Who may hand in photographs: everybody who works in the project except pure onlookers.
MAY_UPLOAD = MAY_REVIEW | MAY_TRAIN | {Role.ANNOTATOR, Role.ARTIST}
#: What may be said of a point map; engine checks and modelzoo.depth_files reads it.
MAP_FIELDS = (
    *("depth_scale", "baseline", "doffs", "fx", "fy", "cx", "cy", "fill_px"),
    *("calibration", "T_camera_cloud", "metric"),
)
BEFORE = OpenApiParameter(
    "before", int, description="The next of the page before; without it, the newest page."
)


class ImagesView(ApiView):
    parser_classes = (LimitedMultiPartParser,)
    max_body_bytes = settings.MAX_IMAGE_BYTES + settings.MAX_POINT_MAP_BYTES + MEBIBYTE

    @operation("images.list", answer=ImagePage, headers=(BEFORE,))
    def get(self, request: Request, project_id: int) -> Response:
        """The project's photographs, newest first."""
        require(user_id=self.user_id, project_id=project_id, any_of=MAY_LOOK)
        before = row_id_parameter(request, "before")
        return present(ImagePage, image_page(project_id=project_id, before=before))

    @operation(
        "images.upload",
        body={"multipart/form-data": UploadRequest},
        answer=Image,
        status=201,
        also={200: Image},
    )
    def post(self, request: Request, project_id: int) -> Response:
        """Takes a photograph; the same one again is answered by 200 and the image that is there."""
        require(user_id=self.user_id, project_id=project_id, any_of=MAY_UPLOAD)
        form = read(request, UploadRequest)
        file = form["file"]
        image, is_new = ingest_image(
            project_id=project_id,
            data=read_file(file, limit=settings.MAX_IMAGE_BYTES, what="A photograph", code="image_too_large"),
            name=file.name,
            attribution=form.get("attribution", ""),
            licence=form.get("licence", ""),
            point_map=_point_map(form),
            user_id=self.user_id,
        )
        return present(Image, image_row(image.pk), status=201 if is_new else 200)


def _point_map(form: dict[str, Any]) -> PointMapUpload | None:
    file = form.get("point_map")
    if file is None:
        return None
    data = read_file(file, limit=settings.MAX_POINT_MAP_BYTES, what="A point map", code="point_map_too_large")
    said = {name: form[name] for name in MAP_FIELDS if form.get(name) is not None}
    return PointMapUpload(data=data, filename=file.name, form=said)
