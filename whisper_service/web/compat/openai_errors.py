"""Tell errors in the form of OpenAI's interface: status, body, and whether to try again. Pure."""

from __future__ import annotations

from typing import Final

from whisper_service.core.domain import Problem, Value
from whisper_service.web.http.dialects import AUDIO, ErrorAnswer, sentence

PATIENCE_S: Final = 120
"""OpenAI's clients make no longer pauses. After a longer `Retry-After` they would upload everything again at once."""
_MAY_PASS: Final = frozenset({429, 503})
"""Statuses after which the same request may succeed."""


class OpenAIError(Value, frozen=True):
    """What went wrong. Clients expect all four fields."""

    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIRefusal(Value, frozen=True):
    """The body of an error."""

    error: OpenAIError


def refusal(status: int, problem: Problem) -> ErrorAnswer:
    """Return an error as OpenAI's clients expect it."""
    status = openai_status(status, problem)
    soon = problem.params.get("retry_after_s", 0) <= PATIENCE_S
    headers = {"x-should-retry": "true" if status in _MAY_PASS and soon else "false"}
    kind = "server_error" if status >= 500 else "rate_limit_error" if status == 429 else "invalid_request_error"
    code = _code(status, problem)
    field = "model" if code == "model_not_found" else problem.params.get("field")
    error = OpenAIError(sentence(problem), kind, field if isinstance(field, str) else None, code)
    return ErrorAnswer(status, headers, OpenAIRefusal(error))


def openai_status(status: int, problem: Problem) -> int:
    """Return 400 for faults of the client, 404 for a missing model.

    OpenAI's clients repeat a request at once after a status of 500 or more.
    """
    if problem.code == "model_unavailable" or (status == 422 and "model" in problem.params):
        return 404
    if problem.code in AUDIO or status == 422:
        return 400
    return status


def _code(status: int, problem: Problem) -> str:
    """Return OpenAI's code if it has one, else the code of the problem."""
    if status == 401:
        return "invalid_api_key"
    if status == 404 and (problem.code == "model_unavailable" or "model" in problem.params):
        return "model_not_found"
    if problem.code in AUDIO:
        return "invalid_audio"
    if problem.code == "invalid_request":
        return str(problem.params.get("reason", "invalid_value"))
    return problem.code
