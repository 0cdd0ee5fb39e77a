"""Every status and the moves between them. `transitions.transition` is the only reader that acts on ALLOWED."""

from __future__ import annotations

from django.db.models import TextChoices


class Stage(TextChoices):
    OBJECT = "object", "1 Object"
    PICK = "pick", "2 Pick"
    POSE = "pose", "3 Pose"


class Role(TextChoices):
    ANNOTATOR = "annotator"
    ARTIST = "artist"
    REVIEWER = "reviewer"
    LEAD = "lead"
    ML_ENGINEER = "ml_engineer", "ML engineer"
    ADMIN = "admin"


class ImageStatus(TextChoices):
    PENDING = "PENDING"
    READY = "READY"
    REFUSED = "REFUSED"


class PointMapStatus(TextChoices):
    PENDING = "PENDING"
    READY = "READY"
    REFUSED = "REFUSED"


class TargetStatus(TextChoices):
    PROPOSED = "PROPOSED"
    CONFIRMED = "CONFIRMED"
    DISCARDED = "DISCARDED"


class BatchStatus(TextChoices):
    REQUESTED = "REQUESTED"
    GENERATING = "GENERATING"
    READY = "READY"
    FAILED = "FAILED"
    WITHDRAWN = "WITHDRAWN"


class BatchPartStatus(TextChoices):
    ASKED = "ASKED"
    MADE = "MADE"
    MISSING = "MISSING"


class TaskStatus(TextChoices):
    OPEN = "OPEN"
    DONE = "DONE"
    ESCALATED = "ESCALATED"
    CANCELLED = "CANCELLED"


class AssignmentStatus(TextChoices):
    LEASED = "LEASED"
    SUBMITTED = "SUBMITTED"
    SKIPPED = "SKIPPED"
    ESCALATED = "ESCALATED"
    RELEASED = "RELEASED"
    EXPIRED = "EXPIRED"
    RETRACTED = "RETRACTED"


class ArtistCaseStatus(TextChoices):
    OPEN = "OPEN"
    CLAIMED = "CLAIMED"
    UPLOADED = "UPLOADED"
    ACCEPTED = "ACCEPTED"
    REWORK = "REWORK"
    WITHDRAWN = "WITHDRAWN"


class RoundStatus(TextChoices):
    OPEN = "OPEN"
    CLOSED = "CLOSED"


class DatasetStatus(TextChoices):
    DRAFT = "DRAFT"
    FROZEN = "FROZEN"


class RunStatus(TextChoices):
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class CheckpointStatus(TextChoices):
    REGISTERED = "REGISTERED"
    VERIFIED = "VERIFIED"
    REFUSED = "REFUSED"


class DeploymentStatus(TextChoices):
    STAGED = "STAGED"
    CANARY = "CANARY"
    SERVING = "SERVING"
    RETIRED = "RETIRED"


class GuidelineStatus(TextChoices):
    DRAFT = "DRAFT"
    PUBLISHED = "PUBLISHED"


class QuizAttemptStatus(TextChoices):
    OPEN = "OPEN"
    PASSED = "PASSED"
    FAILED = "FAILED"


class StandingStatus(TextChoices):
    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"


class ReviewStatus(TextChoices):
    WAITING = "WAITING"
    ACCEPTED = "ACCEPTED"
    FIXED = "FIXED"
    SENT_BACK = "SENT_BACK"


class ArenaStatus(TextChoices):
    OPEN = "OPEN"
    CLOSED = "CLOSED"


class MatchStatus(TextChoices):
    WAITING = "WAITING"
    CLAIMED = "CLAIMED"
    ANSWERED = "ANSWERED"


class JobStatus(TextChoices):
    PENDING = "PENDING"
    SENT = "SENT"
    DONE = "DONE"
    FAILED = "FAILED"


ALLOWED: dict[type[TextChoices], dict[str, frozenset[str]]] = {
    ImageStatus: {
        ImageStatus.PENDING: frozenset({ImageStatus.READY, ImageStatus.REFUSED}),
    },
    PointMapStatus: {
        # A better map may come later: an operator's file replaces an approximate one, a refused one is tried again.
        PointMapStatus.PENDING: frozenset({PointMapStatus.READY, PointMapStatus.REFUSED}),
        PointMapStatus.READY: frozenset({PointMapStatus.PENDING}),
        PointMapStatus.REFUSED: frozenset({PointMapStatus.PENDING}),
    },
    TargetStatus: {
        TargetStatus.PROPOSED: frozenset({TargetStatus.CONFIRMED, TargetStatus.DISCARDED}),
        # Somebody found the mask wrong: it is a proposal again, which stage 1 redraws or confirms as it stands.
        TargetStatus.CONFIRMED: frozenset({TargetStatus.PROPOSED}),
        # Who had redrawn it took that back.
        TargetStatus.DISCARDED: frozenset({TargetStatus.PROPOSED}),
    },
    BatchStatus: {
        # WITHDRAWN: who marked the target took that back before anybody had picked.
        BatchStatus.REQUESTED: frozenset({BatchStatus.GENERATING, BatchStatus.FAILED, BatchStatus.WITHDRAWN}),
        # A batch whose worker died is taken up again by the next one.
        BatchStatus.GENERATING: frozenset(
            {BatchStatus.READY, BatchStatus.FAILED, BatchStatus.REQUESTED, BatchStatus.WITHDRAWN}
        ),
        BatchStatus.READY: frozenset({BatchStatus.WITHDRAWN}),
        BatchStatus.FAILED: frozenset({BatchStatus.REQUESTED, BatchStatus.WITHDRAWN}),
    },
    BatchPartStatus: {
        BatchPartStatus.ASKED: frozenset({BatchPartStatus.MADE, BatchPartStatus.MISSING}),
        # The batch is asked for again.
        BatchPartStatus.MISSING: frozenset({BatchPartStatus.ASKED}),
    },
    TaskStatus: {
        TaskStatus.OPEN: frozenset({TaskStatus.DONE, TaskStatus.ESCALATED, TaskStatus.CANCELLED}),
        # The judgement that ended it, or the report that cancelled it, was taken back; or one more person is asked,
        # because the judgements so far leave it open, or one of them was sent back.
        TaskStatus.DONE: frozenset({TaskStatus.OPEN}),
        TaskStatus.ESCALATED: frozenset({TaskStatus.OPEN}),
        TaskStatus.CANCELLED: frozenset({TaskStatus.OPEN}),
    },
    AssignmentStatus: {
        AssignmentStatus.LEASED: frozenset(
            {
                AssignmentStatus.SUBMITTED,
                AssignmentStatus.SKIPPED,
                AssignmentStatus.ESCALATED,
                AssignmentStatus.RELEASED,
                AssignmentStatus.EXPIRED,
            }
        ),
        # The same person may take up again what they let go: their draft waits in this row.
        AssignmentStatus.RELEASED: frozenset({AssignmentStatus.LEASED}),
        AssignmentStatus.EXPIRED: frozenset({AssignmentStatus.LEASED}),
        # Taken back: its judgement counts no more, and a new assignment of the same person takes its place.
        AssignmentStatus.SUBMITTED: frozenset({AssignmentStatus.RETRACTED}),
        AssignmentStatus.SKIPPED: frozenset({AssignmentStatus.RETRACTED}),
        AssignmentStatus.ESCALATED: frozenset({AssignmentStatus.RETRACTED}),
    },
    ArtistCaseStatus: {
        ArtistCaseStatus.OPEN: frozenset({ArtistCaseStatus.CLAIMED, ArtistCaseStatus.WITHDRAWN}),
        ArtistCaseStatus.CLAIMED: frozenset({ArtistCaseStatus.UPLOADED, ArtistCaseStatus.OPEN}),
        ArtistCaseStatus.UPLOADED: frozenset({ArtistCaseStatus.ACCEPTED, ArtistCaseStatus.REWORK}),
        ArtistCaseStatus.REWORK: frozenset({ArtistCaseStatus.UPLOADED, ArtistCaseStatus.OPEN}),
    },
    RoundStatus: {RoundStatus.OPEN: frozenset({RoundStatus.CLOSED})},
    DatasetStatus: {DatasetStatus.DRAFT: frozenset({DatasetStatus.FROZEN})},
    RunStatus: {
        RunStatus.QUEUED: frozenset({RunStatus.RUNNING, RunStatus.CANCELLED, RunStatus.FAILED}),
        RunStatus.RUNNING: frozenset({RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED}),
        RunStatus.FAILED: frozenset({RunStatus.QUEUED}),
    },
    CheckpointStatus: {
        CheckpointStatus.REGISTERED: frozenset({CheckpointStatus.VERIFIED, CheckpointStatus.REFUSED}),
    },
    DeploymentStatus: {
        DeploymentStatus.STAGED: frozenset(
            {DeploymentStatus.CANARY, DeploymentStatus.SERVING, DeploymentStatus.RETIRED}
        ),
        DeploymentStatus.CANARY: frozenset({DeploymentStatus.SERVING, DeploymentStatus.RETIRED}),
        DeploymentStatus.SERVING: frozenset({DeploymentStatus.RETIRED}),
    },
    GuidelineStatus: {GuidelineStatus.DRAFT: frozenset({GuidelineStatus.PUBLISHED})},
    QuizAttemptStatus: {
        QuizAttemptStatus.OPEN: frozenset({QuizAttemptStatus.PASSED, QuizAttemptStatus.FAILED}),
    },
    StandingStatus: {
        StandingStatus.ACTIVE: frozenset({StandingStatus.PAUSED}),
        StandingStatus.PAUSED: frozenset({StandingStatus.ACTIVE}),
    },
    ReviewStatus: {
        ReviewStatus.WAITING: frozenset({ReviewStatus.ACCEPTED, ReviewStatus.FIXED, ReviewStatus.SENT_BACK}),
    },
    ArenaStatus: {ArenaStatus.OPEN: frozenset({ArenaStatus.CLOSED})},
    MatchStatus: {
        MatchStatus.WAITING: frozenset({MatchStatus.CLAIMED}),
        # WAITING again: who claimed it did not answer in time.
        MatchStatus.CLAIMED: frozenset({MatchStatus.ANSWERED, MatchStatus.WAITING}),
    },
    JobStatus: {
        # PENDING again: the sweep found it lost by the broker, or its worker dead.
        JobStatus.PENDING: frozenset({JobStatus.SENT, JobStatus.DONE, JobStatus.FAILED}),
        JobStatus.SENT: frozenset({JobStatus.DONE, JobStatus.FAILED, JobStatus.PENDING}),
    },
}

#: Answers that their person may take back.
CAN_BE_UNDONE = (AssignmentStatus.SUBMITTED, AssignmentStatus.SKIPPED, AssignmentStatus.ESCALATED)

#: Assignments that take no draft any more.
IS_ANSWERED = (AssignmentStatus.SUBMITTED, AssignmentStatus.RETRACTED)

#: Cases that wait for no artist any more.
CASE_IS_OVER = (ArtistCaseStatus.ACCEPTED, ArtistCaseStatus.WITHDRAWN)


def is_allowed(old: TextChoices | str, new: TextChoices, *, machine: type[TextChoices]) -> bool:
    """Whether ``machine`` has the move ``old`` > ``new``."""
    return new in ALLOWED[machine].get(machine(old), frozenset())
