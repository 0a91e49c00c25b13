"""The vocabulary of a running service."""

from __future__ import annotations

from collections.abc import Sequence

from whisper_service.app.wiring import Parts
from whisper_service.core.domain import Value
from whisper_service.editing.vocabulary import Term
from whisper_service.storage.vocabulary import version_of


class TermList(Value, frozen=True):
    """The whole vocabulary, by name. `version` changes when anything of it is changed, but not with its uses."""

    terms: list[Term]
    version: str


class VocabularyService:
    """What clients may ask of the vocabulary."""

    def __init__(self, parts: Parts) -> None:
        self._vocabulary = parts.store.vocabulary

    async def terms(self) -> TermList:
        """Return the whole vocabulary."""
        return _listed(await self._vocabulary.terms())

    async def put(self, terms: Sequence[Term], version: str) -> TermList:
        """Replace the whole vocabulary. Raises `Conflict` if it is not the one with this version any more."""
        return _listed(await self._vocabulary.put(terms, version))

    async def add(self, term: Term) -> Term:
        """Add a term, or what it was heard as to the one that is known."""
        return await self._vocabulary.add(term)


def _listed(terms: list[Term]) -> TermList:
    return TermList(terms, version_of(terms))
