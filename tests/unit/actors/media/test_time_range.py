"""A range of a recording: its samples and its times, and nothing of the rest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from testkit.media_files import encode, write_wav
from testkit.sounds import RATE, babble, join, silence
from whisper_service.actors.media.main import decode
from whisper_service.actors.media.time_range import BeginsTooLate
from whisper_service.supervision.messages.media import ChunkFound, Decode, Decoded, MediaInfo
from whisper_service.supervision.protocol import Report

TALK = join(silence(1), babble(9), silence(5), babble(20, seed=1), silence(5), babble(6, seed=2), silence(1))
"""Speech from 1 to 10, from 15 to 35 and from 40 to 46 of 47 seconds."""


def decoded(directory: Path, source: Path, begin_s: float, end_s: float | None) -> list[Report]:
    for name in ("pcm", "peaks"):
        (directory / name).touch()
    files = {"spool": str(directory / "pcm"), "peaks": str(directory / "peaks")}
    return list(decode(Decode(job_id="job", source=str(source), begin_s=begin_s, end_s=end_s, **files)))


def test_the_spool_has_the_samples_of_the_stretch_alone(tmp_path: Path) -> None:
    decoded(tmp_path, write_wav(tmp_path / "talk.wav", TALK), 14.3, 36.7)
    samples = np.fromfile(tmp_path / "pcm", dtype=np.int16)
    np.testing.assert_array_equal(samples, TALK[round(14.3 * RATE) : round(36.7 * RATE)])


def test_the_times_are_those_of_the_recording(tmp_path: Path) -> None:
    info, *reports = decoded(tmp_path, write_wav(tmp_path / "talk.wav", TALK), 14.3, 36.7)
    assert isinstance(info, MediaInfo)
    assert info.duration_s == 36.7
    (span,) = [report.span for report in reports if isinstance(report, ChunkFound)]
    assert span.start == pytest.approx(14.5, abs=0.2)
    assert span.end == pytest.approx(35.5, abs=0.2)
    assert span.start == pytest.approx(14.3 + span.start_sample / RATE)
    assert isinstance(reports[-1], Decoded)
    assert reports[-1].duration_s == 36.7


def test_the_times_follow_the_clock_of_a_track_that_begins_late(tmp_path: Path) -> None:
    source = encode(tmp_path / "late.mkv", TALK, late_s=2.0, video_s=49.0)
    _, *reports = decoded(tmp_path, source, 38.0, None)
    (span,) = [report.span for report in reports if isinstance(report, ChunkFound)]
    assert span.start == pytest.approx(41.5, abs=0.3)
    assert span.end == pytest.approx(48.5, abs=0.3)


def test_a_whole_recording_is_as_ever(tmp_path: Path) -> None:
    source = write_wav(tmp_path / "talk.wav", TALK)
    whole = decoded(tmp_path, source, 0.0, None)
    spans = [report.span for report in whole if isinstance(report, ChunkFound)]
    np.testing.assert_array_equal(np.fromfile(tmp_path / "pcm", dtype=np.int16), TALK)
    to_its_end = decoded(tmp_path, source, 0.0, 47.0)
    assert [report.span for report in to_its_end if isinstance(report, ChunkFound)] == spans


def test_a_stretch_behind_the_end_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(BeginsTooLate) as caught:
        decoded(tmp_path, write_wav(tmp_path / "talk.wav", TALK), 47.0, 60.0)
    assert caught.value.problem.params == {"begin_s": 47.0, "seconds": 47.0}
