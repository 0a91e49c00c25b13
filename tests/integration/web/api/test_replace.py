"""Replacements in many transcripts, on a real port."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from testkit.scripted_actors import script
from testkit.service import Running, ended, running
from whisper_service.core.domain import Status

pytestmark = pytest.mark.anyio
FIND = {"find": "CHUNK", "replace": "part"}


@pytest.fixture
async def web(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path) as up:
        yield up


async def done(web: Running, name: str, chunks: int = 3) -> str:
    """A completed job. Its lines are "This is chunk 0." and so on."""
    headers = {"content-type": "audio/wav"}
    answer = await web.client.post(
        "/api/jobs", params={"filename": name}, content=script(chunks=chunks), headers=headers
    )
    job = answer.json()["id"]
    assert (await ended(web.service, job)).status is Status.COMPLETED
    return str(job)


async def ask(web: Running, status: int = 200, **body: Any) -> dict[str, Any]:
    answer = await web.client.post("/api/replace", json=FIND | body)
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def texts(web: Running, job: str) -> list[str]:
    answer = await web.client.get(f"/api/jobs/{job}/transcript")
    return [line["text"].strip() for line in answer.json()["segments"]]


def expected(found: dict[str, Any], *left_out: str) -> dict[str, Any]:
    return {
        job["id"]: {"count": job["count"], "edits": job["edits"]} for job in found["jobs"] if job["id"] not in left_out
    }


async def edit(web: Running, job: str, text: str) -> httpx.Response:
    line = (await web.client.get(f"/api/jobs/{job}/transcript")).json()["segments"][0]
    operation = {"op": "text", "id": line["id"], "v": line["version"], "text": text}
    return await web.client.post(
        f"/api/jobs/{job}/edits", json={"batch": "mine", "operations": [operation], "author": "Bo"}
    )


async def test_the_answer_says_what_would_be_replaced_and_nothing_is(web: Running) -> None:
    first, second = await done(web, "one.wav", 5), await done(web, "two.wav", 1)
    found = await ask(web, q="chunk")
    assert (found["count"], found["complete"]) == (6, True)
    assert [(job["id"], job["count"], job["lines"], job["edits"]) for job in found["jobs"]] == [
        (second, 1, 1, 0), (first, 5, 5, 0)
    ]  # fmt: skip
    assert [one["parts"] for one in found["jobs"][1]["excerpts"]] == [
        ["This is ", "chunk", f" {number}."] for number in range(3)
    ]
    assert [job["id"] for job in (await ask(web, ids=[first]))["jobs"]] == [first]
    assert (await ask(web, ids=[first], case=True))["jobs"] == []
    assert (await ask(web, ids=[first], find="chu"))["count"] == 5
    assert (await ask(web, ids=[first], find="chu", whole=True))["count"] == 0
    assert (await texts(web, second)) == ["This is chunk 0."]


async def test_replacements_are_one_edit_in_each_and_one_group(web: Running) -> None:
    jobs = [await done(web, f"{number}.wav", 2) for number in range(3)]
    found = await ask(web, q="chunk")
    body = {"expected": expected(found, jobs[1]), "batch": "g1", "author": "Li", "client": "tab"}
    result = await ask(web, **body)
    assert (result["group"], result["count"], result["left_out"]) == ("g1", 4, [])
    assert sorted((job["id"], job["number"]) for job in result["jobs"]) == [(jobs[0], 1), (jobs[2], 1)]
    assert await ask(web, **body) == result  # sent twice, it is made once
    assert [await texts(web, job) for job in jobs] == [
        ["This is part 0.", "This is part 1."], ["This is chunk 0.", "This is chunk 1."],
        ["This is part 0.", "This is part 1."],
    ]  # fmt: skip
    page = (await web.client.get(f"/api/jobs/{jobs[0]}/edits")).json()
    assert [(one["kind"], one["group"], one["author"], one["lines"]) for one in page["edits"]] == [
        ("replace", "g1", "Li", 2)
    ]
    assert page["edits"][0]["changes"][0]["before"] == "This is chunk 0."
    assert page["edits"][0]["changes"][0]["after"] == "This is part 0."
    undone = await web.client.post("/api/edits/groups/g1/undo", json={"batch": "u1", "author": "Li"})
    assert undone.status_code == 200, undone.text
    assert sorted(job["id"] for job in undone.json()["jobs"]) == [jobs[0], jobs[2]]
    assert {job: await texts(web, job) for job in jobs} == {
        job: ["This is chunk 0.", "This is chunk 1."] for job in jobs
    }  # fmt: skip
    assert (await web.client.post("/api/edits/groups/g1/undo", json={"batch": "u1"})).json() == undone.json()


async def test_a_transcript_that_was_edited_meanwhile_is_left_out_and_named(web: Running) -> None:
    first, second = await done(web, "one.wav"), await done(web, "two.wav")
    found = await ask(web, q="chunk")
    assert (await edit(web, first, "Somebody else was here")).status_code == 200
    result = await ask(web, expected=expected(found) | {"gone": {"count": 1, "edits": 0}}, batch="g1")
    assert [job["id"] for job in result["jobs"]] == [second]
    assert [(job["id"], job["name"], job["problem"]["code"]) for job in result["left_out"]] == [
        (first, "one.wav", "edit_conflict"), ("gone", "", "not_found")
    ]  # fmt: skip
    assert all(job["problem"]["message"] and job["problem"]["hint"] for job in result["left_out"])
    assert (await texts(web, first))[1] == "This is chunk 1."


async def test_an_undo_leaves_what_was_changed_since(web: Running) -> None:
    first, second = await done(web, "one.wav"), await done(web, "two.wav")
    await ask(web, expected=expected(await ask(web, q="chunk")), batch="g1")
    assert (await edit(web, first, "Corrected")).status_code == 200
    result = (await web.client.post("/api/edits/groups/g1/undo", json={"batch": "u1"})).json()
    assert [job["id"] for job in result["jobs"]] == [second]
    (left,) = result["left_out"]
    assert (left["id"], left["name"], left["problem"]["params"]) == (first, "one.wav", {"author": "Bo"})
    assert (await texts(web, first))[0] == "Corrected"
    assert (await texts(web, second))[0] == "This is chunk 0."


async def test_a_line_that_would_be_too_long_leaves_its_transcript_as_it_is(web: Running) -> None:
    job = await done(web, "one.wav", 1)
    assert (await edit(web, job, "x " * 900)).status_code == 200
    found = await ask(web, ids=[job], find="x", replace="y" * 200)
    result = await ask(web, find="x", replace="y" * 200, expected=expected(found), batch="g1")
    assert [(one["id"], one["problem"]["code"]) for one in result["left_out"]] == [(job, "bad_edit")]
    assert (await texts(web, job))[0].startswith("x x")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"find": ""}, None),
        ({"find": "  ", "q": "chunk"}, "find"),
        ({}, "ids"),
        ({"q": " "}, "ids"),
        ({"expected": {}}, "batch"),
        ({"q": "chunk", "more": 1}, None),
    ],
)
async def test_a_request_that_says_too_little_is_refused(web: Running, body: dict[str, Any], field: str | None) -> None:
    problem = await ask(web, 422, **body)
    assert problem["code"] == "invalid_request"
    assert field is None or problem["params"]["field"] == field


async def test_a_job_or_a_group_that_is_not_there(web: Running) -> None:
    assert (await ask(web, 404, ids=["nobody"]))["code"] == "not_found"
    answer = await web.client.post("/api/edits/groups/nothing/undo", json={"batch": "u1"})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_pages_get_the_characters_of_both_scripts(web: Running) -> None:
    pairs = (await web.client.get("/api/characters")).json()
    known = dict(zip(pairs["traditional"], pairs["simplified"], strict=True))
    assert (known["蘋"], known["髮"], known["發"]) == ("苹", "发", "发")
    assert len(known) > 2_000
