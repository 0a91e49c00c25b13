"""The draft of a live session: words that are shown before the segments of their place are there. Pure values."""

from __future__ import annotations

from whisper_service.core.domain import Value


class DraftWord(Value, frozen=True):
    """A word of a draft, in seconds from the beginning of the session. `word` keeps the leading space of Whisper."""

    start: float
    end: float
    word: str


class ShownDraft(Value, frozen=True):
    """The text of a live session behind its last segment. Each draft replaces the one before.

    A word that is stable stays until the segments of its place are there. A tentative one may be another word in the
    next draft.
    """

    job_id: str
    from_s: float = 0.0  # the end of the final text
    heard_s: float = 0.0  # the end of the sound that was heard
    speaking: bool = False
    stable: tuple[DraftWord, ...] = ()
    tentative: tuple[DraftWord, ...] = ()


class Hearing(Value, frozen=True):
    """What was said in a live session so far, for those who need every word once.

    `words` has the newest stable words of the session. Words are only added: word number n of the session is
    `words[n - before]`.
    """

    words: tuple[DraftWord, ...] = ()
    before: int = 0  # stable words before `words`
    tentative: tuple[DraftWord, ...] = ()
    heard_s: float = 0.0  # the end of the sound that was heard
    speaking: bool = False
    speech_begin_s: float | None = None  # where the last speech began; None: there was none
    speech_end_s: float = 0.0  # where the last speech ended, so far
    settled_s: float = 0.0  # all that was said before this place is in the words

    @property
    def pause_s(self) -> float:
        """Seconds without speech. 0: somebody speaks, or has not begun."""
        if self.speaking or self.speech_begin_s is None:
            return 0.0
        return max(0.0, self.heard_s - self.speech_end_s)
