"""Refusing a request: a status, what is wrong, and what would be right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KINDS = {
    400: "invalid_request_error",
    404: "not_found_error",
    405: "method_not_allowed",
    408: "timeout_error",
    413: "too_large_error",
    415: "unsupported_media_type",
    421: "wrong_host",
    500: "server_error",
    503: "overloaded_error",
}


class Refusal(Exception):
    """A refused request.

    Args:
        status: HTTP status.
        message: What is wrong, and what would be right.
        field: The wrong field of the body, if there is one.
        headers: Headers to send.
    """

    def __init__(
        self, status: int, message: str, field: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.field, self.headers = status, message, field, dict(headers or {})

    def document(self) -> dict[str, Any]:
        """The body of the answer, in the form of OpenAI's API.

        Example:
            >>> Refusal(400, "steps must be at least 1, got 0", "steps").document()["error"]["param"]
            'steps'
        """
        kind, field = KINDS.get(self.status, "error"), self.field
        return {
            "error": {
                "message": _sendable(self.message),
                "type": kind,
                "param": None if field is None else _sendable(field),
                "code": self.status,
            }
        }


def _sendable(text: str) -> str:
    """Text with halves of characters escaped: a request can hold them, and no answer can."""
    return text.encode("utf-8", "backslashreplace").decode()


def bad(field: str | None, message: str) -> Refusal:
    """A wrong field: status 400."""
    return Refusal(400, message, field)
