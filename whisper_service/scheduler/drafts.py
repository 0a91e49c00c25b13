"""The draft of one live session: which sound is heard next, and which of its words are stable. Pure.

A pass hears a *window*: the newest seconds of sound. The text of a window begins with its stable words, so no word gets
lost between those and new ones. After a pass a word is stable

- if the pass before had the same word in the same place,
- if it ended longer ago than 1.2 s and 1.2 passes: so agreement that never comes does not hold the text up,
- if a pause follows: then all words are.

Stable words stay. Only the segments of their place end them. The window keeps its beginning over short pauses, because
context matters most; above 8 s it begins anew at its best pause. docs/adr/0038-drafts.md has the measurements.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

from whisper_service.core.domain import SAMPLE_RATE, Value
from whisper_service.core.drafts import DraftWord, Hearing, ShownDraft
from whisper_service.core.text import ends_sentence
from whisper_service.supervision.messages.drafts import DraftedWord

PAUSE_S: Final = 0.5
"""A pause after which every word is stable."""
AGE_S: Final = 1.2
"""Seconds after which a word is stable at the latest. Measured: younger ones differ more often from the final text."""
AGE_PASSES: Final = 1.2
"""The same in passes: where passes are rare, a word needs one that heard what follows it."""
LONG_S: Final = 8.0
"""A longer window begins anew at a good pause."""
TOO_LONG_S: Final = 12.0
"""A longer window begins anew at any word."""
MOST_S: Final = 24.0
"""The longest sound of a pass. What was said before it becomes text with its chunk."""
NEW_S: Final = 3.0
"""A pause after which the window begins anew, as chunks do."""
PIECE_S: Final = 1.0
"""Sound that is taken in at once while an actor keeps up. In a longer piece, others may have spoken before the last."""
LEAD_S: Final = 0.5
"""Sound before the speech of a window, as before that of a chunk."""
TAIL_S: Final = 1.0
"""Silence behind speech that is heard at most."""
LEAST_S: Final = 0.3
"""Speech without which nothing is heard: shorter sounds are mostly noise."""
GOOD_PAUSE_S: Final = 0.6
"""Longer pauses are no better to begin a window at."""
CUT_PAUSE_S: Final = 0.2
"""The shortest pause that surely lies between words."""
SENTENCE_S: Final = 0.3
"""The end of a sentence is worth so much more pause."""
CONTEXT_S: Final = 1.0
"""Sound that a new window keeps at least."""
MOST_TOKENS: Final = 150
"""Tokens of the prefix. The decoder has 224 for a text."""
SAME_S: Final = 0.1
"""A final word that begins so long before the end of the stable ones is one of them, at a slightly different time."""
KEPT_WORDS: Final = 500
"""Stable words that are kept for those who follow: some minutes of speech."""


class Sound(Value, frozen=True):
    """What a pass hears, and what is known of it."""

    begin_s: float
    end_s: float
    prefix: tuple[int, ...]  # tokens
    language: str | None
    settles: bool  # nothing is said behind it: all of its words are stable

    @property
    def start_sample(self) -> int:
        return int(self.begin_s * SAMPLE_RATE)

    @property
    def samples(self) -> int:
        return int(self.end_s * SAMPLE_RATE) - self.start_sample


class SessionDraft:
    """The draft of a session. Times are seconds from its beginning."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        self.passed_s = 0.0  # the end of the sound of the last pass
        self._heard_s = 0.0
        self._speaking = False
        self._speech: tuple[float, float] | None = None
        self._final_s = 0.0  # the end of the final text
        self._begin_s: float | None = None  # of the window; None: there is no speech to hear
        self._stable: list[DraftedWord] = []  # behind the final text
        self._tentative: list[DraftedWord] = []
        self._language: str | None = None  # of the window
        self._settled_s = 0.0
        self._flush_s = 0.0
        self._tried_s = -1.0  # the end of the speech that was to be settled by the last pass
        self._pending = False  # a pass is under way
        self._words: deque[DraftWord] = deque(maxlen=KEPT_WORDS)
        self._count = 0  # stable words of the session
        self._finals: list[DraftWord] = []  # final words behind `_final_s`: chunks before theirs are not done

    # -- what comes in ------------------------------------------------------------------------------------------------

    def hear(self, heard_s: float, speaking: bool, speech: tuple[float, float] | None) -> None:
        """Record how far the session was heard, and where the last speech began and ended."""
        before, was_s = self._speech, self._heard_s
        self._heard_s, self._speaking = max(was_s, heard_s), speaking
        if speech is None or (before is not None and speech[1] < before[1]):  # heard again after a death
            return
        self._speech = speech
        first_s = speech[0] if heard_s - was_s <= PIECE_S else min(speech[0], was_s)
        begins = max(self._final_s, first_s - LEAD_S)
        if speech[1] <= self._final_s:
            return
        if self._begin_s is None or (before is not None and speech[0] - before[1] >= NEW_S):
            self._begin_anew(max(begins, self._begin_s or 0.0))

    def flush(self) -> None:
        """Have all words stable that were said until now, with the next pass."""
        self._flush_s = self._heard_s

    def finish(self, final_s: float, words: Iterable[DraftWord] = ()) -> None:
        """Clear the draft up to the end of the final text. `words`: those of segments that are new, in any order."""
        self._finals += words
        if final_s <= self._final_s:
            return
        self._final_s = final_s
        self._settled_s, self.passed_s = max(self._settled_s, final_s), max(self.passed_s, final_s)
        self._stable = [word for word in self._stable if _middle(word) >= final_s]
        self._tentative = [word for word in self._tentative if _middle(word) >= final_s]
        if self._begin_s is not None and self._begin_s < final_s:
            self._begin_s = final_s if self._speech is not None and self._speech[1] > final_s else None
        due = sorted((word for word in self._finals if _middle(word) < final_s), key=_middle)
        self._finals = [word for word in self._finals if _middle(word) >= final_s]
        said_s = self._words[-1].end if self._words else 0.0
        self._add([word for word in due if word.start > said_s - SAME_S])

    # -- passes -------------------------------------------------------------------------------------------------------

    @property
    def settles(self) -> bool:
        """Whether a pass would make every word stable: a pause follows, or a client wants it."""
        return self._unsettled and (self._pause_s >= PAUSE_S or self._flush_s > self._settled_s)

    @property
    def wants_pass(self) -> bool:
        """Whether there is something to hear."""
        if self._begin_s is None or self._speech is None:
            return False
        if self._is_click:
            return False
        if self.settles and self._tried_s < max(self._speech[1], self._flush_s):
            return True
        return self._speech[1] - self.passed_s >= LEAST_S

    def sound(self, language: str | None, *, follow: bool) -> Sound | None:
        """Return what the next pass hears. None: nothing.

        `language`: that of the job, None: unknown. `follow`: other languages are followed where a window begins.
        """
        if not self.wants_pass or self._begin_s is None or self._speech is None:
            return None
        end_s = self._heard_s if self._speaking else min(self._heard_s, self._speech[1] + TAIL_S)
        if end_s - self._begin_s > MOST_S:
            self._begin_anew(end_s - LONG_S)
        prefix = self._prefix()
        if follow and (prefix or end_s - self._begin_s < 2 * CONTEXT_S):
            language = self._language if prefix else language
        elif follow:
            language = None
        settles = self.settles
        if settles:
            self._tried_s = max(self._speech[1], self._flush_s)
        self.passed_s, self._pending = end_s, True
        tokens = tuple(token for word in prefix for token in word.tokens)
        return Sound(self._begin_s, end_s, tokens, language, settles)

    def take(self, sound: Sound, words: Sequence[DraftedWord], language: str, pass_s: float) -> None:
        """Take in what a pass has heard in a sound, behind its prefix. `pass_s`: seconds from one pass to the next."""
        self._language, self._pending = language, False
        new = [word for word in words if _middle(word) >= self._final_s]
        count = len(new)
        if not sound.settles:
            oldest_s = sound.end_s - max(AGE_S, AGE_PASSES * pass_s)
            old = max((n + 1 for n, word in enumerate(new) if word.end <= oldest_s), default=0)
            passed = sum(_middle(word) < (self._begin_s or 0.0) for word in new)  # the window has begun anew meanwhile
            count = max(old, passed, _agreed(self._tentative, new))
        self._stable += new[:count]
        self._tentative = new[count:]
        self._add([DraftWord(word.start, word.end, word.word) for word in new[:count]])
        if sound.settles:
            self._settled_s = max(self._settled_s, sound.end_s)
        elif count:
            self._settled_s = max(self._settled_s, min(new[count - 1].end, sound.end_s))
        self._trim(sound.end_s)

    def fail(self) -> None:
        """Record that the pass has no result. The next one hears newer sound."""
        self._pending = False
        if self._begin_s is not None:
            self._begin_anew(self._begin_s)

    # -- what goes out ------------------------------------------------------------------------------------------------

    def draft(self) -> ShownDraft:
        """Return what is shown."""
        stable, tentative = (
            tuple(DraftWord(word.start, word.end, word.word) for word in words)
            for words in (self._stable, self._tentative)
        )
        return ShownDraft(
            self.job_id, round(self._final_s, 3), round(self._heard_s, 3), self._speaking, stable, tentative
        )

    def hearing(self) -> Hearing:
        """Return what was said, for those who need every word once."""
        begin_s, end_s = self._speech or (None, 0.0)
        return Hearing(
            words=tuple(self._words),
            before=self._count - len(self._words),
            tentative=tuple(DraftWord(word.start, word.end, word.word) for word in self._tentative),
            heard_s=self._heard_s,
            speaking=self._speaking,
            speech_begin_s=begin_s,
            speech_end_s=end_s,
            settled_s=self._settled_s if self._speaking or self._unsettled else self._heard_s,
        )

    # -- small parts --------------------------------------------------------------------------------------------------

    @property
    def _pause_s(self) -> float:
        return 0.0 if self._speaking or self._speech is None else self._heard_s - self._speech[1]

    @property
    def _unsettled(self) -> bool:
        """Whether words may have been said that are not stable."""
        return self._speech is not None and self._speech[1] > self._settled_s and not self._is_click

    @property
    def _is_click(self) -> bool:
        """Whether there is too little speech for a word."""
        if self._speech is None or self._begin_s is None or self._tentative or self._prefix():
            return False
        return self._speech[1] - max(self._speech[0], self._begin_s) < LEAST_S

    def _prefix(self) -> list[DraftedWord]:
        """Return the stable words of the window."""
        begin_s = self._begin_s or 0.0
        first = len(self._stable)
        while first and _middle(self._stable[first - 1]) >= begin_s:
            first -= 1
        return self._stable[first:]

    def _begin_anew(self, begin_s: float) -> None:
        """Begin the window here. Words before it are not heard again: they are stable."""
        self._begin_s = begin_s
        count = 0
        while not self._pending and count < len(self._tentative) and _middle(self._tentative[count]) < begin_s:
            count += 1
        self._stable += self._tentative[:count]
        self._add([DraftWord(word.start, word.end, word.word) for word in self._tentative[:count]])
        del self._tentative[:count]

    def _add(self, words: Sequence[DraftWord]) -> None:
        self._words.extend(words)
        self._count += len(words)

    def _trim(self, end_s: float) -> None:
        """Let a long window begin anew."""
        if self._begin_s is not None and end_s - self._begin_s > LONG_S:
            place = self._best_cut(end_s)
            if place is not None:
                self._begin_s = place
        prefix = self._prefix()
        tokens = sum(len(word.tokens) for word in prefix)
        for word in prefix:
            if tokens <= MOST_TOKENS:
                break
            tokens -= len(word.tokens)
            self._begin_s = max(self._begin_s or 0.0, word.end)

    def _best_cut(self, end_s: float) -> float | None:
        """Return where the window should begin: a long and late pause between stable words. None: there is none."""
        begin_s = self._begin_s or 0.0
        words = [*self._prefix(), *self._tentative[:1]]
        best: tuple[float, float] | None = None
        for word, following in pairwise(words):
            pause_s, place = following.start - word.end, (word.end + following.start) / 2
            value = max(0.0, min(pause_s, GOOD_PAUSE_S)) + (SENTENCE_S if ends_sentence(word.word) else 0.0)
            if value < CUT_PAUSE_S and end_s - begin_s <= TOO_LONG_S:
                continue
            if begin_s < place <= end_s - CONTEXT_S:
                best = max(best or (-1.0, 0.0), ((value + 0.01) * (place - begin_s), place))
        return None if best is None else best[1]


def _middle(word: DraftedWord | DraftWord) -> float:
    return (word.start + word.end) / 2


def _agreed(before: Sequence[DraftedWord], now: Sequence[DraftedWord]) -> int:
    """Return how many words at the beginning are those of the pass before. Marks at the end of sound come and go."""
    count = 0
    for old, new in zip(before, now, strict=False):
        last = count == len(now) - 1
        if (old.word != new.word) if last else (_letters(old.word) != _letters(new.word)):
            break
        count += 1
    return count


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text.casefold()))
