"""gzip on a real port: what is compressed, its tags, and what passes as it is."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from testkit.event_stream import collect
from testkit.scripted_actors import script
from testkit.service import Running
from whisper_service.web import page
from whisper_service.web.http.compression import KEPT, LEAST, Compression, accepts_gzip

pytestmark = pytest.mark.anyio

GZIP = {"accept-encoding": "gzip, deflate, br"}
PLAIN = {"accept-encoding": "identity"}


async def raw(web: Running, path: str, headers: dict[str, str], method: str = "GET") -> tuple[httpx.Response, bytes]:
    """Return an answer and the bytes of its body as they were sent."""
    async with web.client.stream(method, path, headers=headers) as response:
        return response, b"".join([block async for block in response.aiter_raw()])


@pytest.fixture
async def job_id(web: Running) -> str:
    made = await web.client.post("/api/jobs", params={"filename": "a.wav"}, content=script(chunks=120))
    await collect(web.client, f"/api/jobs/{made.json()['id']}/events")
    return str(made.json()["id"])


@pytest.fixture
def script_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Put a script among the built files of the page."""
    content = b"export const a = 1\n" * 400
    assets = tmp_path / "static" / "dist" / "assets"
    assets.mkdir(parents=True)
    (assets / "a-1.js").write_bytes(content)
    monkeypatch.setattr(page, "resource", lambda name: tmp_path / name)
    return content


async def test_json_and_text_are_compressed(web: Running, job_id: str) -> None:
    for path in (f"/api/jobs/{job_id}/transcript", f"/api/jobs/{job_id}/export?format=vtt", "/schema/openapi.json"):
        plain, whole = await raw(web, path, PLAIN)
        packed, body = await raw(web, path, GZIP)
        assert "content-encoding" not in plain.headers, path
        assert packed.headers["content-encoding"] == "gzip", path
        assert packed.headers["content-length"] == str(len(body)), path
        assert plain.headers["vary"] == packed.headers["vary"] == "Accept-Encoding", path
        assert packed.headers["content-type"] == plain.headers["content-type"]
        assert 3 * len(body) < len(whole), path
        assert gzip.decompress(body) == whole, path


async def test_small_answers_recordings_archives_and_streams_pass_as_they_are(web: Running, job_id: str) -> None:
    small, body = await raw(web, "/api/health/live", GZIP)
    assert "content-encoding" not in small.headers
    assert len(body) < LEAST
    for path in (f"/api/jobs/{job_id}/media", f"/api/jobs/{job_id}/events", "/api/diagnostics"):
        answer, _ = await raw(web, path, GZIP)
        assert "content-encoding" not in answer.headers, path
        assert "vary" not in answer.headers, path


async def test_a_file_of_the_page_is_compressed_once_and_has_a_tag_for_each_form(
    web: Running, script_file: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "/static/dist/assets/a-1.js"
    plain, whole = await raw(web, path, PLAIN)
    packed, body = await raw(web, path, GZIP)
    assert whole == gzip.decompress(body) == script_file
    tag = plain.headers["etag"]
    assert packed.headers["etag"] == f'{tag[:-1]}-gzip"'
    assert packed.headers["content-encoding"] == "gzip"
    assert "accept-ranges" not in packed.headers

    def refuse(*_: object, **__: object) -> bytes:
        raise AssertionError

    monkeypatch.setattr(gzip, "compress", refuse)
    again, same = await raw(web, path, GZIP)
    assert (same, again.headers["content-length"]) == (body, str(len(body)))

    for headers, known, status in [
        (GZIP, packed.headers["etag"], 304),
        (GZIP, f'"x", {packed.headers["etag"]}', 304),
        (PLAIN, tag, 304),
        (GZIP, '"other-gzip"', 200),
    ]:
        answer, _ = await raw(web, path, headers | {"if-none-match": known})
        assert answer.status_code == status, known
        wanted = packed.headers["etag"] if headers is GZIP else tag
        assert answer.headers["etag"] == wanted, known


async def test_head_and_ranges(web: Running, script_file: bytes) -> None:
    path = "/static/dist/assets/a-1.js"
    head, nothing = await raw(web, path, GZIP, "HEAD")
    packed, _ = await raw(web, path, GZIP)
    assert nothing == b""
    for name in ("etag", "content-encoding", "vary", "content-type"):
        assert head.headers[name] == packed.headers[name]
    part, body = await raw(web, path, GZIP | {"range": "bytes=0-9"})
    assert (part.status_code, body) == (206, script_file[:10])
    assert "content-encoding" not in part.headers


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("gzip", True),
        ("GZIP;q=0.5", True),
        ("br, gzip ; q=0.001", True),
        ("*", True),
        ("x-gzip", True),
        ("", False),
        ("br", False),
        ("gzip;q=0", False),
        ("gzip;q=0.000, *", False),
        ("*;q=0", False),
        ("notgzip", False),
    ],
)
def test_accept_encoding(header: str, accepted: bool) -> None:
    assert accepts_gzip(header) is accepted


def test_little_is_kept_in_memory() -> None:
    async def app(*_: object) -> None: ...

    kept = Compression(app)  # type: ignore[arg-type]
    for number in range(5):
        kept.keep(str(number), b"tag", bytes(KEPT // 3))
    assert [kept.kept(str(number), b"tag") is not None for number in range(5)] == [False, False, True, True, True]


async def test_a_stream_of_text_is_sent_as_it_comes(web: Running) -> None:
    """A stream of OpenAI's has no length, so that it is never gathered."""
    files = {"file": ("a.wav", script(chunks=2))}
    async with web.client.stream(
        "POST", "/v1/audio/transcriptions", files=files, data={"model": "whisper-1", "stream": "true"}, headers=GZIP
    ) as response:
        assert "content-encoding" not in response.headers
        lines: AsyncIterator[str] = response.aiter_lines()
        events = [json.loads(line[6:]) async for line in lines if line.startswith("data: ")]
    assert events[-1]["type"] == "transcript.text.done"
