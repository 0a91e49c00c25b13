"""Who speaks, through OpenAI's own client: diarized_json, streams, known speakers, and what is told when it fails."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from testkit.scripted_actors import script, text_of
from testkit.service import Running, placeholder_networks, running
from whisper_service.core.domain import Status

pytestmark = pytest.mark.anyio

PATH = "/v1/audio/transcriptions"
MODEL = "gpt-4o-transcribe-diarize"


@pytest.fixture
async def web(tmp_path: Path) -> AsyncIterator[Running]:
    placeholder_networks(tmp_path)
    async with running(tmp_path) as up:
        yield up


@pytest.fixture
async def client(web: Running) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{web.url}/v1", api_key="any", max_retries=0) as made:
        yield made


def talk(**play: Any) -> tuple[str, bytes]:
    return "call.wav", script(**({"chunks": 3, "seconds": 10.0, "people": "QR"} | play))


def reference(person: str, **play: Any) -> str:
    """Return a recording of one person's voice, as a data URL."""
    sound = script(**({"chunks": 1, "seconds": 4.0, "people": person} | play))
    return f"data:audio/wav;base64,{base64.b64encode(sound).decode()}"


async def diarized(client: AsyncOpenAI, **fields: Any) -> Any:
    return await client.audio.transcriptions.create(
        **({"file": talk(), "model": MODEL, "response_format": "diarized_json", "chunking_strategy": "auto"} | fields)
    )


# -- who speaks -------------------------------------------------------------------------------------------------------


async def test_every_segment_has_its_speaker(web: Running, client: AsyncOpenAI) -> None:
    answer = await diarized(client)
    assert (answer.task, answer.duration) == ("transcribe", 33.0)
    assert [(s.id, s.type, s.start, s.end, s.speaker, s.text) for s in answer.segments] == [
        ("seg_0", "transcript.text.segment", 0.0, 10.0, "A", text_of(0)),
        ("seg_1", "transcript.text.segment", 11.0, 21.0, "B", f" {text_of(1)}"),
        ("seg_2", "transcript.text.segment", 22.0, 32.0, "A", f" {text_of(2)}"),
    ]
    assert answer.text == "".join(segment.text for segment in answer.segments)
    assert (answer.usage.type, answer.usage.seconds) == ("duration", 33.0)
    (job,) = await web.service.parts.store.jobs()
    assert (job.options.speakers, job.speakers, job.options.model) == ("auto", 2, "model")


async def test_one_speaker_has_a_name_too_and_silence_has_none(client: AsyncOpenAI) -> None:
    answer = await diarized(client, file=talk(people="Q"))
    assert {segment.speaker for segment in answer.segments} == {"A"}
    answer = await diarized(client, file=talk(chunks=0))
    assert (answer.text, answer.segments) == ("", [])


async def test_a_stream_has_segments_with_their_speakers_and_the_text_at_last(client: AsyncOpenAI) -> None:
    stream = await diarized(client, stream=True)
    *segments, done = [event async for event in stream]
    assert [(event.type, event.id, event.speaker, event.start, event.end) for event in segments] == [
        ("transcript.text.segment", "seg_0", "A", 0.0, 10.0),
        ("transcript.text.segment", "seg_1", "B", 11.0, 21.0),
        ("transcript.text.segment", "seg_2", "A", 22.0, 32.0),
    ]
    assert (done.type, done.text) == ("transcript.text.done", "".join(event.text for event in segments))


async def test_a_stream_that_waits_says_so_in_comments(tmp_path: Path) -> None:
    placeholder_networks(tmp_path)
    fields = {"stream": "true", "response_format": "diarized_json"}
    async with (
        running(tmp_path, server={"heartbeat_s": 0.05}) as web,
        web.client.stream("POST", PATH, files={"file": talk(chunks=1, voice_delay=0.4)}, data=fields) as answer,
    ):
        body = (await answer.aread()).decode()
    assert body.startswith(": ping\n")
    assert ": ping\n\n" not in body
    events = [json.loads(line.removeprefix("data: ")) for line in body.splitlines() if line.startswith("data: ")]
    assert [event["type"] for event in events] == ["transcript.text.segment", "transcript.text.done"]


async def test_the_other_formats_of_the_model_do_not_ask_who_speaks(web: Running, client: AsyncOpenAI) -> None:
    answer = await client.audio.transcriptions.create(file=talk(), model=MODEL, response_format="json")
    assert answer.text == f"{text_of(0)} {text_of(1)} {text_of(2)}"
    plain = await client.audio.transcriptions.create(file=talk(), model=MODEL, response_format="text")
    assert plain == f"{answer.text}\n"
    (job,) = await web.service.parts.store.jobs()
    assert (job.options.speakers, job.speakers) == ("off", None)


async def test_a_call_that_does_not_ask_who_speaks_does_not_wait_for_it(tmp_path: Path) -> None:
    placeholder_networks(tmp_path)
    async with running(tmp_path, speech={"speakers": "auto"}) as web:
        for path, name in ((PATH, "file"), ("/asr", "audio_file"), ("/inference", "file")):
            answer = await web.client.post(path, files={name: talk(says=path)})
            assert answer.status_code == 200
        assert {job.options.speakers for job in await web.service.parts.store.jobs()} == {"off"}


async def test_a_client_may_say_how_many_people_speak(client: AsyncOpenAI) -> None:
    answer = await diarized(client, file=talk(people="QRS"), extra_body={"max_speakers": "2"})
    assert [segment.speaker for segment in answer.segments] == ["A", "B", "B"]


# -- known speakers ---------------------------------------------------------------------------------------------------


async def test_speakers_with_a_reference_have_its_name(web: Running, client: AsyncOpenAI) -> None:
    answer = await diarized(
        client,
        file=talk(people="QRS"),
        known_speaker_names=["agent", "customer, angry"],
        known_speaker_references=[reference("R"), reference("Q")],
    )
    assert [segment.speaker for segment in answer.segments] == ["customer, angry", "agent", "A"]
    stream = await diarized(
        client,
        file=talk(people="QRS"),
        known_speaker_names=["agent"],
        known_speaker_references=[reference("R")],
        stream=True,
    )
    assert [event.speaker async for event in stream if event.type == "transcript.text.segment"] == ["A", "agent", "B"]
    assert len(await web.service.parts.store.jobs()) == 1, "names belong to the call, not to the job"
    assert not list(web.service.parts.data.spool.iterdir())


async def test_a_voice_that_is_like_no_reference_keeps_its_letter(client: AsyncOpenAI) -> None:
    answer = await diarized(
        client, known_speaker_names=["a", "b"], known_speaker_references=[reference("X"), reference("Y")]
    )
    assert [segment.speaker for segment in answer.segments] == ["A", "B", "A"]


async def test_a_reference_may_come_in_json(web: Running) -> None:
    sent = {
        "model": MODEL,
        "response_format": "diarized_json",
        "input_audio": {"data": base64.b64encode(talk()[1]).decode(), "format": "wav"},
        "known_speaker_names": ["agent"],
        "known_speaker_references": [reference("R")],
    }
    answer = await web.client.post(PATH, json=sent)
    assert [segment["speaker"] for segment in answer.json()["segments"]] == ["A", "agent", "A"]


NO_SOUND = f"data:audio/wav;base64,{base64.b64encode(b'no script').decode()}"
BAD = [
    (["a"], [], "known_speaker_references", "1 names"),
    (list("abcde"), [reference("Q")] * 5, "known_speaker_names", "at most 4"),
    (["a"], ["https://example.com/a.wav"], "known_speaker_references", "no data URL"),
    (["a"], [NO_SOUND], "known_speaker_references", "not a recording"),
    (["a"], [reference("Q", seconds=0.1)], "known_speaker_references", "1.1 s long"),
    (["a"], [reference("Q", seconds=9.5)], "known_speaker_references", "10.5 s long"),
    (["a"], [reference("Q", chunks=0)], "known_speaker_references", "1.0 s long"),
]


async def test_bad_references_are_refused_before_anything_is_transcribed(web: Running, client: AsyncOpenAI) -> None:
    for names, urls, param, said in BAD:
        with pytest.raises(openai.BadRequestError) as refused:
            await diarized(client, known_speaker_names=names, known_speaker_references=urls)
        assert (refused.value.param, refused.value.code) == (param, "invalid_value")
        assert said in str(refused.value), (names, str(refused.value))
    assert await web.service.parts.store.jobs() == []
    assert list(web.service.uploads.root.iterdir()) == []
    assert not list(web.service.parts.data.spool.iterdir())


async def test_a_reference_that_kills_its_reader_is_refused_and_the_next_one_is_read(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="cannot be read"):
        await diarized(
            client, known_speaker_names=["a"], known_speaker_references=[reference("Q", decode_fault="abort")]
        )
    answer = await diarized(client, known_speaker_names=["agent"], known_speaker_references=[reference("R")])
    assert [segment.speaker for segment in answer.segments] == ["A", "agent", "A"]


# -- when it cannot be had --------------------------------------------------------------------------------------------


async def test_without_networks_and_downloads_the_request_is_refused_with_the_cure(tmp_path: Path) -> None:
    async with (
        running(tmp_path, models={"offline": True}) as web,
        AsyncOpenAI(base_url=f"{web.url}/v1", api_key="any", max_retries=0) as client,
    ):
        with pytest.raises(openai.BadRequestError) as refused:
            await diarized(client)
        assert (refused.value.param, refused.value.code) == ("response_format", "unsupported_value")
        assert "models import" in str(refused.value)
        assert await web.service.parts.store.jobs() == []
        assert list(web.service.uploads.root.iterdir()) == []
        plain = await client.audio.transcriptions.create(file=talk(), model=MODEL)
        assert plain.text


async def test_speakers_that_could_not_be_found_are_an_error_and_found_at_the_next_call(
    web: Running, client: AsyncOpenAI, tmp_path: Path
) -> None:
    play = talk(voice_faults={"0": "model_broken_once"}, marks=str(tmp_path), name="call")
    with pytest.raises(openai.InternalServerError) as failed:
        await diarized(client, file=play)
    assert failed.value.status_code == 503
    assert failed.value.code == "speakers_unavailable"
    assert failed.value.response.headers["x-should-retry"] == "false"
    (job,) = await web.service.parts.store.jobs()
    assert (job.status, job.speakers) == (Status.COMPLETED, None)
    answer = await diarized(client, file=play)
    assert [segment.speaker for segment in answer.segments] == ["A", "B", "A"]
    assert [each.id for each in await web.service.parts.store.jobs()] == [job.id], "the text was not made again"
