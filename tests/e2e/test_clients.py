"""Other programs' clients and the real model: the same recording by every interface, heard once and told alike."""

from __future__ import annotations

import re
from pathlib import Path

import anyio
import pytest
import srt  # type: ignore[import-untyped]
from openai import OpenAI
from wyoming.asr import Transcribe, Transcript
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient

from testkit import media_files, prompts, sounds
from testkit.program import BUNDLED, NOT_BUNDLED, Program, serving

pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(not BUNDLED, reason=NOT_BUNDLED),
    pytest.mark.skipif(not prompts.PROMPTS.exists(), reason=prompts.NO_PROMPTS),
]


def letters(text: str) -> str:
    return "".join(filter(str.isalnum, text.lower()))


def test_every_interface_hears_the_same(tmp_path: Path) -> None:
    sound = prompts.talk("demo-congrats", pause_s=0.5)
    file = media_files.write_wav(tmp_path / "demo.wav", sound)
    with serving(tmp_path / "home", wyoming__enabled="true", wyoming__port="0") as program:
        client = OpenAI(base_url=f"{program.client.base_url}/v1", api_key="any", max_retries=0)
        with client, file.open("rb") as opened:
            said = client.audio.transcriptions.create(
                file=opened,
                model="whisper-1",
                response_format="verbose_json",
                timestamp_granularities=["word", "segment"],
            )
        assert "Asterisk" in said.text
        assert said.language == "english"
        assert said.duration == pytest.approx(len(sound) / sounds.RATE, abs=0.1)
        assert said.words
        assert letters("".join(word.word for word in said.words)) == letters(said.text)
        with OpenAI(base_url=f"{program.client.base_url}/v1", api_key="any") as streaming, file.open("rb") as opened:
            events = list(streaming.audio.transcriptions.create(file=opened, model="whisper-1", stream=True))
        assert events[-1].type == "transcript.text.done"
        assert (
            events[-1].text
            == said.text
            == "".join(event.delta for event in events[:-1] if event.type == "transcript.text.delta")
        )
        assert len(program.rows("SELECT id FROM job")) == 1, "the second time it was known"

        form = {"audio_file": sound.tobytes()}
        found = program.client.post("/detect-language?encode=false", files=form).json()
        assert (found["language_code"], found["detected_language"]) == ("en", "english")
        assert found["confidence"] > 0.5
        subtitles = program.client.post("/asr?encode=false&language=en&output=srt", files=form).text
        assert letters(" ".join(cue.content for cue in srt.parse(subtitles))) == letters(said.text)
        lines = program.client.post("/inference", files={"file": file.read_bytes()}, data={"language": "en"}).json()[
            "text"
        ]
        assert letters(lines) == letters(said.text)
        assert letters(anyio.run(spoken, program, sound.tobytes())) == letters(said.text)


async def spoken(program: Program, sound: bytes) -> str:
    """What Home Assistant gets to hear."""
    port = re.search(r"Home Assistant is answered at 127\.0\.0\.1:(\d+)", program.log.read_text())
    assert port is not None
    async with AsyncTcpClient("127.0.0.1", int(port[1])) as client:
        for event in (
            Transcribe(language="en"),
            AudioStart(16_000, 2, 1),
            AudioChunk(16_000, 2, 1, sound),
            AudioStop(),
        ):
            await client.write_event(event.event())
        answer = await client.read_event()
    assert answer is not None
    return Transcript.from_event(answer).text
