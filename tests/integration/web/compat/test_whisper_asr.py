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
from testkit.service import Running, running
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
