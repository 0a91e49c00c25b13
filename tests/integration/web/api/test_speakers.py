"""The API of speakers on a real port: options, names, merges, corrections, another count, and what files show."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from testkit.scripted_actors import script
from testkit.service import Running, ended, placeholder_networks, running
from whisper_service.core.domain import Job, Status

pytestmark = pytest.mark.anyio
LINES = ["Good morning to you.", "And to you too, my friend.", "Shall we begin?", "Let us do that."]


@pytest.fixture
async def web(tmp_path: Path) -> AsyncIterator[Running]:
    placeholder_networks(tmp_path)
    async with running(tmp_path) as up:
        yield up


async def transcribed(web: Running, query: str = "speakers=auto", **play: Any) -> Job:
    """Send a recording of four chunks, said by A, B, B and A in turn, and wait for its text."""
    recording = script(**{"chunks": 4, "lines": LINES, "people": "ABBA"} | play)
    answer = await web.client.post(
        f"/api/jobs?{query}", content=recording, headers={"content-type": "application/octet-stream"}
    )
    assert answer.status_code == 202, answer.text
    job = await ended(web.service, answer.json()["id"])
    assert job.status is Status.COMPLETED
    return job


async def got(web: Running, path: str, **params: str) -> dict[str, Any]:
    answer = await web.client.get(path, params=params)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def lines_of(web: Running, job: str) -> list[tuple[str | None, list[list[Any]]]]:
    """Return, for each line, whom a person chose and who speaks from which word on."""
    return [(line["speaker"], line["turns"]) for line in (await got(web, f"/api/jobs/{job}/transcript"))["segments"]]


async def edited(web: Running, job: str, *operations: dict[str, Any], batch: str = "b1") -> dict[str, Any]:
    answer = await web.client.post(f"/api/jobs/{job}/edits", json={"batch": batch, "operations": operations})
    assert answer.status_code == 200, answer.text
    result: dict[str, Any] = answer.json()
    return result


async def text_of(web: Running, job: str, form: str = "txt", **params: str) -> str:
    answer = await web.client.get(f"/api/jobs/{job}/export", params={"format": form, **params})
    assert answer.status_code == 200
    return answer.text


def refused(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    problem: dict[str, Any] = answer.json()
    assert (problem["code"], bool(problem["message"]), bool(problem["hint"])) == (code, True, True)
    return problem


async def test_a_job_tells_who_says_what(web: Running) -> None:
    job = await transcribed(web)
    assert (job.speakers, job.options.speakers) == (2, "auto")
    transcript = await got(web, f"/api/jobs/{job.id}/transcript")
    assert [line["turns"] for line in transcript["segments"]] == [[[0, "s1"]], [[0, "s2"]], [[0, "s2"]], [[0, "s1"]]]
    assert [line["speaker"] for line in transcript["segments"]] == [None] * 4
    found = await got(web, f"/api/jobs/{job.id}/speakers")
    assert found["speakers"] == transcript["speakers"]
    assert [
        (each["id"], each["name"], each["position"], each["colour"], each["merged_into"], each["found"])
        for each in found["speakers"]
    ] == [("s1", "", 0, 0, None, True), ("s2", "", 1, 1, None, True)]
    assert [speaker for _, speaker in found["timeline"]] == ["s1", "s2", "s1"]
    assert (found["wanted"], found["can_recount"], found["why_not"]) == ({"least": 1, "most": None}, True, None)
    said = {
        speaker: sum(word["end"] - word["start"] for at in places for word in transcript["segments"][at]["words"])
        for speaker, places in (("s1", (0, 3)), ("s2", (1, 2)))
    }
    assert {each["id"]: each["seconds"] for each in found["speakers"]} == pytest.approx(said, abs=0.001)


async def test_nobody_is_told_apart_unless_asked(web: Running) -> None:
    job = await transcribed(web, query="language=en")
    assert (job.options.speakers, job.speakers) == ("off", None)
    assert [turns for _, turns in await lines_of(web, job.id)] == [[]] * 4
    found = await got(web, f"/api/jobs/{job.id}/speakers")
    assert (found["speakers"], found["timeline"], found["wanted"]) == ([], [], None)
    assert found["why_not"]["code"] == "no_voices"
    refused(await web.client.post(f"/api/jobs/{job.id}/speakers", json={}), 409, "conflict")


async def test_a_setting_decides_for_those_who_do_not_say(web: Running) -> None:
    assert (await web.client.patch("/api/settings", json={"speech.speakers": "auto"})).status_code == 200
    assert (await transcribed(web, query="language=en")).speakers == 2
    assert (await transcribed(web, query="speakers=off", says="Other")).speakers is None
    assert (await web.client.patch("/api/settings", json={"speech.speakers": "many"})).status_code == 422


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("speakers=21", "speakers"),
        ("speakers=two", "speakers"),
        ("min_speakers=0", "min_speakers"),
        ("min_speakers=3&max_speakers=2", "min_speakers"),
        ("speakers=5&max_speakers=2", "speakers"),
    ],
)
async def test_a_number_of_people_that_cannot_be_is_refused(web: Running, query: str, field: str) -> None:
    answer = await web.client.post(f"/api/jobs?{query}", content=script(), headers={"content-type": "audio/wav"})
    problem = refused(answer, 422, "invalid_request")
    assert problem["params"]["field"] == field
    assert not list((web.service.config.data_dir / "media").glob("*"))


async def test_json_may_say_the_number_as_a_number(web: Running) -> None:
    first = await transcribed(web, query="language=en")
    answer = await web.client.post("/api/jobs", json={"job": first.id, "speakers": 1})
    assert answer.status_code == 202, answer.text
    again = await ended(web.service, answer.json()["id"])
    assert (again.options.speakers, again.speakers, again.of) == ("1", 1, first.id)


async def test_names_are_in_everything_and_can_be_taken_back(web: Running) -> None:
    job = (await transcribed(web)).id
    plain = await text_of(web, job, "vtt")
    assert "<v Speaker 1>" in plain
    answer = await web.client.patch(f"/api/jobs/{job}/speakers/s2", json={"name": "  Anna  Li "})
    assert answer.status_code == 200, answer.text
    assert (answer.json()["number"], [each["name"] for each in answer.json()["speakers"]]) == (1, ["", "Anna Li"])
    assert "<v Anna Li>" in await text_of(web, job, "vtt")
    assert "<v Anna Li>" in await text_of(web, job, "vtt", version="machine")
    undone = await web.client.post(f"/api/jobs/{job}/edits/1/undo", json={"batch": "u"})
    assert [each["name"] for each in undone.json()["speakers"]] == ["", ""]
    assert await text_of(web, job, "vtt") == plain
    refused(await web.client.patch(f"/api/jobs/{job}/speakers/s9", json={"name": "x"}), 404, "not_found")
    refused(await web.client.patch(f"/api/jobs/{job}/speakers/s1", json={}), 422, "invalid_request")
    refused(await web.client.patch("/api/jobs/x/speakers/s1", json={"name": "x"}), 404, "not_found")


async def test_two_that_are_one_are_joined_and_parted_again(web: Running) -> None:
    job = (await transcribed(web)).id
    before = await text_of(web, job, "srt")
    answer = await web.client.patch(f"/api/jobs/{job}/speakers/s2", json={"merged_into": "s1"})
    assert answer.status_code == 200, answer.text
    assert (await web.service.jobs.get(job)).speakers == 1
    assert [turns for _, turns in await lines_of(web, job)] == [[[0, "s1"]]] * 4
    found = (await got(web, f"/api/jobs/{job}/speakers"))["speakers"]
    assert [each["merged_into"] for each in found] == [None, "s1"]
    assert found[1]["seconds"] == 0
    assert "Speaker" not in await text_of(web, job, "srt")  # a file with one speaker has no names
    problem = refused(
        await web.client.patch(f"/api/jobs/{job}/speakers/s1", json={"merged_into": "s2"}), 422, "bad_edit"
    )
    assert problem["params"]["reason"] == "joined"
    assert (await web.client.patch(f"/api/jobs/{job}/speakers/s2", json={"merged_into": None})).status_code == 200
    assert (await web.service.jobs.get(job)).speakers == 2
    assert await text_of(web, job, "srt") == before


async def test_a_line_gets_the_speaker_that_a_person_chooses(web: Running) -> None:
    job = (await transcribed(web)).id
    result = await edited(
        web, job,
        {"op": "name_speaker", "id": "x1", "name": "Bo"},
        {"op": "speaker", "ids": ["c1.0"], "speaker": "x1"},
    )  # fmt: skip
    assert [(each["id"], each["found"]) for each in result["speakers"]] == [("s1", True), ("s2", True), ("x1", False)]
    assert (await lines_of(web, job))[1] == ("x1", [[0, "x1"]])
    assert (await web.service.jobs.get(job)).speakers == 3
    assert "Bo" in await text_of(web, job)
    assert "Bo" not in await text_of(web, job, version="machine")
    removed = await edited(web, job, {"op": "remove_speaker", "id": "x1"}, batch="b2")
    assert [line["speaker"] for line in removed["lines"]] == [None]
    assert (await lines_of(web, job))[1] == (None, [[0, "s2"]])
    back = await web.client.post(f"/api/jobs/{job}/edits/2/undo", json={"batch": "u2"})
    assert [each["name"] for each in back.json()["speakers"]] == ["", "", "Bo"]
    assert (await lines_of(web, job))[1] == ("x1", [[0, "x1"]])
    await web.client.post(f"/api/jobs/{job}/edits/1/undo", json={"batch": "u1"})
    assert len((await got(web, f"/api/jobs/{job}/speakers"))["speakers"]) == 2
    unknown = {"batch": "b3", "operations": [{"op": "speaker", "ids": ["c1.0"], "speaker": "x2"}]}
    problem = refused(await web.client.post(f"/api/jobs/{job}/edits", json=unknown), 422, "bad_edit")
    assert problem["params"]["reason"] == "no_speaker"


async def test_a_part_of_a_line_is_corrected_by_a_split(web: Running) -> None:
    job = (await transcribed(web)).id
    at = len("And to you")
    await edited(web, job, {"op": "split", "id": "c1.0", "v": 0, "at": at, "new": "n1"},
                 {"op": "speaker", "ids": ["n1"], "speaker": "s1"})  # fmt: skip
    assert [turns for _, turns in await lines_of(web, job)] == [
        [[0, "s1"]], [[0, "s2"]], [[0, "s1"]], [[0, "s2"]], [[0, "s1"]],
    ]  # fmt: skip
    joined = await got(web, f"/api/jobs/{job}/transcript")
    versions = {line["id"]: line["version"] for line in joined["segments"]}
    await edited(
        web, job, {"op": "merge", "ids": ["c0.0", "c1.0"], "v": [versions["c0.0"], versions["c1.0"]]}, batch="b2"
    )
    assert (await lines_of(web, job))[0] == (None, [[0, "s1"], [len(LINES[0].split()), "s2"]])
    names = [segment["speaker"] for segment in json.loads(await text_of(web, job, "json"))["segments"]]
    assert names == ["Speaker 1", "Speaker 2", "Speaker 1", "Speaker 2", "Speaker 1"]


async def test_another_count_keeps_names_and_needs_no_recording(web: Running) -> None:
    job = (await transcribed(web)).id
    await web.client.patch(f"/api/jobs/{job}/speakers/s2", json={"name": "Anna"})
    (web.service.config.data_dir / "media" / job).unlink()
    answer = await web.client.post(f"/api/jobs/{job}/speakers", json={"speakers": 1})
    assert answer.status_code == 200, answer.text
    assert answer.json()["wanted"] == {"least": 1, "most": 1}
    assert (await web.service.jobs.get(job)).speakers == 1
    assert [(each["id"], each["name"]) for each in answer.json()["speakers"]] == [("s1", ""), ("s2", "Anna")]
    answer = await web.client.post(f"/api/jobs/{job}/speakers", json={"speakers": "auto", "max_speakers": 4})
    assert [(each["id"], each["name"]) for each in answer.json()["speakers"]] == [("s1", ""), ("s2", "Anna")]
    assert [turns for _, turns in await lines_of(web, job)] == [[[0, "s1"]], [[0, "s2"]], [[0, "s2"]], [[0, "s1"]]]
    refused(await web.client.post(f"/api/jobs/{job}/speakers", json={"min_speakers": 3, "max_speakers": 2}), 422,
            "invalid_request")  # fmt: skip
    assert (await web.client.post(f"/api/jobs/{job}/speakers", json={"speakers": 0})).status_code == 422
    assert (await web.client.post("/api/jobs/x/speakers", json={})).status_code == 404


async def test_names_are_taken_over_when_a_recording_is_transcribed_again(web: Running) -> None:
    job = (await transcribed(web)).id
    await web.client.patch(f"/api/jobs/{job}/speakers/s2", json={"name": "Anna"})
    answer = await web.client.post("/api/jobs", json={"job": job, "speakers": "auto"})
    again = await ended(web.service, answer.json()["id"])
    found = (await got(web, f"/api/jobs/{again.id}/speakers"))["speakers"]
    assert [(each["id"], each["name"]) for each in found] == [("s1", ""), ("s2", "Anna")]
    assert again.of == job


async def test_an_archive_of_files_has_the_names_too(web: Running) -> None:
    job = (await transcribed(web)).id
    await web.client.patch(f"/api/jobs/{job}/speakers/s2", json={"name": "Anna"})
    answer = await web.client.post("/api/export", json={"ids": [job], "format": "vtt"})
    assert answer.status_code == 200, answer.text
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert [archive.read(name).decode() for name in archive.namelist()] == [await text_of(web, job, "vtt")]
    assert "<v Anna>" in await text_of(web, job, "vtt")


async def test_windows_hear_of_speakers_at_once(web: Running) -> None:
    job = (await transcribed(web)).id
    changes = await web.service.parts.store.change_log.changes(0, job_id=job, limit=1_000)
    told = [json.loads(change.payload) for change in changes if change.kind == "speakers"]
    assert [(each["job_id"], len(each["speakers"]), each["timeline_changed"]) for each in told] == [(job, 2, True)]
    seen: list[tuple[str, Any]] = []
    with anyio.fail_after(30):
        async with web.client.stream("GET", "/api/events", params={"since": str(changes[-1].seq)}) as stream:
            await web.client.patch(f"/api/jobs/{job}/speakers/s2", json={"merged_into": "s1"})
            kind = ""
            async for line in stream.aiter_lines():
                if line.startswith("event: "):
                    kind = line.removeprefix("event: ")
                elif line.startswith("data: ") and kind in ("edit", "update"):
                    seen.append((kind, json.loads(line.removeprefix("data: "))))
                if len(seen) == 2:
                    break
    (_, result), (_, now) = sorted(seen, key=lambda each: each[0])
    assert [each["merged_into"] for each in result["speakers"]] == [None, "s1"]
    assert (now["id"], now["speakers"]) == (job, 1)


async def test_nothing_that_leaves_the_service_has_a_voice(web: Running) -> None:
    """Directions and voices are biometric: they are in the database only."""
    job = (await transcribed(web)).id
    stored = await web.service.parts.store.speakers.voices(job)
    directions = await web.service.parts.store.speakers.directions(job)
    assert stored
    assert directions
    paths = ("", "/speakers", "/transcript", "/export?format=json", "/edits")
    told = [await web.client.get(path) for path in (*(f"/api/jobs/{job}{path}" for path in paths), "/metrics")]
    diagnostics = zipfile.ZipFile(io.BytesIO((await web.client.get("/api/diagnostics")).content))
    answers = [answer.content for answer in told] + [diagnostics.read(name) for name in diagnostics.namelist()]
    assert all(answer.status_code == 200 for answer in told)
    assert len(answers) > len(told) + 2
    changes = await web.service.parts.store.change_log.changes(0, limit=10_000)
    secrets = [data for _, data in stored] + list(directions.values())
    for content in [*answers, *(change.payload for change in changes)]:
        assert b"centroid" not in content
        assert not any(secret in content for secret in secrets)
