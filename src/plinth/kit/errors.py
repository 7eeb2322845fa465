"""The errors that people and programs see: fact, value, what is allowed, what to do next."""

from __future__ import annotations

from typing import Any


class PlinthError(Exception):
    """Say what is wrong and what to do next.

    `message` states the fact, the value and what is allowed; `hint` is the next step.
    `code` is stable and for programs; `status` is the HTTP status the API answers with.
    """

    code = "failed"
    status = 400

    def __init__(self, message: str, *, hint: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if code is not None:
            self.code = code

    def to_json(self) -> dict[str, Any]:
        """Return the one JSON shape of an error: `{"error": {"code", "message", "hint"}}`."""
        return {"error": {"code": self.code, "message": self.message, "hint": self.hint}}


class Invalid(PlinthError):
    """What the caller sent cannot be accepted as it is."""

    code = "invalid"
    status = 400


class Unauthenticated(PlinthError):
    """Nobody knows who is asking."""

    code = "unauthenticated"
    status = 401


class Denied(PlinthError):
    """The caller is known and may not do this. `rule` names why, for the audit log."""

    code = "denied"
    status = 403

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        code: str | None = None,
        rule: str = "denied",
    ) -> None:
        super().__init__(message, hint=hint, code=code)
        self.rule = rule


class NotFound(PlinthError):
    """It does not exist, or the caller may not see it."""

    code = "not_found"
    status = 404


class Conflict(PlinthError):
    """It stands against what is already there."""

    code = "conflict"
    status = 409


class TooSlow(PlinthError):
    """What was being sent stopped coming."""

    code = "too_slow"
    status = 408


class TooLarge(PlinthError):
    """More was sent than is accepted."""

    code = "too_large"
    status = 413


class Temporary(PlinthError):
    """It failed now and may succeed after `retry_after_s` seconds."""

    code = "unavailable"
    status = 503

    def __init__(
        self,
        message: str,
        *,
        retry_after_s: float = 1.0,
        hint: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint, code=code)
        self.retry_after_s = retry_after_s


class Busy(Temporary):
    """Others use all there is of it; it is free again after a while."""

    code = "busy"
    status = 429


class Permanent(PlinthError):
    """It failed and will fail again; a reconciler stops trying and shows the reason."""

    code = "permanent"
    status = 500
