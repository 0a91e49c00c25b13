"""The interface of whisper.cpp's server, on a real port."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import srt  # type: ignore[import-untyped]
import webvtt  # type: ignore[import-untyped]

from testkit.scripted_actors import script, text_of
from testkit.service import Running, placeholder_networks, running
from whisper_service.core.domain import Task

pytestmark = pytest.mark.anyio

TEXTS = [text_of(0), text_of(1)]
LINES = "".join(f"{text}\n" for text in TEXTS)


def recording(**play: Any) -> dict[str, tuple[str, bytes]]:
    return {"file": ("jfk.wav", script(**({"chunks": 2} | play)))}


async def test_speakers_are_told_as_whisper_cpp_tells_them(tmp_path: Path) -> None:
    placeholder_networks(tmp_path)
    async with running(tmp_path) as web:

        async def asked(reply: str, **play: Any) -> Any:
            fields = {"response_format": reply, "diarize": "true", "tinydiarize": "false"}
            answer = await web.client.post("/inference", files=recording(people="QR", **play), data=fields)
            return answer

        lines = f"(speaker 0) {TEXTS[0]}\n(speaker 1) {TEXTS[1]}\n"
        assert (await asked("json")).json() == {"text": lines}
        assert (await asked("text")).text == lines
        verbose = (await asked("verbose_json")).json()
        assert [(segment["speaker"], segment["text"]) for segment in verbose["segments"]] == [
            ("0", TEXTS[0]),
            ("1", TEXTS[1]),
        ]
        voices = [(cue.voice, cue.text) for cue in webvtt.from_string((await asked("vtt")).text)]
        assert voices == [("Speaker0", TEXTS[0]), ("Speaker1", TEXTS[1])]
        said = [cue.content for cue in srt.parse((await asked("srt")).text)]
        assert said == [f"Speaker0: {TEXTS[0]}", f"Speaker1: {TEXTS[1]}"]
        assert len(await web.service.parts.store.jobs()) == 1
        failed = await asked("json", voice_faults={"0": "model_broken"})
        assert failed.status_code == 503
        assert "could not be told apart" in failed.json()["error"]


async def test_without_networks_and_downloads_a_wish_for_speakers_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path, models={"offline": True}) as web:
        answer = await web.client.post("/inference", files=recording(), data={"diarize": "true"})
        assert answer.status_code == 400
        assert "models import" in answer.json()["error"]
        assert await web.service.parts.store.jobs() == []


async def test_every_response_format(web: Running) -> None:
    async def asked(**fields: str) -> Any:
        answer = await web.client.post("/inference", files=recording(), data=fields)
        assert answer.status_code == 200, answer.text
        return answer

    plain = await asked(temperature="0.0", temperature_inc="0.2", no_timestamps="true", beam_size="5")
    assert plain.json() == {"text": LINES}
    text = await asked(response_format="text")
    assert (text.text, text.headers["content-type"]) == (LINES, "text/plain; charset=utf-8")
    subtitles = await asked(response_format="srt")
    assert [cue.content for cue in srt.parse(subtitles.text)] == TEXTS
    assert subtitles.headers["content-type"].startswith("application/x-subrip")
    captions = await asked(response_format="vtt")
    assert [cue.text for cue in webvtt.from_string(captions.text)] == TEXTS
    everything = (await asked(response_format="verbose_json")).json()
    assert set(everything) == {
        "task",
        "language",
        "duration",
        "text",
        "segments",
        "detected_language",
        "detected_language_probability",
        "language_probabilities",
    }
    assert (everything["language"], everything["detected_language"]) == ("english", "english")
    assert everything["language_probabilities"] == {"en": 0.9}
    segment = everything["segments"][0]
    assert set(segment) == {
        "id",
        "text",
        "start",
        "end",
        "tokens",
        "words",
        "temperature",
        "avg_logprob",
        "no_speech_prob",
    }
    assert segment["words"] == [{"word": f" {TEXTS[0]}", "start": 0.0, "end": 10.0, "t_dtw": -1, "probability": 0.9}]
    assert len(await web.service.parts.store.jobs()) == 1


async def test_the_task_is_as_it_asks(web: Running) -> None:
    await web.client.post("/inference", files=recording(), data={"translate": "1", "language": "auto", "prompt": "Ada"})
    job = (await web.service.parts.store.jobs())[0]
    assert (job.options.task, job.options.language, job.options.prompt) == (Task.TRANSLATE, None, "Ada")
    found = await web.client.post(
        "/inference", files=recording(), data={"detect_language": "true", "response_format": "verbose_json"}
    )
    assert (found.json()["detected_language"], found.json()["segments"]) == ("english", [])


@pytest.mark.parametrize(("says", "name"), [({"language": "de"}, "german"), ({"chunks": 0}, "")])
async def test_the_language_alone_is_told_in_json_and_text(web: Running, says: dict[str, Any], name: str) -> None:
    asked = {"detect_language": "true"}
    found = (await web.client.post("/inference", files=recording(**says), data=asked)).json()
    assert (found["text"], found["language"], found["detected_language"]) == ("", name, name)
    assert found["detected_language_probability"] == (0.9 if name else 0)
    text = await web.client.post("/inference", files=recording(**says), data=asked | {"response_format": "text"})
    assert text.text == f"{name or 'undetermined'}\n"


async def test_a_content_type_has_one_character_set(web: Running) -> None:
    for kind in ("text", "vtt"):
        answer = await web.client.post("/inference", files=recording(), data={"response_format": kind})
        assert answer.headers["content-type"] in ("text/plain; charset=utf-8", "text/vtt; charset=utf-8")


async def test_errors_are_a_word(web: Running) -> None:
    for files, fields, status, said in [
        (recording(), {"response_format": "xml"}, 400, "response format"),
        (recording(), {"offset_t": "1000"}, 400, "part of a recording"),
        (recording(), {"duration": "nan"}, 400, "duration"),
        (recording(), {"language": "xx"}, 400, "language"),
        ({"other": b"x"}, {}, 400, "file"),
        ({"file": b"no script"}, {}, 400, "not a recording"),
        ({"file": b""}, {}, 400, "empty"),
    ]:
        answer = await web.client.post("/inference", files=files, data=fields)
        assert answer.status_code == status, answer.text
        assert set(answer.json()) == {"error"}
        assert said in answer.json()["error"]
    assert set((await web.client.get("/inference")).json()) == {"error"}
    answer = await web.client.post("/load", files={"model": b"models/ggml-base.bin"})
    assert (answer.status_code, set(answer.json())) == (400, {"error"})
    assert "speech.model" in answer.json()["error"]


async def test_health(web: Running) -> None:
    answer = await web.client.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
