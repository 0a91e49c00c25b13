"""Every error on its way to a client: `{code, message, hint, params}` with a true status code, and never a traceback.

The one place that knows which error has which HTTP status.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi.datastructures import ResponseSpec
from msgspec.structs import replace

from whisper_service.app import calls
from whisper_service.core import errors
from whisper_service.core.domain import Problem
from whisper_service.web.http import error_dialects

logger = logging.getLogger(__name__)
Incoming = Request[Any, Any, Any]

STATUS: Final[dict[type[errors.ServiceError], int]] = {
    errors.InvalidRequest: 422,
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
    errors.UploadBroken: 400,
    errors.UploadLocked: 423,
    errors.ChecksumMismatch: 460,
    errors.UploadProtocol: 412,
    errors.Unauthorized: 401,
    errors.TooManyTries: 429,
    calls.CallWaits: 503,
    errors.TooManyUploads: 503,  # 429 would end a resumable upload for good with the clients there are
}
"""A class stands for its descendants too; what is not here is our own fault: 500."""

_CODES: Final = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
    422: "invalid_request",
    500: "internal",
}
_MEANING: Final = {
    400: "The request is broken",
    401: "A token is wanted",
    403: "It comes from a page of another site, or is not allowed",
    404: "There is no such thing",
    409: "It does not fit the present state",
    412: "It is in another version of the protocol",
    413: "It is too large",
    415: "The body is of a kind that is not accepted",
    416: "The file has no bytes in that range",
    421: "The service does not answer to the name in the Host header",
    423: "Another connection is at it",
    460: "The checksum does not fit",
    422: "Something in the request is not valid; params.field names it",
    429: "Too much at once; Retry-After says when to come back",
    500: "The service has a defect",
    503: "Not now; message says why",
    507: "There is not enough room on the disk",
}
_HINTS: Final = {
    400: "Look at what the client sends; the documentation at /schema says what is expected.",
    404: "The documentation at /schema lists the addresses, GET /api/jobs the jobs; it may have been deleted.",
    413: "The documentation at /schema says what is accepted.",
    422: "The documentation at /schema says what each parameter takes.",
}
"""What to do where the error itself does not say."""
_INTERNAL: Final = Problem(
    code="internal",
    message="Something went wrong inside the service.",
    hint="The log of the service says what; trying again may help, and nothing that was accepted is lost.",
)


def status_of(error: errors.ServiceError) -> int:
    """The HTTP status of an error."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def problems(*statuses: int) -> dict[int, ResponseSpec]:
    """For the `responses` of a route: these statuses, and those that every route can answer with, carry a `Problem`."""
    return {
        status: ResponseSpec(Problem, description=_MEANING[status], generate_examples=False)
        for status in sorted({*statuses, 400, 401, 421, 429, 500})
    }


def on_service_error(request: Incoming, error: errors.ServiceError) -> Response[Any]:
    """What the service says about itself."""
    status = status_of(error)
    if status >= 500 and error.problem.code not in error_dialects.AUDIO:
        logger.warning("%s", error.message, extra={"code": error.problem.code, "path": request.url.path})
    return _answer(request, status, _advised(error.problem, status), advice(error))


def advice(error: errors.ServiceError) -> dict[str, str]:
    """What programs read of an error before its body."""
    if isinstance(error, errors.Unauthorized):
        return {"WWW-Authenticate": "Bearer"}
    return {"Retry-After": str(error.params["retry_after_s"])} if "retry_after_s" in error.params else {}


def on_http_exception(request: Incoming, error: HTTPException) -> Response[Any]:
    """What the framework says: no such path or method, parameters of the wrong kind."""
    if isinstance(error, ValidationException):
        faults = [fault for fault in error.extra or () if isinstance(fault, dict)]
        said = "; ".join(f"{fault.get('key', 'request')}: {fault.get('message', '')}" for fault in faults)
        problem = Problem(
            code="invalid_request",
            message=said or error.detail,
            hint=_HINTS[422],
            params={"field": faults[0].get("key")} if faults else {},
        )
        return _answer(request, 422, problem)
    status = error.status_code
    if status >= 500:
        return on_surprise(request, error)
    problem = Problem(code=_CODES.get(status, "bad_request"), message=_SAID.get(status, error.detail))
    if allowed := {name.lower(): value for name, value in (error.headers or {}).items()}.get("allow"):
        problem = replace(problem, hint=f"It takes {allowed}.")
    return _answer(request, status, _advised(problem, status), error.headers)


def _advised(problem: Problem, status: int) -> Problem:
    return problem if problem.hint else replace(problem, hint=_HINTS.get(status, ""))


_SAID: Final = {
    404: "There is nothing at this address.",
    405: "This address does not take that method.",
    413: "The request is larger than this address takes.",
}


def on_surprise(request: Incoming, error: Exception) -> Response[Any]:
    """A defect: the log gets everything, the client nothing that is inside."""
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _answer(request, 500, _INTERNAL)


def _answer(
    request: Incoming, status: int, problem: Problem, headers: Mapping[str, str] | None = None
) -> Response[Any]:
    """The problem, as the callers of this address expect it."""
    status, more, content = error_dialects.translate(_below_root(request), status, problem)
    return Response(content, status_code=status, headers={**(headers or {}), **more}, media_type="application/json")


def _below_root(request: Incoming) -> str:
    return request.scope["path"].removeprefix(str(request.scope.get("root_path", "")))


HANDLERS: Final[dict[int | type[Exception], Any]] = {
    errors.ServiceError: on_service_error,
    HTTPException: on_http_exception,
    Exception: on_surprise,
}
