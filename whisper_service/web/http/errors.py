"""Answer every error with `{code, message, hint, params}` and its HTTP status, never with a traceback.

The only module that knows which error has which status. A dialect may tell errors in another form.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi.datastructures import ResponseSpec
from msgspec.structs import replace

from whisper_service.app import calls
from whisper_service.core import errors
from whisper_service.core.domain import Problem, Value
from whisper_service.core.text import quoted
from whisper_service.web.http.dialects import AUDIO, Dialect, error_form

logger = logging.getLogger(__name__)
Incoming = Request[Any, Any, Any]

STATUS: Final[dict[type[errors.ServiceError], int]] = {
    errors.InvalidRequest: 422,
    errors.VersionMissing: 428,
    errors.UnsupportedMedia: 415,
    errors.TooLarge: 413,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.DiskFull: 507,
    errors.ModelUnavailable: 503,
    errors.ModelBroken: 503,
    errors.ImportRefused: 403,
    errors.StoreBusy: 503,
    errors.Unavailable: 503,
    errors.ObjectStoreFailed: 503,
    errors.RecordingLost: 404,
    errors.UploadBroken: 400,
    errors.UploadLocked: 423,
    errors.ChecksumMismatch: 460,
    errors.UploadProtocol: 412,
    errors.Unauthorized: 401,
    errors.TooManyTries: 429,
    calls.CallWaits: 503,
    calls.SpeakersMissing: 503,
    errors.TooManySessions: 429,
    errors.TooManyUploads: 503,  # on 429, common tus clients give up a resumable upload
}
"""The status of a class counts for its subclasses too. A class that is missing is a fault of the service: 500."""

_CODES: Final = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
    422: "invalid_request",
    500: "internal",
}
_MESSAGES: Final = {
    404: "There is nothing at this address.",
    405: "This address does not accept this method.",
    413: "The request is larger than this address accepts.",
}
"""Messages that replace those of the framework."""
_HINTS: Final = {
    400: "Check what the client sends. The documentation at /schema says what is expected.",
    404: "The documentation at /schema lists the addresses, GET /api/jobs lists the jobs. A job may have been deleted.",
    413: "The documentation at /schema says what is accepted.",
    422: "The documentation at /schema says what each parameter accepts.",
}
"""Hints for errors that have none of their own."""
_MEANING: Final = {
    400: "The request or the recording is not valid",
    401: "A token is required",
    403: "The request comes from a page of another site, or is not allowed",
    404: "What the request names does not exist",
    409: "The request does not fit the present state",
    412: "The request uses another version of the protocol",
    413: "The request is too large",
    415: "The body is of a kind that is not accepted",
    416: "The file has no bytes in this range",
    421: "The service does not answer to the name in the Host header",
    422: "Something in the request is not valid; params.field names it",
    423: "Another connection is sending this upload",
    428: "An operation does not say which version of its line it is for",
    429: "Too many requests; Retry-After says when to try again",
    460: "The checksum does not fit the bytes",
    500: "The service failed; message says why",
    503: "The service cannot do this now; message says why",
    507: "There is not enough space on the disk",
}
_ENUM: Final = re.compile(r"Invalid enum value .*?(?= - at `\$|$)", re.DOTALL)
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(.*?)`(?= - at `\$|$)", re.DOTALL)
"""What msgspec says about a value of the client, which is in the message."""
_INTERNAL: Final = Problem(
    code="internal",
    message="Something went wrong inside the service.",
    hint="The log of the service says what. Try again; nothing that was accepted is lost.",
)


def status_of(error: errors.ServiceError) -> int:
    """Return the HTTP status of an error."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def problems(*statuses: int, form: type[Value] = Problem) -> dict[int, ResponseSpec]:
    """Return the `responses` of a route: errors with these statuses, and with those that every route can have."""
    return {
        status: ResponseSpec(form, description=_MEANING[status], generate_examples=False)
        for status in sorted({*statuses, 400, 401, 421, 429, 500})
    }


def handlers(dialects: Sequence[Dialect]) -> dict[int | type[Exception], Any]:
    """Return the exception handlers of an application that has these dialects."""
    return {
        errors.ServiceError: partial(on_service_error, dialects),
        HTTPException: partial(_on_http_exception, dialects),
        Exception: partial(_on_defect, dialects),
    }


def on_service_error(dialects: Sequence[Dialect], request: Incoming, error: errors.ServiceError) -> Response[Any]:
    """Answer an error that the service raised itself."""
    status = status_of(error)
    if status >= 500 and error.problem.code not in AUDIO:
        logger.warning("%s", error.message, extra={"code": error.problem.code, "path": request.url.path})
    return _answer(dialects, request, status, error.problem, error_headers(error))


def error_headers(error: errors.ServiceError) -> dict[str, str]:
    """Return the headers that tell programs what to do about an error."""
    if isinstance(error, errors.Unauthorized):
        return {"WWW-Authenticate": "Bearer"}
    return {"Retry-After": str(error.params["retry_after_s"])} if "retry_after_s" in error.params else {}


def _on_http_exception(dialects: Sequence[Dialect], request: Incoming, error: HTTPException) -> Response[Any]:
    """Answer an error of the framework: no such path or method, parameters of the wrong kind."""
    status = error.status_code
    if isinstance(error, ValidationException):
        faults = [fault for fault in error.extra or () if isinstance(fault, dict)]
        message = "; ".join(
            f"{quoted_field(fault.get('key'))}: {in_words(str(fault.get('message', '')))}" for fault in faults
        )
        field = {"field": faults[0].get("key")} if faults else {}
        problem = Problem(code="invalid_request", message=message or error.detail, params=field)
        return _answer(dialects, request, 422, problem)
    if status >= 500:
        return _on_defect(dialects, request, error)
    problem = Problem(code=_CODES.get(status, "bad_request"), message=_MESSAGES.get(status, error.detail))
    if allowed := {name.lower(): value for name, value in (error.headers or {}).items()}.get("allow"):
        problem = replace(problem, hint=f"It accepts {allowed}.")
    return _answer(dialects, request, status, problem, error.headers)


def in_words(message: str) -> str:
    """Return a message of the library that checks values, without the value in Python's notation."""
    message = _ENUM.sub("The value is not one of the choices", message)
    return _UNKNOWN.sub(lambda found: f"There is no field {quoted(found[1])}", message)


def quoted_field(key: object) -> str:
    """Return the name of a field as the beginning of a message shows it."""
    return quoted(str(key or "request"))[1:-1]


def _on_defect(dialects: Sequence[Dialect], request: Incoming, error: Exception) -> Response[Any]:
    """Answer an unexpected error. The log gets all of it; the client learns nothing about the inside."""
    logger.error("%s %s failed.", request.method, request.url.path, exc_info=error)
    return _answer(dialects, request, 500, _INTERNAL)


def _answer(
    dialects: Sequence[Dialect],
    request: Incoming,
    status: int,
    problem: Problem,
    headers: Mapping[str, str] | None = None,
) -> Response[Any]:
    """Return the problem in the form that callers of this address expect."""
    path = request.scope["path"].removeprefix(str(request.scope.get("root_path", "")))
    if not problem.hint:
        problem = replace(problem, hint=_HINTS.get(status, ""))
    status, more, content = error_form(dialects, path)(status, problem)
    return Response(content, status_code=status, headers={**(headers or {}), **more}, media_type="application/json")
