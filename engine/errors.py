"""The one error class that crosses folder borders, and its well-known kinds."""

from __future__ import annotations

from typing import Any


class EngineError(Exception):
    """``code`` for machines, ``message`` for the person who sees it, ``permanent`` for workers (retry or not)."""

    code = "engine_error"
    permanent = True

    def __init__(
        self, message: str, *, code: str | None = None, permanent: bool | None = None, **detail: Any
    ):
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.permanent = type(self).permanent if permanent is None else permanent
        self.detail = detail


class StaleTransition(EngineError):
    """Someone else moved the row first, or the row is not where the caller believed."""

    code = "stale_transition"


class IllegalTransition(EngineError):
    """The state machine has no such move."""

    code = "illegal_transition"


class NoAccess(EngineError):
    """The person may not do this here."""

    code = "no_access"


class NotFound(EngineError):
    """There is no such row, or the person may not know of it."""

    code = "not_found"


class LeaseLost(EngineError):
    """The lease is not live, or not this person's; whatever was drafted is kept."""

    code = "lease_lost"


class CannotUndo(EngineError):
    """The answer must stand; the code and the message say why."""

    code = "undo_built_on"


class DraftConflict(EngineError):
    """Another tab saved a newer draft."""

    code = "draft_conflict"


class IdempotencyConflict(EngineError):
    """The assignment was already submitted, under another Idempotency-Key."""

    code = "idempotency_conflict"


class BadInput(EngineError):
    """The caller sent something malformed; the message says what would be right."""

    code = "bad_request"


class BlobMissing(EngineError):
    """The object store has no such blob (yet)."""

    code = "blob_missing"
    permanent = False


class StoreUnavailable(EngineError):
    """The object store or the broker does not answer; try again."""

    code = "store_unavailable"
    permanent = False
