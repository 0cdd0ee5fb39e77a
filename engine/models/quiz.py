"""Tasks whose answer is known, and the entry quiz that asks them before somebody may work in a stage."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import CheckConstraint, F, Q, UniqueConstraint

from engine.models.project import Project
from engine.models.task import AnnotationTask, Assignment
from engine.states import QuizAttemptStatus, Stage


class GoldItem(models.Model):
    """A task with its known answer, made from a confirmed judgement. ``answer`` and ``task`` never change.

    ``answer`` by stage: object {mask_key, iou_at_least}; pick {best, avoid} (candidate ids); pose {pose, rotation_deg,
    symmetry_order, translation_share, add_s_share}.
    """

    project = models.ForeignKey(Project, models.CASCADE, related_name="gold_items")
    stage = models.CharField(max_length=8, choices=Stage.choices)
    task = models.ForeignKey(AnnotationTask, models.CASCADE, related_name="gold_items")
    answer = models.JSONField()
    prompt = models.CharField(max_length=200, blank=True, help_text="What the person is asked to do.")
    why = models.TextField(help_text="Told after the answer: why it is right.")
    added_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    retired_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            UniqueConstraint(fields=["task"], condition=Q(retired_at__isnull=True), name="gold_one_per_task"),
            CheckConstraint(condition=~Q(why=""), name="gold_says_why"),
        ]

    def __str__(self) -> str:
        return f"gold {self.pk}"


class Quiz(models.Model):
    """The entry quiz of a stage: how many gold tasks it asks, how many must be right, how soon it may be repeated."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="quizzes")
    stage = models.CharField(max_length=8, choices=Stage.choices)
    is_on = models.BooleanField(default=False)
    num_questions = models.PositiveSmallIntegerField(default=5)
    num_needed = models.PositiveSmallIntegerField(default=4)
    pause_seconds = models.PositiveIntegerField(default=300)

    class Meta:
        verbose_name_plural = "quizzes"
        constraints = [
            UniqueConstraint(fields=["project", "stage"], name="quiz_once_per_stage"),
            CheckConstraint(
                condition=Q(num_needed__gte=1, num_questions__lte=50, num_needed__lte=F("num_questions")),
                name="quiz_can_be_passed",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.stage} quiz"


class QuizAttempt(models.Model):
    """One person's go at a quiz, with the numbers that held when it began."""

    EVENT = "quiz_attempt"

    project = models.ForeignKey(Project, models.CASCADE)
    quiz = models.ForeignKey(Quiz, models.CASCADE, related_name="attempts")
    annotator = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="quiz_attempts")
    status = models.CharField(
        max_length=12, choices=QuizAttemptStatus.choices, default=QuizAttemptStatus.OPEN
    )
    num_questions = models.PositiveSmallIntegerField()
    num_needed = models.PositiveSmallIntegerField()
    num_right = models.PositiveSmallIntegerField(default=0)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            UniqueConstraint(
                fields=["quiz", "annotator"],
                condition=Q(status=QuizAttemptStatus.OPEN),
                name="quiz_one_open_attempt",
            ),
            CheckConstraint(
                condition=~Q(status=QuizAttemptStatus.PASSED) | Q(num_right__gte=F("num_needed")),
                name="quiz_passed_by_enough",
            ),
            CheckConstraint(
                condition=Q(status=QuizAttemptStatus.OPEN) | Q(ended_at__isnull=False),
                name="quiz_ended_has_an_end",
            ),
        ]

    def __str__(self) -> str:
        return f"quiz attempt {self.pk}"


class QuizQuestion(models.Model):
    """One gold task of an attempt, at its place in the order that was drawn when the attempt began."""

    attempt = models.ForeignKey(QuizAttempt, models.CASCADE, related_name="questions")
    gold = models.ForeignKey(GoldItem, models.CASCADE, related_name="questions")
    order = models.PositiveSmallIntegerField()

    class Meta:
        ordering = ["order"]
        constraints = [
            UniqueConstraint(fields=["attempt", "order"], name="quiz_question_order_once"),
            UniqueConstraint(fields=["attempt", "gold"], name="quiz_question_gold_once"),
        ]


class GoldAnswer(models.Model):
    """What somebody answered to a gold task, and how it was marked. Append-only, and never part of a dataset.

    Of a question of a quiz, or without one of gold that was hidden among work (its assignment names the gold).
    """

    question = models.OneToOneField(
        QuizQuestion, models.CASCADE, null=True, blank=True, related_name="answer"
    )
    assignment = models.OneToOneField(Assignment, models.CASCADE, related_name="gold_answer")
    is_right = models.BooleanField()
    figures = models.JSONField(default=dict, help_text="What the mark was given for.")
    sent = models.JSONField(
        default=dict,
        help_text="Of hidden gold: the answer, for the person's own list and for taking it back.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
