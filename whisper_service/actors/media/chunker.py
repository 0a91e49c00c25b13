"""The chunker: decides from speech probabilities where a recording is cut into chunks. No audio, no model, no files.

The chunker gets one probability for each frame of 32 ms and keeps those of one chunk at most, so its memory does not
grow with the recording.

A chunk begins with the first frame of speech and takes in everything that follows, pauses included, until

- a pause of `close_pause_s` comes, or
- a short pause comes in the first chunk of a long recording after `first_s`, so that the first text is early, or
- the next frame of speech would make the chunk longer than Whisper takes at once. Then the chunk is cut in its best
  pause, a long and late one, and the rest becomes the next chunk. Speech without a pause is cut at the frame that is
  least like speech.

So chunks do not overlap, and every frame of speech is in exactly one of them. Chunks are long on purpose: Whisper makes
fewer errors with more context, and none because of a pause inside a chunk (measured: docs/performance.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from msgspec.structs import replace

from whisper_service.actors.vad import FRAME, OFFSET, ONSET
from whisper_service.core.domain import SAMPLE_RATE, Span, Value


class ChunkPolicy(Value, frozen=True):
    """How to cut. Times are seconds, thresholds are probabilities."""

    max_s: float = 29.5  # longest chunk, padding included; Whisper takes 30 s
    first_s: float = 10.0  # the first chunk may end from this length on
    close_pause_s: float = 3.0  # a pause of this length always ends a chunk
    cut_pause_s: float = 0.2  # the shortest pause that surely lies between words
    good_pause_s: float = 0.6  # longer pauses are no better for a cut: the latest of them is taken, for fuller chunks
    search_s: float = 5.0  # how far back a cut without a sure pause may lie
    pad_s: float = 0.5  # kept before and after the speech of a chunk
    onset: float = ONSET  # silence becomes speech at this probability
    offset: float = OFFSET  # speech becomes silence below this probability
    min_speech_s: float = 0.1  # a chunk between two pauses with less speech is a click, not a word
    lonely_s: float = 8.0  # after a silence of this length the detector is wide awake, and takes some noise for speech:
    lonely_speech_s: float = 0.3  # there a chunk needs this much speech
    min_run_s: float = 0.0  # a chunk without a stretch of speech of this length is left out

    def __post_init__(self) -> None:
        if not 0 < self.offset <= self.onset <= 1:
            raise ValueError("0 < offset <= onset <= 1 must hold")
        if self.max_s < 2 * self.pad_s + 3 * FRAME / SAMPLE_RATE:
            raise ValueError("max_s must leave room for some frames between the padding")


SHORT_S: Final = 60.0
"""Up to this length of a recording, its first chunk does not end early: the text comes within seconds anyway, and every
cut costs some accuracy."""


BRIEF_S: Final = 11.0
"""Enough speech to detect its language. Longer chunks are padded to twice the width and take twice as long."""
SPOKEN_S: Final = 0.32
"""The shortest stretch of speech that tells a language. Measured: the longest that the detector finds in music
and noise has 0.29 s; the longest of each of 21 recordings of speech has 0.77 s or more."""


def policy_for(duration_s: float | None, *, brief: bool = False) -> ChunkPolicy:
    """Return how to cut a recording of this length (None: unknown). `brief`: only its language is detected."""
    policy = ChunkPolicy()
    if brief:
        return replace(policy, max_s=BRIEF_S, min_run_s=SPOKEN_S)
    return policy if duration_s is None or duration_s > SHORT_S else replace(policy, first_s=policy.max_s)


@dataclass(frozen=True, slots=True)
class _Pause:
    """Frames `begin <= f < end` without speech, with speech on both sides."""

    begin: int
    end: int

    @property
    def frames(self) -> int:
        return self.end - self.begin


@dataclass(slots=True)
class _OpenChunk:
    """Frames `start <= f < speech_end` of a chunk that may still grow. It starts and ends with speech."""

    start: int
    speech_end: int
    after_pause: bool  # began after a pause, and is not the rest of a cut
    lonely: bool = False  # began after a long silence
    pauses: list[_Pause] = field(default_factory=list)
    probabilities: list[float] = field(default_factory=list)

    @property
    def speech_frames(self) -> int:
        return self.speech_end - self.start - sum(pause.frames for pause in self.pauses)

    def longest_run(self, end: int) -> int:
        """Return the frames of the longest speech without a pause before frame `end`."""
        pauses = [pause for pause in self.pauses if pause.begin < end]
        begins = [self.start, *(pause.end for pause in pauses)]
        ends = [*(pause.begin for pause in pauses), end]
        return max(stop - begin for begin, stop in zip(begins, ends, strict=True))

    def rest(self, frame: int) -> _OpenChunk:
        """Return what follows from `frame` on."""
        return _OpenChunk(
            start=frame,
            speech_end=self.speech_end,
            after_pause=False,
            pauses=[pause for pause in self.pauses if pause.begin >= frame],
            probabilities=self.probabilities[frame - self.start :],
        )


class ChunkerState(NamedTuple):
    """Where a chunker is in a recording."""

    frames: int
    speaking: bool
    speech_end: int
    open: _OpenChunk | None
    end: int
    found: int


class Chunker:
    """Cuts one recording. `offset_s` is the time of its first sample on the recording's own clock."""

    def __init__(self, policy: ChunkPolicy, offset_s: float = 0.0) -> None:
        self._policy = policy
        self._offset_s = offset_s
        self._pad = round(policy.pad_s * SAMPLE_RATE)
        self._max_frames = int((policy.max_s * SAMPLE_RATE - 2 * self._pad) // FRAME)
        self._frames = 0  # fed so far
        self._speaking = False
        self._speech_end = 0  # the frame behind the last speech
        self._open: _OpenChunk | None = None
        self._end = 0  # samples before this one belong to earlier chunks
        self._count = 0
        self._speech_begin: int | None = None  # the first frame of the last speech; None: it is not known

    @property
    def speaking(self) -> bool:
        """Whether the last frame is speech."""
        return self._speaking

    @property
    def speech(self) -> tuple[float, float] | None:
        """Where the last speech began, behind a pause of `cut_pause_s`, and where it ended so far. None: there is none.

        In seconds from the first frame.
        """
        if not self._speech_end:
            return None
        begin = self._speech_end if self._speech_begin is None else self._speech_begin
        return begin * FRAME / SAMPLE_RATE, self._speech_end * FRAME / SAMPLE_RATE

    def state(self) -> ChunkerState:
        """Return where this chunker is. The state changes with it: encode it before anything is fed."""
        return ChunkerState(self._frames, self._speaking, self._speech_end, self._open, self._end, self._count)

    def restore(self, state: ChunkerState) -> None:
        """Go on from where a chunker with an equal policy was."""
        self._frames, self._speaking, self._speech_end, self._open, self._end, self._count = state
        self._speech_begin = None if self._open is None else self._open.start

    def feed(self, probabilities: Iterable[float]) -> Iterator[Span]:
        """Take the probabilities of the next frames and yield every chunk that is now complete.

        No chunk ends after the last frame that was fed.
        """
        for probability in probabilities:
            yield from self._step(probability)

    def cut_here(self) -> Iterator[Span]:
        """Yield the chunk that is open, as if a pause came now. What follows is another chunk."""
        yield from self._close(self._frames * FRAME)

    def finish(self, samples: int) -> Iterator[Span]:
        """Yield the last chunk. The recording has `samples` samples: the last frame may have been padded."""
        yield from self._close(samples)

    def _step(self, probability: float) -> Iterator[Span]:
        policy, frame = self._policy, self._frames
        self._frames += 1
        self._speaking = probability >= (policy.offset if self._speaking else policy.onset)
        silent = frame - self._speech_end >= _frames(policy.cut_pause_s)
        if self._speaking and (self._open is None or silent):
            self._speech_begin = frame
        if self._open is None:
            if not self._speaking:
                return
            lonely = frame - self._speech_end >= _frames(policy.lonely_s)
            self._open = _OpenChunk(start=frame, speech_end=frame, after_pause=True, lonely=lonely)
        chunk = self._open
        chunk.probabilities.append(probability)
        if self._speaking:
            if frame > chunk.speech_end:
                chunk.pauses.append(_Pause(chunk.speech_end, frame))
            chunk.speech_end = self._speech_end = frame + 1
            if chunk.speech_end - chunk.start > self._max_frames:
                yield from self._cut(chunk)
        elif self._frames - chunk.speech_end >= self._pause_to_close(chunk):
            yield from self._close(self._frames * FRAME)

    def _pause_to_close(self, chunk: _OpenChunk) -> float:
        """Return the frames of silence that end this chunk."""
        length_s = (chunk.speech_end - chunk.start) * FRAME / SAMPLE_RATE
        early = self._count == 0 and length_s >= self._policy.first_s
        return _frames(self._policy.cut_pause_s if early else self._policy.close_pause_s)

    def _close(self, limit: int) -> Iterator[Span]:
        """End the open chunk, if there is one, after its speech. Its padding may reach up to sample `limit`."""
        chunk, self._open = self._open, None
        if chunk is None:
            return
        least_s = self._policy.lonely_speech_s if chunk.lonely else self._policy.min_speech_s
        if chunk.after_pause and chunk.speech_frames < _frames(least_s):
            return
        if chunk.longest_run(chunk.speech_end) < _frames(self._policy.min_run_s):
            return
        yield self._span(chunk, min(chunk.speech_end * FRAME + self._pad, limit))

    def _cut(self, chunk: _OpenChunk) -> Iterator[Span]:
        """End a chunk that has become too long in its best pause. The rest stays open."""
        pause = self._best_pause(chunk)
        self._open = chunk.rest(pause.end)
        middle = (pause.begin + pause.end) * FRAME // 2
        if chunk.longest_run(pause.begin) >= _frames(self._policy.min_run_s):
            yield self._span(chunk, min(pause.begin * FRAME + self._pad, middle))

    def _best_pause(self, chunk: _OpenChunk) -> _Pause:
        """Return the pause with the greatest product of length (up to `good_pause_s`) and position in the chunk.

        Pauses of `cut_pause_s` count everywhere, shorter ones in the last `search_s`. Without any: an empty pause at
        the frame of the last `search_s` that is least like speech.
        """
        recent = max(chunk.start + 1, chunk.speech_end - max(1, int(_frames(self._policy.search_s))))
        sure = _frames(self._policy.cut_pause_s)
        pauses = [pause for pause in chunk.pauses if pause.frames >= sure or pause.begin >= recent]
        if pauses:
            good = _frames(self._policy.good_pause_s)
            return max(pauses, key=lambda pause: min(pause.frames, good) * (pause.begin - chunk.start))
        weakest = min(range(recent, chunk.speech_end), key=lambda frame: chunk.probabilities[frame - chunk.start])
        return _Pause(weakest, weakest)

    def _span(self, chunk: _OpenChunk, end: int) -> Span:
        begin = max(chunk.start * FRAME - self._pad, self._end)
        self._end = end
        span = Span(
            index=self._count,
            start_sample=begin,
            samples=end - begin,
            start=self._offset_s + begin / SAMPLE_RATE,
            end=self._offset_s + end / SAMPLE_RATE,
        )
        self._count += 1
        return span


def _frames(seconds: float) -> float:
    return seconds * SAMPLE_RATE / FRAME
