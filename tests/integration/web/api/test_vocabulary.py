"""The vocabulary on a real port: what is listed, what the model is told, and what is corrected."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from testkit.scripted_actors import script
from testkit.service import Running, ended, running, until
from whisper_service.core.domain import Status
from whisper_service.core.errors import StoreBusy
from whisper_service.core.job_states import Cause
from whisper_service.storage.store import Written

pytestmark = pytest.mark.anyio


@pytest.fixture
async def web(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path) as up:
        yield up


async def put(web: Running, *terms: dict[str, Any], version: str | None = None, status: int = 200) -> dict[str, Any]:
    version = version if version is not None else (await listed(web))["version"]
    answer = await web.client.put("/api/vocabulary", json={"terms": terms, "version": version})
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def listed(web: Running) -> dict[str, Any]:
    found: dict[str, Any] = (await web.client.get("/api/vocabulary")).json()
    return found


OPTIONS = ("language", "prompt")


async def begun(web: Running, **play: Any) -> str:
    """A job whose recording plays like this. Options of the job are among it; `speaks` is the language detected."""
    query = {name: play.pop(name) for name in OPTIONS if name in play}
    recording = script(**{"chunks": 2, "echo": True, "language": play.pop("speaks", "en")} | play)
    headers = {"content-type": "audio/wav"}
    answer = await web.client.post("/api/jobs", params=query, content=recording, headers=headers)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


async def done(web: Running, **play: Any) -> str:
    """The same, completed."""
    job = await begun(web, **play)
    assert (await ended(web.service, job)).status is Status.COMPLETED
    return job


async def texts(web: Running, job: str, version: str = "current") -> list[str]:
    answer = await web.client.get(f"/api/jobs/{job}/transcript", params={"version": version})
    return [line["text"].strip() for line in answer.json()["segments"]]


async def test_a_vocabulary_is_put_and_listed(web: Running) -> None:
    assert (await listed(web))["terms"] == []
    now = await put(
        web,
        {"term": " Kubernetes ", "heard": ["cooper  netties", "Kubernetes", " "]},
        {"term": "李雷", "language": "zh"},
    )
    assert now == await listed(web)
    fields = ("term", "heard", "language", "hint", "replace", "uses")
    assert [tuple(one[field] for field in fields) for one in now["terms"]] == [
        ("Kubernetes", ["cooper netties"], None, True, False, 0), ("李雷", [], "zh", True, False, 0)
    ]  # fmt: skip
    after = await put(web, {"term": "Kubernetes", "id": now["terms"][0]["id"], "replace": True})
    assert [(one["id"], one["replace"]) for one in after["terms"]] == [(now["terms"][0]["id"], True)]
    problem = await put(web, version=now["version"], status=409)
    assert (problem["code"], bool(problem["hint"])) == ("conflict", True)
    assert await listed(web) == after


@pytest.mark.parametrize(
    "terms",
    [
        [{"term": ""}],
        [{"term": " \u0000 "}],
        [{"term": "x" * 101}],
        [{"term": "a"}, {"term": " a"}],
        [{"term": "a", "language": "English"}],
        [{"term": "a", "heard": ["b"] * 21}],
        [{"term": "a", "uses": 3}],
    ],
)
async def test_terms_that_are_none_are_refused(web: Running, terms: list[dict[str, Any]]) -> None:
    assert (await put(web, *terms, status=422))["code"] == "invalid_request"
    assert (await listed(web))["terms"] == []


async def test_a_learnt_term_grows(web: Running) -> None:
    for heard in ("cooper netties", "Cuban eighties"):
        body = {"term": "Kubernetes", "heard": [heard], "uses": 2}
        assert (await web.client.post("/api/vocabulary", json=body)).status_code == 200
    (term,) = (await listed(web))["terms"]
    assert (term["heard"], term["uses"]) == (["cooper netties", "Cuban eighties"], 4)


async def test_terms_stay_out_of_the_diagnostics(web: Running) -> None:
    await put(web, {"term": "Confidential"})
    job = await done(web)
    for path in ("/api/diagnostics", f"/api/jobs/{job}"):
        assert "Confidential" not in (await web.client.get(path)).text


async def test_the_model_is_told_the_terms_of_the_language_behind_the_prompt(web: Running) -> None:
    await put(web, {"term": "Kubernetes"}, {"term": "李雷", "language": "zh"}, {"term": "Secret", "hint": False})
    assert await texts(web, await done(web, language="en", prompt="About Go.")) == ["About Go. Kubernetes."] * 2
    assert await texts(web, await done(web, language="zh")) == ["Kubernetes、李雷。"] * 2
    detected = await done(web, speaks="zh")
    assert await texts(web, detected) == ["Kubernetes.", "Kubernetes、李雷。"]


async def test_what_the_model_is_told_is_decided_when_the_job_is_made(web: Running) -> None:
    await put(web, {"term": "Kubernetes"})
    job = await begun(web, chunks=6, delay=0.2, language="en")
    await until(web.service, job, lambda now: now.chunks_done > 0)
    assert (await web.client.post(f"/api/jobs/{job}/pause")).status_code == 200
    await put(web, {"term": "Istio"})
    assert (await web.client.post(f"/api/jobs/{job}/resume")).status_code == 200
    await ended(web.service, job)
    assert await texts(web, job) == ["Kubernetes."] * 6


async def test_what_was_heard_instead_is_corrected_as_an_edit_that_can_be_undone(web: Running) -> None:
    await put(web, {"term": "PASSAGE", "heard": ["chunk"], "replace": True})
    job = await done(web, echo=False)
    machine = ["This is chunk 0.", "This is chunk 1."]
    assert await texts(web, job) == ["This is PASSAGE 0.", "This is PASSAGE 1."]
    assert await texts(web, job, "machine") == machine
    page = (await web.client.get(f"/api/jobs/{job}/edits")).json()
    assert [(one["kind"], one["author"], one["lines"]) for one in page["edits"]] == [("vocabulary", "Vocabulary", 2)]
    assert (await listed(web))["terms"][0]["uses"] == 2
    undone = await web.client.post(f"/api/jobs/{job}/edits/1/undo", json={"batch": "u1"})
    assert undone.status_code == 200, undone.text
    assert await texts(web, job) == machine
    assert (await web.client.get("/api/jobs", params={"q": "PASSAGE"})).json()["jobs"] == []


async def test_an_edit_of_a_person_is_not_corrected(web: Running) -> None:
    await put(web, {"term": "PASSAGE", "heard": ["chunk"], "replace": True})
    job = await begun(web, chunks=4, delay=0.3, echo=False)
    await until(web.service, job, lambda now: now.chunks_done > 0)
    operation = {"op": "text", "id": "c0.0", "v": 0, "text": "A chunk of mine"}
    answer = await web.client.post(f"/api/jobs/{job}/edits", json={"batch": "b", "operations": [operation]})
    assert answer.status_code == 200, answer.text
    await ended(web.service, job)
    assert await texts(web, job) == ["A chunk of mine", *(f"This is PASSAGE {number}." for number in (1, 2, 3))]


async def test_an_end_that_is_repeated_corrects_once(web: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a kill between the correction and the end of the job."""
    await put(web, {"term": "PASSAGE", "heard": ["chunk"], "replace": True})
    store = web.service.parts.store
    move, refused = store.move, []

    async def fail_twice(job_id: str, cause: Cause, **fields: Any) -> Written:
        if cause is Cause.FINISH and len(refused) < 2:
            refused.append(job_id)
            raise StoreBusy
        return await move(job_id, cause, **fields)

    monkeypatch.setattr(store, "move", fail_twice)
    job = await done(web, echo=False)
    assert len(refused) == 2
    assert await texts(web, job) == ["This is PASSAGE 0.", "This is PASSAGE 1."]
    assert [edit.kind.value for edit in await store.edits.log.history(job)] == ["vocabulary"]
    assert (await listed(web))["terms"][0]["uses"] == 2


async def test_a_retry_corrects_what_is_new_and_nothing_that_was_undone(web: Running, tmp_path: Path) -> None:
    await put(web, {"term": "PASSAGE", "heard": ["chunk"], "replace": True})
    (tmp_path / "calm").touch()
    job = await begun(web, chunks=3, bad=[1], calm=str(tmp_path / "calm"), echo=False)
    assert (await ended(web.service, job)).gaps
    assert await texts(web, job) == ["This is PASSAGE 0.", "This is PASSAGE 2."]
    assert (await web.client.post(f"/api/jobs/{job}/edits/1/undo", json={"batch": "u1"})).status_code == 200
    (tmp_path / "calm").unlink()  # now nothing fails
    assert (await web.client.post(f"/api/jobs/{job}/retry")).status_code == 200
    await until(web.service, job, lambda now: now.attempts == 2 and now.status is Status.COMPLETED)
    assert not (await web.service.jobs.get(job)).gaps
    assert await texts(web, job) == ["This is chunk 0.", "This is PASSAGE 1.", "This is chunk 2."]


async def test_a_job_in_another_language_is_left_alone(web: Running) -> None:
    await put(web, {"term": "PASSAGE", "heard": ["chunk"], "replace": True, "language": "de"})
    job = await done(web, echo=False)
    assert await texts(web, job) == ["This is chunk 0.", "This is chunk 1."]
    assert (await web.client.get(f"/api/jobs/{job}")).json()["edits"] == 0
