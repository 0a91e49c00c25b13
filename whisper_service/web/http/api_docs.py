"""The description of the API: the OpenAPI document, and a page that shows it without scripts and without a network."""

from __future__ import annotations

from html import escape
from typing import Any

import msgspec
from litestar import Request, Response, Router
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, OpenAPIRenderPlugin
from litestar.openapi.spec import Components, License, SecurityScheme, Server

from whisper_service import __version__
from whisper_service.core.domain import Problem

_NOTHING = Problem(
    code="not_found",
    message="There is nothing at this address.",
    hint="The documentation is at /schema and /schema/openapi.json.",
)


class OpenApiJson(JsonRenderPlugin):
    """`/schema/openapi.json`, the very bytes that are kept in the repository."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        return document(openapi_schema, request.scope.get("root_path", ""))


class OpenApiPage(OpenAPIRenderPlugin):
    """`/schema`: every operation with its parameters and answers, and every schema, as plain HTML."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        return render(openapi_schema, request.scope.get("root_path", "")).encode()


def _problem_instead_of_page(response: Response[Any]) -> Response[Any]:
    """The framework answers unknown addresses below /schema in HTML; ours are told in JSON like everywhere."""
    return (
        Response(_NOTHING, status_code=404, media_type="application/json") if response.status_code == 404 else response
    )


def config() -> OpenAPIConfig:
    """How the framework describes us."""
    return OpenAPIConfig(
        title="whisper_service",
        version=__version__,
        description="Self-hosted speech transcription. Errors are `{code, message, hint, params}` with a true status code.",
        license=License(name="MIT", identifier="MIT"),
        servers=[Server(url="/")],
        components=Components(
            security_schemes={
                "token": SecurityScheme(
                    type="http",
                    scheme="bearer",
                    description="Wanted where the service has a token; browsers log in and send a cookie.",
                )
            }
        ),
        security=[{}, {"token": []}],
        render_plugins=[OpenApiPage(path="/"), OpenApiJson()],
        openapi_router=Router(
            "/schema", route_handlers=[], include_in_schema=False, after_request=_problem_instead_of_page
        ),
    )


def document(schema: dict[str, Any], root_path: str = "") -> bytes:
    """The OpenAPI document as it is served and committed; a proxy may show the API below a path."""
    if root_path:
        schema = schema | {"servers": [{"url": root_path}]}
    for operation in (operation for item in schema["paths"].values() for operation in item.values()):
        operation["responses"].get("204", {}).pop("content", None)  # the framework calls nothing a null
    return msgspec.json.format(msgspec.json.encode(schema), indent=2) + b"\n"


def render(schema: dict[str, Any], root_path: str = "") -> str:
    """The page."""
    root = escape(root_path)
    operations = [
        _operation(method, path, operation)
        for path, item in schema["paths"].items()
        for method, operation in item.items()
        if isinstance(operation, dict)
    ]
    shapes = [_shape(name, shape) for name, shape in sorted(schema["components"]["schemas"].items())]
    title = escape(schema["info"]["title"])
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}: API</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="{root}/static/icon.svg"><link rel="stylesheet" href="{root}/static/app.css">'
        f'<body class="docs"><main><h1>{title} {escape(schema["info"]["version"])}</h1>'
        f'<p>{escape(schema["info"]["description"])}</p><p><a href="{root}/schema/openapi.json">openapi.json</a></p>'
        f"<h2>Operations</h2>{''.join(operations)}<h2>Schemas</h2>{''.join(shapes)}</main></body></html>"
    )


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    parameters = "".join(
        f"<tr><td><code>{escape(p['name'])}</code><td>{escape(p['in'])}{', required' if p.get('required') else ''}"
        f"<td>{_type(p.get('schema', {}))}<td>{escape(p.get('description') or p.get('schema', {}).get('description', ''))}</tr>"
        for p in operation.get("parameters", ())
    )
    body = "".join(
        f"<tr><td>body<td>{escape(kind)}<td colspan=2>{_type(content.get('schema', {}))}</tr>"
        for kind, content in operation.get("requestBody", {}).get("content", {}).items()
    )
    answers = "".join(
        f"<tr><td>{escape(status)}<td>{escape(answer.get('description', ''))}"
        f"<td colspan=2>{', '.join(_type(c.get('schema', {})) for c in answer.get('content', {}).values())}</tr>"
        for status, answer in operation.get("responses", {}).items()
    )
    return (
        f"<details><summary><code>{method.upper()} {escape(path)}</code> {escape(operation.get('summary', ''))}</summary>"
        f"<p>{escape(operation.get('description', ''))}</p><table>{parameters}{body}{answers}</table></details>"
    )


def _shape(name: str, shape: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(k)}</code><td>{_type(v)}</tr>" for k, v in shape.get("properties", {}).items()
    )
    said = escape(shape.get("description", "") or ", ".join(map(str, shape.get("enum", ()))))
    return f'<details id="{escape(name)}"><summary><code>{escape(name)}</code></summary><p>{said}</p><table>{rows}</table></details>'


def _type(schema: dict[str, Any]) -> str:
    """The kind of a value in a few words, with links to the schemas it names."""
    if reference := schema.get("$ref"):
        name = escape(reference.rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    for either in ("oneOf", "anyOf"):
        if either in schema:
            return " | ".join(_type(option) for option in schema[either])
    if "items" in schema:
        return f"{_type(schema['items'])}[]"
    if "properties" in schema:
        return ", ".join(f"<code>{escape(name)}</code>" for name in schema["properties"])
    kind = schema.get("type", "any")
    return escape(" | ".join(kind) if isinstance(kind, list) else str(kind))
