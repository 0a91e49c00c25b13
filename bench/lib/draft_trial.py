"""A live session by a clock of its own, with the real model: which words are shown when, and what that costs.

A pass of the model ends so many seconds after its begin as it takes CPU time, as on a core of its own. Sound that comes
meanwhile waits. Final text comes as late after its chunk as the work for it takes. So the numbers do not depend on what
else the machine does, apart from its speed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from itertools import pairwise
from pathlib import Path
from typing import Final
from unittest.mock import patch

import av
import numpy as np

from bench.lib.pipeline import Pipeline
from testkit.sounds import Samples
from whisper_service.actors.media.chunker import Chunker, policy_for
from whisper_service.actors.speech import drafting
from whisper_service.actors.speech.chunk_io import segments_of
from whisper_service.actors.speech.drafting import DraftAudio
from whisper_service.actors.speech.engine import BRIEF_WIDTHS_S, WINDOW_S
from whisper_service.actors.speech.windows import AudioChunk
from whisper_service.actors.vad import SpeechDetector
from whisper_service.core.domain import SAMPLE_RATE, Preset, Span
from whisper_service.core.drafts import DraftWord, ShownDraft
from whisper_service.scheduler import drafts
from whisper_service.scheduler.draft_plan import ALONE_SHARE
from whisper_service.scheduler.drafts import SessionDraft, Sound
from whisper_service.supervision.messages.drafts import DraftedWord

BLOCK_S: Final = 0.5
"""Sound is heard in blocks of this length, as the live actor writes them."""
STEP_S: Final = 0.05
CADENCE_S: Final = 1.0
NEAR_S: Final = 1.0
"""A word of a draft and the same word of the final text are this close."""


@dataclass(frozen=True)
class Policy:
    """How drafts are made."""

    name: str
    widths: tuple[int, ...] = BRIEF_WIDTHS_S
    constants: dict[str, float] = field(default_factory=dict)  # of `scheduler.drafts`


OURS: Final = Policy("narrow windows")
WIDE: Final = Policy("the same in windows of 30 s", (WINDOW_S,))
STREAMING: Final = Policy(
    "30 s, agreement alone, new at each pause",
    (WINDOW_S,),
    {"AGE_S": 1e9, "NEW_S": drafts.PAUSE_S, "LONG_S": 15.0, "TOO_LONG_S": 15.0},
)
"""As whisper_streaming does it, on this engine."""


@dataclass
class Trial:
    """What came out. Times are seconds of the sound; a latency counts from the end of a word in the final text."""

    seconds: float
    final: list[DraftWord] = field(default_factory=list)
    stable: list[tuple[float, DraftWord]] = field(default_factory=list)  # when it became stable
    shown: list[tuple[float, ShownDraft]] = field(default_factory=list)
    passes: int = 0
    heard_cpu_s: float = 0.0  # of the live actor: it finds speech and cuts chunks
    draft_cpu_s: float = 0.0
    final_cpu_s: float = 0.0

    @property
    def stable_latencies(self) -> list[float]:
        """Return how long after its end each word was stable that is in the final text."""
        said, meant = [_letters(word.word) for _, word in self.stable], [_letters(word.word) for word in self.final]
        blocks = SequenceMatcher(None, said, meant, autojunk=False).get_matching_blocks()
        pairs = ((self.stable[a + n], self.final[b + n]) for a, b, size in blocks for n in range(size))
        return [at - final.end for (at, _), final in pairs]

    @property
    def shown_latencies(self) -> list[float]:
        """Return how long after its end each word of the final text was shown at first."""
        firsts: list[float] = []
        for word in self.final:
            letters, middle = _letters(word.word), (word.start + word.end) / 2
            for at, draft in self.shown:
                if any(
                    _letters(each.word) == letters and abs((each.start + each.end) / 2 - middle) < NEAR_S
                    for each in (*draft.stable, *draft.tentative)
                ):
                    firsts.append(at - word.end)
                    break
        return firsts

    @property
    def erased(self) -> float:
        """Return how many shown words were taken back for each word of the final text."""
        count = 0
        for (_, old), (_, new) in pairwise(self.shown):
            before = [word for word in (*old.stable, *old.tentative) if (word.start + word.end) / 2 >= new.from_s]
            now = (*new.stable, *new.tentative)
            same = 0
            while same < min(len(before), len(now)) and _letters(before[same].word) == _letters(now[same].word):
                same += 1
            count += len(before) - same
        return count / max(1, len(self.final))

    @property
    def texts(self) -> tuple[str, str]:
        """Return the final text and the stable text."""
        return "".join(word.word for word in self.final), "".join(word.word for _, word in self.stable)


def samples(path: Path, seconds: float) -> Samples:
    """Return the beginning of a recording, 16 kHz mono."""
    resampler = av.AudioResampler("s16", "mono", SAMPLE_RATE)
    with av.open(str(path)) as file:
        parts = [part.to_ndarray()[0] for frame in file.decode(audio=0) for part in resampler.resample(frame)]
    return np.concatenate(parts)[: int(seconds * SAMPLE_RATE)]


def run(pipeline: Pipeline, sound: Samples, language: str | None, policy: Policy = OURS) -> Trial:
    """Return what drafts of this sound are like, 16 kHz mono."""
    with _constants(policy.constants):
        return _Session(pipeline, sound, language, policy).run()


class _Session:
    def __init__(self, pipeline: Pipeline, sound: Samples, language: str | None, policy: Policy) -> None:
        self.pipeline, self.sound, self.language, self.policy = pipeline, sound, language, policy
        self.audio = sound.astype(np.float32) / np.float32(32768)
        self.trial = Trial(len(sound) / SAMPLE_RATE)
        self.draft = SessionDraft("trial")
        self.detector, self.chunker = SpeechDetector(step=8), Chunker(policy_for(None))
        self.heard = 0  # samples
        self.finals: list[tuple[float, float, list[DraftWord]]] = []  # when, up to where, words
        self.under_way: tuple[float, Sound, Sequence[DraftedWord], str] | None = None
        self.began_at, self.took_s, self.known = -1e9, 0.0, 0

    def run(self) -> Trial:
        now, length = 0.0, len(self.sound)
        while self.heard < length or self.under_way is not None or self.draft.wants_pass or self.finals:
            while self.heard < length and (end := min(self.heard + int(BLOCK_S * SAMPLE_RATE), length)):
                if end / SAMPLE_RATE > now:
                    break
                self.hear(end, now)
            self.take(now)
            self.give(now)
            now += STEP_S
        return self.trial

    def hear(self, end: int, now: float) -> None:
        began = time.process_time()
        piece, self.heard = self.sound[self.heard : end], end
        spans = list(self.chunker.feed(self.detector.feed(piece)))
        if end == len(self.sound):
            spans += [*self.chunker.feed(self.detector.finish()), *self.chunker.finish(end)]
        self.trial.heard_cpu_s += time.process_time() - began
        self.draft.hear(end / SAMPLE_RATE, self.chunker.speaking and end < len(self.sound), self.chunker.speech)
        if end == len(self.sound):
            self.draft.flush()  # a recording that breaks off in a sentence: its last words are to be compared as well
        for span in spans:
            words, cpu = self.recognised(span)
            self.finals.append((now + cpu, span.end, words))
            self.trial.final_cpu_s += cpu
            self.trial.final += words

    def recognised(self, span: Span) -> tuple[list[DraftWord], float]:
        began = time.process_time()
        audio = self.audio[span.start_sample : span.start_sample + span.samples]
        ((_, found),) = self.pipeline.recognizer.recognise([AudioChunk(audio, self.language)], Preset.BALANCED)
        words = [word for segment in segments_of(found, span, True) for word in segment.words]
        self.language = self.language or found.language
        return [DraftWord(w.start, w.end, w.word) for w in words], time.process_time() - began

    def take(self, now: float) -> None:
        if self.under_way is not None and self.under_way[0] <= now:
            at, sound, words, language = self.under_way
            self.under_way = None
            before = self.draft.hearing()
            self.draft.take(sound, words, language, max(CADENCE_S, self.took_s / ALONE_SHARE))
            after = self.draft.hearing()
            new = after.words[before.before + len(before.words) - after.before :]
            self.trial.stable += [(at, word) for word in new]
            self.trial.shown.append((at, self.draft.draft()))
        if self.heard == len(self.sound) and (self.under_way is not None or self.draft.wants_pass):
            return  # the last words are to be compared as well
        for final in [final for final in self.finals if final[0] <= now]:
            self.finals.remove(final)
            self.draft.finish(final[1], final[2])

    def give(self, now: float) -> None:
        interval_s = self.took_s / ALONE_SHARE
        due = self.began_at + (interval_s if self.draft.settles else max(CADENCE_S, interval_s))
        if self.under_way is not None or now < due or not self.draft.wants_pass:
            return
        sound = self.draft.sound(self.language, follow=False)
        if sound is None:
            return
        began = time.process_time()
        piece = self.audio[sound.start_sample : sound.start_sample + sound.samples]
        (text,) = drafting.draft(
            self.pipeline.engine, [DraftAudio(piece, sound.prefix, sound.language)], self.policy.widths
        )
        self.took_s, self.began_at = time.process_time() - began, now
        self.trial.passes += 1
        self.trial.draft_cpu_s += self.took_s
        offset = sound.start_sample / SAMPLE_RATE
        words = [DraftedWord(offset + w.start, offset + w.end, w.word, tokens) for w, tokens in text.words]
        self.under_way = (now + self.took_s, sound, words, text.language)


@contextmanager
def _constants(values: dict[str, float]) -> Iterator[None]:
    with ExitStack() as stack:
        for name, value in values.items():
            stack.enter_context(patch.object(drafts, name, value))
        yield


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text.casefold()))
