"""Describe in the OpenAPI document what the signature of a handler does not say: forms, raw bodies, several answers.

Bounds and descriptions of options come from the `msgspec.Meta` of their struct.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import msgspec
from litestar.openapi.spec import (
    OpenAPIFormat,
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    Parameter,
    Reference,
    RequestBody,
    Schema,
)

from whisper_service.core.domain import Options
from whisper_service.core.options_schema import option_fields

TEXT: Final = Schema(type=OpenAPIType.STRING)
BINARY: Final = Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY)
RECORDING: Final = replace(BINARY, description="Any audio or video file.")
TEXT_OBJECT: Final = Schema(type=OpenAPIType.OBJECT, required=["text"], properties={"text": TEXT})
"""The least that a JSON answer of another program's interface has."""


def schemas_of(struct: type[msgspec.Struct], *, set_elsewhere: Collection[str] = ()) -> dict[str, Schema]:
    """Return the schema of every option in a struct, by name, as form fields and query parameters take them.

    `set_elsewhere`: options whose default is a setting, so that the document cannot say it. Two bounds are left out,
    because requests may contain more than options: an empty value (`min_length`) counts as not given, and a language
    may be in capital letters (`pattern`).
    """
    no_default = {None, msgspec.NODEFAULT}
    return {
        option.name: Schema(
            type=OpenAPIType(option.type),
            enum=list(option.choices) or None,
            default=None if option.name in set_elsewhere or option.default in no_default else option.default,
            minimum=option.minimum,
            maximum=option.maximum,
            max_length=option.max_length,
            description=option.description or None,
        )
        for option in option_fields(struct)
    }


OPTIONS: Final = schemas_of(Options, set_elsewhere={"preset"})
"""The options of a job. `speech.preset` is the default of `preset`."""


def text(description: str, *, max_length: int | None = None) -> Schema:
    return Schema(type=OpenAPIType.STRING, max_length=max_length, description=description)


def flag(description: str, *, default: bool = False) -> Schema:
    return Schema(type=OpenAPIType.BOOLEAN, default=default, description=description)


def choice(choices: Iterable[str], default: str) -> Schema:
    return Schema(type=OpenAPIType.STRING, enum=[*choices], default=default)


def form(fields: Mapping[str, Schema], *required: str) -> Schema:
    """Return the schema of a form or of a JSON object."""
    return Schema(type=OpenAPIType.OBJECT, required=[*required], properties={**fields})


def operation(
    *,
    bodies: Mapping[str, Schema] | None = None,
    query: Mapping[str, Schema] | None = None,
    answers: Mapping[str, Schema | Reference] | None = None,
) -> type[Operation]:
    """Return the `operation_class` of a route. Bodies and answers (with status 200) are given by media type."""

    @dataclass
    class Described(Operation):
        def __post_init__(self) -> None:
            if bodies:
                self.request_body = RequestBody(required=True, content=_content(bodies))
            if query:
                added = [Parameter(name=n, param_in="query", required=False, schema=s) for n, s in query.items()]
                self.parameters = [*(self.parameters or ()), *added]
            if answers and isinstance(success := (self.responses or {}).get("200"), OpenAPIResponse):
                success.content = _content(answers)

    return Described


def _content(schemas: Mapping[str, Schema | Reference]) -> dict[str, OpenAPIMediaType]:
    return {media_type: OpenAPIMediaType(schema=schema) for media_type, schema in schemas.items()}
