"""The API of edits on a real port: what is edited is what everything shows, except for those who ask the model."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from testkit.scripted_actors import script
from testkit.service import Running, ended, running, until
from whisper_service.core.domain import Status

pytestmark = pytest.mark.anyio
QUICK = script(chunks=3)


@pytest.fixture
async def web(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path) as up:
        yield up


async def posted(web: Running, data: bytes) -> dict[str, Any]:
    answer = await web.client.post("/api/jobs", content=data, headers={"content-type": "audio/wav"})
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    return job


def assert_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    problem: dict[str, Any] = answer.json()
    assert problem["code"] == code, problem
    assert problem["message"]
    assert problem["hint"]
    return problem


@pytest.fixture
async def job(web: Running) -> str:
    """A completed job."""
    job = await posted(web, QUICK)
    assert (await ended(web.service, job["id"])).status is Status.COMPLETED
    return str(job["id"])


async def transcript(web: Running, job: str, version: str = "current") -> dict[str, Any]:
    answer = await web.client.get(f"/api/jobs/{job}/transcript", params={"version": version})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def lines(web: Running, job: str) -> list[tuple[str, int, str]]:
    return [(line["id"], line["version"], line["text"]) for line in (await transcript(web, job))["segments"]]


async def edit(web: Running, job: str, *operations: dict[str, Any], batch: str = "b1", **more: Any) -> httpx.Response:
    body = {"batch": batch, "operations": operations, **more}
    return await web.client.post(f"/api/jobs/{job}/edits", json=body)


async def test_an_edit_reaches_transcript_export_and_search_and_not_who_asks_the_model(web: Running, job: str) -> None:
    before = await transcript(web, job)
    first = before["segments"][0]
    answer = await edit(
        web, job, {"op": "text", "id": first["id"], "v": 0, "text": "Hedgehogs everywhere"}, author="Li"
    )
    assert answer.status_code == 200, answer.text
    result = answer.json()
    assert (result["number"], result["gone"], result["job_id"]) == (1, [], job)
    assert [(line["id"], line["version"], line["text"]) for line in result["lines"]] == [
        (first["id"], 1, "Hedgehogs everywhere")
    ]
    after = await transcript(web, job)
    assert after["edits"] == 1
    assert [line["text"] for line in after["segments"]] == [
        "Hedgehogs everywhere", *(line["text"] for line in before["segments"][1:])
    ]  # fmt: skip
    assert (await transcript(web, job, "machine"))["segments"] == before["segments"]
    for form in ("txt", "srt", "vtt", "tsv", "json", "md", "lrc", "ass"):
        current = (await web.client.get(f"/api/jobs/{job}/export", params={"format": form})).text
        machine = (await web.client.get(f"/api/jobs/{job}/export", params={"format": form, "version": "machine"})).text
        assert "Hedgehogs" in current, form
        assert "Hedgehogs" not in machine, form
        assert first["text"] not in current, form
    found = (await web.client.get("/api/jobs", params={"q": "hedgehogs"})).json()
    assert [each["id"] for each in found["jobs"]] == [job]
    assert (await web.client.get(f"/api/jobs/{job}")).json()["edits"] == 1


async def test_without_edits_an_export_is_what_it_was(web: Running, job: str) -> None:
    for form in ("json", "txt", "vtt"):
        current, machine = [
            (await web.client.get(f"/api/jobs/{job}/export", params={"format": form, "version": version})).content
            for version in ("current", "machine")
        ]
        assert current == machine
    assert "version" not in (await web.client.get(f"/api/jobs/{job}/export", params={"format": "json"})).text


async def test_other_windows_hear_of_an_edit_at_once(web: Running, job: str) -> None:
    (first, *_) = await lines(web, job)
    seq = (await web.client.get("/api/state")).json()["seq"]
    heard: list[str] = []
    with anyio.fail_after(10):
        async with (
            anyio.create_task_group() as tasks,
            web.client.stream("GET", "/api/events", params={"since": seq}) as stream,
        ):
            tasks.start_soon(edit, web, job, {"op": "text", "id": first[0], "v": 0, "text": "Told"})
            async for line in stream.aiter_lines():
                heard.append(line)
                if '"Told"' in line:
                    break
    assert heard[-2] == "event: edit"


async def test_the_stream_of_an_ended_job_ends_after_its_edits(web: Running, job: str) -> None:
    (first, *_) = await lines(web, job)
    await edit(web, job, {"op": "delete", "id": first[0], "v": 0})
    with anyio.fail_after(10):
        text = (await web.client.get(f"/api/jobs/{job}/events")).text
    assert "event: edit" in text
    assert text.rstrip().endswith("done")


async def test_an_edit_of_an_old_version_is_refused_with_the_line_as_it_is(web: Running, job: str) -> None:
    (first, *_) = await lines(web, job)
    operation = {"op": "text", "id": first[0], "v": 0, "text": "Mine"}
    assert (await edit(web, job, operation)).json() == (await edit(web, job, operation)).json()
    problem = assert_problem(await edit(web, job, operation, batch="b2"), 409, "edit_conflict")
    assert problem["params"]["ids"] == [first[0]]
    assert [line["text"] for line in problem["params"]["lines"]] == ["Mine"]
    assert problem["params"]["number"] == 1
    assert (await transcript(web, job))["edits"] == 1
    assert [each["number"] for each in (await web.client.get(f"/api/jobs/{job}/edits")).json()["edits"]] == [1]


@pytest.mark.parametrize(
    "body",
    [
        {"batch": "b", "operations": []},
        {"batch": "", "operations": [{"op": "delete", "id": "c0.0", "v": 0}]},
        {"batch": "b", "operations": [{"op": "explode", "id": "c0.0", "v": 0}]},
        {"batch": "b", "operations": [{"op": "delete", "v": 0}]},
        {"batch": "b", "operations": [{"op": "delete", "id": "c0.0", "v": 0, "more": 1}]},
        {"batch": "b", "operations": [{"op": "put", "v": {}, "lines": [], "gone": ["c0.0"]}]},
    ],
)
async def test_a_body_that_is_no_edit_is_refused(web: Running, job: str, body: dict[str, Any]) -> None:
    assert_problem(await web.client.post(f"/api/jobs/{job}/edits", json=body), 422, "invalid_request")
    assert (await transcript(web, job))["edits"] == 0


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "text", "id": "c0.0", "text": "Mine"},
        {"op": "split", "id": "c0.0", "at": 2, "new": "n1"},
        {"op": "merge", "ids": ["c0.0", "c1.0"]},
        {"op": "time", "id": "c0.0", "start": 0.1, "end": 0.2},
        {"op": "delete", "id": "c0.0"},
    ],
    ids=lambda operation: operation["op"],
)
async def test_an_operation_without_the_version_of_its_line_is_refused(
    web: Running, job: str, operation: dict[str, Any]
) -> None:
    """Criterion 30."""
    before = await lines(web, job)
    first = {"op": "check", "ids": ["c0.0"], "on": True}
    problem = assert_problem(await edit(web, job, first, operation), 428, "version_missing")
    assert problem["params"] == {"operation": 1}
    assert await lines(web, job) == before
    assert (await transcript(web, job))["edits"] == 0
    assert (await web.client.get(f"/api/jobs/{job}/edits")).json()["edits"] == []


async def test_an_edit_that_cannot_be_made_is_refused_and_an_unknown_job_too(web: Running, job: str) -> None:
    (first, *_) = await lines(web, job)
    answer = await edit(web, job, {"op": "split", "id": first[0], "v": 0, "at": 1_999, "new": "n1"})
    assert assert_problem(answer, 422, "bad_edit")["params"]["reason"] == "split"
    assert_problem(await edit(web, "nobody", {"op": "delete", "id": "c0.0", "v": 0}), 404, "not_found")


async def test_history_undo_and_the_text_of_the_model(web: Running, job: str) -> None:
    before = await lines(web, job)
    await edit(web, job, {"op": "text", "id": before[0][0], "v": 0, "text": "One"}, batch="b1", author="Li")
    await edit(web, job, {"op": "delete", "id": before[1][0], "v": 0}, batch="b2", author="Anna")
    page = (await web.client.get(f"/api/jobs/{job}/edits", params={"limit": 1})).json()
    assert [(each["number"], each["author"], each["operations"][0]["op"]) for each in page["edits"]] == [
        (2, "Anna", "delete")
    ]
    page = (await web.client.get(f"/api/jobs/{job}/edits", params={"before": page["next"]})).json()
    assert ([each["author"] for each in page["edits"]], page["next"]) == (["Li"], None)
    assert (await transcript(web, job))["deleted"] == [before[1][0]]
    answer = await web.client.post(f"/api/jobs/{job}/edits/1/undo", json={"batch": "b3"})
    assert answer.status_code == 200, answer.text
    texts = [text for _, _, text in before]
    assert [text for _, _, text in await lines(web, job)] == [texts[0], *texts[2:]]
    assert_problem(await web.client.post(f"/api/jobs/{job}/edits/9/undo", json={"batch": "b4"}), 404, "not_found")
    restored = {"batch": "b5", "number": 0, "newest": 2}
    answer = await web.client.post(f"/api/jobs/{job}/transcript/restore", json=restored)
    assert_problem(answer, 409, "edit_conflict")
    answer = await web.client.post(f"/api/jobs/{job}/transcript/restore", json=restored | {"newest": 3})
    assert answer.status_code == 200, answer.text
    assert [text for _, _, text in await lines(web, job)] == texts


async def test_a_job_in_work_is_edited_while_more_text_arrives(web: Running) -> None:
    job = (await posted(web, script(chunks=4, delay=0.3)))["id"]
    await until(web.service, job, lambda now: now.chunks_done > 0)
    found = await lines(web, job)
    answer = await edit(web, job, {"op": "text", "id": found[0][0], "v": 0, "text": "Edited early"})
    assert answer.status_code == 200, answer.text
    assert (await ended(web.service, job)).status is Status.COMPLETED
    after = await lines(web, job)
    assert after[0][2] == "Edited early"
    machine = (await transcript(web, job, "machine"))["segments"]
    assert [text for _, _, text in after[1:]] == [line["text"] for line in machine[1:]]
    assert (await web.client.get(f"/api/jobs/{job}")).json()["edits"] == 1
