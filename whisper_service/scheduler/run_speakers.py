"""The speakers of a job in work: which chunks wait to be heard, and whether the speakers are named. No I/O.

Only chunks that are stored with text are heard. What is here follows from the store, so that a restart loses nothing
but the number of failures.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from whisper_service.core.domain import Chunk, ChunkState, Problem, Span
from whisper_service.core.speaker_count import Wanted
from whisper_service.scheduler.batches import GIVE_UP_AFTER_KILLS

GIVE_UP_AFTER: Final = 2
"""Faults, or deaths of the actor by itself, after which a chunk is not heard. Its text stays. Many more kills from
outside are needed: they say little about the chunk."""
SPOOL_TRIES: Final = 2
"""Losses of the spool after which what is not heard stays so."""


@dataclass
class Failures:
    """How often something failed."""

    faults: int = 0
    kills: int = 0  # of the actor, from outside

    def count(self, *, killed: bool = False) -> bool:
        """Count a failure. True: there were too many."""
        self.faults += not killed
        self.kills += killed
        return self.faults >= GIVE_UP_AFTER or self.kills >= GIVE_UP_AFTER_KILLS


@dataclass
class RunSpeakers:
    """What is left to do for the speakers of a job in work."""

    wanted: Wanted
    ready: dict[int, Span] = field(default_factory=dict)  # not heard; their samples are in the spool
    unspooled: dict[int, Span] = field(default_factory=dict)  # not heard; wait until the spool has their samples
    hearing: int | None = None  # the chunk that the actor has
    named: bool = False  # the speakers are stored
    problem: Problem | None = None  # why the speakers are not told apart: the job ends without them
    last_command: int = 0  # the number of the last command for this job; 0: none
    naming: Failures = field(default_factory=Failures)
    spool_losses: int = 0
    fetched: bool = False  # the networks were fetched once for this job
    _failures: defaultdict[int, Failures] = field(default_factory=partial(defaultdict, Failures))

    @classmethod
    def resume(cls, wanted: Wanted, chunks: Iterable[Chunk], unheard: Collection[int], *, spooled: bool) -> RunSpeakers:
        """Return what is left to do, given the stored chunks and the numbers of those that are not heard."""
        waiting = {
            chunk.span.index: chunk.span
            for chunk in chunks
            if chunk.state is ChunkState.DONE and chunk.span.index in unheard
        }
        return cls(wanted, *((waiting, {}) if spooled else ({}, waiting)))

    @property
    def left(self) -> bool:
        """Whether the speakers are still to be named."""
        return not self.named and self.problem is None

    @property
    def first(self) -> int | None:
        """The first chunk that can be heard now. None: there is none."""
        return min(self.ready, default=None) if self.left else None

    @property
    def unheard(self) -> list[int]:
        """The chunks that are not heard."""
        return sorted({*self.ready, *self.unspooled})

    def add(self, span: Span, *, spooled: bool) -> None:
        """Add a chunk whose text was stored."""
        self.named = False
        (self.ready if spooled else self.unspooled)[span.index] = span

    def spool_reaches(self, samples: int | None) -> None:
        """Let chunks be heard that end within the first `samples` of the spool; None: all of them."""
        for index, span in list(self.unspooled.items()):
            if samples is None or span.start_sample + span.samples <= samples:
                self.ready[index] = self.unspooled.pop(index)

    def lose_spool(self) -> None:
        """Let every chunk wait until the spool has its samples again."""
        self.unspooled |= self.ready
        self.ready = {}

    def give(self, index: int, command: int) -> Span:
        """Record that the actor got a chunk, with the command of this number. It is still unheard."""
        self.hearing, self.last_command = index, command
        return self.ready[index]

    def take_back(self) -> None:
        """Let the chunk be given again that the actor had."""
        self.hearing = None

    def finish(self, index: int) -> None:
        """Record that the voices of a chunk are stored, or that they are given up."""
        if self.hearing == index:
            self.hearing = None
        self.ready.pop(index, None)
        self.unspooled.pop(index, None)

    def count_failure(self, index: int, *, killed: bool = False) -> bool:
        """Count a fault of a chunk, or a death of the actor that had it. True: the chunk failed too often."""
        self.take_back()
        return self._failures[index].count(killed=killed)
