"""The events of OpenAI's Realtime API: which turns are spoken, and which of them are told when. Pure.

A turn is sound that belongs together: between two pauses, or between two commits of the client. Each word belongs to
the first turn that is not complete and reaches to it, so that no word is lost and none is told twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from whisper_service.core.drafts import DraftWord, Hearing
from whisper_service.core.errors import InvalidRequest
from whisper_service.web.compat.realtime_settings import TurnDetection

Event = dict[str, Any]
LEAST_S: Final = 0.1
"""Seconds of sound that a commit needs, as OpenAI has it."""
APART_S: Final = 0.05
"""Speech that reaches so much further than a turn is new speech."""
_TRANSCRIPTION: Final = "conversation.item.input_audio_transcription"


@dataclass
class SpokenTurn:
    """Some sound and its words. Times are seconds from the beginning of the session."""

    item_id: str
    begin_s: float
    end_s: float | None = None  # None: it goes on
    settle_s: float = 0.0  # all words are there when everything before this place is settled
    told: bool = False  # the client knows of it
    words: list[str] = field(default_factory=list)
    sent: str = ""  # the text that the client has


class SpokenTurns:
    """The turns of one session."""

    def __init__(self, new_id: Callable[[], str], *, beta: bool = False, skip_s: float = 0.0) -> None:
        """`skip_s`: words that end before belong to another connection."""
        self.detection: TurnDetection | None = TurnDetection()
        self.beta = beta
        self._new_id = new_id
        self._skip_s = skip_s
        self._turns: list[SpokenTurn] = []  # not complete, in order; the last one may go on
        self._over_s = skip_s  # what was said before belongs to a turn that is over
        self._ended_s = skip_s  # the end of the sound of the last turn
        self._sent = 0  # words of the session that were taken in
        self._previous: str | None = None  # the last item

    def skip(self, until_s: float) -> None:
        """Leave out what was said before a place: it belongs to another connection."""
        self._skip_s = self._over_s = self._ended_s = until_s

    # -- what comes in ------------------------------------------------------------------------------------------------

    def take(self, heard: Hearing) -> list[Event]:
        """Take in what was heard, and return what is to be told."""
        events: list[Event] = []
        if self.detection is not None:
            self._begin(heard, self.detection, events)
        for word in self._new_words(heard):
            self._turn_of(word, events).words.append(word.word)
        self._tell_words(events)
        if self.detection is not None:
            self._end(heard, self.detection, events)
        while self._turns and self._turns[0].end_s is not None and heard.settled_s >= self._turns[0].settle_s:
            events.append(self._completed(self._turns.pop(0)))
        return events

    def commit(self, at_s: float) -> list[Event]:
        """End the turn that goes on at a place. Raises `InvalidRequest` if there is no sound in it."""
        if at_s - self._ended_s < LEAST_S:
            message = f"The buffer has {max(0.0, at_s - self._ended_s) * 1000:.0f} ms of sound, less than 100 ms."
            hint = "Append sound first. With turn detection, the service commits by itself."
            raise InvalidRequest(message, hint=hint, reason="input_audio_buffer_commit_empty")
        turn = self._going_on
        if turn is None:
            turn = SpokenTurn(self._new_id(), self._ended_s)
            self._turns.append(turn)
        events = self._committed(turn, at_s, at_s)
        self._over_s = at_s
        self._tell_words(events)
        return events

    def clear(self, at_s: float) -> list[Event]:
        """Forget the sound since the last turn. It stays in the recording, and its words are not told."""
        if self._going_on is not None:
            self._turns.pop()
        self.skip(at_s)
        return [{"type": "input_audio_buffer.cleared"}]

    def settle(self, at_s: float) -> None:
        """Say that nothing behind a place will be heard soon: turns that are over wait no longer than for that."""
        for turn in self._turns:
            if turn.end_s is not None:
                turn.settle_s = min(turn.settle_s, at_s)

    @property
    def waits(self) -> bool:
        """Whether a turn is over whose words are not all there."""
        return any(turn.end_s is not None for turn in self._turns)

    def finish(self, error: Event | None = None) -> list[Event]:
        """End every turn: no more words come. `error`: why."""
        events: list[Event] = []
        for turn in self._turns:
            if turn.end_s is None and turn.told:
                events += self._committed(turn, turn.begin_s, 0.0)
            if not turn.told:
                continue
            if error is None:
                events.append(self._completed(turn))
            else:
                failed = {"type": f"{_TRANSCRIPTION}.failed", "item_id": turn.item_id, "content_index": 0}
                events.append(failed | {"error": error})
        self._turns.clear()
        return events

    # -- small parts --------------------------------------------------------------------------------------------------

    @property
    def _going_on(self) -> SpokenTurn | None:
        return self._turns[-1] if self._turns and self._turns[-1].end_s is None else None

    def _begin(self, heard: Hearing, detection: TurnDetection, events: list[Event]) -> None:
        """Begin a turn with new speech."""
        turn, begin_s = self._going_on, heard.speech_begin_s
        if turn is None and begin_s is not None and heard.speech_end_s > self._over_s + APART_S:
            turn = self._opened(max(begin_s, self._over_s))
        if turn is not None and not turn.told:
            turn.begin_s = max(self._ended_s, turn.begin_s - detection.prefix_s)
            events.append(_started(turn))
            turn.told = True

    def _opened(self, begin_s: float) -> SpokenTurn:
        turn = SpokenTurn(self._new_id(), begin_s)
        self._turns.append(turn)
        return turn

    def _end(self, heard: Hearing, detection: TurnDetection, events: list[Event]) -> None:
        """End the turn that goes on if a pause is long enough."""
        turn = self._going_on
        if turn is None or heard.speaking or heard.pause_s < detection.silence_s or not turn.told:
            return
        end_s = max(turn.begin_s, min(heard.heard_s, heard.speech_end_s + detection.silence_s))
        stopped = {"type": "input_audio_buffer.speech_stopped", "audio_end_ms": _ms(end_s), "item_id": turn.item_id}
        events.append(stopped)
        events += self._committed(turn, end_s, heard.speech_end_s)
        self._over_s = max(self._over_s, heard.speech_end_s)

    def _committed(self, turn: SpokenTurn, end_s: float, settle_s: float) -> list[Event]:
        turn.end_s, turn.settle_s, turn.told = max(turn.begin_s, end_s), settle_s, True
        self._ended_s = max(self._ended_s, turn.end_s)
        before, self._previous = self._previous, turn.item_id
        item = {
            "id": turn.item_id,
            "object": "realtime.item",
            "type": "message",
            "role": "user",
            "status": "completed",
            "content": [{"type": "input_audio", "transcript": None}],
        }
        names = ("created",) if self.beta else ("added", "done")
        return [
            {"type": "input_audio_buffer.committed", "item_id": turn.item_id, "previous_item_id": before},
            *({"type": f"conversation.item.{name}", "previous_item_id": before, "item": item} for name in names),
        ]

    def _new_words(self, heard: Hearing) -> Iterable[DraftWord]:
        """Return the words that were not taken in yet."""
        first = max(0, self._sent - heard.before)
        self._sent = max(self._sent, heard.before + len(heard.words))
        return [word for word in heard.words[first:] if (word.start + word.end) / 2 >= self._skip_s]

    def _turn_of(self, word: DraftWord, events: list[Event]) -> SpokenTurn:
        for turn in self._turns:
            if turn.end_s is None or word.start < turn.end_s:
                return turn
        turn = self._opened(self._ended_s if self.detection is None else max(self._ended_s, word.start))
        if self.detection is not None:  # the model heard speech that the detector did not
            events.append(_started(turn))
            turn.told = True
        return turn

    def _tell_words(self, events: list[Event]) -> None:
        for turn in self._turns:
            said = "".join(turn.words)
            new = said[len(turn.sent) :]
            if turn.told and new:
                delta = new if turn.sent else new.lstrip()
                events.append(
                    {"type": f"{_TRANSCRIPTION}.delta", "item_id": turn.item_id, "content_index": 0, "delta": delta}
                )
                turn.sent = said

    def _completed(self, turn: SpokenTurn) -> Event:
        seconds = round((turn.end_s or turn.begin_s) - turn.begin_s, 3)
        return {
            "type": f"{_TRANSCRIPTION}.completed",
            "item_id": turn.item_id,
            "content_index": 0,
            "transcript": "".join(turn.words).strip(),
            "usage": {"type": "duration", "seconds": seconds},
        }


def _started(turn: SpokenTurn) -> Event:
    begin = {"audio_start_ms": _ms(turn.begin_s), "item_id": turn.item_id}
    return {"type": "input_audio_buffer.speech_started"} | begin


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
