"""Rows of the database as values of the domain, and back. Pure: knows the columns, runs no SQL.

Columns are called as the fields of the structs, so that a field is declared in two places only: domain.py and schema/.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from whisper_service.core.domain import (
    Change,
    Chunk,
    ChunkState,
    Delivery,
    DeliveryState,
    Job,
    Problem,
    Segment,
    Span,
    Value,
    Word,
)

JSON_FIELDS: Final = frozenset({"options", "gaps", "error", "words", "history", "problem", "origin"})
"""Fields that are one JSON text in their column."""


class ModelRow(Value, frozen=True):
    """What is remembered of a model beyond what lies on the disk; see the schema."""

    name: str
    state: str  # "downloading", "absent" or "broken"
    asked: bool = False
    problem: Problem | None = None


MODEL: Final = ModelRow.__struct_fields__
JOB: Final = Job.__struct_fields__
SPAN: Final = Span.__struct_fields__
CHUNK: Final = (*SPAN, "state", "attempts", "kills", "language", "language_probability", "error")
SEGMENT: Final = Segment.__struct_fields__
CHANGE: Final = Change.__struct_fields__
DELIVERY: Final = Delivery.__struct_fields__

_json = msgspec.json.Encoder(enc_hook=str)  # the parameters of a Problem may be anything, e.g. a path
_problem = msgspec.json.Decoder(Problem)
_words = msgspec.json.Decoder(tuple[Word, ...])


def names(fields: Iterable[str]) -> str:
    """These fields as a list of columns; quoted, because some of them (`index`, `end`) are words of SQL."""
    return ", ".join(f'"{field}"' for field in fields)


def marks(fields: Iterable[str]) -> str:
    """The named parameters of these fields."""
    return ", ".join(f":{field}" for field in fields)


def cell(field: str, value: Any) -> Any:
    """What goes into the column of this field."""
    return _json.encode(value).decode() if field in JSON_FIELDS and value is not None else value


def json(value: Any) -> str:
    """A struct, or a list of values, as one JSON text."""
    return _json.encode(value).decode()


def cells(fields: Iterable[str], value: msgspec.Struct) -> dict[str, Any]:
    """The row of a struct, as named parameters."""
    return {field: cell(field, getattr(value, field)) for field in fields}


def job(row: sqlite3.Row) -> Job:
    """The job in a row of `JOB`.

    Converted, not just put together: RETURNING answers 1 where a SELECT of the same REAL column answers 1.0.
    """
    values: dict[str, Any] = dict(row)
    for field in ("decoded", "media_removed"):
        values[field] = bool(values[field])
    for field in JSON_FIELDS & values.keys():
        values[field] = values[field] and msgspec.json.decode(values[field])
    return msgspec.convert(values, Job)


def chunk(row: sqlite3.Row) -> Chunk:
    """The chunk in a row of `CHUNK`."""
    return Chunk(
        span=Span(**{field: row[field] for field in SPAN}),
        state=ChunkState(row["state"]),
        attempts=row["attempts"],
        kills=row["kills"],
        language=row["language"],
        language_probability=row["language_probability"],
        error=row["error"] and _problem.decode(row["error"]),
    )


def segment(row: sqlite3.Row) -> Segment:
    """The segment in a row of `SEGMENT`."""
    return Segment(**dict(row) | {"words": _words.decode(row["words"])})


def change(row: sqlite3.Row) -> Change:
    """The change in a row of `CHANGE`."""
    return Change(**dict(row))


def model(row: sqlite3.Row) -> ModelRow:
    """What is remembered in a row of `MODEL`."""
    return ModelRow(row["name"], row["state"], bool(row["asked"]), row["problem"] and _problem.decode(row["problem"]))


def delivery(row: sqlite3.Row) -> Delivery:
    """The webhook in a row of `DELIVERY`."""
    return Delivery(**dict(row) | {"state": DeliveryState(row["state"])})
