"""The console's addresses, below /admin/console/; names are admin:console-*."""

from __future__ import annotations

from typing import Any

from django.urls import URLPattern, path

from engine.admin.console import (
    arenas,
    checkpoints,
    dataset_diffs,
    datasets,
    guidelines,
    jobs,
    quality,
    reviews,
    rounds,
    runs,
    targets,
)
from engine.states import Stage


def _of_stage(stage: Stage) -> list[URLPattern]:
    """The pages of one stage of a project."""
    base = f"projects/<int:project_id>/{stage.value}"
    views: tuple[tuple[str, Any, str], ...] = (
        ("guidelines/", guidelines.guidelines_page, "guidelines"),
        ("guidelines/draft", guidelines.save_draft, "guidelines-draft"),
        ("guidelines/<int:version_id>/publish", guidelines.publish, "guidelines-publish"),
        ("guidelines/examples", guidelines.add_example, "example-add"),
        ("guidelines/examples/<int:example_id>/remove", guidelines.remove_example, "example-remove"),
        ("quiz/", guidelines.quiz_page, "quiz"),
        ("quiz/rules", guidelines.set_rules, "quiz-rules"),
        ("quiz/gold/<int:source_id>", guidelines.make_gold, "gold-make"),
        ("quiz/gold/<int:gold_id>/retire", guidelines.retire_gold, "gold-retire"),
    )
    return [
        path(f"{base}/{rest}", view, {"stage": stage}, name=f"console-{name}") for rest, view, name in views
    ]


urlpatterns = [
    path("projects/<int:project_id>/", rounds.project_page, name="console-project"),
    path("projects/<int:project_id>/rounds/open", rounds.open_round, name="console-round-open"),
    *(each for stage in Stage for each in _of_stage(stage)),
    path("projects/<int:project_id>/quality/", quality.quality_page, name="console-quality"),
    path(
        "projects/<int:project_id>/quality/by-day.json", quality.agreement_by_day, name="console-quality-days"
    ),
    path("projects/<int:project_id>/quality/pause", quality.pause, name="console-pause"),
    path("projects/<int:project_id>/quality/resume", quality.resume, name="console-resume"),
    path("projects/<int:project_id>/quality/overlap", quality.widen, name="console-overlap"),
    path("projects/<int:project_id>/reviews/", reviews.reviews_page, name="console-reviews"),
    path("projects/<int:project_id>/reviews/draw", reviews.draw, name="console-reviews-draw"),
    path("reviews/<int:review_id>/", reviews.review_page, name="console-review"),
    path("reviews/<int:review_id>/accept", reviews.accept, name="console-review-accept"),
    path("reviews/<int:review_id>/fix", reviews.fix, name="console-review-fix"),
    path("reviews/<int:review_id>/send-back", reviews.send_back, name="console-review-back"),
    path("projects/<int:project_id>/arenas/", arenas.arenas_page, name="console-arenas"),
    path("projects/<int:project_id>/arenas/open", arenas.open_arena, name="console-arena-open"),
    path("arenas/<int:arena_id>/", arenas.arena_page, name="console-arena"),
    path("arenas/<int:arena_id>/close", arenas.close_arena, name="console-arena-close"),
    path("rounds/<int:round_id>/", rounds.round_page, name="console-round"),
    path("rounds/<int:round_id>/close", rounds.close_round, name="console-round-close"),
    path("rounds/<int:round_id>/freeze", rounds.freeze, name="console-freeze"),
    path("datasets/<int:version_id>/", datasets.dataset_page, name="console-dataset"),
    path("datasets/<int:version_id>/diff", dataset_diffs.diff_page, name="console-dataset-diff"),
    path("datasets/<int:version_id>/manifest.jsonl", datasets.manifest, name="console-dataset-manifest"),
    path("datasets/<int:version_id>/runs", datasets.start_run, name="console-run-start"),
    path("runs/<int:run_id>/", runs.run_page, name="console-run"),
    path("runs/<int:run_id>/curves.json", runs.run_curves, name="console-run-curves"),
    path("runs/<int:run_id>/cancel", runs.cancel_run, name="console-run-cancel"),
    path("runs/<int:run_id>/resume", runs.resume_run, name="console-run-resume"),
    path("checkpoints/<int:checkpoint_id>/", checkpoints.checkpoint_page, name="console-checkpoint"),
    path("checkpoints/<int:checkpoint_id>/deploy", checkpoints.deploy, name="console-deploy"),
    path("deployments/", checkpoints.deployments_page, name="console-deployments"),
    path("deployments/rollback", checkpoints.rollback, name="console-rollback"),
    path("jobs/", jobs.jobs_page, name="console-jobs"),
    path("jobs/<int:job_id>/retry", jobs.retry_job, name="console-job-retry"),
    path("targets/<int:target_id>/", targets.target_page, name="console-target"),
]
