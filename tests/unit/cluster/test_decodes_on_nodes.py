"""What a decode on a node leaves at home: the same reports and the same bytes as a decode at home, or nothing."""

from __future__ import annotations

import asyncio
import errno
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import anyio
import av
import numpy as np
import pytest

from testkit.media_files import encode as encode_media
from testkit.media_files import write_wav
from testkit.sounds import babble, join, silence
from whisper_service.actors.media.main import decode
from whisper_service.cluster import far_decodes, home_files
from whisper_service.cluster.far_decodes import FarDecodes
from whisper_service.cluster.node_decodes import GONE, SOURCE, FileStretch, Grown, NodeDecodes
from whisper_service.core.domain import Channels, Playable, Span
from whisper_service.core.errors import ServiceError
from whisper_service.core.files import draft_of
from whisper_service.supervision.messages.base import Cancel, Fault
from whisper_service.supervision.messages.media import ChunkFound, Decode, Decoded, DecodeProgress, MediaInfo
from whisper_service.supervision.protocol import Command, Report, decode_report, encode

pytestmark = pytest.mark.anyio

TALK = join(silence(1), babble(9), silence(3), babble(40, seed=1), silence(2), babble(20, seed=2))
MADE = ("spool", "peaks", "fine_peaks", "apart", "copy")


def job(directory: Path, source: Path, **fields: Any) -> Decode:
    """Return the command to decode a recording, with the files that the service creates for it."""
    directory.mkdir(exist_ok=True)
    paths = {name: directory / name for name in MADE if name != "apart"}
    for name, path in paths.items():
        (draft_of(path) if name == "copy" else path).touch()
    return Decode(job_id="job", source=str(source), **{name: str(path) for name, path in paths.items()} | fields)


def made(directory: Path) -> dict[str, bytes]:
    """Return all files of a folder. Copies get a random id each, so their sound counts."""
    return {path.name: sound(path) if path.name == "copy" else path.read_bytes() for path in directory.iterdir()}


def sound(copy: Path) -> bytes:
    """Return the samples of a listening copy."""
    with av.open(str(copy)) as container:
        return b"".join(frame.to_ndarray().tobytes() for frame in container.decode(audio=0))


def caf(directory: Path) -> Path:
    return encode_media(directory / "talk.caf", TALK, "alac", format="caf")


class Node:
    """A node whose actor decodes when the test says so, and the gateway's end. Every call comes twice if `twice`."""

    all: ClassVar[list[Node]] = []

    def __init__(self, *, twice: bool = False) -> None:
        self.all.append(self)
        self.there = NodeDecodes()
        self.twice = twice
        self.calls: list[str] = []
        self.before_read: Callable[[], None] = lambda: None
        self.said: list[Report] = []
        self.given_up: list[str] = []
        self.here = FarDecodes(self, ask=self.ask, report=self.said.append, give_up=self.give_up)

    async def ask(self, call: Callable[[], Awaitable[Any]]) -> Any:
        if self.twice:
            await call()
        return await call()

    def give_up(self, job_id: str) -> None:
        self.given_up.append(job_id)
        self.here.take_note(99, Cancel(job_id=job_id))

    async def write(self, number: int, file: str, at: int, data: bytes) -> None:
        self.calls.append(f"{file} {at}")
        self.there.write(number, file, at, data)

    async def read(self, number: int, stretches: Sequence[FileStretch]) -> list[bytes]:
        self.calls.append(" ".join(stretch.file for stretch in stretches))
        self.before_read()
        return self.there.read(number, stretches)

    async def give(self, number: int, command: Decode) -> Command:
        """Give a command to the actor. Return what the actor gets."""
        self.here.take_note(number, command)
        sent = await self.here.send(number, command)
        return self.there.put(number, sent) if isinstance(sent, Decode) else self.there.cancel(number, "job")[0]

    async def bring(self, report: Report) -> Report | None:
        """Let the actor report. Return what the service gets."""
        told, grown = self.there.take_in(report)
        if told is None:
            return None
        if grown is None:
            return told
        data = await self.here.bring(grown, encode(told))
        if grown.ends:
            self.there.release(grown.decode)
        return None if data is None else decode_report(data)

    async def decode(self, command: Decode, number: int = 0) -> list[Report]:
        """Decode a recording there. Return what the service gets."""
        local = await self.give(number, command)
        assert isinstance(local, Decode)
        reports: list[Report] = []
        try:
            for report in decode(local):
                reports.append(report)
        except ServiceError as error:
            reports.append(Fault(scope="media", kind="media", problem=error.problem, job_id=local.job_id))
        return [told for report in reports if (told := await self.bring(report)) is not None]

    @property
    def open_files(self) -> int:
        """Files without a name that this process has open in the folder for temporary files."""
        folder = Path(tempfile.gettempdir())
        links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
        return sum(folder in link.readlink().parents for link in links)


@pytest.fixture
async def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Path]:
    """Yield a folder, with another one for temporary files. In the end, nothing there has a name or is open."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    yield tmp_path
    while Node.all:
        node = Node.all.pop()
        node.there.release_all()
        node.here.forget_all()
        await node.here.close()
        assert node.open_files == 0
    assert list((tmp_path / "temporary").iterdir()) == []


def without_progress(reports: Sequence[Report]) -> list[Report]:
    return [report for report in reports if not isinstance(report, DecodeProgress)]


@pytest.mark.parametrize("twice", [False, True])
async def test_a_decode_on_a_node_leaves_the_files_and_reports_of_one_at_home(
    folders: Path, monkeypatch: pytest.MonkeyPatch, twice: bool
) -> None:
    monkeypatch.setattr(home_files, "PIECE_BYTES", 100_000)  # so that everything travels in many pieces
    source = caf(folders)
    at_home = list(decode(job(folders / "home", source)))
    node = Node(twice=twice)
    far = await node.decode(job(folders / "far", source))
    assert without_progress(far) == without_progress(at_home)
    assert {type(report) for report in far} >= {MediaInfo, ChunkFound, Decoded}
    left = made(folders / "far")
    assert set(left) == {"spool", "peaks", "fine_peaks", "copy"}, "the draft has its name"
    assert all(left.values())
    assert left == made(folders / "home")
    assert len([call for call in node.calls if call.startswith(SOURCE)]) > 3
    assert node.open_files == 0, "the end of a decode frees its files"


async def test_the_bytes_of_a_chunk_are_at_home_before_its_report(folders: Path) -> None:
    command = job(folders / "far", caf(folders))
    node = Node()
    local = await node.give(0, command)
    assert isinstance(local, Decode)
    chunks = 0
    for report in decode(local):
        told = await node.bring(report)
        if isinstance(told, ChunkFound):
            chunks += 1
            assert (folders / "far" / "spool").stat().st_size >= 2 * (told.span.start_sample + told.span.samples)
    assert chunks >= 2


async def test_channels_that_are_kept_apart_come_home(folders: Path) -> None:
    source = write_wav(folders / "two.wav", np.stack((TALK, TALK[::-1]), axis=1))
    for name in ("home", "far"):
        (folders / name).mkdir()
        (folders / name / "apart").touch()
    commands = {
        name: job(folders / name, source, channels=Channels.APART, apart=str(folders / name / "apart"), copy="")
        for name in ("home", "far")
    }
    at_home = list(decode(commands["home"]))
    far = await Node().decode(commands["far"])
    assert without_progress(far) == without_progress(at_home)
    for name in ("home", "far"):
        draft_of(folders / name / "copy").unlink()
    assert made(folders / "far") == made(folders / "home")
    assert made(folders / "far")["apart"]


async def test_after_a_loss_in_the_middle_the_next_decode_leaves_the_same(folders: Path) -> None:
    source = caf(folders)
    at_home = list(decode(job(folders / "home", source)))
    command = job(folders / "far", source)
    node = Node()
    local = await node.give(0, command)
    assert isinstance(local, Decode)
    reports = decode(local)
    for report in reports:
        await node.bring(report)
        if isinstance(report, ChunkFound):
            break
    reports.close()  # type: ignore[attr-defined]
    node.here.forget_all()
    await node.here.close()
    half = (folders / "far" / "spool").read_bytes()
    assert half == (folders / "home" / "spool").read_bytes()[: len(half)]
    assert half
    node.there.release_all()
    again = job(folders / "far", source)  # the service creates the draft anew
    assert without_progress(await Node().decode(again)) == without_progress(at_home)
    assert made(folders / "far") == made(folders / "home")


async def test_what_is_no_recording_fails_as_at_home(folders: Path) -> None:
    source = folders / "letter.txt"
    source.write_text("Dear all, " * 500)
    with pytest.raises(ServiceError) as failed:
        list(decode(job(folders / "home", source)))
    (fault,) = await Node().decode(job(folders / "far", source))
    assert isinstance(fault, Fault)
    assert (fault.job_id, fault.problem.code) == ("job", failed.value.problem.code)
    assert fault.problem.message == failed.value.problem.message


@pytest.mark.parametrize(("field", "code"), [("source", "not_found"), ("spool", "spool_missing")])
async def test_what_is_missing_at_home_is_missing_there(folders: Path, field: str, code: str) -> None:
    command = job(folders / "far", caf(folders))
    (folders / "far" / field if field == "spool" else folders / "talk.caf").unlink()
    (*_, fault) = await Node().decode(command)
    assert isinstance(fault, Fault)
    assert fault.problem.code == code
    assert not (folders / "far" / field if field == "spool" else folders / "talk.caf").exists(), (
        "what was deleted with its job does not come back"
    )


async def test_a_copy_from_an_earlier_decode_is_kept(folders: Path) -> None:
    command = job(folders / "far", caf(folders))
    draft_of(folders / "far" / "copy").unlink()
    (folders / "far" / "copy").write_bytes(b"copied before")
    (*_, done) = await Node().decode(command)
    assert isinstance(done, Decoded)
    assert (done.copy_bytes, done.playable) == (13, Playable.COPY)
    assert (folders / "far" / "copy").read_bytes() == b"copied before"


async def test_a_copy_for_which_the_disk_at_home_has_no_room_is_left_out(folders: Path) -> None:
    command = job(folders / "far", caf(folders), spare_bytes=1 << 60)
    (*_, done) = await Node().decode(command)
    assert isinstance(done, Decoded)
    assert (done.copy_bytes, done.playable) == (0, None)
    assert [warning.code for warning in done.warnings] == ["no_listening_copy"]
    assert set(made(folders / "far")) == {"spool", "peaks", "fine_peaks"}


async def test_a_full_disk_at_home_is_what_it_is_for_an_actor_at_home(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    command = job(folders / "far", caf(folders))
    node = Node()
    local = await node.give(0, command)
    assert isinstance(local, Decode)
    monkeypatch.setattr("os.pwrite", full)
    told = [await node.bring(report) for report in decode(local)]
    faults = [report for report in told if isinstance(report, Fault)]
    assert [(fault.kind, fault.problem.code, fault.job_id) for fault in faults] == [("disk_full", "disk_full", "job")]
    assert told[told.index(faults[0]) + 1 :] == [None] * (len(told) - told.index(faults[0]) - 1)
    assert node.given_up == ["job"]


async def test_a_decode_that_is_cancelled_while_its_recording_travels_is_not_begun(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(home_files, "PIECE_BYTES", 100_000)
    node = Node()
    command = job(folders / "far", caf(folders))

    async def cancel_at_once(call: Callable[[], Awaitable[Any]]) -> Any:
        answer = await call()
        node.here.take_note(1, Cancel(job_id="job"))
        return answer

    monkeypatch.setattr(node.here, "_ask", cancel_at_once)
    assert await node.give(0, command) == Cancel(job_id="job")
    assert len(node.calls) == 1
    await node.here.close()
    assert node.open_files == 0
    assert not draft_of(folders / "far" / "copy").exists()


async def test_reports_of_a_cancelled_decode_are_not_told_and_its_files_are_freed(folders: Path) -> None:
    node = Node()
    first = await node.give(0, job(folders / "far", caf(folders)))
    assert isinstance(first, Decode)
    reports = list(decode(first))
    node.here.take_note(1, Cancel(job_id="job"))
    assert node.there.cancel(1, "job") == [Cancel(job_id=first.job_id)]
    assert node.there.cancel(2, "job") == [Cancel(job_id="job")], "only once"
    assert node.open_files == 0, "the disk has its room back"
    second = await node.give(3, job(folders / "far", folders / "talk.caf"))
    assert isinstance(second, Decode)
    shared = {first.spool, first.source} & {second.spool, second.source}
    assert not shared, "the actor may still open what was cancelled"
    assert first.job_id != second.job_id
    assert [await node.bring(report) for report in reports] == [None] * len(reports)
    told = [await node.bring(report) for report in decode(second)]
    assert isinstance(told[-1], Decoded)
    assert node.open_files == 0


async def test_what_was_brought_after_the_end_changes_nothing(folders: Path) -> None:
    command = job(folders / "far", caf(folders))
    node = Node()
    await node.decode(command)
    before = made(folders / "far")
    late = Grown(0, {"spool": 10})
    span = Span(0, 0, 5, 0.0, 1.0)
    assert await node.here.bring(late, encode(ChunkFound("job", span))) is None
    assert node.there.read(0, [FileStretch("spool", 0, 10)]) == []
    assert made(folders / "far") == before


async def test_a_decode_that_is_given_up_while_bytes_come_writes_nothing_more(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = job(folders / "far", caf(folders))
    node = Node()
    local = await node.give(0, command)
    assert isinstance(local, Decode)
    reports = list(decode(local))

    def lose() -> None:
        node.here.forget_all()

    node.before_read = lose
    for report in reports:
        assert (await node.bring(report)) is None or isinstance(report, MediaInfo)
    await node.here.close()
    assert not (folders / "far" / "copy").exists()
    assert not draft_of(folders / "far" / "copy").exists()


async def test_progress_is_told_while_files_travel(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(far_decodes, "PROGRESS_S", 0.0)
    node = Node()
    await node.decode(job(folders / "far", caf(folders)))
    assert node.said
    assert set(node.said) == {DecodeProgress(job_id="job", position_s=0.0)}


async def test_without_a_folder_for_temporary_files_memory_does(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(**_: object) -> object:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setattr("tempfile.TemporaryFile", none)
    source = caf(folders)
    at_home = list(decode(job(folders / "home", source)))
    far = await Node().decode(job(folders / "far", source))
    assert without_progress(far) == without_progress(at_home)
    assert made(folders / "far") == made(folders / "home")


def test_the_path_of_what_is_gone_is_on_no_machine() -> None:
    assert not Path(GONE).exists()


async def test_calls_that_overlap_with_the_end_of_the_actor_are_waited_for(folders: Path) -> None:
    files = home_files.HomeFiles(job(folders / "far", caf(folders)))
    files.open()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(asyncio.to_thread, files.write, [FileStretch("spool", 0, 4)], [b"abcd"])
        tasks.start_soon(asyncio.to_thread, files.close)
    assert (folders / "far" / "spool").read_bytes() in (b"", b"abcd")
    files.write([FileStretch("spool", 0, 4)], [b"efgh"])
    files.seal()
    assert (folders / "far" / "spool").read_bytes() in (b"", b"abcd")
