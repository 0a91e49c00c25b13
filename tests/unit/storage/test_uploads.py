"""Uploads are kept whole, or refused without a file left behind."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_service.core.errors import DiskFull, EmptyFile, TooLarge
from whisper_service.core.identifiers import MAX_NAME, clean_name, identifier
from whisper_service.storage import uploads as module
from whisper_service.storage.uploads import UploadLimits, Uploads

pytestmark = pytest.mark.anyio


@pytest.fixture
def uploads(tmp_path: Path) -> Uploads:
    return Uploads(tmp_path / "media", UploadLimits(10_000_000, 0))


def left(uploads: Uploads) -> list[str]:
    return [path.name for path in uploads.root.iterdir()]


async def test_the_file_is_there_under_its_identifier_with_its_hash(uploads: Uploads) -> None:
    data = bytes(range(256)) * 10_000  # more than two blocks, not a multiple of one
    async with uploads.receive("../会议.wav", expected=len(data)) as receiver:
        for at in range(0, len(data), 65_521):
            await receiver.write(data[at : at + 65_521])
        received = await receiver.finish()
    assert received.path.read_bytes() == data
    assert received.bytes == len(data)
    assert received.sha256 == hashlib.sha256(data).hexdigest()
    assert received.name == "会议.wav"
    assert left(uploads) == [received.path.name]


async def test_no_file_has_its_final_name_before_it_is_complete(uploads: Uploads) -> None:
    async with uploads.receive("a") as receiver:
        await receiver.write(b"x" * (2 * module.BLOCK))
        assert [name.endswith(module.PART) for name in left(uploads)] == [True]
        assert next(uploads.root.iterdir()).stat().st_size == 2 * module.BLOCK


async def test_an_upload_without_finish_leaves_nothing(uploads: Uploads) -> None:
    async with uploads.receive("a") as receiver:
        await receiver.write(b"x" * 2_000_000)
    assert left(uploads) == []


async def test_an_error_in_the_middle_leaves_nothing(uploads: Uploads) -> None:
    async def upload() -> None:
        async with uploads.receive("a") as receiver:
            await receiver.write(b"x" * 2_000_000)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await upload()
    assert left(uploads) == []


async def test_a_cancelled_upload_leaves_nothing(uploads: Uploads) -> None:
    async with anyio.create_task_group() as group:

        async def upload() -> None:
            async with uploads.receive("a") as receiver:
                while True:
                    await receiver.write(b"x" * 500_000)
                    group.cancel_scope.cancel()

        group.start_soon(upload)
    assert left(uploads) == []


async def test_an_empty_file_is_refused(uploads: Uploads) -> None:
    async with uploads.receive("a") as receiver:
        with pytest.raises(EmptyFile):
            await receiver.finish()
    assert left(uploads) == []


async def test_too_large_is_known_before_a_byte_is_written(uploads: Uploads) -> None:
    with pytest.raises(TooLarge, match=r"9\.537 MiB"):
        async with uploads.receive("a", expected=10_000_001):
            raise AssertionError
    assert left(uploads) == []


async def test_too_large_is_noticed_while_it_grows(uploads: Uploads) -> None:
    async def upload() -> None:
        async with uploads.receive("a") as receiver:
            while True:
                await receiver.write(b"x" * 1_000_000)

    with pytest.raises(TooLarge):
        await upload()
    assert left(uploads) == []


async def test_too_large_by_one_byte_is_noticed_at_the_end(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path, UploadLimits(10, 0))
    async with uploads.receive("a") as receiver:
        await receiver.write(b"x" * 11)
        with pytest.raises(TooLarge):
            await receiver.finish()
    assert left(uploads) == []


async def test_exactly_the_limit_is_accepted(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path, UploadLimits(10, 0))
    async with uploads.receive("a", expected=10) as receiver:
        await receiver.write(b"x" * 10)
        assert (await receiver.finish()).bytes == 10


async def test_a_disk_that_is_too_small_is_known_before_a_byte_is_written(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    uploads = Uploads(tmp_path, UploadLimits(10 * free, 0))
    with pytest.raises(DiskFull):
        async with uploads.receive("a", expected=2 * free):
            raise AssertionError
    assert left(uploads) == []


async def test_the_reserve_is_kept_free(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path, UploadLimits(10, 2 * shutil.disk_usage(tmp_path).free))
    with pytest.raises(DiskFull) as caught:
        async with uploads.receive("a"):
            raise AssertionError
    assert caught.value.params["reserve"] == uploads.limits.min_free


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full on this system to write to")
async def test_a_disk_that_fills_up_is_an_error_for_users(uploads: Uploads) -> None:
    with Path("/dev/full").open("wb", buffering=0) as full:  # noqa: ASYNC230 - it does not block
        receiver = module.Receiver(uploads, "a", uploads.root / "x.part", full)
        with pytest.raises(DiskFull):
            await receiver.write(b"x" * module.BLOCK)


async def test_sweep_keeps_the_recordings_of_jobs(uploads: Uploads) -> None:
    for name in ("known", "unknown", "broken.part"):
        (uploads.root / name).write_bytes(b"x")
    (uploads.root / "lost+found").mkdir()
    uploads.sweep({"known"})
    assert sorted(left(uploads)) == ["known", "lost+found"]


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("会议 1.m4a", "会议 1.m4a"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\a.wav", "a.wav"),
        ("a\x00b\r\n.wav", "ab.wav"),
        ("\u202egnp.exe", "gnp.exe"),
        ("", "recording"),
        ("..", "recording"),
        ("dir/", "recording"),
        ("x" * 1_000 + ".wav", "x" * 296 + ".wav"),
        ("." + "x" * 1_000, "." + "x" * 299),
    ],
)
async def test_clean_name(raw: str, name: str) -> None:
    assert clean_name(raw) == name


@given(st.text(max_size=700))
async def test_a_clean_name_is_always_harmless(raw: str) -> None:
    name = clean_name(raw)
    assert 1 <= len(name) <= MAX_NAME
    assert not set(name) & set("/\\\x00\r\n")
    assert name not in (".", "..")
    assert clean_name(name) == name
    name.encode()


@given(st.floats(min_value=0, max_value=2**40), st.floats(min_value=0, max_value=2**40))
async def test_identifiers_sort_by_time(one: float, other: float) -> None:
    first, second = identifier(one), identifier(other)
    assert len(first) == 26
    assert first.isalnum()
    if int(one * 1000) != int(other * 1000):
        assert (first < second) == (one < other)


async def test_identifiers_differ() -> None:
    assert len({identifier(1.0) for _ in range(1_000)}) == 1_000
