"""What the server refuses and why, in OpenAI's shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Headers = Sequence[tuple[str, str]]


class Refused(Exception):
    """A request that is not answered; the text tells the caller why.

    `code` and `param` are OpenAI's: a stable name, and the field at fault.
    """

    def __init__(
        self,
        message: str,
        status: int = 400,
        *,
        code: str | None = None,
        param: str | None = None,
        headers: Headers = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param
        self.headers = tuple(headers)

    def to_json(self) -> dict[str, Any]:
        """Return the body of the answer, or of the event that ends a stream."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        return {
            "error": {
                "message": str(self),
                "type": kind,
                "param": self.param,
                "code": self.code,
            }
        }


class NotServable(Exception):
    """The model's folder cannot be served by this server; the message says why."""
