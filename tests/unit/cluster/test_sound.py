"""The sound of a command is the same on the other machine, and its memory is free afterwards."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from whisper_service.actors.samples import UnreadableChunk, read_channels
from whisper_service.cluster import sound
from whisper_service.cluster.sound import SoundFiles
from whisper_service.core.domain import Problem, Span
from whisper_service.supervision.messages.base import Cancel, Fault
from whisper_service.supervision.messages.drafts import DraftDone, DraftRow, DraftSound
from whisper_service.supervision.messages.speech import (
    Align,
    Aligned,
    BatchDone,
    ChunkDone,
    ChunkInput,
    Transcribe,
)
from whisper_service.supervision.protocol import Report

PROBLEM = Problem("unknown", "It failed.")


def spool(tmp_path: Path, samples: int) -> str:
    path = tmp_path / "spool"
    np.random.default_rng(1).integers(-32768, 32767, samples, dtype="<i2").tofile(path)
    return str(path)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


def chunk(path: str, index: int, start: int, samples: int, channels: int = 0) -> ChunkInput:
    span = Span(index, start, samples, start / 16_000, (start + samples) / 16_000)
    return ChunkInput(job_id="job", span=span, spool=path, language="en", channels=channels)


def test_an_actor_reads_what_it_would_read_at_home(tmp_path: Path) -> None:
    path = spool(tmp_path, 40_000)
    chunks = (chunk(path, 0, 0, 900), chunk(path, 1, 5_000, 8_000), chunk(path, 2, 100, 50, 2))
    command = Transcribe(batch=3, chunks=chunks)
    files = SoundFiles()
    far = files.put(command, sound.read(command))
    assert isinstance(far, Transcribe)
    assert len(far.chunks) == 3
    for here, there in zip(command.chunks, far.chunks, strict=True):
        expected = read_channels(here.spool, here.span, here.channels or 1)
        assert expected.size == here.span.samples * (here.channels or 1)
        assert np.array_equal(read_channels(there.spool, there.span, there.channels or 1), expected)
        assert (there.span.start, there.span.end, there.span.index) == (here.span.start, here.span.end, here.span.index)
    files.release_all()


def test_what_is_missing_at_home_is_missing_there(tmp_path: Path) -> None:
    path = spool(tmp_path, 1_000)
    command = Transcribe(batch=3, chunks=(chunk(path, 0, 900, 200), chunk(f"{path}-no", 1, 0, 5)))
    files = SoundFiles()
    far = files.put(command, sound.read(command))
    assert isinstance(far, Transcribe)
    for here, there in zip(command.chunks, far.chunks, strict=True):
        problems = []
        for each in (here, there):
            with pytest.raises(UnreadableChunk) as caught:
                read_channels(each.spool, each.span, 1)
            problems.append(caught.value.problem)
        assert problems[0] == problems[1]
    assert {"spool_short", "spool_missing"} >= {problems[0].code}
    files.release_all()


@pytest.mark.parametrize(
    ("report", "frees"),
    [
        (BatchDone(batch=3, seconds=0.0, audio_s=0.0), True),
        (Fault("batch", "oom", PROBLEM, batch=3), True),
        (BatchDone(batch=4, seconds=0.0, audio_s=0.0), False),
        (Fault("batch", "media", PROBLEM, batch=3, index=0), False),
        (Fault("alignment", "media", PROBLEM, request=3), False),
        (ChunkDone(batch=3, job_id="job", index=0, segments=(), language="en"), False),
    ],
)
def test_the_sound_of_a_batch_is_kept_until_the_batch_ends(tmp_path: Path, report: Report, frees: bool) -> None:
    path = spool(tmp_path, 1_000)
    command = Transcribe(batch=3, chunks=(chunk(path, 0, 0, 100), chunk(path, 1, 100, 100)))
    files, before = SoundFiles(), descriptors()
    far = files.put(command, sound.read(command))
    assert isinstance(far, Transcribe)
    assert descriptors() == before + 2
    files.release(report)
    assert descriptors() == before + (0 if frees else 2)
    assert Path(far.chunks[0].spool).exists() is not frees
    files.release_all()
    assert descriptors() == before


@pytest.mark.parametrize("report", [Aligned(5, ()), Fault("alignment", "unknown", PROBLEM, request=5)])
def test_the_sound_of_an_alignment_too(tmp_path: Path, report: Report) -> None:
    path = spool(tmp_path, 1_000)
    span = Span(0, 300, 400, 0.0, 0.025)
    command = Align(request=5, span=span, spool=path, words=(" a",), language="en")
    files, before = SoundFiles(), descriptors()
    far = files.put(command, sound.read(command))
    assert isinstance(far, Align)
    assert np.array_equal(read_channels(far.spool, far.span, 1), read_channels(path, span, 1))
    files.release(report)
    assert descriptors() == before


@pytest.mark.parametrize("report", [DraftDone(5, (), 0.0), Fault("draft", "unknown", PROBLEM, request=5)])
def test_the_sound_of_drafts_too(tmp_path: Path, report: Report) -> None:
    path = spool(tmp_path, 1_000)
    command = DraftSound(request=5, rows=(DraftRow("a", path, 300, 400), DraftRow("b", path, 0, 90)))
    files, before = SoundFiles(), descriptors()
    far = files.put(command, sound.read(command))
    assert isinstance(far, DraftSound)
    for here, there in zip(command.rows, far.rows, strict=True):
        assert (there.job_id, there.samples) == (here.job_id, here.samples)
        expected = read_channels(here.spool, Span(0, here.start_sample, here.samples, 0.0, 1.0), 1)
        assert np.array_equal(
            read_channels(there.spool, Span(0, there.start_sample, there.samples, 0.0, 1.0), 1), expected
        )
    files.release(report)
    assert descriptors() == before


def test_other_commands_travel_as_they_are() -> None:
    command = Cancel("job")
    assert sound.read(command) == ()
    assert SoundFiles().put(command, ()) is command


def test_nothing_stays_open_when_memory_runs_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = spool(tmp_path, 1_000)
    command = Transcribe(batch=3, chunks=(chunk(path, 0, 0, 100), chunk(path, 1, 100, 100)))
    sounds, before, make = sound.read(command), descriptors(), os.memfd_create
    made: list[int] = []

    def second_fails(name: str) -> int:
        if made:
            raise OSError(12, "Cannot allocate memory")
        made.append(make(name))
        return made[0]

    monkeypatch.setattr("os.memfd_create", second_fails)
    with pytest.raises(OSError, match="Cannot allocate"):
        SoundFiles().put(command, sounds)
    assert descriptors() == before
