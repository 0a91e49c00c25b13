"""Speech probabilities in, chunks out: decides where a recording is cut. Pure and incremental.

Owns the rules of cutting and nothing else: no audio, no model, no files. It sees one probability per 32 ms frame and
keeps at most one window of them, so its memory does not grow with the recording.

A window opens at the first frame of speech and takes in everything that follows, pauses included, until

- a pause of `close_pause_s` ends it, or
- it is the first of a long recording, is long enough to be worth reading, and there is a pause: the first text comes early, or
- the next frame of speech would make it longer than Whisper can hear at once; then it is cut in the best pause it has -
  a long one, and a late one - and the rest stays open as the next window. Speech without a pause is cut where it is
  least like speech.

So windows follow each other without overlap and every frame of speech is in exactly one of them. They are long on purpose:
Whisper hears better with more around a word, and loses nothing in a pause that it can see (measured: docs/performance.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace

from whisper_service.actors.vad import FRAME, OFFSET, ONSET
from whisper_service.core.domain import SAMPLE_RATE, Span, Value


class ChunkPolicy(Value, frozen=True):
    """How to cut. Times are seconds, thresholds are probabilities."""

    max_s: float = 29.5  # longest window, padding included; Whisper hears 30 s
    first_s: float = 10.0  # the first window may close from this length on
    close_pause_s: float = 3.0  # a pause this long always ends a window
    cut_pause_s: float = 0.2  # the shortest pause that is sure to lie between words
    good_pause_s: float = 0.6  # a longer one is no better place to cut: then the later one is taken, for fuller windows
    search_s: float = 5.0  # how far back a forced cut may lie
    pad_s: float = 0.5  # sound kept before and after the speech of a window
    onset: float = ONSET  # silence becomes speech at this probability
    offset: float = OFFSET  # speech becomes silence below this one
    min_speech_s: float = 0.1  # a window between two pauses with less speech than this is a click, not a word

    def __post_init__(self) -> None:
        if not 0 < self.offset <= self.onset <= 1:
            raise ValueError("0 < offset <= onset <= 1 must hold")
        if self.max_s < 2 * self.pad_s + 3 * FRAME / SAMPLE_RATE:
            raise ValueError("max_s must leave room for some frames between the padding")


SHORT_S: Final = 60.0
"""A recording up to this length is not cut early: the whole of it takes seconds, and every cut costs some accuracy."""


BRIEF_S: Final = 11.0
"""Enough speech to tell its language by; longer windows are padded to twice the width and take twice the time to encode."""


def policy_for(duration_s: float | None, *, brief: bool = False) -> ChunkPolicy:
    """How to cut a recording of this length; None: it is not known. `brief`: only its language is wanted."""
    policy = ChunkPolicy()
    if brief:
        return replace(policy, max_s=BRIEF_S)
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
class _Window:
    """Frames `start <= f < speech_end` of one open window; it starts and ends with speech."""

    start: int
    speech_end: int
    fresh: bool  # opened after a pause, not left over by a cut
    pauses: list[_Pause] = field(default_factory=list)
    probabilities: list[float] = field(default_factory=list)

    @property
    def speech_frames(self) -> int:
        return self.speech_end - self.start - sum(pause.frames for pause in self.pauses)

    def after(self, frame: int) -> _Window:
        """What is left of this window from `frame` on."""
        return _Window(
            start=frame,
            speech_end=self.speech_end,
            fresh=False,
            pauses=[pause for pause in self.pauses if pause.begin >= frame],
            probabilities=self.probabilities[frame - self.start :],
        )


class Chunker:
    """Cuts one recording. `offset_s` is where its first sample lies on the recording's own clock."""

    def __init__(self, policy: ChunkPolicy, offset_s: float = 0.0) -> None:
        self._policy = policy
        self._offset_s = offset_s
        self._pad = round(policy.pad_s * SAMPLE_RATE)
        self._max_frames = int((policy.max_s * SAMPLE_RATE - 2 * self._pad) // FRAME)
        self._frames = 0  # seen so far
        self._speaking = False
        self._window: _Window | None = None
        self._given = 0  # samples before this one belong to earlier spans
        self._count = 0

    def feed(self, probabilities: Iterable[float]) -> Iterator[Span]:
        """Take the probabilities of the next frames; yield every span that is now complete.

        A span never ends behind the last frame that was fed.
        """
        for probability in probabilities:
            yield from self._step(probability)

    def finish(self, samples: int) -> Iterator[Span]:
        """The recording has ended after `samples` samples (the last frame may have been padded): yield what is left."""
        yield from self._close(samples)

    def _step(self, probability: float) -> Iterator[Span]:
        policy, frame = self._policy, self._frames
        self._frames += 1
        self._speaking = probability >= (policy.offset if self._speaking else policy.onset)
        if self._window is None:
            if not self._speaking:
                return
            self._window = _Window(start=frame, speech_end=frame, fresh=True)
        window = self._window
        window.probabilities.append(probability)
        if self._speaking:
            if frame > window.speech_end:
                window.pauses.append(_Pause(window.speech_end, frame))
            window.speech_end = frame + 1
            if window.speech_end - window.start > self._max_frames:
                yield self._cut(window)
        elif self._frames - window.speech_end >= self._pause_to_close(window):
            yield from self._close(self._frames * FRAME)

    def _pause_to_close(self, window: _Window) -> float:
        """Frames of silence that end this window."""
        length_s = (window.speech_end - window.start) * FRAME / SAMPLE_RATE
        early = self._count == 0 and length_s >= self._policy.first_s
        return _frames(self._policy.cut_pause_s if early else self._policy.close_pause_s)

    def _close(self, limit: int) -> Iterator[Span]:
        """End the open window, if any, with its speech; its padding may reach up to sample `limit`."""
        window, self._window = self._window, None
        if window is None or (window.fresh and window.speech_frames < _frames(self._policy.min_speech_s)):
            return
        yield self._span(window, min(window.speech_end * FRAME + self._pad, limit))

    def _cut(self, window: _Window) -> Span:
        """End a window that has become too long in the best place; the rest stays open."""
        pause = self._best_pause(window)
        self._window = window.after(pause.end)
        middle = (pause.begin + pause.end) * FRAME // 2
        return self._span(window, min(pause.begin * FRAME + self._pad, middle))

    def _best_pause(self, window: _Window) -> _Pause:
        """The longest and latest pause, as far as longer is better; an empty one at the least speech-like of the last frames where there is none."""
        recent = max(window.start + 1, window.speech_end - max(1, int(_frames(self._policy.search_s))))
        sure = _frames(self._policy.cut_pause_s)
        pauses = [pause for pause in window.pauses if pause.frames >= sure or pause.begin >= recent]
        if pauses:
            good = _frames(self._policy.good_pause_s)
            return max(pauses, key=lambda pause: min(pause.frames, good) * (pause.begin - window.start))
        quietest = min(range(recent, window.speech_end), key=lambda frame: window.probabilities[frame - window.start])
        return _Pause(quietest, quietest)

    def _span(self, window: _Window, end: int) -> Span:
        begin = max(window.start * FRAME - self._pad, self._given)
        self._given = end
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
