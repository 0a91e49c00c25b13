"""The vocabulary in a real database."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.storage.rows import new as new_job
from whisper_service.core.errors import Conflict
from whisper_service.editing.vocabulary import Term
from whisper_service.storage import database
from whisper_service.storage.store import Store
from whisper_service.storage.vocabulary import version_of

pytestmark = pytest.mark.anyio


async def test_a_new_term_gets_a_number_and_a_known_one_grows(store: Store) -> None:
    first = await store.vocabulary.add(Term(0, "Kubernetes", ("cooper netties",), uses=2))
    again = await store.vocabulary.add(
        Term(0, "Kubernetes", ("Cuban eighties", "cooper netties"), replace=True, uses=3)
    )
    assert again == Term(
        first.id, "Kubernetes", ("cooper netties", "Cuban eighties"), hint=True, replace=True, uses=5
    )  # fmt: skip
    other = await store.vocabulary.add(Term(0, "Kubernetes", language="de", hint=False))
    assert other.id != first.id
    assert await store.vocabulary.terms() == [again, other]


async def test_the_whole_vocabulary_is_replaced_and_uses_stay(store: Store) -> None:
    kept = await store.vocabulary.add(Term(0, "Kubernetes", uses=7))
    await store.vocabulary.add(Term(0, "Istio"))
    version = version_of(await store.vocabulary.terms())
    terms = await store.vocabulary.put(
        [
            Term(kept.id, "kubernetes", ("cooper",), "en", hint=False, replace=True, uses=99),
            Term(0, "Anna"),
            Term(55, "Bo"),
        ],
        version,
    )
    assert [(term.term, term.uses) for term in terms] == [("Anna", 0), ("Bo", 0), ("kubernetes", 7)]
    assert terms[-1] == Term(kept.id, "kubernetes", ("cooper",), "en", hint=False, replace=True, uses=7)
    assert len({term.id for term in terms}) == 3
    assert await store.vocabulary.terms() == terms
    with pytest.raises(Conflict):
        await store.vocabulary.put([], version)
    assert await store.vocabulary.terms() == terms


async def test_uses_are_counted_and_change_no_version(store: Store) -> None:
    term = await store.vocabulary.add(Term(0, "Kubernetes"))
    version = version_of(await store.vocabulary.terms())
    await store.vocabulary.count({term.id: 4, 999: 1})
    (counted,) = await store.vocabulary.terms()
    assert counted.uses == 4
    assert version_of([counted]) == version
    assert version_of([]) != version


async def test_a_job_keeps_what_the_model_is_told(store: Store) -> None:
    await store.add(new_job("a"), {"": "Kubernetes.", "zh": "李雷。"})
    await store.add(new_job("b"))
    assert await store.vocabulary.hints("a") == {"": "Kubernetes.", "zh": "李雷。"}
    assert await store.vocabulary.hints("b") == await store.vocabulary.hints("nobody") == {}


async def test_edits_from_before_have_a_kind(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the last released state: jobs without hints, edits that were plain or undid one."""
    known = database._migrations()
    monkeypatch.setattr(database, "_migrations", lambda: {n: file for n, file in known.items() if n < 19})
    async with database.connect(path) as connection:
        await database.prepare(connection, path)
        await connection.execute(
            "INSERT INTO job (id, name, status, options, created_at, bytes, sha256, progress, message, position_s,"
            " chunks_done, chunks_total, decoded, attempts, rank, gaps, edits)"
            " VALUES ('old', 'talk.wav', 'completed', '{}', 0, 1, 'x', 1, '', 0, 1, 1, 1, 1, 0, '[]', 2)"
        )
        for number, undoes in ((1, None), (2, 1)):
            await connection.execute(
                "INSERT INTO edit VALUES ('old', ?, ?, 0, 'tab', 'Li', '[]', '[]', ?, ?)",
                (number, f"b{number}", b'{"lines":[],"gone":[]}', undoes),
            )
    monkeypatch.undo()
    async with Store.open(path) as store:
        history = await store.edits.log.history("old")
        assert [(edit.number, edit.kind.value, edit.undone, edit.group) for edit in history] == [
            (2, "undo", False, None), (1, "edit", True, None)
        ]  # fmt: skip
        assert await store.vocabulary.terms() == []
        assert await store.vocabulary.hints("old") == {}
        await store.vocabulary.add(Term(0, "Kubernetes"))
