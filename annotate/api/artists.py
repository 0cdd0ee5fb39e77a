"""The artists' desk: see the cases, take one, hand in a mesh."""

from __future__ import annotations

from django.conf import settings
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response

from annotate.api.reading import MEBIBYTE
from annotate.api.shapes.artists import ArtistCase, ArtistCaseList, MeshUpload
from annotate.api.uploads import LimitedMultiPartParser, read_file
from annotate.api.view import ApiView, operation, present, read
from engine.access import MAY_MODEL, MAY_REVIEW, access_artist_case, require
from engine.errors import BadInput
from engine.selectors.artist_cases import case_rows, case_view
from engine.services import artists
from engine.states import ArtistCaseStatus

STATUS = OpenApiParameter(
    "status", str, enum=ArtistCaseStatus.values, description="Only cases of this status."
)


class CasesView(ApiView):
    @operation("artist-cases.list", answer=ArtistCaseList, headers=(STATUS,))
    def get(self, request: Request, project_id: int) -> Response:
        """The project's cases."""
        require(user_id=self.user_id, project_id=project_id, any_of=MAY_MODEL | MAY_REVIEW)
        status = request.query_params.get("status")
        if status is not None and status not in ArtistCaseStatus.values:
            raise BadInput(f"status must be one of {', '.join(ArtistCaseStatus.values)}.")
        return present(ArtistCaseList, {"results": case_rows(project_id=project_id, status=status)})


class CaseView(ApiView):
    @operation("artist-cases.get", answer=ArtistCase)
    def get(self, request: Request, case_id: int) -> Response:
        """The brief: photograph, mask, what failed and why, and what became of the upload."""
        access_artist_case(user_id=self.user_id, case_id=case_id, any_of=MAY_MODEL | MAY_REVIEW)
        return present(ArtistCase, case_view(case_id))


class ClaimCaseView(ApiView):
    @operation("artist-cases.claim", answer=ArtistCase)
    def post(self, request: Request, case_id: int) -> Response:
        """Takes the case."""
        artists.claim_case(user_id=self.user_id, case_id=case_id)
        return present(ArtistCase, case_view(case_id))


class ReleaseCaseView(ApiView):
    @operation("artist-cases.release", answer=ArtistCase)
    def post(self, request: Request, case_id: int) -> Response:
        """Gives one's case back."""
        artists.release_case(user_id=self.user_id, case_id=case_id)
        return present(ArtistCase, case_view(case_id))


class UploadView(ApiView):
    parser_classes = (LimitedMultiPartParser,)
    max_body_bytes = settings.MAX_MESH_BYTES + MEBIBYTE

    @operation("artist-cases.upload", body={"multipart/form-data": MeshUpload}, answer=ArtistCase, status=202)
    def post(self, request: Request, case_id: int) -> Response:
        """Hands in the mesh of one's case; a worker checks it and the case says what it found."""
        access_artist_case(user_id=self.user_id, case_id=case_id, any_of=MAY_MODEL)
        file = read(request, MeshUpload)["file"]
        data = read_file(file, limit=settings.MAX_MESH_BYTES, what="A mesh", code="mesh_too_large")
        artists.upload_mesh(user_id=self.user_id, case_id=case_id, data=data, name=file.name)
        return present(ArtistCase, case_view(case_id), status=202)
