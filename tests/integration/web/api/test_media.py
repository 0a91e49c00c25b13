"""The recording and its waveform over HTTP: whole, in ranges, unchanged, and deleted."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from testkit.event_stream import collect
from testkit.scripted_actors import script
from testkit.service import Running

pytestmark = pytest.mark.anyio

OPEN = Path("/proc/self/fd")
SOUND = b"RIFF\x24\0\0\0WAVE" + bytes(range(256)) * 4_000  # more than one block


async def sent(web: Running, data: bytes = SOUND, name: str = "会议 1.wav") -> str:
    answer = await web.client.post(
        "/api/jobs", params={"filename": name}, content=data, headers={"content-type": "audio/wav"}
    )
    return f"/api/jobs/{answer.json()['id']}/media"


async def test_the_whole_recording_and_what_is_known_of_it(web: Running) -> None:
    path = await sent(web)
    whole = await web.client.get(path)
    assert whole.status_code == 200
    assert whole.content == SOUND
    assert whole.headers["content-type"] == "audio/wav"
    assert whole.headers["accept-ranges"] == "bytes"
    assert whole.headers["content-length"] == str(len(SOUND))
    assert whole.headers["content-disposition"].startswith("inline;")
    assert "filename*=UTF-8''%E4%BC%9A%E8%AE%AE%201.wav" in whole.headers["content-disposition"]
    assert "sandbox" in whole.headers["content-security-policy"]
    assert whole.headers["x-content-type-options"] == "nosniff"
    head = await web.client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    same = ("content-type", "content-length", "etag", "accept-ranges", "content-disposition")
    assert {name: head.headers[name] for name in same} == {name: whole.headers[name] for name in same}
    assert (await web.client.get(path, headers={"if-none-match": whole.headers["etag"]})).status_code == 304


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("0-0", 0, 0),
        ("0-99", 0, 99),
        ("100-", 100, None),
        ("-100", -100, None),
        ("300000-900000", 300_000, 900_000),
        ("5-99999999", 5, None),
    ],
)
async def test_a_stretch_of_it(web: Running, asked: str, first: int, last: int | None) -> None:
    part = await web.client.get(await sent(web), headers={"range": f"bytes={asked}"})
    start = first % len(SOUND)
    end = len(SOUND) if last is None else last + 1
    assert part.status_code == 206
    assert part.content == SOUND[start:end]
    assert part.headers["content-range"] == f"bytes {start}-{end - 1}/{len(SOUND)}"
    assert part.headers["content-length"] == str(end - start)


async def test_a_stretch_beyond_the_end_is_refused_and_says_where_that_is(web: Running) -> None:
    answer = await web.client.get(await sent(web), headers={"range": f"bytes={len(SOUND)}-"})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{len(SOUND)}"
    assert answer.json()["code"] == "range_not_satisfiable"
    assert answer.json()["hint"]


async def test_a_range_of_another_version_of_the_file_gives_the_whole(web: Running) -> None:
    path = await sent(web)
    etag = (await web.client.head(path)).headers["etag"]
    for tag, status in {etag: 206, '"other"': 200, f"W/{etag}": 200, "Tue, 24 Nov 2026 12:00:00 GMT": 200}.items():
        answer = await web.client.get(path, headers={"range": "bytes=0-3", "if-range": tag})
        assert answer.status_code == status, tag
        assert answer.content == (SOUND if status == 200 else b"RIFF")
    for odd in ("bytes=0-1,5-6", "lines=0-1", "bytes=9-1"):
        assert (await web.client.get(path, headers={"range": odd})).status_code == 200
    assert (await web.client.head(path, headers={"range": "bytes=0-3"})).headers["content-length"] == str(len(SOUND))


@pytest.mark.skipif(not OPEN.exists(), reason="this system does not tell which files are open")
async def test_a_player_that_goes_away_leaves_no_open_file(web: Running) -> None:
    path = await sent(web, SOUND * 20)

    def held() -> int:
        return sum(
            web.service.parts.data.media.name in str(link.readlink()) for link in OPEN.iterdir() if link.is_symlink()
        )

    for _ in range(3):
        async with web.client.stream("GET", path) as answer:
            await anext(answer.aiter_raw(1_000))
            assert held(), "a file that is being sent is open"
    with anyio.fail_after(10):
        while held():  # noqa: ASYNC110 - no event tells it
            await anyio.sleep(0.01)


async def test_a_recording_that_is_gone_is_told(web: Running) -> None:
    path = await sent(web)
    job_id = path.split("/")[3]
    web.service.parts.data.source_of(job_id).unlink()
    answer = await web.client.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert "recording" in answer.json()["message"]
    assert (await web.client.get("/api/jobs/nope/media")).status_code == 404
    assert (await web.client.get("/api/jobs/..%2f..%2fwhisper_service.db/media")).status_code == 404


async def test_a_waveform_can_be_had_while_it_grows(web: Running) -> None:
    path = (await sent(web, script(chunks=1))).replace("/media", "/peaks")
    await collect(web.client, path.replace("/peaks", "/events"))  # only the test writes there then
    file = web.service.parts.data.peaks_of(path.split("/")[3])
    file.unlink(missing_ok=True)
    missing = await web.client.get(path)
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    file.write_bytes(b"\x80\x7f" * 50)
    first = await web.client.get(path)
    assert first.content == b"\x80\x7f" * 50
    assert first.headers["content-type"] == "application/octet-stream"
    with file.open("ab") as more:
        more.write(b"\x01\x02" * 50)
    rest = await web.client.get(path, headers={"range": "bytes=100-"})
    assert (rest.status_code, rest.content) == (206, b"\x01\x02" * 50)
    assert rest.headers["etag"] != first.headers["etag"]
    assert (await web.client.get(path, headers={"if-none-match": rest.headers["etag"]})).status_code == 304


async def test_a_part_of_the_fine_waveform_can_be_had_and_earlier_recordings_have_none(web: Running) -> None:
    path = (await sent(web, script(chunks=1, peaks=50))).replace("/media", "/peaks")
    await collect(web.client, path.replace("/peaks", "/events"))
    part = await web.client.get(path, params={"fine": "true"}, headers={"range": "bytes=8-15"})
    assert (part.status_code, part.content) == (206, b"\xff\x01" * 4)
    assert part.headers["content-range"] == "bytes 8-15/400"
    assert len((await web.client.get(path)).content) == 100
    web.service.parts.data.fine_peaks_of(path.split("/")[3]).unlink()  # as of an earlier version
    missing = await web.client.get(path, params={"fine": "true"})
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    assert "fine waveform" in missing.json()["message"]
    assert (await web.client.get(path)).status_code == 200
