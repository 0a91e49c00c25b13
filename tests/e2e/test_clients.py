"""Other programs' clients and the real model: the same recording by every interface, heard once and told alike."""

from __future__ import annotations

import re
from base64 import b64encode
from pathlib import Path

import anyio
import numpy as np
import pytest
import srt  # type: ignore[import-untyped]
from openai import AsyncOpenAI, OpenAI
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


@pytest.mark.anyio
async def test_openais_realtime_client_hears_each_sentence_as_a_turn(tmp_path: Path) -> None:
    """At twice the pace of speech, which needs half the time."""
    said = ("demo-nogo", "dir-intro")
    sound = sounds.join(sounds.silence(1.0), prompts.talk(*said, pause_s=1.5)).tobytes()
    sentence = prompts.prompt("tt-weasels")  # "Weasels have eaten our phone system"
    cut_off = sentence[: np.flatnonzero(np.abs(sentence.astype(int)) > 500)[-1] + 1_000]
    with serving(tmp_path / "home") as program:
        url = f"{program.client.base_url}".rstrip("/")
        sockets = url.replace("http", "ws") + "/v1"
        client = AsyncOpenAI(base_url=f"{url}/v1", api_key="any", websocket_base_url=sockets)
        async with client, client.realtime.connect(extra_query={"intent": "transcription"}) as connection:
            form = {"type": "audio/pcm", "rate": 16_000}
            turns = {"type": "server_vad", "silence_duration_ms": 1_000}
            heard = {"format": form, "transcription": {"language": "en"}, "turn_detection": turns}
            await connection.session.update(session={"type": "transcription", "audio": {"input": heard}})  # type: ignore[typeddict-item]

            async def speak() -> None:
                for at in range(0, len(sound), 3_200):
                    await connection.input_audio_buffer.append(audio=b64encode(sound[at : at + 3_200]).decode())
                    await anyio.sleep(0.05)

            texts: list[str] = []
            deltas = ""
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(speak)
                with anyio.fail_after(120):
                    async for event in connection:
                        if event.type == "conversation.item.input_audio_transcription.delta":
                            deltas += event.delta or ""
                        elif event.type == "conversation.item.input_audio_transcription.completed":
                            texts.append(event.transcript)
                            if "directory" in letters("".join(texts)):
                                break
            heard["turn_detection"] = None
            await connection.session.update(session={"type": "transcription", "audio": {"input": heard}})  # type: ignore[typeddict-item]
            await connection.input_audio_buffer.append(audio=b64encode(cut_off.tobytes()).decode())
            await connection.input_audio_buffer.commit()
            committed = ""
            with anyio.fail_after(60):  # no sound follows, and the last word is told
                async for event in connection:
                    if event.type == "conversation.item.input_audio_transcription.completed":
                        committed += letters(event.transcript)
                        if committed.endswith("phonesystem"):
                            break
        assert "createaconnection" in letters("".join(texts))
        assert letters(deltas) == letters("".join(texts))
        (job,) = program.client.get("/api/jobs").json()["jobs"]
        done = program.ended(job["id"])
        assert (done["status"], done["live"]["ended"]) == ("completed", "client")
