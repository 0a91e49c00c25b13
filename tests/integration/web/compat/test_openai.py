"""OpenAI's own client against a real port: every parameter, every answer, every error that it knows."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import openai
import pytest
import srt  # type: ignore[import-untyped]
import webvtt  # type: ignore[import-untyped]
from openai import AsyncOpenAI

from testkit.scripted_actors import script, text_of
from testkit.service import Running, ended, running
from whisper_service.core.domain import Status
from whisper_service.core.job_states import TERMINAL, Cause

pytestmark = pytest.mark.anyio

WHOLE = f"{text_of(0)} {text_of(1)} {text_of(2)}"
PATH = "/v1/audio/transcriptions"


@pytest.fixture
async def web(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path, server={"max_upload_bytes": 3_000_000}) as up:
        yield up


@pytest.fixture
async def client(web: Running) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{web.url}/v1", api_key="any", max_retries=0) as made:
        yield made


def talk(**play: Any) -> tuple[str, bytes]:
    return "talk.wav", script(**({"chunks": 3, "seconds": 10.0} | play))


async def test_the_text_comes_back_and_the_job_is_there(web: Running, client: AsyncOpenAI) -> None:
    answer = await client.audio.transcriptions.create(file=talk(), model="whisper-1")
    assert answer.text == WHOLE
    assert answer.usage is not None
    assert answer.usage.type == "duration"
    assert answer.usage.seconds == 33.0
    (job,) = await web.service.parts.store.jobs()
    assert (job.name, job.status, job.options.model) == ("talk.wav", Status.COMPLETED, "model")


async def test_every_parameter_arrives(web: Running, client: AsyncOpenAI) -> None:
    await client.audio.transcriptions.create(
        file=talk(),
        model="model",
        language="en",
        prompt="Ada, Grace",
        response_format="verbose_json",
        temperature=0.3,
        timestamp_granularities=["word"],
        include=["logprobs"],
        chunking_strategy={"type": "server_vad", "threshold": 0.4},
        keywords=["Lovelace", "Hopper"],
        extra_body={"vad_filter": "true", "preset": "accurate"},
    )
    (job,) = await web.service.parts.store.jobs()
    options = job.options
    assert (options.language, options.prompt, options.preset) == ("en", "Lovelace, Hopper Ada, Grace", "accurate")


async def test_languages_are_taken_as_programs_write_them(web: Running, client: AsyncOpenAI) -> None:
    for language, code in [("Portuguese", "pt"), ("pt-BR", "pt"), ("jv", "jw"), ("zh_CN", "zh")]:
        await client.audio.transcriptions.create(file=talk(name=language), model="whisper-1", language=language)
        job, *_ = await web.service.parts.store.jobs()
        assert job.options.language == code


async def test_verbose_json_has_segments_unless_only_words_are_wanted(client: AsyncOpenAI) -> None:
    plain = await client.audio.transcriptions.create(file=talk(), model="whisper-1", response_format="verbose_json")
    assert (plain.language, plain.duration, plain.text) == ("english", 33.0, WHOLE)
    assert plain.words is None
    assert plain.segments is not None
    assert [(s.id, s.start, s.end, s.text) for s in plain.segments] == [
        (n, n * 11.0, n * 11.0 + 10.0, text_of(n)) for n in range(3)
    ]
    for segment in plain.segments:
        assert set(segment.model_dump()) == {
            "id",
            "seek",
            "start",
            "end",
            "text",
            "tokens",
            "temperature",
            "avg_logprob",
            "compression_ratio",
            "no_speech_prob",
        }
    words = await client.audio.transcriptions.create(
        file=talk(), model="whisper-1", response_format="verbose_json", timestamp_granularities=["word"]
    )
    assert words.segments is None
    assert words.words is not None
    assert [(w.word, w.start) for w in words.words] == [(text_of(n), n * 11.0) for n in range(3)]
    both = await client.audio.transcriptions.create(
        file=talk(), model="whisper-1", response_format="verbose_json", timestamp_granularities=["word", "segment"]
    )
    assert both.segments
    assert both.words


async def test_text_srt_and_vtt_are_plain(client: AsyncOpenAI) -> None:
    text = await client.audio.transcriptions.create(file=talk(), model="whisper-1", response_format="text")
    assert text == WHOLE + "\n"
    subtitles = await client.audio.transcriptions.create(file=talk(), model="whisper-1", response_format="srt")
    assert [cue.content for cue in srt.parse(subtitles)] == [text_of(n) for n in range(3)]
    captions = await client.audio.transcriptions.create(file=talk(), model="whisper-1", response_format="vtt")
    assert [cue.text for cue in webvtt.from_string(captions)] == [text_of(n) for n in range(3)]


async def test_logprobs_are_those_of_the_words(client: AsyncOpenAI) -> None:
    answer = await client.audio.transcriptions.create(file=talk(), model="whisper-1", include=["logprobs"])
    assert answer.logprobs is not None
    assert [(one.token, round(one.logprob or 0.0, 3)) for one in answer.logprobs] == [
        (f" {text_of(n)}", -0.105) for n in range(3)
    ]


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # OpenAI announced its end; programs still call it
async def test_translations_are_jobs_for_english_text(web: Running, client: AsyncOpenAI) -> None:
    answer = await client.audio.translations.create(file=talk(), model="whisper-1", prompt="Ada")
    assert answer.text == WHOLE
    (job,) = await web.service.parts.store.jobs()
    assert (job.options.task, job.options.prompt) == ("translate", "Ada")


# -- streams ----------------------------------------------------------------------------------------------------------


async def test_done_is_the_deltas_joined_and_they_come_while_it_works(web: Running, client: AsyncOpenAI) -> None:
    deltas: list[str] = []
    done = None
    seen = Status.COMPLETED
    stream = await client.audio.transcriptions.create(file=talk(delay=0.3), model="gpt-4o-transcribe", stream=True)
    async for event in stream:
        if event.type == "transcript.text.delta":
            if not deltas:
                seen = (await web.service.parts.store.jobs())[0].status
            deltas.append(event.delta)
        elif event.type == "transcript.text.done":
            done = event.text
    assert deltas == [text_of(0), f" {text_of(1)}", f" {text_of(2)}"]
    assert done == "".join(deltas)
    assert seen is Status.PROCESSING, "the first text came before the last"


async def test_a_stream_is_bare_events_and_its_pauses_are_comments(tmp_path: Path) -> None:
    async with (
        running(tmp_path, server={"heartbeat_s": 0.05}) as web,
        web.client.stream("POST", PATH, files={"file": talk(delay=0.4, chunks=1)}, data={"stream": "true"}) as answer,
    ):
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["x-accel-buffering"] == "no"
        body = (await answer.aread()).decode()
    assert ": ping\n" in body
    assert ": ping\n\n" not in body
    assert "id:" not in body.replace('"', "")
    assert "event:" not in body
    events = [json.loads(line.removeprefix("data: ")) for line in body.splitlines() if line.startswith("data: ")]
    assert [event["type"] for event in events] == ["transcript.text.delta", "transcript.text.done"]


async def test_a_stream_without_speech_is_done_at_once(client: AsyncOpenAI) -> None:
    stream = await client.audio.transcriptions.create(file=talk(chunks=0), model="whisper-1", stream=True)
    assert [(event.type, getattr(event, "text", None)) async for event in stream] == [("transcript.text.done", "")]


async def test_a_stream_whose_recording_is_none_is_refused_with_a_status(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await client.audio.transcriptions.create(file=("a.wav", b"no script"), model="whisper-1", stream=True)
    assert refused.value.code == "invalid_audio"


async def test_an_error_in_the_middle_of_a_stream_is_an_error_of_the_client(web: Running, client: AsyncOpenAI) -> None:
    stream = await client.audio.transcriptions.create(file=talk(delay=0.5), model="whisper-1", stream=True)
    assert (await anext(stream)).type == "transcript.text.delta"
    (job,) = await web.service.parts.store.jobs()
    await web.service.jobs.change(job.id, Cause.CANCEL)
    with pytest.raises(openai.APIError, match="cancelled"):
        [event async for event in stream]


# -- calls are jobs ---------------------------------------------------------------------------------------------------


async def test_the_same_recording_is_answered_from_the_store(web: Running, client: AsyncOpenAI) -> None:
    first = await client.audio.transcriptions.create(file=talk(), model="whisper-1")
    again = await client.audio.transcriptions.create(file=talk(), model="model", response_format="verbose_json")
    assert first.text == again.text
    assert len(await web.service.parts.store.jobs()) == 1
    assert len(list(web.service.uploads.root.iterdir())) == 1, "the second copy is not kept"
    await client.audio.transcriptions.create(file=talk(), model="whisper-1", language="en")
    assert len(await web.service.parts.store.jobs()) == 2, "other options are another job"


async def test_results_are_not_reused_if_that_is_switched_off_but_work_is(tmp_path: Path) -> None:
    async with running(tmp_path, api={"reuse_results": False}) as (service, client, _):
        answers: list[httpx.Response] = []

        async def ask() -> None:
            answers.append(await client.post(PATH, files={"file": talk(delay=0.5)}))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            tasks.start_soon(ask)
        assert [answer.json()["text"] for answer in answers] == [WHOLE, WHOLE]
        assert len(await service.parts.store.jobs()) == 1, "both wait for the same work"
        await ask()
        assert len(await service.parts.store.jobs()) == 2, "what is finished is done anew"


async def test_a_job_that_is_deleted_while_somebody_waits_is_not_found(web: Running) -> None:
    async def delete() -> None:
        cursor = web.service.events.cursor(0)
        while not (made := [change.job_id for change in await cursor.read() if change.kind == "update"]):
            pass  # the model may be loaded first, which is a change too
        await web.service.jobs.delete(made[0])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(delete)
        answer = await web.client.post(PATH, files={"file": talk(delay=5.0)})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


async def test_a_caller_that_goes_away_finds_the_text_when_it_comes_back(web: Running) -> None:
    name, data = talk(delay=0.4)
    with pytest.raises(httpx.ReadTimeout):
        await web.client.post(PATH, files={"file": (name, data)}, timeout=0.3)
    (job,) = await web.service.parts.store.jobs()
    assert job.status is not Status.COMPLETED
    answer = await web.client.post(PATH, files={"file": (name, data)})
    assert answer.json()["text"] == WHOLE
    assert answer.headers["x-request-id"] == job.id
    assert len(await web.service.parts.store.jobs()) == 1


async def test_a_call_goes_before_jobs_that_nobody_waits_for(web: Running, client: AsyncOpenAI) -> None:
    long = await web.client.post(
        "/api/jobs?filename=film.mkv", content=script(chunks=40, delay=0.1), headers={"content-type": "audio/wav"}
    )
    answer = await client.audio.transcriptions.create(file=talk(chunks=1), model="whisper-1")
    assert answer.text == text_of(0)
    film = await web.service.parts.store.job(long.json()["id"])
    assert film.status is Status.PROCESSING
    assert film.chunks_done < 30
    await web.service.jobs.change(film.id, Cause.CANCEL)
    await ended(web.service, film.id)


async def test_a_recording_may_come_inside_json(web: Running) -> None:
    data = base64.b64encode(script(chunks=3)).decode()
    sent = {
        "model": "whisper-1",
        "language": "en",
        "input_audio": {"data": data, "format": "mp3"},
        "keywords": ["Ada", "Grace"],
    }
    answer = await web.client.post(PATH, json=sent)
    assert answer.json()["text"] == WHOLE
    (job,) = await web.service.parts.store.jobs()
    assert (job.name, job.options.language, job.options.prompt) == ("audio.mp3", "en", "Ada, Grace")
    streamed = await web.client.post(PATH, json=sent | {"stream": True})
    assert streamed.headers["content-type"].startswith("text/event-stream")
    for wrong, param in [
        ({}, "input_audio"),
        ({"input_audio": "x"}, "input_audio"),
        ({"input_audio": {"data": "%%"}}, "input_audio"),
        (sent | {"response_format": "xml"}, "response_format"),
        (sent | {"temperature": {"a": 1}, "stream": "so"}, "stream"),
    ]:
        refused = await web.client.post(PATH, json=wrong)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)
    for body in (b"[]", b"{", b"", b'{"a":' + b"[" * 50_000):
        refused = await web.client.post(PATH, content=body, headers={"content-type": "application/json"})
        assert refused.status_code == 400, refused.text
    assert len(await web.service.parts.store.jobs()) == 1


# -- errors -----------------------------------------------------------------------------------------------------------


WRONG = [
    ({"response_format": "yaml"}, "response_format", "invalid_value"),
    ({"response_format": "diarized_json", "max_speakers": "21"}, "max_speakers", "invalid_value"),
    ({"temperature": "warm"}, "temperature", "invalid_value"),
    ({"temperature": "nan"}, "temperature", "invalid_value"),
    ({"temperature": "1.1"}, "temperature", "invalid_value"),
    ({"timestamp_granularities[]": "letter"}, "timestamp_granularities", "invalid_value"),
    ({"language": "klingon"}, "language", "invalid_value"),
    ({"stream": "perhaps"}, "stream", "invalid_value"),
    ({"preset": "best"}, "preset", "invalid_value"),
    ({"model": "x" * 301}, "model", "invalid_value"),
]


async def test_wrong_fields_are_named_and_nothing_is_kept(web: Running) -> None:
    for fields, param, code in WRONG:
        answer = await web.client.post(PATH, files={"file": talk()}, data=fields)
        assert answer.status_code == 400, answer.text
        error = answer.json()["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", param, code)
        assert error["message"]
        assert answer.headers["x-should-retry"] == "false"
    assert await web.service.parts.store.jobs() == []
    assert list(web.service.uploads.root.iterdir()) == []


async def test_errors_are_the_clients_own(web: Running, client: AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        await client.audio.transcriptions.create(file=talk(), model="large-v9")
    assert unknown.value.code == "model_not_found"
    assert unknown.value.param == "model"
    assert "large-v9" in str(unknown.value)
    with pytest.raises(openai.BadRequestError) as broken:
        await client.audio.transcriptions.create(file=("a.wav", b"no script"), model="whisper-1")
    assert broken.value.code == "invalid_audio"
    with pytest.raises(openai.BadRequestError) as empty:
        await client.audio.transcriptions.create(file=("a.wav", b""), model="whisper-1")
    assert empty.value.code == "invalid_audio"
    large = await web.client.post(PATH, files={"file": ("a.wav", b"x" * 3_100_000)})
    assert large.status_code == 413
    assert large.json()["error"]["code"] == "too_large"


@pytest.mark.parametrize(("field", "value", "status"), [("model", "large-v9", 404), ("response_format", "yaml", 400)])
async def test_what_is_wrong_is_said_before_the_recording_has_come(
    web: Running, field: str, value: str, status: int
) -> None:
    address = httpx.URL(web.url)
    head = f"POST {PATH} HTTP/1.1\r\nHost: {address.host}\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    head += "Content-Length: 1000000\r\n\r\n"
    said = f'--b\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n--b\r\n'
    async with await anyio.connect_tcp(address.host, address.port or 0) as stream:
        await stream.send(f"{head}{said}".encode())
        with anyio.fail_after(30):
            answer = await stream.receive()
    assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer
    assert list(web.service.uploads.root.iterdir()) == []


async def test_a_form_without_a_file_says_so(web: Running) -> None:
    answer = await web.client.post(PATH, files={"other": ("a.wav", b"x")}, data={"model": "whisper-1"})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "file"
    assert answer.json()["error"]["code"] == "missing_required_parameter"


async def test_what_is_not_there_is_said_in_the_same_form(web: Running) -> None:
    for path in ["/v1/nope", "/v1", "/openai/v1/nope", "/v1/audio/transcriptions/x"]:
        answer = await web.client.get(path)
        assert answer.status_code in (404, 405)
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


async def test_other_sites_are_refused_in_the_same_form(web: Running) -> None:
    answer = await web.client.post(PATH, files={"file": talk()}, headers={"origin": "http://evil.example"})
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "cross_site"


async def test_a_cancelled_job_is_a_conflict_and_not_tried_again(web: Running) -> None:
    async def cancel() -> None:
        cursor = web.service.events.cursor(0)
        while True:
            for change in await cursor.read():
                if change.kind == "update":  # else: the model is loaded meanwhile
                    await web.service.jobs.change(change.job_id, Cause.CANCEL)
                    return

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(cancel)
        answer = await web.client.post(PATH, files={"file": talk(delay=5.0)})
    assert answer.status_code == 409
    assert answer.headers["x-should-retry"] == "false"


async def test_a_job_that_waits_for_help_is_told_at_once_and_goes_on_later(tmp_path: Path) -> None:
    patience = {"max_restarts": 1}
    async with running(tmp_path, speech_actor="broken", supervision=patience) as (service, client, _):
        answer = await client.post(PATH, files={"file": talk()})
        (job,) = await service.parts.store.jobs()
    assert answer.status_code == 503, answer.text
    assert answer.json()["error"]["code"] == "library_missing"
    assert (answer.headers["x-should-retry"], answer.headers["retry-after"]) == ("false", "300")
    assert job.status not in TERMINAL


# -- models -----------------------------------------------------------------------------------------------------------


async def test_models_are_those_that_requests_may_name(client: AsyncOpenAI) -> None:
    names = [model.id async for model in client.models.list()]
    assert "model" in names
    assert "whisper-1" in names
    assert (await client.models.retrieve("whisper-1")).id == "whisper-1"
    assert (await client.models.retrieve("model")).object == "model"
    with pytest.raises(openai.NotFoundError) as unknown:
        await client.models.retrieve("Systran/faster-whisper-large-v3")
    assert unknown.value.code == "model_not_found"


async def test_groq_has_the_same_elsewhere(web: Running) -> None:
    answer = await web.client.post("/openai/v1/audio/transcriptions", files={"file": talk()})
    assert answer.json()["text"] == WHOLE


# -- forms as clients really send them --------------------------------------------------------------------------------


def _form(*parts: str) -> bytes:
    return b"".join(f"--b\r\n{part}\r\n".encode() for part in parts) + b"--b--\r\n"


SAID = 'Content-Disposition: form-data; name="file"; filename='
FIELD = 'Content-Disposition: form-data; name="model"\r\n\r\nwhisper-1'


HEADS = [
    (f'{SAID}"audio.webm"\r\nContent-Type: video/webm', "audio.webm"),
    (f'{SAID}"blob"\r\nContent-Type: "application/octet-stream"', "blob"),
    (f'{SAID}"audio_file"', "audio_file"),
    (f'{SAID}"会议.m4a"\r\nContent-Type: text/plain; charset=utf-8', "会议.m4a"),
    (f'{SAID}"a%22b.wav"\r\nContent-Type: audio/wav', 'a"b.wav'),
    ('Content-Disposition: form-data; name="file"', "recording"),
]


@pytest.mark.parametrize("first", [True, False])
async def test_the_file_may_stand_anywhere_and_be_called_anything(web: Running, first: bool) -> None:
    async def chunked(body: bytes) -> AsyncIterator[bytes]:
        for at in range(0, len(body), 11):
            yield body[at : at + 11]

    for head, name in HEADS:
        parts = [f"{head}\r\n\r\n{script(chunks=3, name=name).decode()}", FIELD]
        body = chunked(_form(*(parts if first else parts[::-1])))
        answer = await web.client.post(PATH, content=body, headers={"content-type": "multipart/form-data; boundary=b"})
        assert answer.status_code == 200, answer.text
        assert answer.json()["text"] == WHOLE
        assert (await web.service.parts.store.jobs())[0].name == name


async def test_granularities_may_be_numbered_as_php_does(web: Running) -> None:
    asked = {"model": "whisper-1", "response_format": "verbose_json", "timestamp_granularities[0]": "word"}
    answer = (await web.client.post(PATH, files={"file": ("a.wav", script(chunks=2))}, data=asked)).json()
    assert answer["words"]
    assert "segments" not in answer


async def test_a_content_type_has_one_character_set(web: Running) -> None:
    asked = {"model": "whisper-1", "response_format": "vtt"}
    answer = await web.client.post(PATH, files={"file": ("a.wav", script(chunks=2))}, data=asked)
    assert answer.headers["content-type"] == "text/vtt; charset=utf-8"
