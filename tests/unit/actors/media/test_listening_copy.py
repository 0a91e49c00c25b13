"""The listening copy: complete or not there, at the times of the samples, and never at the cost of the text."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import numpy.typing as npt
import pytest

from testkit.media_files import encode, write_wav
from testkit.sounds import RATE, Samples, babble, join, silence
from whisper_service.actors.media import listening_copy
from whisper_service.actors.media.main import decode
from whisper_service.core.domain import Playable
from whisper_service.core.files import draft_of
from whisper_service.supervision.messages.media import ChunkFound, Decode, Decoded
from whisper_service.supervision.protocol import Report

TALK = join(silence(1), babble(9), silence(3), babble(40, seed=1), silence(2))


def command(directory: Path, source: Path, **fields: Any) -> Decode:
    """Return the command to decode a recording, with the files that the service creates for it."""
    target = directory / "copy"
    for path in (directory / "pcm", directory / "peaks", draft_of(target)):
        path.touch()
    known = {"spool": str(directory / "pcm"), "peaks": str(directory / "peaks"), "copy": str(target)}
    return Decode(job_id="job", source=str(source), **known | fields)


def caf(directory: Path, samples: Samples = TALK, **kinds: Any) -> Path:
    return encode(directory / "talk.caf", samples, "alac", format="caf", **kinds)


def decoded(reports: list[Report]) -> Decoded:
    (found,) = [report for report in reports if isinstance(report, Decoded)]
    return found


def heard(path: Path) -> tuple[npt.NDArray[np.float64], float]:
    """Return the sound of a copy, 16 kHz mono, and the time of its first sample, in seconds."""
    with av.open(str(path)) as container:
        assert container.format.name == "matroska,webm"
        (stream,) = container.streams
        assert isinstance(stream, av.AudioStream)
        assert (stream.codec_context.name, stream.codec_context.layout.name) == ("opus", "mono")
        resampler = av.AudioResampler("s16", "mono", RATE)
        frames = list(container.decode(stream))
        pieces = [ready.to_ndarray()[0] for frame in (*frames, None) for ready in resampler.resample(frame)]
        assert frames[0].time is not None
        return np.concatenate(pieces).astype(np.float64), frames[0].time


def lag_s(of: npt.NDArray[Any], behind: npt.NDArray[Any], at: int, width: int = 4 * RATE) -> float:
    """Return by how many seconds one sound comes later than the other, near a sample. At most half a second."""
    reach = RATE // 2
    a = behind[at : at + width].astype(np.float64)
    b = of[at - reach : at + width + reach].astype(np.float64)
    size = 1 << (len(b) + len(a)).bit_length()
    likeness = np.fft.irfft(np.fft.rfft(b, size) * np.conj(np.fft.rfft(a, size)), size)[: 2 * reach]
    return float(likeness.argmax() - reach) / RATE


def test_the_times_of_the_copy_are_those_of_the_samples(tmp_path: Path) -> None:
    talk = np.concatenate([babble(60, seed=seed) for seed in range(10)])
    job = command(tmp_path, caf(tmp_path, talk))
    done = decoded(list(decode(job)))
    assert done.playable is Playable.COPY
    assert done.copy_bytes == Path(job.copy).stat().st_size
    assert 8 * done.copy_bytes / done.duration_s < 50_000
    samples = np.fromfile(job.spool, dtype=np.int16)
    sound, first_s = heard(Path(job.copy))
    assert abs(first_s) < 0.01
    assert abs(len(sound) - len(samples)) < RATE // 20
    lags = [lag_s(sound, samples, at) for at in (RATE, 200 * RATE, 400 * RATE, 590 * RATE)]
    assert max(map(abs, lags)) < 0.01, lags
    assert not draft_of(Path(job.copy)).exists()


def test_sound_that_begins_late_begins_late_in_the_copy(tmp_path: Path) -> None:
    path = encode(tmp_path / "late.mp4", TALK, "aac", rate=48_000, late_s=3.7, video_s=20)
    job = command(tmp_path, path)
    reports = list(decode(job))
    spans = [report.span for report in reports if isinstance(report, ChunkFound)]
    late = round(spans[0].start * RATE) - spans[0].start_sample
    assert late > 3 * RATE
    samples = np.concatenate([np.zeros(late, dtype=np.int16), np.fromfile(job.spool, dtype=np.int16)])
    assert abs(lag_s(heard(Path(job.copy))[0], samples, 20 * RATE)) < 0.01


def test_a_player_finds_its_way_by_the_index(tmp_path: Path) -> None:
    job = command(tmp_path, caf(tmp_path))
    list(decode(job))
    data = Path(job.copy).read_bytes()
    index = data.find(b"\x1c\x53\xbb\x6b", 4_096)
    assert index > 0, "the cues, behind the sound"
    assert b"\x53\xab\x84\x1c\x53\xbb\x6b" in data[:256], "the seek head tells where they are"
    with av.open(job.copy) as container:
        assert container.duration is not None
        assert abs(container.duration / av.time_base - len(TALK) / RATE) < 0.05


def test_the_text_is_the_same_with_and_without_a_copy(tmp_path: Path) -> None:
    (tmp_path / "with").mkdir()
    (tmp_path / "without").mkdir()
    source = caf(tmp_path)
    one = list(decode(with_copy := command(tmp_path / "with", source)))
    two = list(decode(without := command(tmp_path / "without", source, copy="")))
    assert [r for r in one if isinstance(r, ChunkFound)] == [r for r in two if isinstance(r, ChunkFound)]
    assert Path(with_copy.spool).read_bytes() == Path(without.spool).read_bytes()
    assert Path(with_copy.peaks).read_bytes() == Path(without.peaks).read_bytes()
    assert (decoded(two).playable, decoded(two).copy_bytes) == (None, 0)


def test_no_copy_of_what_every_browser_plays(tmp_path: Path) -> None:
    job = command(tmp_path, write_wav(tmp_path / "talk.wav", TALK))
    done = decoded(list(decode(job)))
    assert (done.playable, done.copy_bytes, done.warnings) == (Playable.RECORDING, 0, ())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pcm", "peaks", "talk.wav"]


def test_a_copy_of_an_earlier_decode_is_kept(tmp_path: Path) -> None:
    job = command(tmp_path, caf(tmp_path))
    first = decoded(list(decode(job)))
    before = Path(job.copy).read_bytes(), Path(job.copy).stat().st_mtime_ns
    assert decoded(list(decode(job))) == first
    assert (Path(job.copy).read_bytes(), Path(job.copy).stat().st_mtime_ns) == before


def test_half_a_copy_of_a_killed_actor_is_written_over(tmp_path: Path) -> None:
    job = command(tmp_path, caf(tmp_path))
    draft_of(Path(job.copy)).write_bytes(b"half" * 500_000)
    done = decoded(list(decode(job)))
    assert done.copy_bytes < 1_000_000
    assert len(heard(Path(job.copy))[0]) > 50 * RATE


class Attempt(NamedTuple):
    done: Decoded
    left: list[str]


def attempt(tmp_path: Path) -> Attempt:
    job = command(tmp_path, caf(tmp_path))
    reports = list(decode(job))
    done = decoded(reports)
    assert sum(isinstance(report, ChunkFound) for report in reports) == 3
    assert len(np.fromfile(job.spool, dtype=np.int16)) > len(TALK) - RATE
    return Attempt(done, sorted(path.name for path in tmp_path.iterdir()))


@pytest.mark.parametrize("at", [0, 2, 5])
def test_a_full_disk_ends_the_copy_and_not_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """The disk is full at the first, at some, or at the last bytes."""

    class Full:
        writes = 0

        def __init__(self, file: Any) -> None:
            self._file = file

        def write(self, data: bytes) -> int:
            Full.writes += 1
            if Full.writes > at:
                raise OSError(errno.ENOSPC, "No space left on device")
            return int(self._file.write(data))

        def __getattr__(self, name: str) -> Any:
            return getattr(self._file, name)

    real: Any = av.open

    def on_full_disk(file: Any, mode: str = "r", **options: Any) -> Any:
        return real(Full(file) if mode == "w" else file, mode, **options)

    source = caf(tmp_path)
    monkeypatch.setattr(av, "open", on_full_disk)
    job = command(tmp_path, source)
    done = decoded(list(decode(job)))
    assert Full.writes > at
    assert (done.playable, done.copy_bytes) == (None, 0)
    (remark,) = done.warnings
    assert remark.code == "no_listening_copy"
    assert "no room" in remark.message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pcm", "peaks", "talk.caf"]


def test_a_copy_leaves_room_for_the_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=50 << 20))
    done, left = attempt(tmp_path)
    assert [remark.code for remark in done.warnings] == ["no_listening_copy"]
    assert left == ["pcm", "peaks", "talk.caf"]


def test_an_encoder_that_fails_ends_the_copy_and_not_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Any, samples: Any) -> None:
        raise av.error.ExternalError(1, "encoder")

    monkeypatch.setattr(listening_copy._Encoder, "write", fail)
    done, left = attempt(tmp_path)
    assert (done.playable, done.copy_bytes) == (None, 0)
    assert [remark.code for remark in done.warnings] == ["no_listening_copy"]
    assert "could not be encoded" in done.warnings[0].message
    assert left == ["pcm", "peaks", "talk.caf"]


def test_a_copy_that_was_deleted_with_its_job_does_not_come_back(tmp_path: Path) -> None:
    job = command(tmp_path, caf(tmp_path))
    for report in decode(job):
        if isinstance(report, ChunkFound):
            draft_of(Path(job.copy)).unlink(missing_ok=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pcm", "peaks", "talk.caf"]


def test_a_cancelled_decode_leaves_no_copy(tmp_path: Path) -> None:
    job = command(tmp_path, caf(tmp_path))
    seen = 0

    def cancelled() -> bool:
        return seen > 1

    for report in decode(job, cancelled):
        seen += isinstance(report, ChunkFound)
        assert not isinstance(report, Decoded)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pcm", "peaks", "talk.caf"]
