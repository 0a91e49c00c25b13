"""The alignment that a speech actor has: words that a person wrote, and when they are said. No I/O.

There is one alignment at a time, whatever the number of seats. Decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import anyio

from whisper_service.core.domain import Problem
from whisper_service.scheduler.speech_actor import SpeechActor
from whisper_service.supervision.messages.speech import Align, AlignedWord


@dataclass(eq=False)
class AskedAlignment:
    """An alignment that the speech actor of a seat has. In the end it has words or a problem."""

    command: Align
    seat: SpeechActor
    generation: int  # of the actor
    words: tuple[AlignedWord, ...] | None = None
    problem: Problem | None = None
    done: anyio.Event = field(default_factory=anyio.Event)

    @property
    def key(self) -> tuple[str, int]:
        """The key of its deadline."""
        return ("alignment", self.command.request)


class AlignmentActor:
    """What is aligned now. Called on the scheduler's loop."""

    def __init__(self) -> None:
        self.asked: AskedAlignment | None = None
        self._last_request = 0

    def next_request(self) -> int:
        """Return the number of the next alignment. No number is used twice."""
        self._last_request += 1
        return self._last_request

    def has(self, request: int | None) -> bool:
        """Return whether an actor has the alignment with this number."""
        return self.asked is not None and self.asked.command.request == request

    def end(self, words: tuple[AlignedWord, ...] | None, problem: Problem | None = None) -> bool:
        """Record how the alignment ended, and wake who waits for it. False: there is none."""
        asked, self.asked = self.asked, None
        if asked is not None:
            asked.words, asked.problem = words, problem
            asked.done.set()
        return asked is not None
