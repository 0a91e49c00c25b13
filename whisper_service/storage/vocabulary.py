"""The vocabulary, and what jobs were told of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from whisper_service.core.errors import Conflict
from whisper_service.editing.vocabulary import Term
from whisper_service.storage import row_mapping
from whisper_service.storage.connections import Connections

MAX_TERMS: Final = 2_000
_TERM: Final = Term.__struct_fields__
_ALL: Final = f"SELECT {row_mapping.names(_TERM)} FROM term ORDER BY term COLLATE NOCASE, id"


class Vocabulary:
    """The table `term`, and the column `job.hints`."""

    def __init__(self, connections: Connections) -> None:
        self._db = connections

    async def terms(self) -> list[Term]:
        """Return all terms, by name."""
        return list(map(_term, await self._db.read(_ALL)))

    async def put(self, terms: Sequence[Term], version: str) -> list[Term]:
        """Replace the whole vocabulary. A term with the ID 0 is new; the others keep their uses.

        Raises `Conflict` if it is not the one with this version any more.
        """
        async with self._db.transaction():
            known = {term.id: term for term in map(_term, await self._db.run(_ALL))}
            if version != version_of(list(known.values())):
                raise Conflict("The vocabulary was changed meanwhile.", hint="Fetch it again, then repeat the change.")
            await self._db.run("DELETE FROM term")
            for term in terms:
                uses = known[term.id].uses if term.id in known else 0
                await self._insert(replace(term, uses=uses, id=term.id if term.id in known else 0))
            return list(map(_term, await self._db.run(_ALL)))

    async def add(self, term: Term) -> Term:
        """Add a term, or what it was heard as to the one that is known, and count its uses."""
        async with self._db.transaction():
            found = await self._db.run(
                f"SELECT {row_mapping.names(_TERM)} FROM term WHERE term = :term AND language IS :language",
                term=term.term, language=term.language,
            )  # fmt: skip
            if not found:
                return await self._insert(replace(term, id=0))
            known = _term(found[0])
            heard = tuple(dict.fromkeys((*known.heard, *term.heard)))
            together = replace(
                known,
                heard=heard,
                hint=known.hint or term.hint,
                replace=known.replace or term.replace,
                uses=known.uses + term.uses,
            )
            await self._db.run("DELETE FROM term WHERE id = :id", id=known.id)
            return await self._insert(together)

    async def count(self, uses: Mapping[int, int]) -> None:
        """Count uses of terms, by ID."""
        async with self._db.transaction():
            await self._db.run_many(
                "UPDATE term SET uses = uses + ? WHERE id = ?", [(count, term_id) for term_id, count in uses.items()]
            )

    async def hints(self, job_id: str) -> dict[str, str]:
        """Return what the model is told of the vocabulary for a job, by language."""
        found = await self._db.read("SELECT hints FROM job WHERE id = :id", id=job_id)
        return msgspec.json.decode(found[0]["hints"], type=dict[str, str]) if found else {}

    async def _insert(self, term: Term) -> Term:
        """Write a term inside a transaction. With the ID 0 it gets one."""
        cells: dict[str, Any] = row_mapping.cells(_TERM, term) | {"heard": row_mapping.json(term.heard)}
        cells["id"] = term.id or None
        sql = f"{row_mapping.insert('term', _TERM)} RETURNING {row_mapping.names(_TERM)}"
        return _term((await self._db.run(sql, **cells))[0])


def version_of(terms: Sequence[Term]) -> str:
    """Return a mark that changes with the vocabulary, but not with how often its terms are used."""
    parts = [(term.id, term.term, term.heard, term.language, term.hint, term.replace) for term in terms]
    return hashlib.sha256(msgspec.json.encode(sorted(parts))).hexdigest()[:16]


def _term(row: Any) -> Term:
    values = dict(row)
    flags = {field: bool(values[field]) for field in ("hint", "replace")}
    return Term(**values | flags | {"heard": tuple(msgspec.json.decode(values["heard"]))})
