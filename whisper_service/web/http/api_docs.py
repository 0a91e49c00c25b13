"""Serve the OpenAPI document, and a page that shows it without scripts and without a network."""

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

_NOT_FOUND = Problem(
    code="not_found",
    message="There is nothing at this address.",
    hint="The documentation is at /schema and /schema/openapi.json.",
)


class OpenApiJson(JsonRenderPlugin):
    """`/schema/openapi.json`: the same bytes as docs/openapi.json."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        return document(openapi_schema, request.scope.get("root_path", ""))


class OpenApiPage(OpenAPIRenderPlugin):
    """`/schema`: every operation with its parameters and answers, and every schema, as plain HTML."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        return page(openapi_schema, request.scope.get("root_path", "")).encode()


def _problem_instead_of_page(response: Response[Any]) -> Response[Any]:
    """Replace the framework's HTML answer for unknown addresses below /schema with the JSON of all other addresses."""
    if response.status_code != 404:
        return response
    return Response(_NOT_FOUND, status_code=404, media_type="application/json")


def config() -> OpenAPIConfig:
    """Return what the framework needs to describe the API."""
    return OpenAPIConfig(
        title="whisper_service",
        version=__version__,
        description=(
            "Self-hosted speech transcription. Errors are `{code, message, hint, params}` with the fitting status code."
        ),
        license=License(name="MIT", identifier="MIT"),
        servers=[Server(url="/")],
        components=Components(
            security_schemes={
                "token": SecurityScheme(
                    type="http",
                    scheme="bearer",
                    description="Required if the service has a token. Browsers log in and send a cookie instead.",
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
    """Return the OpenAPI document. `root_path` is the path below which a proxy shows the API."""
    if root_path:
        schema = schema | {"servers": [{"url": root_path}]}
    for item in schema["paths"].values():
        for operation in item.values():
            operation["responses"].get("204", {}).pop("content", None)  # the framework writes a null there
            for answer in operation["responses"].values():
                for header in answer.get("headers", {}).values():
                    header.setdefault("schema", {"type": "string"})  # without one, the document is not valid
    return msgspec.json.format(msgspec.json.encode(_without_empty_choices(schema)), indent=2) + b"\n"


def _without_empty_choices(node: Any) -> Any:
    """Return the document without the empty schema that the framework adds to the items of a tuple of any length."""
    if isinstance(node, dict):
        node = {key: _without_empty_choices(value) for key, value in node.items()}
        choices = node.get("oneOf")
        if isinstance(choices, list) and {} in choices:
            left = [choice for choice in choices if choice]
            node = (
                {**node, "oneOf": left}
                if len(left) > 1
                else {**left[0], **{k: v for k, v in node.items() if k != "oneOf"}}
            )
        return node
    return [_without_empty_choices(each) for each in node] if isinstance(node, list) else node


def page(schema: dict[str, Any], root_path: str = "") -> str:
    """Return the page that shows the document."""
    root = escape(root_path)
    operations = [
        _operation(method, path, operation)
        for path, item in schema["paths"].items()
        for method, operation in item.items()
        if isinstance(operation, dict)
    ]
    schemas = [_schema(name, shape) for name, shape in sorted(schema["components"]["schemas"].items())]
    title = escape(schema["info"]["title"])
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}: API</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="{root}/static/icon.svg"><link rel="stylesheet" href="{root}/static/app.css">'
        f'<body class="docs"><main><h1>{title} {escape(schema["info"]["version"])}</h1>'
        f'<p>{escape(schema["info"]["description"])}</p><p><a href="{root}/schema/openapi.json">openapi.json</a></p>'
        f"<h2>Operations</h2>{''.join(operations)}<h2>Schemas</h2>{''.join(schemas)}</main></body></html>"
    )


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    rows = "".join(
        _row(
            f"<code>{escape(parameter['name'])}</code>",
            f"{escape(parameter['in'])}{', required' if parameter.get('required') else ''}",
            _type(schema := parameter.get("schema", {})),
            escape(parameter.get("description") or schema.get("description", "")),
        )
        for parameter in operation.get("parameters", ())
    )
    rows += "".join(
        _row("body", escape(media_type), _type(content.get("schema", {})))
        for media_type, content in operation.get("requestBody", {}).get("content", {}).items()
    )
    rows += "".join(
        _row(
            escape(status),
            escape(answer.get("description", "")),
            ", ".join(_type(content.get("schema", {})) for content in answer.get("content", {}).values()),
        )
        for status, answer in operation.get("responses", {}).items()
    )
    summary = f"<code>{method.upper()} {escape(path)}</code> {escape(operation.get('summary', ''))}"
    description = escape(operation.get("description", ""))
    return f"<details><summary>{summary}</summary><p>{description}</p><table>{rows}</table></details>"


def _schema(name: str, schema: dict[str, Any]) -> str:
    rows = "".join(_row(f"<code>{escape(k)}</code>", _type(v)) for k, v in schema.get("properties", {}).items())
    description = escape(schema.get("description", "") or ", ".join(map(str, schema.get("enum", ()))))
    head = f'<details id="{escape(name)}"><summary><code>{escape(name)}</code></summary>'
    return f"{head}<p>{description}</p><table>{rows}</table></details>"


def _row(*cells: str) -> str:
    """Return a row of a table with four columns. The last of three cells takes two."""
    wide = "<td colspan=2>" if len(cells) == 3 else "<td>"
    return f"<tr><td>{'<td>'.join(cells[:-1])}{wide}{cells[-1]}</tr>"


def _type(schema: dict[str, Any]) -> str:
    """Return the type of a value in a few words, with links to the schemas that it names."""
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
