"""The media actor through its messages, in a thread and in a process of its own."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec
import numpy as np
import pytest

from testkit.media_files import encode, write_wav
from testkit.sounds import RATE, Samples, babble, join, silence
from whisper_service.actors.media import main as media
from whisper_service.actors.media.chunker import BRIEF_S, ChunkPolicy
from whisper_service.core.domain import Playable
from whisper_service.supervision import boot
from whisper_service.supervision.boot import Inbox
from whisper_service.supervision.messages.base import Cancel, Fault, Ready, Shutdown
from whisper_service.supervision.messages.media import ChunkFound, Decode, Decoded, DecodeProgress, MediaInfo
from whisper_service.supervision.protocol import Command, Report, decode_report
from whisper_service.supervision.protocol import encode as encode_message

PAD = ChunkPolicy().pad_s

TALK = join(silence(2), babble(9), silence(3), babble(40, seed=1), silence(2))


def job(directory: Path, source: Path, name: str = "job", max_duration_s: float | None = None) -> Decode:
    for kind in ("pcm", "peaks", "fine"):
        directory.joinpath(f"{name}.{kind}").touch()
    return Decode(
        job_id=name,
        source=str(source),
        spool=str(directory / f"{name}.pcm"),
        peaks=str(directory / f"{name}.peaks"),
        fine_peaks=str(directory / f"{name}.fine"),
        max_duration_s=max_duration_s,
    )


def work(*commands: Command, react: Callable[[Inbox, Report], None] = lambda inbox, report: None) -> list[Report]:
    """Run the actor over these commands, in a thread because it lowers its priority. `react` gets every report."""
    inbox = Inbox()
    reports: list[Report] = []

    def emit(report: Report) -> None:
        reports.append(report)
        react(inbox, report)

    for command in (*commands, Shutdown()):
        inbox.put(command)
    actor = threading.Thread(target=media.run, args=(inbox, emit))
    actor.start()
    actor.join()
    return reports


def spool(command: Decode) -> Samples:
    return np.fromfile(command.spool, dtype=np.int16)


def size(command: Decode) -> int:
    """Bytes in the spool."""
    return Path(command.spool).stat().st_size


def test_a_recording_becomes_pcm_peaks_and_chunks(tmp_path: Path) -> None:
    command = job(tmp_path, write_wav(tmp_path / "talk.wav", TALK))
    ready, info, *found, decoded = (
        r for r in work(command) if not isinstance(r, DecodeProgress)
    )  # those come by the clock
    assert isinstance(ready, Ready)
    assert ready.pid == os.getpid()
    assert set(ready.facts) == {"av", "onnxruntime"}
    assert isinstance(info, MediaInfo)
    assert info == MediaInfo(job_id="job", duration_s=56.0, tracks=info.tracks)
    assert [(track.index, track.codec, track.channels, track.used) for track in info.tracks] == [
        (0, "pcm_s16le", 1, True)
    ]
    assert decoded == Decoded(job_id="job", duration_s=56.0, playable=Playable.RECORDING)

    spans = [report.span for report in found if isinstance(report, ChunkFound)]
    assert len(spans) == len(found) == 3
    assert [span.index for span in spans] == [0, 1, 2]
    assert (spans[0].start, spans[0].end) == pytest.approx((2.0 - PAD, 11.0 + PAD), abs=0.15)
    assert (spans[1].start, spans[2].end) == pytest.approx((14.0 - PAD, 54.0 + PAD), abs=0.15)
    assert all(a.end <= b.start for a, b in pairwise(spans))
    assert (spool(command) == TALK).all()
    assert Path(command.peaks).stat().st_size == 56 * 100
    assert Path(command.fine_peaks).stat().st_size == 56 * 400
    assert len(set(Path(command.fine_peaks).read_bytes())) > 20, "it is silent"


def test_a_chunk_is_in_the_spool_when_it_is_reported(tmp_path: Path) -> None:
    command = job(tmp_path, write_wav(tmp_path / "talk.wav", TALK))
    checked = 0

    def look(inbox: Inbox, report: Report) -> None:
        nonlocal checked
        if isinstance(report, ChunkFound):
            begin, end = report.span.start_sample, report.span.start_sample + report.span.samples
            assert (spool(command)[begin:end] == TALK[begin:end]).all()
            checked += 1

    work(command, react=look)
    assert checked == 3


def test_the_first_chunk_comes_before_the_file_is_read(tmp_path: Path) -> None:
    command = job(tmp_path, write_wav(tmp_path / "talk.wav", join(TALK, *[silence(60)] * 10)))
    sizes: list[int] = []
    work(command, react=lambda _, report: sizes.append(size(command)) if isinstance(report, ChunkFound) else None)
    assert sizes[0] < 30 * RATE * 2


def test_the_same_file_gives_the_same_chunks_and_bytes(tmp_path: Path) -> None:
    stereo = np.stack([TALK, np.roll(TALK, 300)], axis=1)
    source = encode(tmp_path / "talk.mp3", stereo, "libmp3lame", rate=44_100, layout="stereo")
    one, two = job(tmp_path, source, "one"), job(tmp_path, source, "two")
    reports = [report for report in work(one, two) if not isinstance(report, DecodeProgress)]
    spans = {
        name: [report.span for report in reports if isinstance(report, ChunkFound) and report.job_id == name]
        for name in ("one", "two")
    }
    assert spans["one"] == spans["two"] != []
    assert Path(one.spool).read_bytes() == Path(two.spool).read_bytes()
    assert Path(one.peaks).read_bytes() == Path(two.peaks).read_bytes()


def test_a_second_attempt_writes_over_the_first(tmp_path: Path) -> None:
    command = job(tmp_path, write_wav(tmp_path / "talk.wav", TALK))
    tail = b"\x07" * 10_000_000
    Path(command.spool).write_bytes(TALK.tobytes() + tail)
    sizes: set[int] = set()
    work(command, react=lambda _, report: sizes.add(size(command)) if isinstance(report, ChunkFound) else None)
    assert sizes == {len(TALK) * 2 + len(tail)}, "what a reader was promised was taken away"
    assert (spool(command) == TALK).all()


def test_times_are_on_the_clock_of_the_film(tmp_path: Path) -> None:
    source = encode(tmp_path / "film.mp4", babble(4), rate=48_000, video_s=8, late_s=2.5)
    reports = work(job(tmp_path, source))
    (span,) = [report.span for report in reports if isinstance(report, ChunkFound)]
    assert span.start_sample == 0
    assert span.start == pytest.approx(2.5, abs=0.05)
    assert span.end == pytest.approx(6.5, abs=0.1)
    assert isinstance(reports[-1], Decoded)
    assert reports[-1].duration_s == pytest.approx(6.5, abs=0.1)


def test_silence_is_decoded_and_has_no_chunks(tmp_path: Path) -> None:
    reports = work(job(tmp_path, write_wav(tmp_path / "silence.wav", silence(10))))
    assert reports[-1] == Decoded(job_id="job", duration_s=10.0, playable=Playable.RECORDING)
    assert not any(isinstance(report, ChunkFound) for report in reports)


def test_only_the_beginning_is_decoded_if_no_more_is_wanted(tmp_path: Path) -> None:
    command = msgspec.structs.replace(job(tmp_path, write_wav(tmp_path / "talk.wav", TALK)), limit_s=20.0)
    reports = list(media.decode(command))
    spans = [report.span for report in reports if isinstance(report, ChunkFound)]
    assert spans
    assert spans[-1].end <= 20.5
    assert max(span.samples for span in spans) <= BRIEF_S * RATE
    (decoded,) = [report for report in reports if isinstance(report, Decoded)]
    assert decoded.duration_s == pytest.approx(20.0, abs=0.5)
    assert decoded.warnings == (), "it is not the file that ends"


def test_speech_across_the_end_of_the_beginning_is_in_the_spool(tmp_path: Path) -> None:
    for limit_s in (20.0, 20.2):
        command = job(tmp_path, write_wav(tmp_path / "talk.wav", join(silence(15), babble(30))), f"at {limit_s}")
        command = msgspec.structs.replace(command, limit_s=limit_s)
        spans = [report.span for report in media.decode(command) if isinstance(report, ChunkFound)]
        last = spans[-1]
        assert last.end == pytest.approx(20.5 if limit_s > 20 else 20.0)
        assert last.start_sample + last.samples == len(spool(command)), "the chunk goes on behind the samples"


def test_cancel_ends_a_decode_at_once_and_without_a_word(tmp_path: Path) -> None:
    source = write_wav(tmp_path / "talk.wav", join(TALK, *[silence(60)] * 10))
    dropped, next_one = job(tmp_path, source, "dropped"), job(tmp_path, source, "next")

    def cancel(inbox: Inbox, report: Report) -> None:
        if isinstance(report, ChunkFound) and report.job_id == "dropped":
            inbox.put(Cancel(job_id="dropped"))

    reports = work(dropped, next_one, react=cancel)
    about = [report for report in reports if isinstance(report, MediaInfo | ChunkFound | Decoded | Fault)]
    about = [report for report in about if report.job_id == "dropped"]
    assert [type(report) for report in about] == [MediaInfo, ChunkFound]
    assert size(dropped) < 40 * RATE * 2
    assert isinstance(reports[-1], Decoded)
    assert reports[-1].job_id == "next"


def test_what_was_removed_with_a_cancelled_job_does_not_come_back(tmp_path: Path) -> None:
    source = write_wav(tmp_path / "talk.wav", TALK)
    late, next_one = job(tmp_path, source, "late"), job(tmp_path, source, "next")
    Path(late.spool).unlink()
    inbox = Inbox()
    for command in (late, Cancel(job_id="late"), next_one):
        inbox.put(command)
    assert inbox.get() == late
    assert list(media.decode(late, lambda: inbox.cancelled("late"))) == []
    Path(late.spool).touch()
    Path(late.peaks).unlink()  # as when it is deleted
    assert list(media.decode(late, lambda: inbox.cancelled("late"))) == []
    assert not Path(late.peaks).exists()
    Path(late.spool).unlink()
    missing = work(late, next_one)
    assert [report.problem.code for report in missing if isinstance(report, Fault)] == ["spool_missing"]
    assert isinstance(missing[-1], Decoded)
    assert not Path(late.spool).exists()


def test_a_file_that_was_cut_off_is_decoded_with_a_warning(tmp_path: Path) -> None:
    source = encode(tmp_path / "talk.mp3", TALK, "libmp3lame", rate=44_100)
    data = source.read_bytes()
    source.write_bytes(data[: len(data) // 2])
    decoded = work(job(tmp_path, source))[-1]
    assert isinstance(decoded, Decoded)
    assert decoded.duration_s == pytest.approx(28, abs=1)
    (warning,) = decoded.warnings
    assert warning.code == "truncated"
    assert "28 seconds before" in warning.message


def faults(directory: Path) -> dict[str, Path]:
    (directory / "text.mp3").write_text("not a recording")
    (directory / "page.mp3").write_text(
        "<!DOCTYPE html><html><title>Log in</title>" + "<p>Your session ended.</p>\n" * 9000
    )
    return {
        "web_page": directory / "page.mp3",
        "not_media": directory / "text.mp3",
        "no_audio": encode(directory / "mute.mp4", None, video_s=2),
        "not_found": directory / "gone.mp3",
        "too_long": write_wav(directory / "long.wav", silence(61)),
    }


@pytest.mark.parametrize("code", ["not_media", "web_page", "no_audio", "not_found", "too_long"])
def test_what_is_wrong_with_a_file_is_said_and_the_actor_lives_on(tmp_path: Path, code: str) -> None:
    bad = job(tmp_path, faults(tmp_path)[code], "bad", max_duration_s=60.0)
    good = job(tmp_path, write_wav(tmp_path / "talk.wav", TALK), "good")
    reports = work(bad, good)
    (fault,) = [report for report in reports if isinstance(report, Fault)]
    assert (fault.scope, fault.kind, fault.job_id, fault.fatal) == ("media", "media", "bad", False)
    assert fault.problem.code == code
    assert fault.problem.message
    assert fault.problem.hint
    assert isinstance(reports[-1], Decoded)


@pytest.mark.parametrize(("name", "codec"), [("silence.flac", "flac"), ("hole.mka", "flac")])
def test_hours_of_silence_in_kilobytes_are_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, codec: str
) -> None:
    monkeypatch.setattr(media, "FREE_S", 20.0)
    sound, hole = (silence(400), None) if name == "silence.flac" else (silence(2), (1.0, 400.0))
    source = encode(tmp_path / name, sound, codec, hole=hole)
    bomb = msgspec.structs.replace(job(tmp_path, source), max_expansion=30.0)
    allowed_s = max(20.0, source.stat().st_size * 30 / (2 * RATE))
    assert allowed_s < 200
    fault = work(bomb)[-1]
    assert isinstance(fault, Fault)
    assert (fault.kind, fault.problem.code) == ("media", "inflated")
    assert size(bomb) <= (allowed_s + 1) * 2 * RATE
    assert isinstance(work(msgspec.structs.replace(bomb, max_expansion=100_000.0))[-1], Decoded)


def test_an_hour_of_anything_is_let_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "FREE_S", 401.0)
    source = encode(tmp_path / "silence.flac", silence(400), "flac")
    assert isinstance(work(msgspec.structs.replace(job(tmp_path, source), max_expansion=0.001))[-1], Decoded)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, the device that is always full")
@pytest.mark.parametrize("full", ["spool", "peaks", "fine_peaks"])
def test_a_full_disk_is_told_apart(tmp_path: Path, full: str) -> None:
    source = write_wav(tmp_path / "talk.wav", TALK)
    fault = work(msgspec.structs.replace(job(tmp_path, source), **{full: "/dev/full"}))[-1]
    assert isinstance(fault, Fault)
    assert (fault.kind, fault.problem.code) == ("disk_full", "disk_full")


def until_closed(reports: Connection) -> Iterator[Report]:
    with contextlib.suppress(EOFError):
        while True:
            yield decode_report(reports.recv_bytes())


def test_an_actor_in_its_own_process(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    their_commands, commands = context.Pipe(duplex=False)
    reports, their_reports = context.Pipe(duplex=False)
    actor = context.Process(
        target=boot.run_actor,
        args=("whisper_service.actors.media.main:run", their_commands, their_reports, str(tmp_path / "actor.log")),
    )
    actor.start()
    their_commands.close()
    their_reports.close()
    commands.send_bytes(encode_message(job(tmp_path, write_wav(tmp_path / "talk.wav", TALK))))
    commands.send_bytes(encode_message(Shutdown()))
    received = list(until_closed(reports))
    actor.join()
    assert actor.exitcode == 0, (tmp_path / "actor.log").read_text()
    assert isinstance(received[0], Ready)
    assert received[0].pid == actor.pid
    assert isinstance(received[-1], Decoded)
