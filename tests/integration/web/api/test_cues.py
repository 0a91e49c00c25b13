"""The captions of a job as data: those of its SubRip file, with edits, and with the options of the file."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from testkit.scripted_actors import script
from testkit.service import Running, ended, running
from whisper_service.core.domain import Status

pytestmark = pytest.mark.anyio
TALK = "We went down to the river. Nobody had seen the boat for days, said the old man who lived there."


@pytest.fixture
async def web(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path) as up:
        yield up


@pytest.fixture
async def job(web: Running) -> str:
    """A completed job with three lines."""
    data = script(chunks=3, lines=(TALK, "Yes.", "One two three four five."))
    answer = await web.client.post("/api/jobs", content=data, headers={"content-type": "audio/wav"})
    assert answer.status_code == 202, answer.text
    found = str(answer.json()["id"])
    assert (await ended(web.service, found)).status is Status.COMPLETED
    return found


async def listed(web: Running, job: str, **options: str) -> dict[str, Any]:
    answer = await web.client.get(f"/api/jobs/{job}/cues", params=options)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def in_file(web: Running, job: str, **options: str) -> list[tuple[float, float, str]]:
    srt = (await web.client.get(f"/api/jobs/{job}/export", params={"format": "srt", **options})).raise_for_status().text
    found = re.findall(r"(\d+):(\d+):(\d+),(\d+) --> (\d+):(\d+):(\d+),(\d+)\n((?:.+\n)+)", srt)
    return [(_seconds(*row[:4]), _seconds(*row[4:8]), row[8].rstrip("\n")) for row in found]


def _seconds(*clock: str) -> float:
    h, m, s, ms = map(int, clock)
    return round(h * 3600 + m * 60 + s + ms / 1000, 3)


def as_in_file(cues: dict[str, Any]) -> list[tuple[float, float, str]]:
    return [(cue["start"], cue["end"], "\n".join(cue["rows"])) for cue in cues["cues"]]


async def edit(web: Running, job: str, batch: str, *operations: dict[str, Any]) -> dict[str, Any]:
    body = {"batch": batch, "operations": operations}
    answer = await web.client.post(f"/api/jobs/{job}/edits", json=body)
    assert answer.status_code == 200, answer.text
    result: dict[str, Any] = answer.json()
    return result


async def test_they_are_those_of_the_file_with_edits_and_held_lines_and_every_option(web: Running, job: str) -> None:
    before = await listed(web, job)
    assert before["edits"] == 0
    assert before["style"]["line_columns"] == 42
    assert as_in_file(before) == await in_file(web, job)
    lines = (await web.client.get(f"/api/jobs/{job}/transcript")).json()["segments"]
    named = [part["line"] for cue in before["cues"] for part in cue["parts"]]
    assert list(dict.fromkeys(named)) == [line["id"] for line in lines]
    second = lines[1]
    start, end = round(second["start"] + 0.2, 3), round(second["start"] + 0.45, 3)
    await edit(web, job, "b1", {"op": "text", "id": lines[2]["id"], "v": 0, "text": "Something --> else & <more>"})
    await edit(web, job, "b2", {"op": "time", "id": second["id"], "v": 0, "start": start, "end": end})
    after = await listed(web, job)
    assert after["edits"] == 2
    timed = next(cue for cue in after["cues"] if cue["held"])
    assert (timed["start"], timed["end"], timed["rows"]) == (start, end, ["Yes."])
    assert timed["problems"] == ["too_short"]
    assert timed["parts"] == [{"line": second["id"], "version": 1, "begin": 0, "end": 4}]
    found = as_in_file(after)
    assert [(a, b, text.replace("-->", "→")) for a, b, text in found] == await in_file(web, job)
    assert any("-->" in text for *_, text in found)
    for options in ({"line_columns": "20"}, {"lines": "1"}, {"max_s": "3", "min_s": "1.5"}):
        some = await listed(web, job, **options)
        assert [(a, b, text.replace("-->", "→")) for a, b, text in as_in_file(some)] == await in_file(
            web, job, **options
        )
        assert (start, end, "Yes.") in as_in_file(some)
    for form in ("vtt", "ass", "lrc"):
        assert "Yes." in (await web.client.get(f"/api/jobs/{job}/export", params={"format": form})).text


async def test_without_the_time_that_people_set_they_are_as_before(web: Running, job: str) -> None:
    before = await listed(web, job)
    line = before["cues"][-1]["parts"][0]["line"]
    made = await edit(web, job, "b1", {"op": "time", "id": line, "v": 0, "start": 30.0, "end": 33.0})
    assert [(cue["start"], cue["end"]) for cue in (await listed(web, job))["cues"] if cue["held"]] == [(30.0, 33.0)]
    answer = await web.client.post(f"/api/jobs/{job}/edits/{made['number']}/undo", json={"batch": "b2"})
    assert answer.status_code == 200, answer.text
    assert as_in_file(await listed(web, job)) == as_in_file(before)


@pytest.mark.parametrize(
    ("path", "options", "status", "code"),
    [
        ("none", {}, 404, "not_found"),
        ("", {"min_s": "9", "max_s": "1"}, 422, "invalid_request"),
        ("", {"lines": "7"}, 422, "invalid_request"),
        ("", {"colour": "red"}, 422, "invalid_request"),
    ],
)
async def test_what_cannot_be_asked_is_said(
    web: Running, job: str, path: str, options: dict[str, str], status: int, code: str
) -> None:
    answer: httpx.Response = await web.client.get(f"/api/jobs/{path or job}/cues", params=options)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["hint"]
