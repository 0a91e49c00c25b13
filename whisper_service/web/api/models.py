"""List, test, download, import, unload and delete models. Almost every handler is one call to the service.

A model on a hub is called "owner/name". In an address the slash may stand as it is, as %2F, or as "--".
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from litestar import Response, Router, delete, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import JSONBody, PathParameter, QueryParameter

from whisper_service.app.models import HubTest, ModelsInfo
from whisper_service.core.domain import Value
from whisper_service.core.errors import InvalidRequest, TooLarge, UnsupportedMedia
from whisper_service.core.text import quoted
from whisper_service.models.inventory import ModelInfo
from whisper_service.web.http.errors import Incoming, in_words, problems
from whisper_service.web.http.operations import BINARY, form, operation, schemas_of
from whisper_service.web.http.parameters import Served
from whisper_service.web.http.request_bodies import Body, expected_length, read_at_most

ARCHIVES: Final = ("application/zip", "application/x-tar", "application/gzip", "application/octet-stream")
MAX_JSON: Final = 64 * 1024
"""Bytes of a JSON body that names a folder."""
Name = Annotated[str, PathParameter(description="A model, like base or owner--name.", max_length=200)]
Owner = Annotated[str, PathParameter(max_length=100)]
Address = Annotated[str, msgspec.Meta(pattern=r"^https?://", max_length=2000)]


class HubTestRequest(Value, frozen=True, forbid_unknown_fields=True):
    """What to test. A missing value is that of the settings. Nothing is stored."""

    model: Annotated[str, msgspec.Meta(max_length=200)] | None = None
    endpoints: Annotated[tuple[Address, ...], msgspec.Meta(max_length=10)] = ()
    proxy: Annotated[str, msgspec.Meta(max_length=2000)] | None = None
    token: Annotated[str, msgspec.Meta(max_length=2000)] | None = None


@get("/", operation_id="listModels", summary="All models, also those to download, best first", responses=problems())
async def list_models(service: Served) -> ModelsInfo:
    return await service.models.list()


@post(
    "/test-connection",
    operation_id="testConnection",
    summary="Could a model be downloaded? Asks every endpoint, downloads nothing",
    status_code=200,
    responses=problems(403, 422, 503),
)
async def test_connection(service: Served, data: JSONBody[HubTestRequest]) -> HubTest:
    return await service.models.test(data.model, endpoints=data.endpoints, proxy=data.proxy, token=data.token)


class ImportFolder(Value, frozen=True, forbid_unknown_fields=True):
    """A folder on the machine of the service, in one of `models.import_dirs`."""

    path: Annotated[str, msgspec.Meta(min_length=1, max_length=4000)]
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


@post(
    "/import",
    operation_id="importModel",
    operation_class=operation(
        bodies={"application/json": form(schemas_of(ImportFolder), "path", "name"), **dict.fromkeys(ARCHIVES, BINARY)}
    ),
    summary="Import a model from an archive, or from a folder on the machine of the service",
    description=(
        "Send an archive (.zip, .tar, .tar.gz) as the body and its name in the query, or the path of a folder as JSON."
    ),
    status_code=201,
    request_max_body_size=None,
    responses=problems(403, 409, 413, 415, 422, 503, 507),
)
async def import_model(
    request: Incoming,
    service: Served,
    name: Annotated[str | None, QueryParameter(description="The name for an archive.", max_length=200)] = None,
) -> ModelInfo:
    kind, _ = request.content_type
    if kind == "application/json":
        body = await read_at_most(request, MAX_JSON, TooLarge("The body is too long.", limit=MAX_JSON))
        try:
            folder = msgspec.json.decode(body, type=ImportFolder)
        except msgspec.DecodeError as error:
            raise InvalidRequest(
                f"The body is not valid: {in_words(str(error))}.", hint='Send {"path": ..., "name": ...}.'
            ) from error
        return await service.models.import_folder(folder.name, folder.path)
    if kind and kind not in ARCHIVES:
        hint = f"Send one of {', '.join(ARCHIVES)}, or JSON."
        raise UnsupportedMedia(f"A body of the type {quoted(kind)} is not accepted.", hint=hint)
    if not name:
        raise InvalidRequest("The model has no name.", hint="Add ?name=... to the address.", field="name")
    return await service.models.import_archive(name, aiter(Body(request.receive)), expected=expected_length(request))


@get("/", operation_id="getModel", summary="One model", responses=problems(404, 422, 503))
async def show(service: Served, model: NamedDependency[str]) -> ModelInfo:
    return await service.models.show(model)


@delete(
    "/",
    operation_id="deleteModel",
    summary="Delete a model, or what was downloaded of it",
    responses=problems(403, 404, 409, 422, 503),
)
async def remove(service: Served, model: NamedDependency[str]) -> None:
    await service.models.remove(model)


@post(
    "/download",
    operation_id="downloadModel",
    status_code=202,
    summary="Download a model from the hub; the events `model` show the progress",
    responses=problems(403, 404, 422, 503),
)
async def download(service: Served, model: NamedDependency[str]) -> Response[ModelInfo]:
    return Response(await service.models.download(model), status_code=202)


@post(
    "/cancel",
    operation_id="cancelDownload",
    status_code=200,
    summary="Stop a download; its bytes so far are kept, jobs that wait for the model fail",
    responses=problems(403, 404, 409, 422, 503),
)
async def cancel(service: Served, model: NamedDependency[str]) -> ModelInfo:
    return await service.models.cancel(model)


@post(
    "/unload",
    operation_id="unloadModel",
    status_code=200,
    summary="Release the memory of a loaded model",
    responses=problems(403, 404, 409, 422, 503),
)
async def unload(service: Served, model: NamedDependency[str]) -> ModelInfo:
    return await service.models.unload(model)


def _name(name: Name) -> str:
    return name


def _owner_and_name(owner: Owner, name: Name) -> str:
    return f"{owner}/{name}"


_ONE_MODEL: Final = [show, remove, download, cancel, unload]
router = Router(
    "/api/models",
    tags=["Models"],
    route_handlers=[
        list_models,
        test_connection,
        import_model,
        Router("/{name:str}", dependencies={"model": Provide(_name, sync_to_thread=False)}, route_handlers=_ONE_MODEL),
        Router(
            "/{owner:str}/{name:str}",
            dependencies={"model": Provide(_owner_and_name, sync_to_thread=False)},
            route_handlers=_ONE_MODEL,
            include_in_schema=False,
        ),
    ],
)
