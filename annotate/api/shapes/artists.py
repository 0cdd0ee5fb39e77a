"""The JSON of the artists' cases."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from annotate.api.reading import JsonObject
from annotate.api.shapes.fields import FormFile
from annotate.api.shapes.scene import PhotoRef, TargetRef
from engine.states import ArtistCaseStatus


class CaseCandidate(serializers.Serializer[Any]):
    """A candidate that was not good enough."""

    id = serializers.IntegerField()
    mesh_url = serializers.CharField()
    preview_url = serializers.CharField()


class ArtistCaseRow(serializers.Serializer[Any]):
    """A case in the list."""

    id = serializers.IntegerField()
    status = serializers.ChoiceField(choices=ArtistCaseStatus.choices)
    label = serializers.CharField()
    note = serializers.CharField()
    reason = serializers.CharField()
    photo = PhotoRef()
    target = TargetRef()
    claimed_by = serializers.CharField(
        allow_null=True, help_text="The user name of the artist who works on it."
    )
    created_at = serializers.DateTimeField()


class ArtistCaseList(serializers.Serializer[Any]):
    """The cases, newest first."""

    results = ArtistCaseRow(many=True)


class ArtistCase(ArtistCaseRow):
    """The brief: photograph, mask, what failed and why, and what became of the upload."""

    candidates = CaseCandidate(many=True)
    report = JsonObject(allow_null=True, help_text="What the check of the uploaded mesh found.")
    mesh_url = serializers.CharField(allow_null=True)


class MeshUpload(serializers.Serializer[Any]):
    """A form with one file."""

    file = FormFile(help_text="A binary glTF 2.0 file (.glb), Y-up.")
