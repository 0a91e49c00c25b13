"""What the live actor keeps of a session does not grow with its length."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from testkit.sounds import Samples, babble, join, silence
from whisper_service.actors.media import growing
from whisper_service.actors.media.growing import GrowingRecording
from whisper_service.actors.vad import FRAME, DetectorState, SpeechDetector
from whisper_service.core.sound_format import SoundFormat
from whisper_service.supervision.messages.media import ChunkFound, Follow, SessionState
from whisper_service.supervision.protocol import Report

FORM = SoundFormat(16_000)
TALK = join(babble(20), silence(3.5), babble(29, seed=1), silence(1), babble(3, seed=2), silence(3.5))
MOST_BYTES = 60_000
"""In twenty minutes: a list of places has 10 kB, one number for each frame of the detector would have 1.2 MB."""


class LoudnessDetector:
    """Takes loud frames for speech, in place of the network."""

    def __init__(self, like: object = None, step: int = 1) -> None:
        self.tail: Samples = np.zeros(0, np.int16)

    def feed(self, samples: Samples) -> Iterable[float]:
        self.tail = np.concatenate((self.tail, samples))
        whole = len(self.tail) // FRAME * FRAME
        frames, self.tail = self.tail[:whole].reshape(-1, FRAME), self.tail[whole:]
        return [0.9 if loud else 0.0 for loud in np.abs(frames.astype(int)).mean(axis=1) > 50]

    def state(self) -> DetectorState:
        return DetectorState(b"", b"", b"", 0, 0, 0.0)


def test_memory_stays_what_it_was_however_long_a_session_lasts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing, "SpeechDetector", LoudnessDetector)
    source, spool, peaks, fine = (tmp_path / name for name in ("wav", "pcm", "peaks", "fine"))
    source.write_bytes(FORM.header(None))
    for path in (spool, peaks, fine):
        path.touch()
    data, counts = TALK.tobytes(), {ChunkFound: 0, SessionState: 0}

    def emit(report: Report) -> None:
        if type(report) in counts:
            counts[type(report)] += 1

    command = Follow("job", str(source), str(spool), str(peaks), FORM, 0, fine_peaks=str(fine))
    detector = object.__new__(SpeechDetector)  # of which only another one is made
    with closing(GrowingRecording(command, detector)) as session:
        written = 0

        def hear(minutes: int) -> int:
            """Let the session grow, and return the bytes of memory that are used then."""
            nonlocal written
            with source.open("ab") as file:
                for _ in range(minutes):
                    file.write(data)
                    file.flush()
                    written += len(data)
                    session.grow(written, ended=False)
                    while session.has_work:
                        session.step(emit)
            return tracemalloc.get_traced_memory()[0]

        hear(5)
        tracemalloc.start()
        try:
            before = hear(5)
            grown = hear(20) - before
        finally:
            tracemalloc.stop()
    assert counts[ChunkFound] >= 60
    assert counts[SessionState] >= 30
    assert grown < MOST_BYTES
