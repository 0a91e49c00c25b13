"""Models: what there is, what they are good for here, fetching, importing and removing them. Every handler is one call to the desk.

A model on a hub is called "owner/name". In an address the slash may stand as it is, as %2F, or as "--".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec
from litestar import Response, Router, delete, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.spec import (
    OpenAPIFormat,
    OpenAPIMediaType,
    OpenAPIType,
    Operation,
    RequestBody,
    Schema,
)
from litestar.params import JSONBody, PathParameter, QueryParameter

from whisper_service.app.models import HubTest, ModelsInfo
from whisper_service.app.service import Service
from whisper_service.core.domain import Value
from whisper_service.core.errors import InvalidRequest, TooLarge, UnsupportedMedia
from whisper_service.models.inventory import ModelInfo
from whisper_service.web.api.jobs import Served
from whisper_service.web.http.errors import Incoming, problems
from whisper_service.web.http.multipart import Body

ARCHIVES: Final = ("application/zip", "application/x-tar", "application/gzip", "application/octet-stream")
MAX_JSON: Final = 64 * 1024
Name = Annotated[str, PathParameter(description="A model, like base or owner--name.", max_length=200)]
Owner = Annotated[str, PathParameter(max_length=100)]
Address = Annotated[str, msgspec.Meta(pattern=r"^https?://", max_length=2000)]


class HubTestRequest(Value, frozen=True, forbid_unknown_fields=True):
    """What to test; what is not given is as in the settings. Nothing of it is kept."""

    model: Annotated[str, msgspec.Meta(max_length=200)] | None = None
    endpoints: Annotated[tuple[Address, ...], msgspec.Meta(max_length=10)] = ()
    proxy: Annotated[str, msgspec.Meta(max_length=2000)] | None = None
    token: Annotated[str, msgspec.Meta(max_length=2000)] | None = None


@get("/", operation_id="listModels", summary="Every model there is or could be, the best first", responses=problems())
async def find(service: Served) -> ModelsInfo:
    return await service.models.list()


@post(
    "/test-connection",
    operation_id="testConnection",
    summary="Could a model be fetched? Asks every endpoint, fetches nothing",
    status_code=200,
    responses=problems(403, 422, 503),
)
async def test(service: Served, data: JSONBody[HubTestRequest]) -> HubTest:
    return await service.models.test(data.model, endpoints=data.endpoints, proxy=data.proxy, token=data.token)


class ImportFolder(Value, frozen=True, forbid_unknown_fields=True):
    """A folder of the machine that the service runs on; it must lie in one of `models.import_dirs`."""

    path: Annotated[str, msgspec.Meta(min_length=1, max_length=4000)]
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


@dataclass
class ImportOperation(Operation):
    """The two kinds of body in the OpenAPI document."""

    def __post_init__(self) -> None:
        text = Schema(type=OpenAPIType.STRING)
        folder = Schema(type=OpenAPIType.OBJECT, required=["path", "name"], properties={"path": text, "name": text})
        binary = OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY))
        self.request_body = RequestBody(
            required=True,
            content={"application/json": OpenAPIMediaType(schema=folder), **dict.fromkeys(ARCHIVES, binary)},
        )


@post(
    "/import",
    operation_id="importModel",
    operation_class=ImportOperation,
    summary="Take a model from an archive, or from a folder on the machine of the service",
    description="Send an archive (.zip, .tar, .tar.gz) as the body and its name in the query, or the path of a folder as JSON.",
    status_code=201,
    request_max_body_size=None,
    responses=problems(403, 409, 413, 415, 422, 503, 507),
)
async def take(
    request: Incoming,
    service: Served,
    name: Annotated[str | None, QueryParameter(description="Of an archive.", max_length=200)] = None,
) -> ModelInfo:
    kind, _ = request.content_type
    if kind == "application/json":
        try:
            wish = msgspec.json.decode(await _short(Body(request.receive)), type=ImportFolder)
        except msgspec.DecodeError as error:
            raise InvalidRequest(f"The body is not valid: {error}.", hint='Send {"path": ..., "name": ...}.') from error
        return await service.models.import_folder(wish.name, wish.path)
    if kind and kind not in ARCHIVES:
        raise UnsupportedMedia(
            f"A body of the type {kind[:80]!r} is not accepted.", hint=f"Send one of {', '.join(ARCHIVES)}, or JSON."
        )
    if not name:
        raise InvalidRequest("The model has no name.", hint="Say ?name=... in the address.", field="name")
    length = request.headers.get("content-length", "")
    expected = int(length) if length.isdecimal() else None
    return await service.models.import_archive(name, aiter(Body(request.receive)), expected=expected)


async def _short(body: Body) -> bytes:
    """A body that has no reason to be long."""
    data = bytearray()
    async for block in body:
        data += block
        if len(data) > MAX_JSON:
            raise TooLarge("The body is too long.", limit=MAX_JSON)
    return bytes(data)


async def _show(service: Service, name: str) -> ModelInfo:
    return await service.models.show(name)


async def _remove(service: Service, name: str) -> None:
    await service.models.remove(name)


async def _download(service: Service, name: str) -> Response[ModelInfo]:
    return Response(await service.models.download(name), status_code=202)


async def _cancel(service: Service, name: str) -> ModelInfo:
    return await service.models.cancel(name)


async def _unload(service: Service, name: str) -> ModelInfo:
    return await service.models.unload(name)


def _both(
    decorator: Callable[..., Any], verb: str, act: Callable[[Service, str], Awaitable[Any]], result: Any, **about: Any
) -> list[HTTPRouteHandler]:
    """The same under a name in one part and under "owner/name" in two; the second need not be in the documentation."""

    async def one(service: Served, name: Name) -> Any:
        return await act(service, name)

    async def two(service: Served, owner: Owner, name: Name) -> Any:
        return await act(service, f"{owner}/{name}")

    one.__annotations__["return"] = two.__annotations__["return"] = result
    return [
        decorator(f"/{{name:str}}{verb}", **about)(one),
        decorator(f"/{{owner:str}}/{{name:str}}{verb}", include_in_schema=False, **about)(two),
    ]


_HANDLERS = [
    *_both(get, "", _show, ModelInfo, operation_id="getModel", summary="One model", responses=problems(404, 422, 503)),
    *_both(
        delete, "", _remove, None, operation_id="deleteModel", summary="Take a model off the disk, or what has come of it",
        responses=problems(403, 404, 409, 422, 503),
    ),
    *_both(
        post, "/download", _download, Response[ModelInfo], operation_id="downloadModel", status_code=202,
        summary="Fetch a model from the hub; the events `model` tell how far it is",
        responses=problems(403, 404, 422, 503),
    ),
    *_both(
        post, "/cancel", _cancel, ModelInfo, operation_id="cancelDownload", status_code=200,
        summary="Stop a download; what has come is kept, jobs that wait for it fail", responses=problems(403, 404, 409, 422, 503),
    ),
    *_both(
        post, "/unload", _unload, ModelInfo, operation_id="unloadModel", status_code=200,
        summary="Give the memory of a loaded model back", responses=problems(403, 404, 409, 422, 503),
    ),
]  # fmt: skip

router = Router("/api/models", tags=["Models"], route_handlers=[find, test, take, *_HANDLERS])
