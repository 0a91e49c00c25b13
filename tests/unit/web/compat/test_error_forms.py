"""The errors of each interface: status, form, and whether to try again."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from whisper_service.core.domain import Problem
from whisper_service.web.compat.registry import DIALECTS
from whisper_service.web.http.dialects import error_form


def told(path: str, status: int, code: str, **params: Any) -> tuple[int, dict[str, str], dict[str, Any]]:
    problem = Problem(code, "It is so.", "Do this.", params)
    status, headers, content = error_form(DIALECTS, path)(status, problem)
    return status, headers, msgspec.to_builtins(content)


@pytest.mark.parametrize(
    ("status", "code", "params", "shown", "word", "kind", "again"),
    [
        (422, "invalid_request", {"field": "stream"}, 400, "invalid_value", "invalid_request_error", "false"),
        (
            422,
            "invalid_request",
            {"reason": "unsupported_value"},
            400,
            "unsupported_value",
            "invalid_request_error",
            "false",
        ),
        (422, "invalid_request", {"model": "x/y"}, 404, "model_not_found", "invalid_request_error", "false"),
        (503, "model_unavailable", {}, 404, "model_not_found", "invalid_request_error", "false"),
        (401, "unauthorized", {}, 401, "invalid_api_key", "invalid_request_error", "false"),
        (429, "too_many_tries", {}, 429, "too_many_tries", "rate_limit_error", "true"),
        (500, "not_media", {}, 400, "invalid_audio", "invalid_request_error", "false"),
        (422, "empty_file", {}, 400, "invalid_audio", "invalid_request_error", "false"),
        (500, "oom", {}, 500, "oom", "server_error", "false"),
        (503, "shutting_down", {}, 503, "shutting_down", "server_error", "true"),
        (507, "disk_full", {}, 507, "disk_full", "server_error", "false"),
    ],
)
def test_openai_hears_its_own_words(
    status: int, code: str, params: dict[str, Any], shown: int, word: str, kind: str, again: str
) -> None:
    found, headers, body = told("/v1/audio/transcriptions", status, code, **params)
    assert (found, headers["x-should-retry"]) == (shown, again)
    param = "model" if word == "model_not_found" else params.get("field")
    assert body == {"error": {"message": "It is so. Do this.", "type": kind, "param": param, "code": word}}
    assert told("/openai/v1/models", status, code, **params)[2] == body


def test_whisper_cpp_hears_a_sentence() -> None:
    assert told("/inference", 422, "invalid_request") == (400, {}, {"error": "It is so. Do this."})


@pytest.mark.parametrize("path", ["/asr", "/api/jobs", "/v10", "/inferences", "/"])
def test_all_others_hear_a_problem(path: str) -> None:
    status, headers, body = told(path, 422, "invalid_request", field="x")
    assert (status, headers) == (422, {})
    assert body == {"code": "invalid_request", "message": "It is so.", "hint": "Do this.", "params": {"field": "x"}}
    assert told(path, 500, "no_audio")[0] == 422, "the recording is at fault, not the service"
