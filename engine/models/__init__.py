"""Every row, one noun a module."""

from engine.models.arena import Arena, ArenaMatch
from engine.models.artist import ArtistCase
from engine.models.candidate import Candidate, CandidateBatch, LayoutProposal
from engine.models.checkpoint import Checkpoint, Deployment
from engine.models.dataset import DatasetVersion
from engine.models.image import Image, PointMap, TargetObject
from engine.models.journal import Job, StateChange
from engine.models.judgement import Alignment, Comparison, MaskEdit, Selection
from engine.models.project import Membership, Project, TaxonomyEntry
from engine.models.quality import SampledReview, Standing
from engine.models.round import Round
from engine.models.run import RunMetric, TrainingRun
from engine.models.task import AnnotationTask, Assignment

__all__ = [
    "Alignment",
    "AnnotationTask",
    "Arena",
    "ArenaMatch",
    "ArtistCase",
    "Assignment",
    "Candidate",
    "CandidateBatch",
    "Checkpoint",
    "Comparison",
    "DatasetVersion",
    "Deployment",
    "Image",
    "Job",
    "LayoutProposal",
    "MaskEdit",
    "Membership",
    "PointMap",
    "Project",
    "Round",
    "RunMetric",
    "SampledReview",
    "Selection",
    "Standing",
    "StateChange",
    "TargetObject",
    "TaxonomyEntry",
    "TrainingRun",
]
