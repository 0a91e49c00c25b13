"""The vocabulary: words and names that recordings are about."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Router, get, post, put
from litestar.params import JSONBody

from whisper_service.app.vocabulary import TermList
from whisper_service.core.domain import LanguageCode, Value
from whisper_service.core.errors import InvalidRequest
from whisper_service.core.text import clean, quoted
from whisper_service.editing.vocabulary import Term
from whisper_service.storage.vocabulary import MAX_TERMS
from whisper_service.web.http.errors import problems
from whisper_service.web.http.parameters import Served

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
Number = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]


class NewTerm(Value, frozen=True, forbid_unknown_fields=True):
    """A word or a name."""

    term: Annotated[Text, msgspec.Meta(description="As it is written.")]
    heard: Annotated[tuple[Text, ...], msgspec.Meta(max_length=20, description="What the model writes instead.")] = ()
    language: Annotated[LanguageCode, msgspec.Meta(description="None: any.")] | None = None
    hint: Annotated[bool, msgspec.Meta(description="The model is told to expect it.")] = True
    replace: Annotated[bool, msgspec.Meta(description="What was heard instead is corrected when a job ends.")] = False


class LearntTerm(NewTerm, frozen=True):
    """A term that a person used."""

    uses: Annotated[Number, msgspec.Meta(description="Corrections so far.")] = 0


class ListedTerm(NewTerm, frozen=True):
    """A term of the vocabulary."""

    id: Annotated[Number, msgspec.Meta(description="0: a new one.")] = 0


class VocabularyRequest(Value, frozen=True, forbid_unknown_fields=True):
    """The whole vocabulary. `version` is that of the one that it replaces."""

    terms: Annotated[tuple[ListedTerm, ...], msgspec.Meta(max_length=MAX_TERMS)]
    version: Annotated[str, msgspec.Meta(max_length=64)]


@get(
    "/",
    operation_id="getVocabulary",
    summary="The vocabulary",
    responses=problems(),
)
async def vocabulary(service: Served) -> TermList:
    return await service.vocabulary.terms()


@put(
    "/",
    operation_id="putVocabulary",
    summary="Replace the vocabulary",
    description="409: it was changed since `version`. Terms that are left out are removed; the others keep their uses.",
    responses=problems(403, 409, 422, 503, 507),
)
async def put_vocabulary(service: Served, data: JSONBody[VocabularyRequest]) -> TermList:
    terms = [_term(one, one.id) for one in data.terms]
    seen: set[tuple[str, str | None]] = set()
    for term in terms:
        if (term.term, term.language) in seen:
            message = f"The term {quoted(term.term)} is there twice."
            raise InvalidRequest(message, hint="Put what it was heard as into one of them.", field="terms")
        seen.add((term.term, term.language))
    return await service.vocabulary.put(terms, data.version)


@post(
    "/",
    operation_id="addTerm",
    summary="Add a term to the vocabulary",
    description="If it is there in this language, it gets what it was heard as, and its uses are added.",
    status_code=200,
    responses=problems(403, 422, 503, 507),
)
async def add_term(service: Served, data: JSONBody[LearntTerm]) -> Term:
    return await service.vocabulary.add(_term(data, 0, data.uses))


def _term(new: NewTerm, term_id: int, uses: int = 0) -> Term:
    """Return a term as it is stored: without spaces around it, and not heard as itself."""
    term = clean(new.term)
    if not term:
        raise InvalidRequest("A term needs a name.", hint="Send some characters.", field="term")
    heard = dict.fromkeys(text for one in new.heard if (text := clean(one)) and text != term)
    return Term(term_id, term, tuple(heard), new.language, new.hint, new.replace, uses)


router = Router("/api/vocabulary", tags=["Vocabulary"], route_handlers=[vocabulary, put_vocabulary, add_term])
