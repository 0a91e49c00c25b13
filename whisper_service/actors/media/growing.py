"""The recording of a live session: cut into chunks while it grows, exactly as the whole file would be cut."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from copy import deepcopy
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from whisper_service.actors.media.chunker import Chunker, ChunkerState, policy_for
from whisper_service.actors.media.downmix import MixState
from whisper_service.actors.media.playback import CODECS, RATES
from whisper_service.actors.media.raw_sound import LEAD_S, RawSound
from whisper_service.actors.media.resampler import BLOCK, SoundBlock
from whisper_service.actors.media.spool import SpoolFile
from whisper_service.actors.media.unheard import Unheard
from whisper_service.actors.media.waveform import FINE_PER_SECOND, PER_SECOND, WaveformFiles
from whisper_service.actors.vad import DetectorState, SpeechDetector
from whisper_service.core.domain import SAMPLE_RATE, Playable, Span
from whisper_service.core.errors import NotFound
from whisper_service.supervision.messages.media import ChunkFound, Decoded, Follow, Followed, HeardAhead, SessionState
from whisper_service.supervision.protocol import Report

PIECE_S: Final = 10.0
"""Seconds of sound that are read at once, so that no session waits long for another that catches up."""
STEP: Final = 8
"""Frames in a call of the voice detector, 0.26 s: a pause is seen early. Costs 0.3 % of a core."""


SAVE_S: Final = 60
"""Seconds of sound after which a state is emitted although there is no new chunk."""
BYTES: Final = 2
"""Bytes of a sample in the spool."""
VERSION: Final = 1
"""Counts the kinds of states. One of another kind is not used."""


class _State(msgspec.Struct, array_like=True):
    """All that is needed to go on behind a whole second of a session."""

    version: int
    samples: int
    detector: DetectorState
    chunker: ChunkerState
    mixes: list[MixState]
    chunks: list[tuple[int, int]]


class GrowingRecording:
    """One live session. `step` takes in what has come; `close` gives up the files."""

    def __init__(self, command: Follow, detector: SpeechDetector) -> None:
        """Open the files. Raises `FileNotFoundError` when one is gone, and `NotFound` for the recording."""
        self.job_id = command.job_id
        self._form = command.form
        self._path = Path(command.source)
        self._known, self._ended = command.sound_bytes, command.ended
        self._detector = SpeechDetector(like=detector, step=STEP)
        self._chunker = Chunker(policy_for(None))
        self._unheard = Unheard()
        self._chunks: list[tuple[int, int]] = []  # first sample and samples
        state = _usable(command)
        self._samples = self._saved = 0 if state is None else state.samples  # in the spool; of the last state
        self._found = False  # a chunk since the last state
        begin_s = self._samples // SAMPLE_RATE
        self._taken = max(0, begin_s - LEAD_S) * command.form.rate * command.form.frame_bytes  # bytes of sound
        self._sound = RawSound(command.form, None if state is None else state.mixes)
        if state is not None:
            self._detector.restore(state.detector)
            self._chunker.restore(state.chunker)
            self._chunks = state.chunks
            self._hear_again(command.spool)
        with ExitStack() as files:
            try:
                self._source = files.enter_context(self._path.open("rb", buffering=0))
            except FileNotFoundError:
                raise NotFound("The recording is not on the disk any more.", hint="Begin a new session.") from None
            self._spool = files.enter_context(SpoolFile(command.spool, self._samples * BYTES))
            self._waveform = files.enter_context(WaveformFiles(command.peaks, command.fine_peaks, begin_s))
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
        data = self._read(self._taken, length)
        self._taken += length
        self._take(self._sound.feed(data), emit)
        last = self._ended and self._taken >= self._known
        if last:
            self._finish(emit)
        else:
            self._spool.flush()
            self._waveform.flush()
            position_s, speech = self._samples / SAMPLE_RATE, self._chunker.speech
            emit(Followed(self.job_id, self._taken, position_s, self._chunker.speaking, speech))
        return last

    def cut(self, emit: Callable[[Report], None]) -> None:
        """End the chunk that is open."""
        self._tell(self._chunker.cut_here(), emit)

    def hear_ahead(self, emit: Callable[[Report], None]) -> None:
        """Emit how the session sounds up to the newest sample that was taken in. Changes nothing of the session.

        Up to 0.75 s wait in the resampler for what follows. Their samples, almost as they will be, go into the spool
        behind the others, which will take their place.
        """
        begin_s = max(0, self._samples // SAMPLE_RATE - LEAD_S)
        place = begin_s * self._form.rate * self._form.frame_bytes
        sound, data = RawSound(self._form), self._read(place, self._taken - place)
        blocks = [block.mono for block in (*sound.feed(data), *sound.finish())]
        new = np.concatenate(blocks)[self._samples - begin_s * SAMPLE_RATE :] if blocks else np.zeros(0, np.int16)
        detector, chunker = SpeechDetector(like=self._detector, step=STEP), deepcopy(self._chunker)
        detector.restore(self._detector.state())
        for _ in chunker.feed([*detector.feed(new), *detector.finish()]):
            pass  # the chunk is found when the sound is taken in
        self._spool.write_ahead(new.tobytes())
        position_s = (self._samples + len(new)) / SAMPLE_RATE
        emit(HeardAhead(self.job_id, position_s, chunker.speaking, chunker.speech))

    def close(self) -> None:
        """Close the files. What was not sealed is written anew by the next attempt."""
        self._files.close()

    def _read(self, place: int, length: int) -> bytes:
        """Return the sound from byte `place` on. Raises `NotFound` if it is not in the file any more."""
        self._source.seek(self._form.header_bytes + place)
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
            if self._samples % SAMPLE_RATE == 0 and (
                self._found or self._samples - self._saved >= SAVE_S * SAMPLE_RATE
            ):
                self._save(emit)

    def _save(self, emit: Callable[[Report], None]) -> None:
        """Emit a state from which another actor can go on. What it needs of the spool is on stable storage before."""
        self._spool.sync()
        self._waveform.flush()
        state = _State(
            VERSION, self._samples, self._detector.state(), self._chunker.state(), self._sound.mixes, self._chunks
        )
        emit(SessionState(job_id=self.job_id, state=msgspec.msgpack.encode(state)))
        self._saved, self._found = self._samples, False

    def _hear_again(self, spool: str) -> None:
        """Measure again how loud the sound of the spool is up to the state."""
        with Path(spool).open("rb") as file:
            for begin in range(0, self._samples, BLOCK):
                size = min(BLOCK, self._samples - begin) * BYTES
                self._unheard.feed(np.frombuffer(file.read(size), "<i2"))

    def _finish(self, emit: Callable[[Report], None]) -> None:
        self._take(self._sound.finish(), emit)
        self._tell(self._chunker.feed(self._detector.finish()), emit)
        self._tell(self._chunker.finish(self._samples), emit)
        self._waveform.finish()
        self._waveform.seal()
        self._spool.seal()  # last: a complete spool says that everything was written
        spans = [Span(0, first, samples, 0.0, 0.0) for first, samples in self._chunks]
        unheard = self._unheard.remark(spans, 0.0)
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
            self._chunks.append((span.start_sample, span.samples))
            self._found = True
            self._spool.flush()
            emit(ChunkFound(job_id=self.job_id, span=span))

    @property
    def _playable(self) -> Playable | None:
        """What a player gets: the recording, unless not every browser plays its encoding."""
        plays = f"pcm_{self._form.encoding}" in CODECS["wav"] and self._form.rate in RATES
        return Playable.RECORDING if plays and self._samples else None


def _usable(command: Follow) -> _State | None:
    """Return the state from which to go on. None: from the beginning, for there is none, or its files are not whole."""
    if not command.state:
        return None
    try:
        state = msgspec.msgpack.decode(command.state, type=_State)
        seconds = state.samples // SAMPLE_RATE
        needed = {command.spool: state.samples * BYTES, command.peaks: 2 * PER_SECOND * seconds}
        if command.fine_peaks:
            needed[command.fine_peaks] = 2 * FINE_PER_SECOND * seconds
        whole = all(Path(path).stat().st_size >= size for path, size in needed.items())
    except (msgspec.MsgspecError, OSError):
        return None
    sound = seconds * command.form.rate * command.form.frame_bytes
    return state if state.version == VERSION and whole and sound <= command.sound_bytes else None
