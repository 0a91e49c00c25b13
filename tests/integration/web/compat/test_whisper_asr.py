"""The interface of whisper-asr-webservice on a real port, with the requests of Bazarr and others."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import srt  # type: ignore[import-untyped]
import webvtt  # type: ignore[import-untyped]

from testkit.scripted_actors import script, text_of
from testkit.service import Running, placeholder_networks, running
from whisper_service import __version__
from whisper_service.core.domain import Status, Task
from whisper_service.web.compat.raw_pcm import header

pytestmark = pytest.mark.anyio

TEXTS = [text_of(0), text_of(1)]


@pytest.fixture
async def web(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path, server={"max_upload_bytes": 30_000_000}) as up:
        yield up


def recording(**play: Any) -> dict[str, tuple[str, bytes]]:
    return {"audio_file": ("film.mkv", script(**({"chunks": 2} | play)))}


async def test_every_output_is_plain_text_with_a_name(web: Running) -> None:
    for output in ("txt", "srt", "vtt", "tsv", "json"):
        answer = await web.client.post("/asr", params={"output": output, "language": "en"}, files=recording())
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.headers["asr-engine"] == "whisper_service"
        assert f"film.{output}" in answer.headers["content-disposition"]
        match output:
            case "txt":
                assert answer.text.splitlines() == TEXTS
            case "srt":
                assert [cue.content for cue in srt.parse(answer.text)] == TEXTS
            case "vtt":
                assert [cue.text for cue in webvtt.from_string(answer.text)] == TEXTS
            case "tsv":
                assert answer.text.splitlines()[:2] == ["start\tend\ttext", f"0\t10000\t{TEXTS[0]}"]
            case _:
                said = json.loads(answer.text)
                assert (said["language"], said["text"]) == ("en", " ".join(TEXTS))
                assert [(s["start"], s["end"], s["text"], s["words"]) for s in said["segments"]] == [
                    (0.0, 10.0, TEXTS[0], None),
                    (11.0, 21.0, TEXTS[1], None),
                ]
    assert len(await web.service.parts.store.jobs()) == 1, "one recording, one job"


async def test_words_come_if_they_are_wanted(web: Running) -> None:
    answer = await web.client.post(
        "/asr?output=json&word_timestamps=true&vad_filter=true&diarize=false", files=recording()
    )
    (word,) = answer.json()["segments"][0]["words"]
    assert word == {"start": 0.0, "end": 10.0, "word": f" {TEXTS[0]}", "probability": 0.9}


@pytest.fixture
async def networks(tmp_path: Path) -> None:
    placeholder_networks(tmp_path)


async def test_speakers_are_told_as_whisperx_tells_them(networks: None, web: Running) -> None:
    asked = "/asr?diarize=true&min_speakers=1&max_speakers=3&word_timestamps=true&output="
    said = (await web.client.post(f"{asked}json", files=recording(people="QR"))).json()
    assert [segment["speaker"] for segment in said["segments"]] == ["SPEAKER_00", "SPEAKER_01"]
    assert [word["speaker"] for segment in said["segments"] for word in segment["words"]] == [
        "SPEAKER_00",
        "SPEAKER_01",
    ]
    assert said["text"] == " ".join(TEXTS)
    lines = [f"SPEAKER_00: {TEXTS[0]}", f"SPEAKER_01: {TEXTS[1]}"]
    answer = await web.client.post(f"{asked}srt", files=recording(people="QR"))
    assert [cue.content for cue in srt.parse(answer.text)] == lines
    answer = await web.client.post(f"{asked}txt", files=recording(people="QR"))
    assert answer.text.splitlines() == lines
    answer = await web.client.post(f"{asked}tsv", files=recording(people="QR"))
    assert answer.text.splitlines()[0] == "start\tend\ttext"
    (job,) = await web.service.parts.store.jobs()
    assert (job.options.speakers, job.options.min_speakers, job.options.max_speakers) == ("auto", 1, 3)


async def test_speakers_may_be_asked_for_in_the_form(networks: None, web: Running) -> None:
    fields = {"diarize": "true", "output": "json"}
    said = (await web.client.post("/asr", files=recording(people="Q"), data=fields)).json()
    assert [segment["speaker"] for segment in said["segments"]] == ["SPEAKER_00", "SPEAKER_00"]


async def test_without_a_wish_nobody_is_told_apart(networks: None, web: Running) -> None:
    for query in ("", "?diarize=false&min_speakers=2"):
        await web.client.post(f"/asr{query}", files=recording())
    (job,) = await web.service.parts.store.jobs()
    assert (job.options.speakers, job.speakers) == ("off", None)


async def test_speakers_that_cannot_be_had_are_an_error_and_no_subtitles(networks: None, web: Running) -> None:
    play = recording(voice_faults={"0": "model_broken"})
    answer = await web.client.post("/asr?diarize=true&output=srt", files=play)
    assert (answer.status_code, answer.json()["code"]) == (503, "speakers_unavailable")
    wrong = await web.client.post("/asr?diarize=true&min_speakers=3&max_speakers=2", files=recording())
    assert (wrong.status_code, wrong.json()["params"]["field"]) == (422, "min_speakers")


async def test_without_networks_and_downloads_a_wish_for_speakers_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path, models={"offline": True}) as web:
        answer = await web.client.post("/asr?diarize=true", files=recording())
        assert (answer.status_code, answer.json()["params"]["field"]) == (422, "diarize")
        assert "models import" in answer.json()["hint"]
        assert await web.service.parts.store.jobs() == []


async def test_raw_samples_become_a_recording_with_a_header(web: Running) -> None:
    samples = b"\x01\x00" * 1_000_001
    await web.client.post(
        "/asr?encode=false&video_file=/films/A+film.mkv", files={"audio_file": samples}
    )  # without a type
    (job,) = await web.service.parts.store.jobs()
    assert job.name == "A film.mkv"
    assert (web.service.uploads.root / job.id).read_bytes() == header() + samples


async def test_bazarr_first_asks_for_the_language_and_then_for_subtitles(web: Running) -> None:
    found = await web.client.post("/detect-language?encode=true", files=recording(language="de"))
    assert found.json() == {"detected_language": "german", "language_code": "de", "confidence": 0.9}
    (job,) = await web.service.parts.store.jobs()
    assert (job.options.task, await web.service.parts.store.segments(job.id)) == (Task.DETECT, [])
    answer = await web.client.post("/asr?task=translate&language=jw&output=srt&encode=true", files=recording())
    assert [cue.content for cue in srt.parse(answer.text)] == TEXTS
    made = (await web.service.parts.store.jobs())[0].options
    assert (made.task, made.language) == (Task.TRANSLATE, "jw")
    again = await web.client.post("/detect-language?encode=true", files=recording(language="de"))
    assert again.json() == found.json()
    assert len(await web.service.parts.store.jobs()) == 2


async def test_where_nobody_speaks_the_language_is_undetermined(web: Running) -> None:
    found = await web.client.post("/detect-language", files=recording(chunks=0))
    assert found.json() == {"detected_language": "undetermined", "language_code": "und", "confidence": 0.0}


async def test_a_short_recording_has_its_likeliest_language(web: Running) -> None:
    """One chunk is never sure enough for a long recording, but all that there is of a short one."""
    unsure = {"language": "es", "sure": 0.39}
    found = await web.client.post("/detect-language", files=recording(chunks=1, **unsure))
    assert found.json() == {"detected_language": "spanish", "language_code": "es", "confidence": 0.39}
    answer = await web.client.post("/asr?output=json", files=recording(chunks=2, **unsure))
    assert answer.json()["language"] == "es"
    (transcribed, detected) = await web.service.parts.store.jobs()
    assert (transcribed.language, detected.language, detected.message) == ("es", "es", "")
    silent = await web.client.post("/asr?output=json", files=recording(chunks=2, segments=0, **unsure))
    assert silent.json()["language"] == "", "a chunk without text tells no language"


async def test_a_language_is_found_before_the_recording_is_read(web: Running) -> None:
    play = recording(chunks=30, decode_delay=0.2)
    found = await web.client.post("/detect-language", files=play)
    assert found.json()["language_code"] == "en"
    (job,) = await web.service.parts.store.jobs()
    assert job.status is Status.PROCESSING, "the answer did not wait for the end"


async def test_only_the_beginning_of_raw_samples_is_kept_for_a_language(web: Running) -> None:
    samples = b"\x00\x00" * 16_000 * 400
    await web.client.post("/detect-language?encode=false", files={"audio_file": samples})
    (job,) = await web.service.parts.store.jobs()
    assert job.bytes == len(header()) + 2 * 16_000 * 180


async def test_errors_are_no_subtitles(web: Running) -> None:
    for path, code in [
        ("/asr?output=doc", 422),
        ("/asr?task=sing", 422),
        ("/asr?language=klingon", 422),
        ("/asr?encode=maybe", 422),
        ("/detect-language?encode=maybe", 422),
        ("/asr?preset=best", 422),
    ]:
        answer = await web.client.post(path, files=recording())
        assert answer.status_code == code, answer.text
        assert answer.json()["params"]["field"] == path.partition("?")[2].partition("=")[0]
        assert list(srt.parse(answer.text, ignore_errors=True)) == []
    assert await web.service.parts.store.jobs() == []
    broken = await web.client.post("/asr?output=srt", files={"audio_file": b"no script"})
    assert (broken.status_code, broken.json()["code"]) == (422, "not_media")
    nothing = await web.client.post("/asr", files={"audio": b"x"})
    assert (nothing.status_code, nothing.json()["params"]["field"]) == (422, "audio_file")
    empty = await web.client.post("/asr?encode=false", files={"audio_file": b""})
    assert (empty.status_code, empty.json()["code"]) == (422, "empty_file")


async def test_the_form_of_the_obsidian_plugin(web: Running) -> None:
    head = (
        'Content-Disposition: form-data; name="audio_file"; filename="blob"\r\nContent-Type: "application/octet-stream"'
    )
    body = f"------Boundaryx\r\n{head}\r\n\r\n".encode() + script(chunks=1) + b"\r\n------Boundaryx--\r\n"
    kind = {"content-type": "multipart/form-data; boundary=----Boundaryx"}
    answer = await web.client.post("/asr?output=json&word_timestamps=true", content=body, headers=kind)
    assert answer.json()["segments"][0]["text"] == TEXTS[0]


async def test_the_connection_can_be_tested(web: Running) -> None:
    answer = await web.client.get("/status")
    assert answer.json()["version"] == __version__
