"""Receive uploads in pieces: the tus protocol, version 1.0.0, with its extensions in `EXTENSIONS`.

What arrived of an upload survives lost connections and restarts (`storage.resumable_uploads`). `POST /api/jobs` with
`{"upload": ID}` makes a job of a complete upload.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from typing import Annotated, Any, Final

from litestar import Response, Router
from litestar.datastructures import ResponseHeader
from litestar.handlers import HTTPRouteHandler
from litestar.params import PathParameter

from whisper_service.app.service import Service
from whisper_service.core.errors import (
    EmptyFile,
    InvalidRequest,
    ServiceError,
    TooLarge,
    UnsupportedMedia,
    UploadBroken,
    UploadProtocol,
)
from whisper_service.core.file_names import decode_name
from whisper_service.storage.resumable_uploads import CHECKSUMS, UploadStatus
from whisper_service.web.http.errors import Incoming, on_service_error, problems
from whisper_service.web.http.parameters import MAX_ID, Served
from whisper_service.web.http.request_bodies import Body, expected_length, refuse_compressed

VERSION: Final = "1.0.0"
EXTENSIONS: Final = "creation,creation-with-upload,creation-defer-length,checksum,expiration,termination"
PIECE: Final = "application/offset+octet-stream"
MAX_METADATA: Final = 8_192
"""Characters of Upload-Metadata."""
MAX_DIGITS: Final = 18
"""Digits of a length. A longer one is beyond every disk."""
_HEADERS: Final = {"Tus-Resumable": VERSION, "Cache-Control": "no-store"}
UploadId = Annotated[str, PathParameter(description="The identifier of an upload.", max_length=MAX_ID)]


async def options(service: Served) -> Response[None]:
    """Return what this server can do. The only request that needs no version."""
    headers = {
        **_HEADERS,
        "Tus-Version": VERSION,
        "Tus-Extension": EXTENSIONS,
        "Tus-Max-Size": str(service.uploads.limits.max_bytes),
        "Tus-Checksum-Algorithm": ",".join(CHECKSUMS),
    }
    return Response(None, status_code=204, headers=headers)


async def create(request: Incoming, service: Served) -> Response[None]:
    _check_version(request)
    length = _length(request)
    metadata = request.headers.get("upload-metadata", "")
    status = await service.resumable.create(length, filename(metadata), metadata)
    if request.headers.get("content-type") == PIECE:
        try:
            status = await _append(request, service, status.upload.id, 0)
        except UploadBroken:  # the client is gone and does not know the address
            await service.resumable.delete(status.upload.id)
            raise
    headers = {"Location": f"/api/uploads/{status.upload.id}", **_status_headers(status)}
    return Response(None, status_code=201, headers=headers)


async def head(request: Incoming, service: Served, upload_id: UploadId) -> Response[None]:
    _check_version(request)
    await service.resumable.take_over(upload_id)
    status = await service.resumable.status(upload_id)
    length = status.upload.length
    known = {"Upload-Defer-Length": "1"} if length is None else {"Upload-Length": str(length)}
    headers = {**_status_headers(status), **known}
    if status.upload.metadata:
        headers["Upload-Metadata"] = status.upload.metadata
    return Response(None, status_code=200, headers=headers)


async def patch(request: Incoming, service: Served, upload_id: UploadId) -> Response[None]:
    _check_version(request)
    if request.headers.get("content-type") != PIECE:
        message = "This is not the content type of a piece of an upload."
        raise UnsupportedMedia(message, hint=f"Send Content-Type: {PIECE}.")
    offset = _number(request, "upload-offset")
    length = None if request.headers.get("upload-length") is None else _number(request, "upload-length")
    status = await _append(request, service, upload_id, offset, length)
    return Response(None, status_code=204, headers=_status_headers(status))


async def delete(request: Incoming, service: Served, upload_id: UploadId) -> Response[None]:
    _check_version(request)
    await service.resumable.delete(upload_id)
    return Response(None, status_code=204, headers=_HEADERS)


async def override(request: Incoming, service: Served, upload_id: UploadId) -> Response[None]:
    """Handle a POST that names another method, for clients and networks that know only GET and POST."""
    handlers: dict[str, Callable[..., Awaitable[Response[None]]]] = {"PATCH": patch, "DELETE": delete, "HEAD": head}
    handler = handlers.get(request.headers.get("x-http-method-override", "").upper())
    if handler is None:
        hint = "Use PATCH, or name the method in X-HTTP-Method-Override."
        raise InvalidRequest("An upload accepts no POST.", hint=hint)
    return await handler(request, service, upload_id)


async def _append(
    request: Incoming, service: Service, upload_id: str, offset: int, length: int | None = None
) -> UploadStatus:
    refuse_compressed(request)
    expected, digest = expected_length(request), checksum(request.headers.get("upload-checksum"))
    data = Body(request.receive).__aiter__()
    return await service.resumable.append(upload_id, offset, data, expected=expected, checksum=digest, length=length)


def _check_version(request: Incoming) -> None:
    if request.headers.get("tus-resumable") != VERSION:
        raise UploadProtocol()


def _status_headers(status: UploadStatus) -> dict[str, str]:
    headers = {**_HEADERS, "Upload-Offset": str(status.offset)}
    if not status.complete:
        headers["Upload-Expires"] = formatdate(status.expires_at, usegmt=True)
    return headers


def _length(request: Incoming) -> int | None:
    """Return how many bytes an upload has. None: the client does not know yet. Raises `InvalidRequest`, `EmptyFile`."""
    deferred = request.headers.get("upload-defer-length")
    if deferred is None:
        length = _number(request, "upload-length")
        if not length:
            raise EmptyFile()
        return length
    if deferred.strip() != "1" or request.headers.get("upload-length") is not None:
        hint = "Send either Upload-Length, or `Upload-Defer-Length: 1` and the length with a later piece."
        raise InvalidRequest("The length of the upload is not clear.", hint=hint, field="Upload-Defer-Length")
    return None


def _number(request: Incoming, name: str) -> int:
    text = request.headers.get(name, "")
    if not (text.isascii() and text.isdigit()):
        hint = "Send a number of bytes."
        raise InvalidRequest(f"{name.title()} is not a number.", hint=hint, field=name.title())
    if len(text.lstrip("0")) > MAX_DIGITS:
        raise TooLarge()
    return int(text)


def filename(metadata: str) -> str:
    """Return the name of the file: `filename` in Upload-Metadata, else `name`, else "". Raises `InvalidRequest`."""
    field = "Upload-Metadata"
    if len(metadata) > MAX_METADATA:
        hint = f"It may have {MAX_METADATA} characters."
        raise InvalidRequest("Upload-Metadata is too long.", hint=hint, field=field)
    values: dict[str, str] = {}
    for pair in metadata.split(","):
        key, _, value = pair.strip().partition(" ")
        try:
            values[key] = decode_name(base64.b64decode(value.strip(), validate=True))
        except ValueError:  # no ASCII or no base64
            if key in ("filename", "name"):
                message = f"The {key} in Upload-Metadata is not base64."
                raise InvalidRequest(message, hint="Send `filename BASE64`.", field=field) from None
    return values.get("filename") or values.get("name") or ""


def checksum(value: str | None) -> tuple[str, bytes] | None:
    """Return algorithm and digest of Upload-Checksum. Raises `InvalidRequest`."""
    if value is None:
        return None
    algorithm, _, digest = value.strip().partition(" ")
    try:
        raw = base64.b64decode(digest.strip(), validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if algorithm not in CHECKSUMS or not raw:
        hint = f"Send `ALGORITHM BASE64`. Algorithms: {', '.join(CHECKSUMS)}."
        raise InvalidRequest("Upload-Checksum cannot be read.", hint=hint, field="Upload-Checksum")
    return algorithm, raw


def _on_error(request: Incoming, error: ServiceError) -> Response[Any]:
    """Answer an error. The protocol has no status 422, so it becomes 400."""
    answer = on_service_error((), request, error)
    if answer.status_code == 422:
        answer.status_code = 400
    answer.headers.update({"Tus-Resumable": VERSION, "Tus-Version": VERSION})
    return answer


_OFFSET: Final = [ResponseHeader(name="Upload-Offset", documentation_only=True, description="Bytes received so far.")]
_ONE: Final = "/{upload_id:str}"


def _route(
    method: str, path: str, act: Any, operation: str, summary: str, status: int, *errors: int
) -> HTTPRouteHandler:
    return HTTPRouteHandler(
        path,
        http_method=method,  # type: ignore[arg-type]
        operation_id=operation,
        summary=summary,
        status_code=status,
        response_headers=_OFFSET if method in ("POST", "PATCH") else None,
        request_max_body_size=None,
        responses=problems(403, 503, *errors),
    )(act)


router = Router(
    "/api/uploads",
    tags=["Uploads"],
    exception_handlers={ServiceError: _on_error},
    route_handlers=[  # OPTIONS first, or the framework answers it
        HTTPRouteHandler("/", http_method="OPTIONS", status_code=204, include_in_schema=False)(options),
        HTTPRouteHandler(_ONE, http_method="OPTIONS", status_code=204, include_in_schema=False)(options),
        _route(
            "POST", "/", create, "createUpload", "Start an upload in pieces (tus 1.0.0)", 201, 409, 412, 413, 415, 507
        ),
        _route("PATCH", _ONE, patch, "patchUpload", "Send a piece", 204, 404, 409, 412, 413, 415, 422, 423, 460, 507),
        _route("DELETE", _ONE, delete, "deleteUpload", "Delete an upload", 204, 404, 412, 422),
        HTTPRouteHandler(_ONE, http_method="HEAD", status_code=200, include_in_schema=False)(head),
        HTTPRouteHandler(
            _ONE, http_method="POST", status_code=204, request_max_body_size=None, include_in_schema=False
        )(override),
    ],
)
