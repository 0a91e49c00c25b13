"""Uploads in pieces: the tus protocol, version 1.0.0, with creation, creation-with-upload, checksum, expiration, termination.

What has come of an upload survives cuts and restarts (see `resumable`); a job is made of it by `POST /api/jobs {"upload": ID}`.
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
from whisper_service.core import errors
from whisper_service.core.errors import (
    InvalidRequest,
    ServiceError,
    TooLarge,
    UnsupportedMedia,
    UploadBroken,
    UploadProtocol,
)
from whisper_service.storage.resumable_uploads import CHECKSUMS, UploadStatus
from whisper_service.web.api.jobs import Served
from whisper_service.web.http.errors import Incoming, on_service_error, problems
from whisper_service.web.http.multipart import Body, expected_length, refuse_compressed

VERSION: Final = "1.0.0"
EXTENSIONS: Final = "creation,creation-with-upload,checksum,expiration,termination"
PIECE: Final = "application/offset+octet-stream"
MAX_METADATA: Final = 8_192
_DIGITS: Final = 18
_HEADERS: Final = {"Tus-Resumable": VERSION, "Cache-Control": "no-store"}
UploadId = Annotated[str, PathParameter(description="The identifier of an upload.", max_length=64)]


async def options(service: Served) -> Response[None]:
    """What this server can do; the one request that needs no version."""
    said = {
        **_HEADERS,
        "Tus-Version": VERSION,
        "Tus-Extension": EXTENSIONS,
        "Tus-Max-Size": str(service.uploads.max_bytes),
        "Tus-Checksum-Algorithm": ",".join(CHECKSUMS),
    }
    return Response(None, status_code=204, headers=said)


async def create(request: Incoming, service: Served) -> Response[None]:
    _check_version(request)
    if request.headers.get("upload-defer-length") is not None:
        raise InvalidRequest(
            "The length of an upload must be known when it begins.", hint="Send Upload-Length.", field="Upload-Length"
        )
    length = _number(request, "upload-length")
    if not length:
        raise errors.EmptyFile()
    metadata = request.headers.get("upload-metadata", "")
    standing = await service.resumable.create(length, filename(metadata), metadata)
    if request.headers.get("content-type") == PIECE:
        try:
            standing = await _append(request, service, standing.upload.id, 0)
        except UploadBroken:  # the client is gone and does not know the address
            await service.resumable.delete(standing.upload.id)
            raise
    headers = {"Location": f"/api/uploads/{standing.upload.id}", **_told(standing)}
    return Response(None, status_code=201, headers=headers)


async def head(request: Incoming, service: Served, upload_id: UploadId) -> Response[None]:
    _check_version(request)
    await service.resumable.take_over(upload_id)
    standing = await service.resumable.status(upload_id)
    told = {**_told(standing), "Upload-Length": str(standing.upload.length)}
    if standing.upload.metadata:
        told["Upload-Metadata"] = standing.upload.metadata
    return Response(None, status_code=200, headers=told)


async def patch(request: Incoming, service: Served, upload_id: UploadId) -> Response[None]:
    _check_version(request)
    if request.headers.get("content-type") != PIECE:
        raise UnsupportedMedia("A piece of an upload has another content type.", hint=f"Send Content-Type: {PIECE}.")
    standing = await _append(request, service, upload_id, _number(request, "upload-offset"))
    return Response(None, status_code=204, headers=_told(standing))


async def delete(request: Incoming, service: Served, upload_id: UploadId) -> Response[None]:
    _check_version(request)
    await service.resumable.delete(upload_id)
    return Response(None, status_code=204, headers=_HEADERS)


async def override(request: Incoming, service: Served, upload_id: UploadId) -> Response[None]:
    """For clients, or networks, that know only GET and POST."""
    acts: dict[str, Callable[..., Awaitable[Response[None]]]] = {"PATCH": patch, "DELETE": delete, "HEAD": head}
    act = acts.get(request.headers.get("x-http-method-override", "").upper())
    if act is None:
        raise InvalidRequest(
            "An upload takes no POST.", hint="Use PATCH, or name the method in X-HTTP-Method-Override."
        )
    return await act(request, service, upload_id)


async def _append(request: Incoming, service: Service, upload_id: str, offset: int) -> UploadStatus:
    refuse_compressed(request)
    sum_ = checksum(request.headers.get("upload-checksum"))
    return await service.resumable.append(
        upload_id, offset, Body(request.receive).__aiter__(), expected=expected_length(request), checksum=sum_
    )


def _check_version(request: Incoming) -> None:
    if request.headers.get("tus-resumable") != VERSION:
        raise UploadProtocol()


def _told(standing: UploadStatus) -> dict[str, str]:
    told = {**_HEADERS, "Upload-Offset": str(standing.offset)}
    if standing.offset < standing.upload.length:
        told["Upload-Expires"] = formatdate(standing.expires_at, usegmt=True)
    return told


def _number(request: Incoming, name: str) -> int:
    text = request.headers.get(name, "")
    if not (text.isascii() and text.isdigit()):
        raise InvalidRequest(
            f"{name.title()} is not a number.", hint="Send it as a number of bytes.", field=name.title()
        )
    if len(text.lstrip("0")) > _DIGITS:
        raise TooLarge()
    return int(text)


def filename(metadata: str) -> str:
    """What the client calls the file: `filename` of Upload-Metadata, or `name`; empty if it does not say."""
    if len(metadata) > MAX_METADATA:
        raise InvalidRequest(
            "Upload-Metadata is too long.", hint=f"It may have {MAX_METADATA} characters.", field="Upload-Metadata"
        )
    said: dict[str, str] = {}
    for pair in metadata.split(","):
        key, _, value = pair.strip().partition(" ")
        try:
            said[key] = base64.b64decode(value.strip(), validate=True).decode()
        except ValueError:  # no ASCII, no base64, or no UTF-8
            if key in ("filename", "name"):
                raise InvalidRequest(
                    f"The {key} in Upload-Metadata is not base64 of UTF-8.",
                    hint="Send `filename BASE64`.",
                    field="Upload-Metadata",
                ) from None
    return said.get("filename") or said.get("name") or ""


def checksum(value: str | None) -> tuple[str, bytes] | None:
    """Algorithm and digest of Upload-Checksum. Raises `InvalidRequest`."""
    if value is None:
        return None
    algorithm, _, digest = value.strip().partition(" ")
    try:
        raw = base64.b64decode(digest.strip(), validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if algorithm not in CHECKSUMS or not raw:
        hint = f"Send `ALGORITHM BASE64`; algorithms: {', '.join(CHECKSUMS)}."
        raise InvalidRequest("Upload-Checksum cannot be read.", hint=hint, field="Upload-Checksum")
    return algorithm, raw


def _on_error(request: Incoming, error: ServiceError) -> Response[Any]:
    """A tus client reads the status and the header; people read the rest. 422 is not in the protocol, 400 is."""
    answer = on_service_error(request, error)
    if answer.status_code == 422:
        answer.status_code = 400
    answer.headers.update({"Tus-Resumable": VERSION, "Tus-Version": VERSION})
    return answer


_TOLD: Final = [ResponseHeader(name="Upload-Offset", documentation_only=True, description="How many bytes have come.")]
_ONE: Final = "/{upload_id:str}"


def _route(
    method: str, path: str, act: Any, operation: str, summary: str, status: int, *wrong: int
) -> HTTPRouteHandler:
    return HTTPRouteHandler(
        path,
        http_method=method,  # type: ignore[arg-type]
        operation_id=operation,
        summary=summary,
        status_code=status,
        response_headers=_TOLD if method in ("POST", "PATCH") else None,
        request_max_body_size=None,
        responses=problems(403, 503, *wrong),
    )(act)


router = Router(
    "/api/uploads",
    tags=["Uploads"],
    exception_handlers={ServiceError: _on_error},
    route_handlers=[  # OPTIONS first, or the framework answers it
        HTTPRouteHandler("/", http_method="OPTIONS", status_code=204, include_in_schema=False)(options),
        HTTPRouteHandler(_ONE, http_method="OPTIONS", status_code=204, include_in_schema=False)(options),
        _route(
            "POST", "/", create, "createUpload", "Begin an upload in pieces (tus 1.0.0)", 201, 409, 412, 413, 415, 507
        ),
        _route("PATCH", _ONE, patch, "patchUpload", "Send a piece", 204, 404, 409, 412, 413, 415, 423, 460, 507),
        _route("DELETE", _ONE, delete, "deleteUpload", "Forget an upload", 204, 404, 412),
        HTTPRouteHandler(_ONE, http_method="HEAD", status_code=200, include_in_schema=False)(head),
        HTTPRouteHandler(
            _ONE, http_method="POST", status_code=204, request_max_body_size=None, include_in_schema=False
        )(override),
    ],
)
