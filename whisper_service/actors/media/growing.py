"""The recording of a live session: cut into chunks while it grows, exactly as the whole file would be cut."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from whisper_service.actors.media.chunker import Chunker, policy_for
from whisper_service.actors.media.playback import CODECS, RATES
from whisper_service.actors.media.raw_sound import RawSound
from whisper_service.actors.media.resampler import SoundBlock
from whisper_service.actors.media.spool import SpoolFile
from whisper_service.actors.media.unheard import Unheard
from whisper_service.actors.media.waveform import WaveformFiles
from whisper_service.actors.vad import SpeechDetector
from whisper_service.core.domain import SAMPLE_RATE, Playable, Span
from whisper_service.core.errors import NotFound
from whisper_service.supervision.protocol import ChunkFound, Decoded, Follow, Followed, Report

PIECE_S: Final = 10.0
"""Seconds of sound that are read at once, so that no session waits long for another that catches up."""
STEP: Final = 8
"""Frames in a call of the voice detector, 0.26 s: a pause is seen early. Costs 0.3 % of a core."""


class GrowingRecording:
    """One live session. `step` takes in what has come; `close` gives up the files."""

    def __init__(self, command: Follow, detector: SpeechDetector) -> None:
        """Open the files. Raises `FileNotFoundError` when one is gone, and `NotFound` for the recording."""
        self.job_id = command.job_id
        self._form = command.form
        self._path = Path(command.source)
        self._known, self._ended = command.sound_bytes, command.ended
        self._taken = 0  # bytes of sound
        self._samples = 0  # in the spool
        self._sound = RawSound(command.form)
        self._detector = SpeechDetector(like=detector, step=STEP)
        self._chunker = Chunker(policy_for(None))
        self._unheard = Unheard()
        self._chunks: list[Span] = []
        with ExitStack() as files:
            try:
                self._source = files.enter_context(self._path.open("rb", buffering=0))
            except FileNotFoundError:
                raise NotFound("The recording is not on the disk any more.", hint="Begin a new session.") from None
            self._spool = files.enter_context(SpoolFile(command.spool))
            self._waveform = files.enter_context(WaveformFiles(command.peaks, command.fine_peaks))
            self._files = files.pop_all()

    @property
    def has_work(self) -> bool:
        """Whether there is sound that was not taken in, or the end was not told."""
        return self._taken < self._known or self._ended

    def grow(self, sound_bytes: int, *, ended: bool) -> None:
        """Say how many bytes of sound the recording has by now, and whether no more will come."""
        self._known, self._ended = max(self._known, sound_bytes), self._ended or ended

    def step(self, emit: Callable[[Report], None]) -> bool:
        """Take in the next `PIECE_S` of sound and emit what was found. True: that was the end of the session."""
        length = min(self._known - self._taken, int(PIECE_S * self._form.rate) * self._form.frame_bytes)
        data = self._read(length)
        self._taken += length
        self._take(self._sound.feed(data), emit)
        last = self._ended and self._taken >= self._known
        if last:
            self._finish(emit)
        else:
            self._spool.flush()
            self._waveform.flush()
            emit(Followed(job_id=self.job_id, sound_bytes=self._taken, position_s=self._samples / SAMPLE_RATE))
        return last

    def cut(self, emit: Callable[[Report], None]) -> None:
        """End the chunk that is open."""
        self._tell(self._chunker.cut_here(), emit)

    def close(self) -> None:
        """Close the files. What was not sealed is written anew by the next attempt."""
        self._files.close()

    def _read(self, length: int) -> bytes:
        """Return the next bytes of sound. Raises `NotFound` if they are not in the file any more."""
        self._source.seek(self._form.header_bytes + self._taken)
        data = b""
        while len(data) < length:
            more = self._source.read(length - len(data))
            if not more:
                hint = "Find out what cut the file."
                raise NotFound("The recording of the session is shorter than it was.", hint=hint)
            data += more
        return data

    def _take(self, blocks: Iterable[SoundBlock], emit: Callable[[Report], None]) -> None:
        for block in blocks:
            self._samples += len(block.mono)
            self._spool.write(block.mono.tobytes())
            self._waveform.feed(block.mono)
            self._unheard.feed(block.mono)
            self._tell(self._chunker.feed(self._detector.feed(block.mono)), emit)

    def _finish(self, emit: Callable[[Report], None]) -> None:
        self._take(self._sound.finish(), emit)
        self._tell(self._chunker.feed(self._detector.finish()), emit)
        self._tell(self._chunker.finish(self._samples), emit)
        self._waveform.finish()
        self._waveform.seal()
        self._spool.seal()  # last: a complete spool says that everything was written
        unheard = self._unheard.remark(self._chunks, 0.0)
        emit(
            Decoded(
                job_id=self.job_id,
                duration_s=self._samples / SAMPLE_RATE,
                warnings=() if unheard is None else (unheard,),
                playable=self._playable,
            )
        )

    def _tell(self, spans: Iterable[Span], emit: Callable[[Report], None]) -> None:
        for span in spans:
            self._chunks.append(span)
            self._spool.flush()
            emit(ChunkFound(job_id=self.job_id, span=span))

    @property
    def _playable(self) -> Playable | None:
        """What a player gets: the recording, unless not every browser plays its encoding."""
        plays = f"pcm_{self._form.encoding}" in CODECS["wav"] and self._form.rate in RATES
        return Playable.RECORDING if plays and self._samples else None
