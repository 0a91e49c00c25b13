"""The API of jobs on a real port: uploads of every kind, changes, exports, and errors."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import srt  # type: ignore[import-untyped]

from testkit.event_stream import collect
from testkit.scripted_actors import script, text_of
from testkit.service import Running, running
from testkit.service import until as until_job
from whisper_service.core.domain import Status
from whisper_service.core.job_states import Cause
from whisper_service.scheduler import admission

pytestmark = pytest.mark.anyio

AUDIO = {"content-type": "audio/wav"}
QUICK = script(chunks=2)
SLOW = script(chunks=3, delay=30.0)


@pytest.fixture
async def web(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path, server={"max_upload_bytes": 3_000_000}) as up:
        yield up


def media(web: Running) -> list[str]:
    return sorted(path.name for path in web.service.uploads.root.iterdir())


def assert_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    problem: dict[str, Any] = answer.json()
    assert set(problem) == {"code", "message", "hint", "params"}
    assert problem["code"] == code, problem
    assert problem["message"]
    assert problem["hint"], "every refusal says what to do"
    assert "Traceback" not in answer.text
    return problem


async def posted(web: Running, data: bytes = SLOW, name: str = "talk.wav") -> dict[str, Any]:
    answer = await web.client.post("/api/jobs", params={"filename": name}, content=data, headers=AUDIO)
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    return job


# -- uploads ----------------------------------------------------------------------------------------------------------


async def test_a_form_makes_a_job(web: Running) -> None:
    answer = await web.client.post(
        "/api/jobs",
        files={"file": ("会议 1.m4a", SLOW, "audio/mp4")},
        data={"language": "zh", "preset": "fast", "word_timestamps": "false", "prompt": "阿里"},
    )
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == f"/api/jobs/{job['id']}"
    assert job["name"] == "会议 1.m4a"
    assert job["status"] == "pending"
    assert job["bytes"] == len(SLOW)
    assert job["sha256"] == hashlib.sha256(SLOW).hexdigest()
    asked = {
        "model": "auto",
        "language": "zh",
        "task": "transcribe",
        "preset": "fast",
        "prompt": "阿里",
        "word_timestamps": False,
        "script": None,
        "track": None,
        "speakers": "off",
        "min_speakers": None,
        "max_speakers": None,
        "channels": "mix",
        "begin_s": None,
        "end_s": None,
        "webhook": None,
    }
    assert job["options"] == asked
    assert media(web) == [job["id"]]
    assert (web.service.uploads.root / job["id"]).read_bytes() == SLOW
    shown = (await web.client.get(answer.headers["location"])).json()
    assert shown["id"] == job["id"]
    assert shown["options"] == asked


@pytest.mark.parametrize(
    "headers", [AUDIO, {"content-type": "video/x-matroska"}, {"content-type": "application/octet-stream"}, {}]
)
async def test_a_raw_body_makes_a_job(web: Running, headers: dict[str, str]) -> None:
    async def chunked() -> AsyncIterator[bytes]:
        for at in range(0, len(SLOW), 7):
            yield SLOW[at : at + 7]

    parameters = {"filename": "../a b.wav", "task": "translate", "language": "auto"}
    answer = await web.client.post("/api/jobs", params=parameters, content=chunked(), headers=headers)
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert job["name"] == "a b.wav"
    assert job["options"]["task"] == "translate"
    assert job["options"]["language"] is None
    assert (web.service.uploads.root / job["id"]).read_bytes() == SLOW


async def test_options_may_come_after_the_file_and_win_over_the_query(web: Running) -> None:
    body = form(("file", "a.wav", SLOW), ("language", None, b"de"), ("preset", None, b""))
    answer = await web.client.post("/api/jobs?language=en&preset=accurate", content=body, headers=FORM)
    assert answer.status_code == 202, answer.text
    assert answer.json()["options"]["language"] == "de"
    assert answer.json()["options"]["preset"] == "accurate"


FORM = {"content-type": "multipart/form-data; boundary=xx"}


def form(*parts: tuple[str, str | None, bytes], end: bytes = b"--xx--\r\n") -> bytes:
    """Return a multipart body."""
    said = b""
    for name, file, data in parts:
        more = f'; filename="{file}"' if file is not None else ""
        said += f'--xx\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + data + b"\r\n"
    return said + end


FILE = ("file", "a.wav", b"x" * 100)


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        pytest.param(form(("language", None, b"en")), 422, "invalid_request", "file", id="no file"),
        pytest.param(form(), 422, "invalid_request", "file", id="no parts"),
        pytest.param(form(FILE, FILE), 422, "invalid_request", "file", id="two files"),
        pytest.param(form(FILE, ("language", None, b"klingon")), 422, "invalid_request", "language", id="language"),
        pytest.param(form(FILE, ("langauge", None, b"en")), 422, "invalid_request", "langauge", id="typo"),
        pytest.param(form(FILE, ("task", None, b"sing")), 422, "invalid_request", "task", id="task"),
        pytest.param(form(FILE, ("word_timestamps", None, b"7")), 422, "invalid_request", "word_timestamps", id="flag"),
        pytest.param(form(FILE, ("prompt", None, b"\xff")), 422, "invalid_request", "prompt", id="not UTF-8"),
        pytest.param(form(FILE, ("prompt", None, b"x" * 2_001)), 422, "invalid_request", "prompt", id="long prompt"),
        pytest.param(form(FILE, *[("task", None, b"translate")] * 2), 422, "invalid_request", "task", id="twice"),
        pytest.param(form(FILE, ("prompt", None, b"x" * 20_000)), 413, "too_large", None, id="endless field"),
        pytest.param(form(*[("prompt", None, b"")] * 40), 422, "invalid_request", "prompt", id="field again and again"),
        pytest.param(form(*[(f"p{n}", None, b"") for n in range(40)]), 413, "too_large", None, id="too many parts"),
        pytest.param(form(("file", "a.wav", b"x" * 3_000_001)), 413, "too_large", None, id="too large"),
        pytest.param(form(("file", "a.wav", b"")), 422, "empty_file", None, id="empty"),
        pytest.param(form(FILE, end=b""), 400, "upload_broken", None, id="ends too early"),
        pytest.param(form(FILE)[:-40], 400, "upload_broken", None, id="ends in the file"),
        pytest.param(b"not a form at all", 422, "invalid_request", None, id="no form"),
    ],
)
async def test_a_form_that_is_not_right_says_why_and_leaves_nothing(
    web: Running, body: bytes, status: int, code: str, field: str | None
) -> None:
    problem = assert_problem(await web.client.post("/api/jobs", content=body, headers=FORM), status, code)
    if field:
        assert problem["params"]["field"] == field
    assert media(web) == []
    assert (await web.client.get("/api/jobs")).json()["jobs"] == []


async def test_an_unknown_language_names_the_one_that_was_meant(web: Running) -> None:
    problem = assert_problem(
        await web.client.post("/api/jobs?language=Chinese", content=SLOW, headers=AUDIO), 422, "invalid_request"
    )
    assert problem["params"] == {"field": "language", "nearest": "zh"}
    assert "zh (Chinese)" in problem["hint"]


@pytest.mark.parametrize(
    ("query", "headers", "body", "status", "code"),
    [
        ("", {"content-type": "application/json"}, b"{}", 422, "invalid_request"),
        ("", {"content-type": "text/plain"}, b"hello", 415, "unsupported_media_type"),
        ("", {"content-type": "application/x-www-form-urlencoded"}, b"a=b", 415, "unsupported_media_type"),
        ("", {"content-type": "multipart/form-data"}, b"", 422, "invalid_request"),
        ("", AUDIO | {"content-encoding": "gzip"}, b"x", 415, "unsupported_media_type"),
        ("", AUDIO, b"", 422, "empty_file"),
        ("", AUDIO, b"x" * 3_000_001, 413, "too_large"),
        ("?preset=best", AUDIO, b"x", 422, "invalid_request"),
        ("?lang=en", AUDIO, b"x", 422, "invalid_request"),
    ],
)
async def test_a_raw_body_that_is_not_right_says_why_and_leaves_nothing(
    web: Running, query: str, headers: dict[str, str], body: bytes, status: int, code: str
) -> None:
    assert_problem(await web.client.post(f"/api/jobs{query}", content=body, headers=headers), status, code)
    assert media(web) == []


async def test_too_large_without_a_stated_length_is_noticed_on_the_way(web: Running) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 100_000

    assert_problem(await web.client.post("/api/jobs", content=endless(), headers=AUDIO), 413, "too_large")
    assert media(web) == []


async def test_a_disk_without_room_refuses_before_anything_is_sent(tmp_path: Path) -> None:
    async with running(tmp_path, storage={"min_free_bytes": 1 << 60}) as web:
        assert_problem(await web.client.post("/api/jobs", content=SLOW, headers=AUDIO), 507, "disk_full")
        assert media(web) == []


@pytest.mark.parametrize("length", ["content-length: 3000000", "transfer-encoding: chunked"])
@pytest.mark.parametrize("kind", ["audio/wav", "multipart/form-data; boundary=xx"])
async def test_a_client_that_goes_away_leaves_nothing(web: Running, length: str, kind: str) -> None:
    host = web.url.removeprefix("http://")
    head = f"POST /api/jobs HTTP/1.1\r\nhost: {host}\r\ncontent-type: {kind}\r\n{length}\r\n\r\n".encode()
    data = form(("file", "a.wav", b"x" * 1_500_000), end=b"")
    if "chunked" in length:
        data = f"{len(data):x}\r\n".encode() + data + b"\r\n"
    name, _, port = host.partition(":")
    async with await anyio.connect_tcp(name, int(port)) as stream:
        await stream.send(head + data)
        await until(lambda: any(path.stat().st_size for path in web.service.uploads.root.iterdir()))
    await until(lambda: not media(web))
    assert (await web.client.get("/api/jobs")).json()["jobs"] == []


async def until(true: Any) -> None:
    """Wait for a state that no event announces."""
    with anyio.fail_after(20):
        while not true():  # noqa: ASYNC110 - see above
            await anyio.sleep(0.01)


async def test_a_client_that_waits_for_permission_is_refused_without_sending(web: Running) -> None:
    host, _, port = web.url.removeprefix("http://").partition(":")
    head = (
        f"POST /api/jobs?language=xx HTTP/1.1\r\nhost: {host}\r\nexpect: 100-continue\r\ncontent-length: 999999\r\n\r\n"
    )
    async with await anyio.connect_tcp(host, int(port)) as stream:
        await stream.send(head.encode())
        with anyio.fail_after(5):
            assert (await stream.receive()).startswith(b"HTTP/1.1 422 ")


# -- jobs -------------------------------------------------------------------------------------------------------------


async def test_a_recording_becomes_a_transcript_and_files(web: Running) -> None:
    job = await posted(web, QUICK, 'Über "uns"; 会议.mp4')
    await collect(web.client, f"/api/jobs/{job['id']}/events")
    shown = (await web.client.get(f"/api/jobs/{job['id']}")).json()
    assert (shown["status"], shown["progress"], shown["chunks_done"]) == ("completed", 1.0, 2)
    said = (await web.client.get(f"/api/jobs/{job['id']}/transcript")).json()
    assert [segment["text"].strip() for segment in said["segments"]] == [text_of(0), text_of(1)]
    for format, kind in {
        "json": "application/json",
        "txt": "text/plain; charset=utf-8",
        "srt": "application/x-subrip; charset=utf-8",
        "vtt": "text/vtt; charset=utf-8",
        "tsv": "text/tab-separated-values; charset=utf-8",
    }.items():
        answer = await web.client.get(f"/api/jobs/{job['id']}/export", params={"format": format})
        assert answer.status_code == 200
        assert answer.headers["content-type"] == kind
        assert answer.headers["x-content-type-options"] == "nosniff"
        disposition = answer.headers["content-disposition"]
        assert f'filename="_ber _uns__ __.{format}"' in disposition
        assert f"filename*=UTF-8''%C3%9Cber%20_uns_%3B%20%E4%BC%9A%E8%AE%AE.{format}" in disposition
        if format == "json":
            written = json.loads(answer.text)  # without what is only needed to edit
            fields = written["segments"][0].keys()
            lines = [{field: line[field] for field in fields} for line in said["segments"]]
            assert written == {field: said[field] for field in written} | {"segments": lines}
            assert said.keys() - written.keys() == {"edits", "deleted", "marks", "speakers", "alignment"}
        if format == "srt":
            assert [cue.content for cue in srt.parse(answer.text)] == [text_of(0), text_of(1)]


async def test_an_export_looks_as_it_is_asked_to(web: Running) -> None:
    job = await posted(web, script(chunks=1, segments=2, says="One word"), "clip.mp4")
    await collect(web.client, f"/api/jobs/{job['id']}/events")
    path = f"/api/jobs/{job['id']}/export"
    plain = await web.client.get(path, params={"format": "srt"})
    marked = await web.client.get(path, params={"format": "srt", "bom": "true", "max_s": "2.5"})
    assert marked.content.startswith(b"\xef\xbb\xbf")
    assert not plain.content.startswith(b"\xef\xbb\xbf")
    lengths = [(cue.end - cue.start).total_seconds() for cue in srt.parse(marked.content.decode("utf-8-sig"))]
    assert max(lengths) <= 2.5
    problem = assert_problem(
        await web.client.get(path, params={"format": "srt", "line_columns": "3"}), 422, "invalid_request"
    )
    assert problem["params"]["field"] == "line_columns"
    problem = assert_problem(await web.client.get(path, params={"colour": "red"}), 422, "invalid_request")
    assert problem["params"]["field"] == "colour"


async def test_the_list_is_newest_first_in_pages(web: Running) -> None:
    made = [(await posted(web, SLOW, f"talk {n}.wav"))["id"] for n in range(5)]
    await web.client.post(f"/api/jobs/{made[0]}/cancel")
    found, before = [], None
    while True:
        parameters = {"limit": 2} | ({"before": before} if before else {})
        page = (await web.client.get("/api/jobs", params=parameters)).json()
        found.append([job["id"] for job in page["jobs"]])
        if (before := page["next"]) is None:
            break
    assert found == [made[4:2:-1], made[2:0:-1], made[:1]]
    cancelled = (await web.client.get("/api/jobs", params={"status": "cancelled"})).json()["jobs"]
    assert [job["id"] for job in cancelled] == made[:1]
    both = (await web.client.get("/api/jobs", params={"status": ["cancelled", "pending", "processing"]})).json()["jobs"]
    assert len(both) == 5
    named = (await web.client.get("/api/jobs", params={"q": "talk 3"})).json()["jobs"]
    assert [job["id"] for job in named] == [made[3]]


async def test_what_was_said_is_found_with_its_place(web: Running) -> None:
    job = await posted(web, script(chunks=2, says="断点写在数据库里"), "会议.wav")
    await posted(web, QUICK)
    await collect(web.client, f"/api/jobs/{job['id']}/events")
    for q in ("数据库", "据库", "断"):
        page = (await web.client.get("/api/jobs", params={"q": q})).json()
        assert [found["id"] for found in page["jobs"]] == [job["id"]]
        assert page["found"][job["id"]]["name"] == ["会议.wav"]
        first, second = page["found"][job["id"]]["excerpts"]
        assert "".join(first["parts"]) == "断点写在数据库里 0."
        assert first["parts"][1] == q
        assert (second["chunk"], second["index"], second["start"], second["end"]) == (1, 0, 11.0, 21.0)
        assert (page["counts"]["completed"], page["complete"], page["next"]) == (1, True, None)
    nothing = (await web.client.get("/api/jobs", params={"q": "没有"})).json()
    assert (nothing["jobs"], sum(nothing["counts"].values())) == ([], 0)
    assert (await web.client.get("/api/jobs", params={"q": "x" * 301})).status_code == 422


async def test_jobs_that_wait_change_places(web: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "MAX_TOGETHER", 1)
    busy = await posted(web, script(chunks=100, delay=0.2))
    await until_job(web.service, busy["id"], lambda job: job.status is Status.PROCESSING)
    a, b, c = [(await posted(web, name=f"{name}.wav"))["id"] for name in "abc"]
    for job_id, verb, order in [
        (c, "sooner", [a, c, b]),
        (a, "later", [c, a, b]),
        (c, "sooner", [c, a, b]),
        (b, "later", [c, a, b]),
    ]:
        answer = await web.client.post(f"/api/jobs/{job_id}/{verb}")
        assert (answer.status_code, answer.json()["id"]) == (200, job_id)
        assert [job.id for job in await web.service.parts.store.queue(10)] == order
    problem = assert_problem(await web.client.post(f"/api/jobs/{busy['id']}/sooner"), 409, "illegal_transition")
    assert problem["params"]["status"] == "processing"
    assert_problem(await web.client.post("/api/jobs/nope/later"), 404, "not_found")
    await web.service.jobs.change(busy["id"], Cause.CANCEL)
    await until_job(web.service, c, lambda job: job.status is Status.PROCESSING)  # the list shows the stored order
    assert [job.id for job in await web.service.parts.store.queue(10)] == [a, b]


async def test_steering(web: Running) -> None:
    job = await posted(web)
    for verb, status in [
        ("pause", "paused"),
        ("resume", "pending"),
        ("front", None),
        ("cancel", "cancelled"),
        ("retry", "pending"),
    ]:
        answer = await web.client.post(f"/api/jobs/{job['id']}/{verb}")
        assert answer.status_code == 200, answer.text
        assert answer.json()["id"] == job["id"]
        assert status is None or answer.json()["status"] == status
    await web.client.post(f"/api/jobs/{job['id']}/cancel")
    problem = assert_problem(await web.client.post(f"/api/jobs/{job['id']}/pause"), 409, "illegal_transition")
    assert problem["params"]["status"] == "cancelled"
    assert problem["params"]["allowed"] == ["retry"]
    gone = await web.client.delete(f"/api/jobs/{job['id']}")
    assert (gone.status_code, gone.content) == (204, b"")
    assert_problem(await web.client.get(f"/api/jobs/{job['id']}"), 404, "not_found")
    assert media(web) == []


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/jobs/nope", 404, "not_found"),
        ("DELETE", "/api/jobs/nope", 404, "not_found"),
        ("POST", "/api/jobs/nope/pause", 404, "not_found"),
        ("GET", "/api/jobs/nope/transcript", 404, "not_found"),
        ("GET", "/api/jobs/nope/export", 404, "not_found"),
        ("GET", "/api/jobs/nope/events", 404, "not_found"),
        ("GET", "/api/stream/nope", 404, "not_found"),
        ("GET", "/api/jobs/nope/export?format=pdf", 422, "invalid_request"),
        ("GET", "/api/nope", 404, "not_found"),
        ("GET", "/schema/nope", 404, "not_found"),
        ("GET", "/static/nope.js", 404, "not_found"),
        ("GET", "/static/..%2f..%2fconfig.toml", 404, "not_found"),
        ("GET", "/%00", 404, "not_found"),
        ("PUT", "/api/jobs", 405, "method_not_allowed"),
        ("POST", "/api/events", 405, "method_not_allowed"),
        ("POST", "/api/jobs/nope/explode", 404, "not_found"),
        ("GET", "/api/jobs?limit=0", 422, "invalid_request"),
        ("GET", "/api/jobs?limit=x", 422, "invalid_request"),
        ("GET", "/api/jobs?status=sleeping", 422, "invalid_request"),
    ],
)
async def test_errors_are_problems(web: Running, method: str, path: str, status: int, code: str) -> None:
    assert_problem(await web.client.request(method, path), status, code)


async def test_a_defect_tells_nothing_to_the_client_and_all_to_the_log(
    web: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(job_id: str) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(web.service.parts.store, "job", broken)
    answer = await web.client.get("/api/jobs/x")
    assert_problem(answer, 500, "internal")
    assert "secret" not in answer.text
    assert "secret" in caplog.text


async def test_a_retry_may_be_with_another_model(web: Running) -> None:
    sent = await web.client.post(
        "/api/jobs", params={"filename": "a.wav", "model": "no-such-model"}, content=script(chunks=1), headers=AUDIO
    )
    job_id = sent.json()["id"]
    failed = (await collect(web.client, f"/api/jobs/{job_id}/events"))[-2].data
    assert (failed["status"], failed["options"]["model"]) == ("failed", "no-such-model")
    for body, *wrong in (
        (b'{"model": ""}', 422, "invalid_request"),
        (b'{"modell": "x"}', 422, "invalid_request"),
        (b"[", 400, "bad_request"),
    ):
        answer = await web.client.post(
            f"/api/jobs/{job_id}/retry", content=body, headers={"content-type": "application/json"}
        )
        assert [answer.status_code, answer.json()["code"]] == wrong
    again = await web.client.post(f"/api/jobs/{job_id}/retry", json={"model": "auto"})
    assert (again.status_code, again.json()["options"]["model"]) == (200, "auto")
    done = (await collect(web.client, f"/api/jobs/{job_id}/events"))[-2].data
    assert (done["status"], done["error"]) == ("completed", None)
    refused = await web.client.post(f"/api/jobs/{job_id}/retry", json={"model": "other"})
    assert (refused.status_code, refused.json()["code"]) == (409, "illegal_transition")
    assert (await web.client.get(f"/api/jobs/{job_id}")).json()["options"]["model"] == "auto"


# -- again ------------------------------------------------------------------------------------------------------------


async def again(web: Running, job_id: str, **options: Any) -> httpx.Response:
    return await web.client.post("/api/jobs", json={"job": job_id, **options})


async def test_a_recording_is_transcribed_again_without_an_upload(web: Running) -> None:
    first = await posted(web, QUICK, "会议.wav")
    done = await until_job(web.service, first["id"], lambda job: job.status is Status.COMPLETED)
    answer = await again(web, first["id"], language="de", preset="accurate", model="whisper-1")
    assert answer.status_code == 202, answer.text
    second = answer.json()
    assert answer.headers["location"] == f"/api/jobs/{second['id']}"
    assert second["id"] != first["id"]
    assert [second[name] for name in ("name", "bytes", "sha256")] == [
        first[name] for name in ("name", "bytes", "sha256")
    ]
    assert [second["options"][name] for name in ("language", "preset", "model")] == ["de", "accurate", "auto"]
    assert media(web) == sorted([first["id"], second["id"]])
    assert (web.service.uploads.root / second["id"]).read_bytes() == QUICK
    await until_job(web.service, second["id"], lambda job: job.status is Status.COMPLETED)
    assert await web.service.jobs.get(first["id"]) == done
    await web.service.jobs.delete(first["id"], for_good=True)
    assert (await web.client.get(f"/api/jobs/{second['id']}/media")).content == QUICK


async def test_a_disk_without_links_gets_a_copy(web: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    first = await posted(web, QUICK)
    second = (await again(web, first["id"])).json()
    assert (web.service.uploads.root / second["id"]).read_bytes() == QUICK
    assert media(web) == sorted([first["id"], second["id"]])


async def test_what_is_not_there_is_not_transcribed_again(web: Running) -> None:
    assert_problem(await again(web, "nope"), 404, "not_found")
    first = await posted(web, QUICK)
    await until_job(web.service, first["id"], lambda job: job.status is Status.COMPLETED)
    assert_problem(await again(web, first["id"], language="klingon"), 422, "invalid_request")
    assert_problem(await again(web, first["id"], upload="u"), 422, "invalid_request")
    assert_problem(await again(web, first["id"], webhook="ftp://x"), 422, "invalid_request")
    assert media(web) == [first["id"]]
    (web.service.uploads.root / first["id"]).unlink()
    assert_problem(await again(web, first["id"]), 409, "media_removed")
    assert media(web) == []


async def test_names_of_openai_mean_the_configured_model(web: Running) -> None:
    for name, stored in [
        ("whisper-1", "auto"),
        ("gpt-4o-transcribe", "auto"),
        ("acme/whisper-base", "acme/whisper-base"),
    ]:
        answer = await web.client.post("/api/jobs", params={"model": name}, content=SLOW, headers=AUDIO)
        assert answer.json()["options"]["model"] == stored


async def test_codes_of_three_letters_and_tags_are_languages(web: Running) -> None:
    for written, code in [("deu", "de"), ("chi", "zh"), ("pt-BR", "pt"), ("en_US", "en")]:
        answer = await web.client.post("/api/jobs", params={"language": written}, content=SLOW, headers=AUDIO)
        assert answer.json()["options"]["language"] == code, answer.text


async def test_a_name_in_the_query_may_have_any_encoding(web: Running) -> None:
    for query, name in [
        ("r%E9union+1.wav", "réunion 1.wav"),
        ("%BB%E1%D2%E9.wav", "会议.wav"),
        ("%C3%A9.wav", "é.wav"),
    ]:
        answer = await web.client.post(f"/api/jobs?filename={query}", content=SLOW, headers=AUDIO)
        assert answer.json()["name"] == name
