"""Every address of the HTTP interface, version 1. No address ends with a slash."""

from __future__ import annotations

from django.urls import path

from annotate import converters
from annotate.api import (
    arena,
    artists,
    assignments,
    guidelines,
    images,
    jobs,
    lineage,
    person,
    projects,
    rounds,
    training,
)

converters.register()

urlpatterns = [
    path("me", projects.MeView.as_view()),
    path("me/settings", person.SettingsView.as_view()),
    path("projects/<row:project_id>", projects.ProjectView.as_view()),
    path("projects/<row:project_id>/images", images.ImagesView.as_view()),
    path("projects/<row:project_id>/my-work", person.MyWorkView.as_view()),
    path("projects/<row:project_id>/guidelines", guidelines.GuidelinesView.as_view()),
    path("guideline-versions/<row:version_id>/acknowledge", guidelines.AcknowledgeView.as_view()),
    path("projects/<row:project_id>/claims", assignments.ClaimsView.as_view()),
    path("assignments/<uuid:assignment>/submit", assignments.SubmitView.as_view()),
    path("assignments/<uuid:assignment>/skip", assignments.SkipView.as_view()),
    path("assignments/<uuid:assignment>/escalate", assignments.EscalateView.as_view()),
    path("assignments/<uuid:assignment>/undo", assignments.UndoView.as_view()),
    path("assignments/<uuid:assignment>/release", assignments.ReleaseView.as_view()),
    path("assignments/<uuid:assignment>/heartbeat", assignments.HeartbeatView.as_view()),
    path("assignments/<uuid:assignment>/draft", assignments.DraftView.as_view()),
    path("assignments/<uuid:assignment>/refine", jobs.RefineView.as_view()),
    path("assignments/<uuid:assignment>/snap", jobs.SnapView.as_view()),
    path("jobs/<uuid:job>", jobs.JobView.as_view()),
    path("jobs/<uuid:job>/retry", jobs.RetryJobView.as_view()),
    path("projects/<row:project_id>/jobs", jobs.JobsView.as_view()),
    path("projects/<row:project_id>/artist-cases", artists.CasesView.as_view()),
    path("artist-cases/<row:case_id>", artists.CaseView.as_view()),
    path("artist-cases/<row:case_id>/claim", artists.ClaimCaseView.as_view()),
    path("artist-cases/<row:case_id>/release", artists.ReleaseCaseView.as_view()),
    path("artist-cases/<row:case_id>/upload", artists.UploadView.as_view()),
    path("projects/<row:project_id>/arenas", arena.ArenasView.as_view()),
    path("arenas/<row:arena_id>", arena.ArenaView.as_view()),
    path("arenas/<row:arena_id>/close", arena.CloseArenaView.as_view()),
    path("projects/<row:project_id>/arena-claims", arena.ArenaClaimsView.as_view()),
    path("arena-matches/<uuid:match>/answer", arena.ArenaAnswerView.as_view()),
    path("arena-matches/<uuid:match>/skip", arena.ArenaSkipView.as_view()),
    path("targets/<row:target_id>/lineage", lineage.TargetLineageView.as_view()),
    path("projects/<row:project_id>/rounds", rounds.RoundsView.as_view()),
    path("rounds/<row:round_id>", rounds.RoundView.as_view()),
    path("rounds/<row:round_id>/close", rounds.CloseRoundView.as_view()),
    path("projects/<row:project_id>/dataset-versions", training.DatasetVersionsView.as_view()),
    path("dataset-versions/<row:dataset_version_id>", training.DatasetVersionView.as_view()),
    path("dataset-versions/<row:dataset_version_id>/diff", training.DatasetDiffView.as_view()),
    path("projects/<row:project_id>/runs", training.RunsView.as_view()),
    path("runs/<row:run_id>", training.RunView.as_view()),
    path("runs/<row:run_id>/cancel", training.CancelRunView.as_view()),
    path("runs/<row:run_id>/resume", training.ResumeRunView.as_view()),
    path("runs/<row:run_id>/clone", training.CloneRunView.as_view()),
    path("checkpoints", training.CheckpointsView.as_view()),
    path("checkpoints/<row:checkpoint_id>", training.CheckpointView.as_view()),
    path("projects/<row:project_id>/deployments", training.DeploymentsView.as_view()),
    path("projects/<row:project_id>/deployments/rollback", training.RollbackView.as_view()),
]
