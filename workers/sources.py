"""Candidate sources that are not our own model: the mesh library of this machine, and foreign generators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from django.conf import settings

from engine.errors import EngineError
from modelzoo.contracts import CandidateRequest, GeneratedCandidate
from modelzoo.ports.catalogue import sources_from_file
from modelzoo.ports.child_process import SourceError
from modelzoo.ports.external import ExternalSource
from modelzoo.ports.image_features import FeaturesMissing
from modelzoo.ports.retrieval import RetrievalSource
from modelzoo.retrieval.library import LibraryRefused
from workers import slots


class SourceUnusable(EngineError):
    """A source that cannot give anything here; the message says what would help. Others may fill up."""

    code = "source_unusable"


def retrieved(request: CandidateRequest, *, count: int) -> Sequence[GeneratedCandidate]:
    """At most ``count`` candidates out of the mesh library, each of another mesh, with the request's first seeds.

    Raises SourceUnusable without a library that can be read.
    """
    if not settings.MESH_LIBRARY:
        raise SourceUnusable("MESH_LIBRARY names no mesh library (docs/guide/retrieval.md)")
    try:
        source = _retrieval(Path(settings.MESH_LIBRARY))
        seeds = request.seeds[: min(count, len(source.library))]
        return source.generate(replace(request, seeds=seeds)) if seeds else ()
    except (LibraryRefused, FeaturesMissing, OSError) as error:
        raise SourceUnusable(f"the mesh library cannot be used: {error}") from error


def foreign(name: str, request: CandidateRequest) -> Sequence[GeneratedCandidate]:
    """One candidate per seed by the port of this name. Raises SourceUnusable."""
    try:
        return _foreign(name).generate(request)
    except SourceError as error:
        raise SourceUnusable(str(error)) from error


@cache
def _retrieval(folder: Path) -> RetrievalSource:
    return RetrievalSource.load(folder, device=slots.device())


@cache
def _foreign(name: str) -> ExternalSource:
    """Its child process starts with the first request and ends with this one."""
    if not settings.SOURCES_TABLE:
        raise SourceUnusable(
            "SOURCES_TABLE names no file that says where sources are installed (docs/guide/ports.md)"
        )
    try:
        known = sources_from_file(Path(settings.SOURCES_TABLE))
    except ValueError as error:
        raise SourceUnusable(str(error)) from error
    if name not in known:
        raise SourceUnusable(f"{settings.SOURCES_TABLE} does not say where {name} is installed")
    return known[name]
