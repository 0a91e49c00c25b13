"""Turn rows of the database into values of the domain, and back. Pure: knows the columns, runs no SQL.

A column has the name of the struct's field. So a field is declared in two places only: domain.py and schema/.
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

JSON_FIELDS: Final = frozenset({"options", "gaps", "error", "words", "history", "problem", "origin", "tracks", "live"})
"""Fields that are stored as JSON text."""


class ModelRow(Value, frozen=True):
    """What is stored of a model beside its files (see schema/0004_models.sql)."""

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

_json = msgspec.json.Encoder(enc_hook=str)  # the parameters of a Problem may be anything, for example a path
_problem = msgspec.json.Decoder(Problem)
_words = msgspec.json.Decoder(tuple[Word, ...])


def names(fields: Iterable[str]) -> str:
    """Return the fields as a list of columns. They are quoted because some (`index`, `end`) are keywords of SQL."""
    return ", ".join(f'"{field}"' for field in fields)


def marks(fields: Iterable[str]) -> str:
    """Return the fields as a list of named parameters."""
    return ", ".join(f":{field}" for field in fields)


def insert(table: str, fields: Iterable[str], *columns: str) -> str:
    """Return the statement that inserts the fields, and more columns before them, into a table."""
    return f"INSERT INTO {table} ({names([*columns, *fields])}) VALUES ({marks([*columns, *fields])})"


def cell(field: str, value: Any) -> Any:
    """Return the value as it is stored in the column of the field."""
    return json(value) if field in JSON_FIELDS and value is not None else value


def json(value: Any) -> str:
    """Return a struct or a list of values as JSON text."""
    return _json.encode(value).decode()


def cells(fields: Iterable[str], value: msgspec.Struct) -> dict[str, Any]:
    """Return the row of a struct as named parameters."""
    return {field: cell(field, getattr(value, field)) for field in fields}


def job(row: sqlite3.Row) -> Job:
    """Return the job in a row. Its values are converted, because RETURNING gives 1 where SELECT gives 1.0 (REAL)."""
    values: dict[str, Any] = dict(row)
    for field in ("decoded", "media_removed", "no_speech"):
        values[field] = bool(values[field])
    for field in JSON_FIELDS & values.keys():
        values[field] = values[field] and msgspec.json.decode(values[field])
    return msgspec.convert(values, Job)


def chunk(row: sqlite3.Row) -> Chunk:
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
    return Segment(**dict(row) | {"words": _words.decode(row["words"])})


def change(row: sqlite3.Row) -> Change:
    return Change(**dict(row))


def model(row: sqlite3.Row) -> ModelRow:
    return ModelRow(row["name"], row["state"], bool(row["asked"]), row["problem"] and _problem.decode(row["problem"]))


def delivery(row: sqlite3.Row) -> Delivery:
    return Delivery(**dict(row) | {"state": DeliveryState(row["state"])})
