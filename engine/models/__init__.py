"""Every row, one noun a module."""

from engine.models.arena import Arena, ArenaMatch
from engine.models.artist import ArtistCase
from engine.models.candidate import BatchPart, Candidate, CandidateBatch, LayoutProposal
from engine.models.checkpoint import Checkpoint, Deployment, WorkerSwap
from engine.models.dataset import DatasetVersion
from engine.models.guideline import GuidelineAcknowledgement, GuidelineExample, GuidelineVersion
from engine.models.image import Image, PointMap, TargetObject
from engine.models.journal import Job, StateChange
from engine.models.judgement import Alignment, Comparison, MaskEdit, Selection
from engine.models.person import PersonalSettings
from engine.models.project import Membership, Project, TaxonomyEntry
from engine.models.quality import SampledReview, Standing
from engine.models.quiz import GoldAnswer, GoldItem, Quiz, QuizAttempt, QuizQuestion
from engine.models.round import Round
from engine.models.run import RunMetric, TrainingRun
from engine.models.shape import ShapeDescriptor
from engine.models.task import AnnotationTask, Assignment

__all__ = [
    "Alignment",
    "AnnotationTask",
    "Arena",
    "ArenaMatch",
    "ArtistCase",
    "Assignment",
    "BatchPart",
    "Candidate",
    "CandidateBatch",
    "Checkpoint",
    "Comparison",
    "DatasetVersion",
    "Deployment",
    "GoldAnswer",
    "GoldItem",
    "GuidelineAcknowledgement",
    "GuidelineExample",
    "GuidelineVersion",
    "Image",
    "Job",
    "LayoutProposal",
    "MaskEdit",
    "Membership",
    "PersonalSettings",
    "PointMap",
    "Project",
    "Quiz",
    "QuizAttempt",
    "QuizQuestion",
    "Round",
    "RunMetric",
    "SampledReview",
    "Selection",
    "ShapeDescriptor",
    "Standing",
    "StateChange",
    "TargetObject",
    "TaxonomyEntry",
    "TrainingRun",
    "WorkerSwap",
]
