"""How an error is said where the callers are other programs: in their own form, with their own status codes.

Everything else hears a `Problem`. The address decides, so that also what is refused before any handler (no such path, no key)
is understood. Pure.
"""

from __future__ import annotations

from typing import Any, Final

from litestar.openapi.datastructures import ResponseSpec

from whisper_service.core.domain import Problem, Value

OPENAI: Final = ("/v1", "/openai/v1")
WHISPER_CPP: Final = ("/inference", "/load")

AUDIO: Final = frozenset({"empty_file", "not_media", "no_audio", "decode_failed", "too_long", "inflated", "media"})
"""The recording is at fault, and will be when it is sent again."""
_AGAIN: Final = frozenset({429, 503})
"""Statuses after which the same request may go well."""


PATIENCE_S: Final = 120
"""Longer pauses OpenAI's clients do not make; they would upload it all again at once."""


class OpenAIError(Value, frozen=True):
    """All four are always there."""

    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIRefusal(Value, frozen=True):
    """How OpenAI's interface says that something went wrong."""

    error: OpenAIError


class CppError(Value, frozen=True):
    """How whisper.cpp's server says it."""

    error: str


def translate(path: str, status: int, problem: Problem) -> tuple[int, dict[str, str], Any]:
    """Status, headers and body of the answer with which this path refuses."""
    if _below(path, OPENAI):
        status = openai_status(status, problem)
        soon = problem.params.get("retry_after_s", 0) <= PATIENCE_S
        again = "true" if status in _AGAIN and soon else "false"
        return status, {"x-should-retry": again}, OpenAIRefusal(_openai(status, problem))
    if _below(path, WHISPER_CPP):
        return openai_status(status, problem), {}, CppError(sentence(problem))
    return 422 if status == 500 and problem.code in AUDIO else status, {}, problem


def sentence(problem: Problem) -> str:
    """Message and hint: for callers that show one text."""
    return f"{problem.message} {problem.hint}".strip()


def openai_status(status: int, problem: Problem) -> int:
    """The client's mistakes are 400 and a model that is not here is 404: on anything from 500 up clients try again at once."""
    if problem.code == "model_unavailable" or (status == 422 and "model" in problem.params):
        return 404
    if problem.code in AUDIO or status == 422:
        return 400
    return status


def refusals(*statuses: int, said: type[Value] = OpenAIRefusal) -> dict[int, ResponseSpec]:
    """For the `responses` of a route below one of these paths; `said` is what carries the error there."""
    return {
        status: ResponseSpec(said, description=_MEANING[status], generate_examples=False)
        for status in sorted({*statuses, 401, 429})
    }


_MEANING: Final = {
    400: "Something in the request or the recording is not valid",
    401: "A token is wanted",
    403: "It comes from a page of another site",
    404: "There is no such model or address",
    409: "The job was cancelled meanwhile",
    413: "It is too large",
    415: "The body is of a kind that is not accepted",
    421: "The service does not answer to the name in the Host header",
    429: "Too much at once; Retry-After says when to come back",
    500: "The recording could not be transcribed",
    503: "Not now; message says why",
    507: "There is not enough room on the disk",
}


def _below(path: str, roots: tuple[str, ...]) -> bool:
    return any(path == root or path.startswith(f"{root}/") for root in roots)


def _openai(status: int, problem: Problem) -> OpenAIError:
    kind = "server_error" if status >= 500 else "rate_limit_error" if status == 429 else "invalid_request_error"
    code = _code(status, problem)
    field = "model" if code == "model_not_found" else problem.params.get("field")
    return OpenAIError(sentence(problem), kind, field if isinstance(field, str) else None, code)


def _code(status: int, problem: Problem) -> str:
    """OpenAI's word for it where it has one, else ours."""
    if status == 401:
        return "invalid_api_key"
    if status == 404 and (problem.code == "model_unavailable" or "model" in problem.params):
        return "model_not_found"
    if problem.code in AUDIO:
        return "invalid_audio"
    if problem.code == "invalid_request":
        return str(problem.params.get("reason", "invalid_value"))
    return problem.code
