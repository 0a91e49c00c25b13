"""Describe the fields of an options struct for API documents and command line help. Pure.

Reads bounds and descriptions from the `msgspec.Meta` of each field, so that they are written down once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec import inspect

from whisper_service.core.domain import Value

_TYPES: Final = {
    inspect.BoolType: "boolean",
    inspect.IntType: "integer",
    inspect.FloatType: "number",
    inspect.StrType: "string",
    inspect.EnumType: "string",
}


class OptionField(Value, frozen=True):
    """One option: its type as JSON Schema names it, its bounds, and its default. None: no such bound."""

    name: str
    type: str  # "boolean" | "integer" | "number" | "string"
    description: str = ""
    default: Any = None  # None: without it the option has no value
    choices: tuple[str, ...] = ()  # in the order of the enum; (): any value within the bounds
    minimum: float | None = None
    maximum: float | None = None
    max_length: int | None = None


def option_fields(kind: type[msgspec.Struct]) -> tuple[OptionField, ...]:
    """Return the options in a struct, in order. The fields of a nested struct stand in the place of that struct."""
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    return tuple(option for field in info.fields for option in _options(field))


def _options(field: inspect.Field) -> Iterator[OptionField]:
    description, kind = "", field.type
    while isinstance(kind, inspect.Metadata | inspect.UnionType):  # in either order
        if isinstance(kind, inspect.Metadata):
            description, kind = (kind.extra_json_schema or {}).get("description", description), kind.type
        else:
            (kind,) = (each for each in kind.types if not isinstance(each, inspect.NoneType))
    if isinstance(kind, inspect.StructType):
        yield from option_fields(kind.cls)
        return
    yield OptionField(
        name=field.name,
        type=_TYPES[type(kind)],
        description=description,
        default=field.default,
        choices=tuple(kind.cls) if isinstance(kind, inspect.EnumType) else (),
        minimum=getattr(kind, "ge", None),
        maximum=getattr(kind, "le", None),
        max_length=getattr(kind, "max_length", None),
    )
