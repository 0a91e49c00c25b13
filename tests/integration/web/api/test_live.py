"""Live sessions over HTTP: sound in, text out, and what happens when something breaks."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from testkit.service import Running, ended, running, texts, until
from testkit.small_disk import Ballast, small_disk
from testkit.sounds import babble, hiss, join, silence
from whisper_service.app import live_sessions
from whisper_service.core.domain import ChunkState, Job, LiveEnd, Status
from whisper_service.export.render import Format

pytestmark = pytest.mark.anyio

SPEECH = join(babble(12), silence(4), babble(9, seed=1), silence(5), babble(6, seed=2), silence(4)).tobytes()
"""40 s, 16 kHz mono int16: three chunks."""
PIECE = "application/offset+octet-stream"


@pytest.fixture
async def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    """A service whose speech actor is scripted; sound is cut by the real live actor."""
    monkeypatch.setattr(live_sessions, "LOOK_S", 0.05)
    async with running(tmp_path, live={"max_sessions": 3}) as web:
        yield web


async def begin(web: Running, **fields: Any) -> str:
    answer = await web.client.post("/api/live", json={"language": "en", **fields})
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"/api/live/{answer.json()['id']}"
    return str(answer.json()["id"])


async def send(web: Running, job_id: str, offset: object, data: bytes, **headers: str) -> httpx.Response:
    known = {"upload-offset": str(offset), "content-type": PIECE, **headers}
    return await web.client.patch(f"/api/live/{job_id}", content=data, headers=known)


async def send_all(web: Running, job_id: str, data: bytes = SPEECH, step: int = 96_000) -> None:
    for offset in range(0, len(data), step):
        answer = await send(web, job_id, offset, data[offset : offset + step])
        assert (answer.status_code, answer.headers["upload-offset"]) == (204, str(min(len(data), offset + step)))


async def finish(web: Running, job_id: str) -> Job:
    assert (await web.client.post(f"/api/live/{job_id}/end")).status_code == 200
    return await ended(web.service, job_id)


def stored(web: Running, job_id: str) -> bytes:
    return web.service.jobs.recording(job_id).read_bytes()[44:]


def refused(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    problem: dict[str, Any] = answer.json()
    assert problem["message"]
    assert problem["hint"]
    return problem


async def true(check: Callable[[], bool]) -> None:
    """Wait until something is so of which no event tells."""
    for _ in range(600):
        if check():
            return
        await anyio.sleep(0.05)
    pytest.fail("it did not become so")


async def test_text_comes_while_the_recording_grows_and_the_job_ends_with_it(web: Running) -> None:
    job_id = await begin(web, name="talk.wav", source="microphone")
    job = (await web.client.get(f"/api/jobs/{job_id}")).json()
    live = {"source": "microphone", "rate": 16_000, "encoding": "s16le", "channels": 1}
    assert job["live"] | live | {"received_bytes": 0, "ended": None} == job["live"]
    await send_all(web, job_id, SPEECH[: 32_000 * 20])
    await until(web.service, job_id, lambda job: job.chunks_done == 1)
    assert await texts(web.service, job_id) == ["This is chunk 0."]
    assert (await web.client.get("/api/jobs?q=chunk")).json()["jobs"][0]["id"] == job_id
    for kind in Format:
        exported = await web.client.get(f"/api/jobs/{job_id}/export?format={kind.value}")
        assert exported.status_code == 200, kind
        assert kind is not Format.TXT or exported.text.strip() == "This is chunk 0."
    answer = await send(web, job_id, 32_000 * 20, SPEECH[32_000 * 20 :], **{"upload-complete": "?1"})
    assert answer.status_code == 204
    job = await ended(web.service, job_id)
    assert (job.status, job.duration_s, job.chunks_done, job.name) == (Status.COMPLETED, 40.0, 3, "talk.wav")
    assert job.live is not None
    assert (job.live.ended, job.live.received_bytes, job.bytes) == (LiveEnd.CLIENT, len(SPEECH), len(SPEECH) + 44)
    assert len(job.sha256) == 64
    assert stored(web, job_id) == SPEECH
    part = await web.client.get(f"/api/jobs/{job_id}/media", headers={"range": "bytes=0-43"})
    assert (part.status_code, part.content[4:8]) == (206, (len(SPEECH) + 36).to_bytes(4, "little"))
    peaks = await web.client.get(f"/api/jobs/{job_id}/peaks")
    assert len(peaks.content) == 2 * 50 * 40
    formats = [await web.client.get(f"/api/jobs/{job_id}/export?format={kind.value}") for kind in Format]
    assert [answer.status_code for answer in formats] == [200] * len(Format)
    assert [each["id"] for each in (await web.client.get("/api/jobs?q=chunk")).json()["jobs"]] == [job_id]


async def test_a_session_begun_twice_with_one_key_is_one_session(tmp_path: Path) -> None:
    key, wanted = {"idempotency-key": "5f1e-a"}, {"language": "en", "name": "talk.wav", "rate": 8_000}
    limits = {"max_sessions": 2}
    async with running(tmp_path, live=limits) as web:
        first, *again = [await web.client.post("/api/live", json=wanted, headers=key) for _ in range(3)]
        assert first.status_code == 201
        job_id = first.json()["id"]
        assert [(a.status_code, a.json()["id"], a.headers["location"]) for a in again] == [
            (201, job_id, f"/api/live/{job_id}")
        ] * 2
        await send(web, job_id, 0, SPEECH[:32_000])
        refused(await web.client.post("/api/live", json=wanted | {"rate": 16_000}, headers=key), 422, "invalid_request")
        await begin(web)
    async with running(tmp_path, live=limits) as web:  # the answer may be lost because the service ended
        again = [await web.client.post("/api/live", json=wanted, headers=key)]  # and no session more is allowed
        assert (again[0].status_code, again[0].json()["id"]) == (201, job_id)
        refused(
            await web.client.post("/api/live", json=wanted, headers={"idempotency-key": "b"}), 429, "too_many_sessions"
        )
        assert (await web.client.delete(f"/api/jobs/{job_id}")).status_code == 204
        await true(lambda: not web.service.jobs.recording(job_id).exists())
        anew = await web.client.post("/api/live", json=wanted, headers=key)
        assert anew.status_code == 201
        assert anew.json()["id"] != job_id, "the session was deleted"
        assert len((await web.client.get("/api/jobs")).json()["jobs"]) == 2


@pytest.mark.parametrize("key", ["", "x" * 129, "caf\u00e9"])
async def test_a_key_that_cannot_be_used_begins_nothing(web: Running, key: str) -> None:
    headers = httpx.Headers({"idempotency-key": key}, encoding="latin-1")
    problem = refused(await web.client.post("/api/live", json={}, headers=headers), 422, "invalid_request")
    assert problem["params"]["field"] == "Idempotency-Key"
    assert (await web.client.get("/api/jobs")).json()["jobs"] == []


async def test_requests_with_one_key_at_the_same_time_begin_one_session(web: Running) -> None:
    found: list[str] = []

    async def ask() -> None:
        answer = await web.client.post("/api/live", json={"language": "en"}, headers={"idempotency-key": "one"})
        found.append(answer.json()["id"])

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(ask)
    assert len(found) == 5
    assert len(set(found)) == 1
    assert len((await web.client.get("/api/jobs")).json()["jobs"]) == 1


async def test_the_chunks_are_those_of_the_same_sound_sent_in_any_pieces(web: Running) -> None:
    whole, pieces = await begin(web), await begin(web)
    await send_all(web, whole, step=len(SPEECH))
    dice, offset = random.Random(2), 0
    while offset < len(SPEECH):
        begin_at = max(0, offset - dice.choice([0, 0, 2_000]))  # an answer was lost
        answer = await send(web, pieces, begin_at, SPEECH[begin_at : begin_at + dice.randrange(1, 160_001)])
        assert answer.status_code == 204
        offset = int(answer.headers["upload-offset"])
    await finish(web, whole)
    await finish(web, pieces)
    first, second = [
        [chunk.span for chunk in await web.service.parts.store.chunks(job_id)] for job_id in (whole, pieces)
    ]
    assert first == second
    assert len(first) == 3
    assert stored(web, pieces) == SPEECH


async def test_the_recording_can_be_read_while_it_grows(web: Running) -> None:
    job_id = await begin(web)
    await send(web, job_id, 0, SPEECH[:64_000])
    answer = await web.client.get(f"/api/jobs/{job_id}/media")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "audio/wav")
    assert answer.content[44:] == SPEECH[:64_000]
    part = await web.client.get(f"/api/jobs/{job_id}/media", headers={"range": "bytes=64040-"})
    assert (part.status_code, part.content) == (206, SPEECH[63_996:64_000])
    await send(web, job_id, 64_000, SPEECH[64_000:65_000])
    again = await web.client.get(f"/api/jobs/{job_id}/media", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, len(again.content)) == (200, 65_044)


async def test_a_body_without_end_is_stored_while_it_comes(web: Running) -> None:
    job_id = await begin(web)
    await send(web, job_id, 0, SPEECH[:1_000])
    go_on = anyio.Event()

    async def body() -> AsyncIterator[bytes]:
        for offset in range(1_000, 640_001, 1_001):  # odd numbers of bytes
            yield SPEECH[offset : min(640_001, offset + 1_001)]
            if offset % 100 == 0:
                await anyio.sleep(0.01)
        await go_on.wait()

    async with anyio.create_task_group() as tasks:

        async def put() -> None:
            answer = await web.client.put(f"/api/live/{job_id}", content=body())
            assert (answer.status_code, answer.headers["upload-offset"]) == (204, "640000")

        tasks.start_soon(put)
        await true(lambda: len(stored(web, job_id)) == 640_000)  # although the body has not ended
        go_on.set()
    assert stored(web, job_id) == SPEECH[:640_000]


async def test_a_gap_and_a_bad_offset_are_refused_and_tell_the_true_one(web: Running) -> None:
    job_id = await begin(web)
    await send(web, job_id, 0, SPEECH[:1_000])
    answer = await send(web, job_id, 1_002, SPEECH[:10])
    assert refused(answer, 409, "offset_ahead")["params"] == {"offset": 1_000}
    assert answer.headers["upload-offset"] == "1000"
    for offset in ("-2", "x", "", "501", "1e3"):
        assert refused(await send(web, job_id, offset, SPEECH[:10]), 422, "invalid_request")["params"] == {
            "field": "Upload-Offset"
        }
    refused(await send(web, job_id, "9" * 30, b"xx"), 413, "too_large")
    assert stored(web, job_id) == SPEECH[:1_000]
    head = await web.client.head(f"/api/live/{job_id}")
    assert (head.status_code, head.headers["upload-offset"], head.headers["upload-complete"]) == (200, "1000", "?0")


async def test_what_came_before_a_connection_broke_is_kept(web: Running) -> None:
    job_id = await begin(web)
    port = int(web.url.rpartition(":")[2])
    async with await anyio.connect_tcp("127.0.0.1", port) as raw:
        head = (
            f"PATCH /api/live/{job_id} HTTP/1.1\r\nhost: 127.0.0.1\r\nupload-offset: 0\r\ncontent-length: 99999\r\n\r\n"
        )
        await raw.send(head.encode() + SPEECH[:5_001])
        await anyio.sleep(0.3)
    await true(lambda: len(stored(web, job_id)) == 5_000)
    assert (await web.client.head(f"/api/live/{job_id}")).headers["upload-offset"] == "5000"


@pytest.mark.parametrize("data", [b"", hiss(0.05).tobytes(), silence(20).tobytes()])
async def test_a_session_without_speech_ends_complete(web: Running, data: bytes) -> None:
    job_id = await begin(web)
    await send(web, job_id, 0, data)
    job = await finish(web, job_id)
    assert (job.status, job.message, job.no_speech) == (Status.COMPLETED, "No speech was found.", True)
    assert job.duration_s == pytest.approx(len(data) / 32_000)


async def test_nobody_sends_for_a_while_and_the_session_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_sessions, "LOOK_S", 0.05)
    async with running(tmp_path, live={"silence_end_s": 0.5}) as web:
        job_id = await begin(web)
        await send_all(web, job_id)
        job = await ended(web.service, job_id)
        assert job.live is not None
        assert (job.status, job.chunks_done, job.live.ended) == (Status.COMPLETED, 3, LiveEnd.SILENCE)
        assert (await web.client.head(f"/api/live/{job_id}")).status_code == 410
        assert refused(await send(web, job_id, len(SPEECH), b"xx"), 409, "live_ended")["params"]["ended"] == "silence"


async def test_a_session_that_nobody_sent_to_is_resumed_in_the_same_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_sessions, "LOOK_S", 0.05)
    async with running(tmp_path, live={"silence_end_s": 0.7}) as web:
        job_id, half = await begin(web), 32_000 * 14  # in the pause behind the first chunk
        await send_all(web, job_id, SPEECH[:half])
        before = await ended(web.service, job_id)
        assert (before.status, before.chunks_done) == (Status.COMPLETED, 1)
        await web.client.patch("/api/settings", json={"live.silence_end_s": 900})
        answer = await web.client.post(f"/api/live/{job_id}/resume")
        assert (answer.status_code, answer.json()["live"]["ended"], answer.json()["sha256"]) == (200, None, "")
        assert (await web.client.post(f"/api/live/{job_id}/resume")).status_code == 200  # sent again
        assert (await web.client.head(f"/api/live/{job_id}")).headers["upload-offset"] == str(half)
        assert (await send(web, job_id, half, SPEECH[half:])).status_code == 204
        assert (await web.client.post(f"/api/live/{job_id}/end")).status_code == 200
        job = await until(web.service, job_id, lambda job: job.status is Status.COMPLETED and job.chunks_done == 3)
        assert (job.duration_s, job.bytes) == (40.0, len(SPEECH) + 44)
        assert await texts(web.service, job_id) == [f"This is chunk {n}." for n in range(3)]
        assert stored(web, job_id) == SPEECH
        problem = refused(await web.client.post(f"/api/live/{job_id}/resume"), 409, "live_ended")
        assert problem["params"]["ended"] == "client"


async def test_a_session_is_resumed_while_its_job_is_still_in_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_sessions, "LOOK_S", 0.05)
    async with running(tmp_path, live={"silence_end_s": 0.7}) as web:
        job_id = await begin(web)
        await send_all(web, job_id, SPEECH[: 32_000 * 30])
        await web.client.post(f"/api/jobs/{job_id}/pause")
        await until(web.service, job_id, lambda job: job.live is not None and job.live.ended is not None)
        await web.client.patch("/api/settings", json={"live.silence_end_s": 900})
        await web.client.post(f"/api/jobs/{job_id}/resume")
        assert (await web.client.post(f"/api/live/{job_id}/resume")).status_code == 200
        await send(web, job_id, 32_000 * 30, SPEECH[32_000 * 30 :])
        job = await finish(web, job_id)
        assert (job.status, job.duration_s, job.chunks_done) == (Status.COMPLETED, 40.0, 3)


async def test_a_session_that_is_too_long_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_sessions, "LOOK_S", 0.05)
    async with running(tmp_path, live={"max_hours": 0.5 / 3600}) as web:
        job = await ended(web.service, await begin(web))
        assert job.live is not None
        assert (job.status, job.live.ended) == (Status.COMPLETED, LiveEnd.LENGTH)


async def test_a_paused_session_listens_on_and_is_heard_when_it_is_resumed(web: Running) -> None:
    job_id = await begin(web)
    await send_all(web, job_id, SPEECH[:320_000])
    assert (await web.client.post(f"/api/jobs/{job_id}/pause")).status_code == 200
    assert (await send(web, job_id, 320_000, SPEECH[320_000:])).status_code == 204
    await web.client.post(f"/api/live/{job_id}/end")
    assert (await web.service.jobs.get(job_id)).status is Status.PAUSED
    assert (await web.client.post(f"/api/jobs/{job_id}/resume")).status_code == 200
    job = await ended(web.service, job_id)
    assert (job.status, job.chunks_done, job.duration_s) == (Status.COMPLETED, 3, 40.0)


async def test_a_cancelled_session_keeps_its_text_and_sound_and_can_be_retried(web: Running) -> None:
    job_id = await begin(web)
    await send_all(web, job_id, SPEECH[: 32_000 * 20])
    await until(web.service, job_id, lambda job: job.chunks_done == 1)
    assert (await web.client.post(f"/api/jobs/{job_id}/cancel")).status_code == 200
    refused(await send(web, job_id, 32_000 * 20, b"xx"), 409, "live_ended")
    job = await until(web.service, job_id, lambda job: job.live is not None and job.live.ended is not None)
    assert job.live is not None
    assert (job.status, job.live.ended, job.bytes) == (Status.CANCELLED, LiveEnd.CANCELLED, 32_000 * 20 + 44)
    assert await texts(web.service, job_id) == ["This is chunk 0."]
    assert (await web.client.get(f"/api/jobs/{job_id}/media")).content[44:] == SPEECH[: 32_000 * 20]
    assert (await web.client.post(f"/api/jobs/{job_id}/retry")).status_code == 200
    job = await until(web.service, job_id, lambda job: job.status is Status.COMPLETED)
    assert (job.duration_s, job.chunks_done) == (20.0, 2)


async def test_a_deleted_session_takes_no_sound_and_leaves_no_file(web: Running) -> None:
    job_id = await begin(web)
    await send_all(web, job_id, SPEECH[:320_000])
    assert (await web.client.delete(f"/api/jobs/{job_id}?for_good=true")).status_code == 204
    refused(await send(web, job_id, 320_000, b"xx"), 404, "not_found")
    data = web.service.parts.data
    left = [path for folder in (data.media, data.spool, data.peaks) for path in folder.iterdir()]
    assert left == []


async def test_a_session_in_the_trash_takes_no_sound_and_goes_on_when_it_is_restored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_sessions, "LOOK_S", 0.05)
    async with running(tmp_path, storage={"undo_s": 600.0}) as web:
        job_id = await begin(web)
        await send_all(web, job_id, SPEECH[:320_000])
        assert (await web.client.delete(f"/api/jobs/{job_id}")).status_code == 204
        refused(await send(web, job_id, 320_000, b"xx"), 404, "not_found")
        assert (await web.client.post(f"/api/jobs/{job_id}/restore")).status_code == 200
        assert (await send(web, job_id, 320_000, SPEECH[320_000:])).status_code == 204
        job = await finish(web, job_id)
        assert (job.status, job.duration_s, job.chunks_done) == (Status.COMPLETED, 40.0, 3)


async def test_a_full_disk_refuses_sound_and_the_session_goes_on_when_there_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 32) as reason:
        if reason is not None:
            pytest.skip(f"no small disk: {reason}")
        ballast = Ballast(tmp_path / "disk")
        async with running(tmp_path / "disk") as web:
            job_id, half = await begin(web), len(SPEECH) // 2
            assert (await send(web, job_id, 0, SPEECH[:half])).status_code == 204
            await until(web.service, job_id, lambda job: job.chunks_done == 1)
            ballast.fill()
            refused(await send(web, job_id, half, SPEECH[half:]), 507, "disk_full")
            head = await web.client.head(f"/api/live/{job_id}")
            assert (head.status_code, head.headers["upload-offset"]) == (200, str(half))
            assert (await web.service.jobs.get(job_id)).status is Status.PROCESSING
            ballast.free()
            assert (await send(web, job_id, half, SPEECH[half:])).status_code == 204
            job = await finish(web, job_id)
            assert (job.status, job.duration_s, job.chunks_done) == (Status.COMPLETED, 40.0, 3)
            assert stored(web, job_id) == SPEECH


async def test_a_recording_is_transcribed_again_only_when_it_is_complete(web: Running) -> None:
    job_id = await begin(web)
    await send_all(web, job_id)
    problem = refused(await web.client.post("/api/jobs", json={"job": job_id}), 409, "conflict")
    assert "being recorded" in problem["hint"]
    await finish(web, job_id)
    again = (await web.client.post("/api/jobs", json={"job": job_id})).json()
    assert (again["live"], again["of"]) == (None, job_id)


async def test_a_session_is_renamed_and_moved_like_any_job(web: Running) -> None:
    job_id = await begin(web)
    await send(web, job_id, 0, SPEECH[:1_000])
    renamed = await web.client.patch(f"/api/jobs/{job_id}", json={"name": "board.wav"})
    assert renamed.json()["name"] == "board.wav"
    assert (await web.client.post(f"/api/jobs/{job_id}/front")).status_code == 200
    assert (await finish(web, job_id)).name == "board.wav"


async def test_a_cut_makes_text_of_what_was_heard(web: Running) -> None:
    job_id = await begin(web)
    await send(web, job_id, 0, SPEECH[: 32_000 * 8])
    await true(lambda: web.service.parts.context.live.follows(job_id))
    assert (await web.client.post(f"/api/live/{job_id}/cut")).status_code == 200
    await until(web.service, job_id, lambda job: job.chunks_done == 1)
    (chunk,) = await web.service.parts.store.chunks(job_id)
    assert chunk.state is ChunkState.DONE
    assert 7.0 < chunk.span.end <= 8.0
    await send(web, job_id, 32_000 * 8, SPEECH[32_000 * 8 :])
    assert (await finish(web, job_id)).chunks_done == 4


async def test_more_sessions_than_allowed_are_told_to_come_back(web: Running) -> None:
    sessions = [await begin(web) for _ in range(3)]
    answer = await web.client.post("/api/live")
    assert refused(answer, 429, "too_many_sessions")["params"]["limit"] == 3
    assert int(answer.headers["retry-after"]) > 0
    await finish(web, sessions[0])
    assert (await web.client.post("/api/live")).status_code == 201


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"rate": 3}, "rate"),
        ({"rate": "16000"}, "rate"),
        ({"encoding": "mp3"}, "encoding"),
        ({"channels": 3}, "channels"),
        ({"begin_s": 3}, "begin_s"),
        ({"track": 1}, "track"),
        ({"task": "detect"}, "task"),
        ({"modle": "x"}, "modle"),
    ],
)
async def test_what_a_session_cannot_be_is_refused(web: Running, body: dict[str, Any], field: str) -> None:
    problem = refused(await web.client.post("/api/live", json=body), 422, "invalid_request")
    assert problem["params"]["field"] == field
    assert (await web.client.get("/api/jobs")).json()["jobs"] == []


async def test_other_jobs_are_no_sessions(web: Running) -> None:
    job_id = (await web.client.post("/api/jobs", content=b'{"chunks": 1}')).json()["id"]
    refused(await send(web, job_id, 0, b"xx"), 404, "not_found")
    refused(await web.client.post(f"/api/live/{job_id}/end"), 404, "not_found")
    refused(await web.client.post("/api/live/unknown/end"), 404, "not_found")
    assert (await web.client.head(f"/api/live/{job_id}")).status_code == 404


async def test_a_foreign_page_cannot_begin_a_session(web: Running) -> None:
    foreign = {"origin": "https://example.org", "sec-fetch-site": "cross-site"}
    refused(await web.client.post("/api/live", headers=foreign), 403, "cross_site")


async def test_without_the_setting_there_is_no_address_and_no_process(tmp_path: Path) -> None:
    async with running(tmp_path, live={"enabled": False}) as web:
        refused(await web.client.post("/api/live"), 404, "not_found")
        actors = (await web.client.get("/api/system")).json()["actors"]
        assert {actor["name"]: actor["state"] for actor in actors}["live"] == "idle"


async def test_a_restart_goes_on_with_the_session(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        job_id = await begin(web)
        await send_all(web, job_id, SPEECH[: 32_000 * 20])
        await until(web.service, job_id, lambda job: job.chunks_done == 1)
    async with running(tmp_path) as web:
        head = await web.client.head(f"/api/live/{job_id}")
        assert head.headers["upload-offset"] == str(32_000 * 20)
        await send(web, job_id, 32_000 * 20, SPEECH[32_000 * 20 :])
        job = await finish(web, job_id)
        assert (job.status, job.chunks_done, job.duration_s) == (Status.COMPLETED, 3, 40.0)
        assert await texts(web.service, job_id) == [f"This is chunk {n}." for n in range(3)]
        assert stored(web, job_id) == SPEECH
