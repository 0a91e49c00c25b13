"""Uploads in pieces over HTTP: the protocol, another program's client, cuts, restarts, and their jobs."""

from __future__ import annotations

import base64
import hashlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from anyio import to_thread
from tusclient.client import TusClient  # type: ignore[import-untyped]

from testkit.scripted_actors import script
from testkit.service import Running, running
from whisper_service.core.errors import TooLarge, UploadBroken

pytestmark = pytest.mark.anyio

TUS = {"tus-resumable": "1.0.0"}
PIECE = {**TUS, "content-type": "application/offset+octet-stream"}
DATA = script(chunks=2) + b" " * 3_000_000


@pytest.fixture
async def web(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path, server={"max_upload_bytes": 4_000_000}) as up:
        yield up


def named(name: str) -> dict[str, str]:
    return {"upload-metadata": f"filename {base64.b64encode(name.encode()).decode()},filetype YXVkaW8vd2F2"}


async def begun(web: Running, length: int = len(DATA), **headers: str) -> str:
    answer = await web.client.post(
        "/api/uploads", headers={**TUS, "upload-length": str(length), **named("会议.wav"), **headers}
    )
    assert answer.status_code == 201, answer.text
    assert answer.headers["upload-offset"] == "0"
    assert "GMT" in answer.headers["upload-expires"]
    return str(answer.headers["location"])


async def piece(web: Running, path: str, offset: int, data: bytes, **headers: str) -> httpx.Response:
    return await web.client.patch(path, content=data, headers={**PIECE, "upload-offset": str(offset), **headers})


async def offset(web: Running, path: str) -> int:
    answer = await web.client.head(path, headers=TUS)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    return int(answer.headers["upload-offset"])


def assert_refused(answer: httpx.Response, status: int, code: str) -> None:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.json()["hint"]
    assert answer.headers["tus-resumable"] == "1.0.0"


async def test_in_pieces_to_a_job(web: Running) -> None:
    path = await begun(web)
    cut = 1_500_000
    first = await piece(web, path, 0, DATA[:cut])
    assert (first.status_code, first.headers["upload-offset"]) == (204, str(cut))
    assert "upload-expires" in first.headers
    early = await web.client.post("/api/jobs", json={"upload": path.split("/")[-1]})
    assert (early.status_code, early.json()["code"], early.json()["params"]["offset"]) == (
        409,
        "upload_incomplete",
        cut,
    )
    assert (await piece(web, path, cut, DATA[cut:])).status_code == 204
    asked = {"upload": path.split("/")[-1], "language": "zh", "word_timestamps": False, "prompt": None}
    made = await web.client.post("/api/jobs", json=asked)
    assert made.status_code == 202, made.text
    job = made.json()
    assert (job["name"], job["bytes"], job["sha256"]) == ("会议.wav", len(DATA), hashlib.sha256(DATA).hexdigest())
    assert (job["options"]["language"], job["options"]["word_timestamps"]) == ("zh", False)
    assert (web.service.uploads.root / job["id"]).read_bytes() == DATA
    again = await web.client.post("/api/jobs", json=asked)
    assert (again.status_code, again.json()["id"]) == (202, job["id"]), "asked twice, because the first answer was lost"
    assert list(web.service.resumable.root.iterdir()) == []
    assert (await web.client.head(path, headers=TUS)).status_code == 404


async def test_a_client_that_others_wrote(web: Running, tmp_path: Path) -> None:
    file = tmp_path / "talk.wav"
    file.write_bytes(DATA)
    client = TusClient(f"{web.url}/api/uploads")

    def send(chunk: int, stop_at: int | None, url: str | None = None) -> str:
        with file.open("rb") as stream:
            metadata = {"filename": "talk.wav"}
            uploader = client.uploader(
                file_stream=stream, chunk_size=chunk, url=url, metadata=metadata, upload_checksum=True
            )
            uploader.upload(stop_at=stop_at)
            return str(uploader.url)

    url = await to_thread.run_sync(send, 500_000, 1_000_000)
    assert await to_thread.run_sync(send, 700_000, None, url) == url
    made = await web.client.post("/api/jobs", json={"upload": url.split("/")[-1]})
    assert made.json()["sha256"] == hashlib.sha256(DATA).hexdigest()
    assert made.json()["name"] == "talk.wav"


async def test_what_the_server_can_do(web: Running) -> None:
    for path in ("/api/uploads", "/api/uploads/x"):
        said = await web.client.options(path)
        assert (said.status_code, said.headers["tus-version"], said.headers["tus-max-size"]) == (
            204,
            "1.0.0",
            "4000000",
        )
        assert set(said.headers["tus-extension"].split(",")) == {
            "creation",
            "creation-with-upload",
            "creation-defer-length",
            "checksum",
            "expiration",
            "termination",
        }
        assert "sha1" in said.headers["tus-checksum-algorithm"].split(",")


async def test_creation_with_the_first_piece(web: Running) -> None:
    headers = {**PIECE, "upload-length": str(len(DATA))}
    answer = await web.client.post("/api/uploads", content=DATA[:100], headers=headers)
    assert (answer.status_code, answer.headers["upload-offset"]) == (201, "100")
    assert await offset(web, answer.headers["location"]) == 100


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"upload-length": "5"}, 412, "upload_protocol"),
        ({"tus-resumable": "0.2.2", "upload-length": "5"}, 412, "upload_protocol"),
        ({**TUS}, 400, "invalid_request"),
        ({**TUS, "upload-length": "-5"}, 400, "invalid_request"),
        ({**TUS, "upload-length": "0"}, 400, "empty_file"),
        ({**TUS, "upload-defer-length": "2"}, 400, "invalid_request"),
        ({**TUS, "upload-defer-length": ""}, 400, "invalid_request"),
        ({**TUS, "upload-defer-length": "1", "upload-length": "5"}, 400, "invalid_request"),
        ({**TUS, "upload-length": "4000001"}, 413, "too_large"),
        ({**TUS, "upload-length": "9" * 100}, 413, "too_large"),
        ({**TUS, "upload-length": "5", "upload-metadata": "filename ???"}, 400, "invalid_request"),
        ({**TUS, "upload-length": "5", "upload-metadata": "x " + "A" * 9_000}, 400, "invalid_request"),
    ],
)
async def test_what_cannot_begin(web: Running, headers: dict[str, str], status: int, code: str) -> None:
    assert_refused(await web.client.post("/api/uploads", headers=headers), status, code)
    assert list(web.service.resumable.root.iterdir()) == []


async def test_what_does_not_fit_is_refused_and_costs_nothing(web: Running) -> None:
    path = await begun(web, 10)
    assert_refused(await piece(web, path, 3, b"x"), 409, "upload_offset")
    assert_refused(await piece(web, path, 0, b"x" * 11), 413, "too_large")
    assert_refused(await piece(web, path, 0, b"x", **{"content-type": "text/plain"}), 415, "unsupported_media_type")
    assert_refused(await piece(web, path, 0, b"x", **{"upload-checksum": "crc32 AAAA"}), 400, "invalid_request")
    assert_refused(await piece(web, path, 0, b"x", **{"tus-resumable": "2"}), 412, "upload_protocol")
    assert_refused(await web.client.patch(path, content=b"x", headers=PIECE), 400, "invalid_request")
    wrong = base64.b64encode(hashlib.sha1(b"y").digest()).decode()
    assert_refused(await piece(web, path, 0, b"x", **{"upload-checksum": f"sha1 {wrong}"}), 460, "checksum_mismatch")
    assert await offset(web, path) == 0
    right = base64.b64encode(hashlib.sha256(b"0123456789").digest()).decode()
    assert (await piece(web, path, 0, b"0123456789", **{"upload-checksum": f"sha256 {right}"})).status_code == 204


async def test_methods_by_header_termination_and_unknown_uploads(web: Running) -> None:
    path = await begun(web, 10)
    headers = {**PIECE, "upload-offset": "0", "x-http-method-override": "PATCH"}
    assert (await web.client.post(path, content=b"01234", headers=headers)).headers["upload-offset"] == "5"
    assert (await web.client.delete(path, headers=TUS)).status_code == 204
    assert (await web.client.head("/api/uploads/..%2f..%2fwhisper_service.db", headers=TUS)).status_code == 404
    for gone in (path, "/api/uploads/whisper_service.db", "/api/uploads/" + "0" * 26):
        assert (await web.client.head(gone, headers=TUS)).status_code == 404
        assert_refused(await piece(web, gone, 0, b"x"), 404, "not_found")
        assert_refused(await web.client.delete(gone, headers=TUS), 404, "not_found")
    assert (await web.client.post("/api/jobs", json={"upload": path.split("/")[-1]})).json()["code"] == "not_found"
    for body in (b"{", b"[]", b'{"upload": 5}', b"{}", b'{"upload": "x", "nope": 1}'):
        answer = await web.client.post("/api/jobs", content=body, headers={"content-type": "application/json"})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


async def cut(web: Running, path: str, at: int, data: bytes, length: int) -> None:
    """Disconnect in the middle of a piece."""
    host, _, port = web.url.removeprefix("http://").partition(":")
    head = f"PATCH {path} HTTP/1.1\r\nhost: {host}:{port}\r\ncontent-length: {length}\r\nupload-offset: {at}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in PIECE.items())
    async with await anyio.connect_tcp(host, int(port)) as stream:
        await stream.send(f"{head}\r\n".encode() + data)
        await anyio.sleep(0.2)


async def test_what_came_before_a_cut_is_kept_over_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        path = await begun(web)
        await cut(web, path, 0, DATA[:1_300_000], len(DATA))
        with anyio.fail_after(10):
            while (at := await offset(web, path)) != 1_300_000:  # noqa: ASYNC110 - no event tells it
                await anyio.sleep(0.05)
    async with running(tmp_path) as web:
        assert await offset(web, path) == at
        assert (await piece(web, path, at, DATA[at:])).status_code == 204
        made = await web.client.post("/api/jobs", json={"upload": path.split("/")[-1]})
        assert made.json()["sha256"] == hashlib.sha256(DATA).hexdigest()
        assert (web.service.uploads.root / made.json()["id"]).read_bytes() == DATA


async def deferred(web: Running, data: bytes = b"") -> str:
    """Begin an upload whose length is not known, with `data` as its first piece."""
    headers = {**TUS, "upload-defer-length": "1", **named("live.wav")} | (PIECE if data else {})
    answer = await web.client.post("/api/uploads", headers=headers, content=data)
    assert (answer.status_code, answer.headers["upload-offset"]) == (201, str(len(data))), answer.text
    assert "upload-expires" in answer.headers
    return str(answer.headers["location"])


async def length(web: Running, path: str) -> tuple[str | None, str | None]:
    """Return what is said of the length: that it is known later, and the length."""
    answer = await web.client.head(path, headers=TUS)
    return answer.headers.get("upload-defer-length"), answer.headers.get("upload-length")


async def test_an_upload_whose_length_is_known_at_its_end_outlives_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        path = await deferred(web, DATA[:100])
        assert await length(web, path) == ("1", None)
        await cut(web, path, 100, DATA[100:1_300_000], len(DATA))
        with anyio.fail_after(20):
            while (at := await offset(web, path)) != 1_300_000:  # noqa: ASYNC110 - no event tells it
                await anyio.sleep(0.05)
    upload = path.split("/")[-1]
    async with running(tmp_path) as web:
        assert (await offset(web, path), await length(web, path)) == (at, ("1", None))
        early = await web.client.post("/api/jobs", json={"upload": upload})
        assert (early.status_code, early.json()["code"]) == (409, "upload_incomplete")
        assert early.json()["params"] == {"offset": at, "length": None}
        stated = await piece(web, path, at, DATA[at:-10], **{"upload-length": str(len(DATA))})
        assert (stated.status_code, stated.headers["upload-offset"]) == (204, str(len(DATA) - 10))
    async with running(tmp_path) as web:
        assert await length(web, path) == (None, str(len(DATA)))
        last = await piece(web, path, len(DATA) - 10, DATA[-10:])
        assert "upload-expires" not in last.headers
        made = (await web.client.post("/api/jobs", json={"upload": upload})).json()
        assert (made["name"], made["bytes"], made["sha256"]) == (
            "live.wav",
            len(DATA),
            hashlib.sha256(DATA).hexdigest(),
        )
        assert (web.service.uploads.root / made["id"]).read_bytes() == DATA


async def test_a_last_piece_without_bytes_may_state_the_length(web: Running) -> None:
    path = await deferred(web)
    assert (await piece(web, path, 0, DATA)).status_code == 204
    assert (await piece(web, path, len(DATA), b"", **{"upload-length": str(len(DATA))})).status_code == 204
    assert (await piece(web, path, len(DATA), b"", **{"upload-length": str(len(DATA))})).status_code == 204, "again"
    made = await web.client.post("/api/jobs", json={"upload": path.split("/")[-1]})
    assert made.json()["sha256"] == hashlib.sha256(DATA).hexdigest()


async def test_a_length_is_stated_once_and_is_true(web: Running) -> None:
    path = await deferred(web, b"01234")
    for stated, status, code in (
        ("4", 400, "invalid_request"),  # less than what has come
        ("x", 400, "invalid_request"),
        ("4000001", 413, "too_large"),
    ):
        assert_refused(await piece(web, path, 5, b"5", **{"upload-length": stated}), status, code)
        assert (await offset(web, path), await length(web, path)) == (5, ("1", None))
    assert_refused(await piece(web, path, 9, b"5", **{"upload-length": "10"}), 409, "upload_offset")
    assert await length(web, path) == ("1", None), "a piece at another place says nothing"
    assert (await piece(web, path, 5, b"5", **{"upload-length": "10"})).status_code == 204
    assert_refused(await piece(web, path, 6, b"6", **{"upload-length": "11"}), 400, "invalid_request")
    assert_refused(await piece(web, path, 6, b"67890"), 413, "too_large")
    assert (await offset(web, path), await length(web, path)) == (6, (None, "10"))
    empty = await deferred(web)
    assert_refused(await piece(web, empty, 0, b"", **{"upload-length": "0"}), 400, "empty_file")


async def test_an_upload_without_a_length_has_the_limits_of_all(web: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    path, limit = await deferred(web), 4_000_000
    assert (await piece(web, path, 0, bytes(limit - 10))).status_code == 204
    assert_refused(await piece(web, path, limit - 10, bytes(11)), 413, "too_large")

    async def unstated() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield bytes(1)

    with pytest.raises(TooLarge):
        await web.service.resumable.append(path.split("/")[-1], limit - 10, unstated())
    assert await offset(web, path) == limit
    path = await deferred(web, b"01234")
    monkeypatch.setattr(web.service.uploads, "limits", web.service.uploads.limits._replace(min_free=1 << 60))
    assert_refused(await piece(web, path, 5, b"x"), 507, "disk_full")
    begins = await web.client.post("/api/uploads", headers={**TUS, "upload-defer-length": "1"})
    assert_refused(begins, 507, "disk_full")
    monkeypatch.undo()
    assert await offset(web, path) == 5


async def test_one_connection_at_a_time_and_a_question_takes_over(web: Running) -> None:
    path = await begun(web)
    sent, stalled = DATA[:400_000], anyio.Event()
    answers: list[httpx.Response] = []

    async def body() -> AsyncIterator[bytes]:
        yield sent
        stalled.set()
        await anyio.sleep(60)

    async def stall() -> None:
        headers = {**PIECE, "upload-offset": "0"}
        answers.append(await web.client.patch(path, content=body(), headers=headers))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stall)
        await stalled.wait()
        while path.split("/")[-1] not in web.service.resumable._sending:  # noqa: ASYNC110 - no event tells it
            await anyio.sleep(0.01)
        assert_refused(await piece(web, path, 0, DATA), 423, "upload_locked")
        await anyio.sleep(0.2)
        assert await offset(web, path) == len(sent)
        assert (await piece(web, path, len(sent), DATA[len(sent) :])).status_code == 204
        tasks.cancel_scope.cancel()
    assert await offset(web, path) == len(DATA)


async def test_what_nobody_comes_back_for_goes(tmp_path: Path) -> None:
    async with running(tmp_path, storage={"keep_uploads_s": 1_000.0}) as web:
        path, kept = await begun(web, 10), await begun(web, 10)
        assert (await piece(web, path, 0, b"01234")).status_code == 204
        for file in web.service.uploads.root.glob(f"{path.split('/')[-1]}.*"):
            os.utime(file, (time.time() - 2_000,) * 2)
        facts = web.service.resumable.root / f"{path.split('/')[-1]}.json"
        facts.write_bytes(facts.read_bytes().replace(b'"created_at":1', b'"created_at":0.1'))
        os.utime(facts, (time.time() - 2_000,) * 2)
        assert (await web.client.head(path, headers=TUS)).status_code == 404
        await begun(web, 10)  # wakes the task that deletes old uploads
        with anyio.fail_after(10):
            while list(web.service.uploads.root.glob(f"{path.split('/')[-1]}.*")):  # noqa: ASYNC110 - no event tells it
                await anyio.sleep(0.02)
        assert await offset(web, kept) == 0


async def test_a_full_disk_is_told_and_what_came_stays(web: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    path = await begun(web)
    assert (await piece(web, path, 0, DATA[:1_000])).status_code == 204
    monkeypatch.setattr(web.service.uploads, "limits", web.service.uploads.limits._replace(min_free=1 << 60))
    assert_refused(await piece(web, path, 1_000, DATA[1_000:]), 507, "disk_full")
    assert_refused(await web.client.post("/api/uploads", headers={**TUS, "upload-length": "5"}), 507, "disk_full")
    monkeypatch.undo()
    assert await offset(web, path) == 1_000


async def test_a_source_that_breaks_keeps_what_came_and_a_job_that_fails_leaves_the_upload(web: Running) -> None:
    path = await begun(web)
    upload = path.split("/")[-1]

    async def broken() -> AsyncIterator[bytes]:
        yield DATA[:10]
        raise UploadBroken()

    with pytest.raises(UploadBroken):
        await web.service.resumable.append(upload, 0, broken())
    assert (await piece(web, path, 10, DATA[10:])).status_code == 204
    refused: dict[str, Any] = {"upload": upload, "webhook": "ftp://nowhere"}
    assert (await web.client.post("/api/jobs", json=refused)).status_code == 422
    assert not (web.service.uploads.root / upload).exists()
    assert (await web.client.post("/api/jobs", json={"upload": upload})).json()["sha256"] == hashlib.sha256(
        DATA
    ).hexdigest()
