"""Which turns a client of the Realtime API is told, and when: from what is heard, without a socket and a model."""

from __future__ import annotations

from itertools import count, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_service.core.drafts import DraftWord, Hearing
from whisper_service.core.errors import InvalidRequest
from whisper_service.web.compat.realtime_events import SpokenTurns
from whisper_service.web.compat.realtime_settings import TurnDetection

DELTA = "conversation.item.input_audio_transcription.delta"
COMPLETED = "conversation.item.input_audio_transcription.completed"


BY_THE_SERVICE = TurnDetection()


def turns(*, beta: bool = False, detection: TurnDetection | None = BY_THE_SERVICE) -> SpokenTurns:
    numbers = count(1)
    made = SpokenTurns(lambda: f"item_{next(numbers)}", beta=beta)
    made.detection = detection
    return made


def words(*times: float) -> tuple[DraftWord, ...]:
    """Words of half a second that begin at these times, each its own name."""
    return tuple(DraftWord(time, time + 0.5, f" w{time:g}") for time in times)


def heard(until_s: float, speech: tuple[float, float] | None = None, *said: float, settled_s: float = 0.0) -> Hearing:
    """What is heard until a second. Somebody speaks if the speech reaches to it."""
    begin, end = speech or (None, 0.0)
    speaking = speech is not None and speech[1] >= until_s
    return Hearing(
        words(*said), heard_s=until_s, speaking=speaking, speech_begin_s=begin, speech_end_s=end, settled_s=settled_s
    )


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("conversation.item.").removeprefix("input_audio_buffer.") for event in events]


def test_a_turn_from_its_begin_to_its_text() -> None:
    told = turns()
    assert told.take(heard(1.0)) == []
    (started,) = told.take(heard(2.0, (1.5, 2.0)))
    assert started == {"type": "input_audio_buffer.speech_started", "audio_start_ms": 1200, "item_id": "item_1"}
    (delta,) = told.take(heard(3.0, (1.5, 3.0), 1.6, 2.2))
    assert delta == {"type": DELTA, "item_id": "item_1", "content_index": 0, "delta": "w1.6 w2.2"}
    assert told.take(heard(3.4, (1.5, 3.0), 1.6, 2.2)) == [], "the pause is too short"
    events = told.take(heard(3.5, (1.5, 3.0), 1.6, 2.2))
    assert kinds(events) == ["speech_stopped", "committed", "added", "done"]
    assert events[0] == {"type": "input_audio_buffer.speech_stopped", "audio_end_ms": 3500, "item_id": "item_1"}
    assert events[1]["previous_item_id"] is None
    assert events[2]["item"]["content"] == [{"type": "input_audio", "transcript": None}]
    events = told.take(heard(4.0, (1.5, 3.0), 1.6, 2.2, 2.8, settled_s=4.0))
    assert kinds(events) == ["input_audio_transcription.delta", "input_audio_transcription.completed"]
    assert events[0]["delta"] == " w2.8"
    assert events[1]["transcript"] == "w1.6 w2.2 w2.8"
    assert events[1]["usage"] == {"type": "duration", "seconds": 2.3}
    events = told.take(heard(6.0, (5.5, 6.0), 1.6, 2.2, 2.8, settled_s=4.0))
    assert (kinds(events), events[0]["audio_start_ms"]) == (["speech_started"], 5200)
    assert told.take(heard(6.0, (5.5, 6.0), 1.6, 2.2, 2.8, settled_s=4.0)) == [], "nothing is told twice"


def test_speech_that_goes_on_before_the_text_is_there_is_another_turn() -> None:
    told = turns(detection=TurnDetection(silence_duration_ms=300, prefix_padding_ms=0))
    told.take(heard(2.0, (1.0, 2.0)))
    told.take(heard(2.5, (1.0, 2.0)))
    events = told.take(heard(3.0, (2.6, 3.0), 1.0, 1.6, settled_s=2.2))
    assert kinds(events) == ["speech_started", "input_audio_transcription.delta", "input_audio_transcription.completed"]
    assert [event["item_id"] for event in events] == ["item_2", "item_1", "item_1"]
    events = told.take(heard(3.5, (2.6, 3.0), 1.0, 1.6, 2.7, settled_s=3.5))
    assert kinds(events) == [
        "input_audio_transcription.delta",
        "speech_stopped",
        "committed",
        "added",
        "done",
        "input_audio_transcription.completed",
    ]
    assert {event["item_id"] for event in events if "item_id" in event} == {"item_2"}
    assert events[2]["previous_item_id"] == "item_1"


def test_a_pause_of_the_clients_choice() -> None:
    for detection, silence_s in (
        (TurnDetection(silence_duration_ms=2000), 2.0),
        (TurnDetection(type="semantic_vad", eagerness="low"), 2.0),
        (TurnDetection(type="semantic_vad"), 1.0),
        (TurnDetection(type="semantic_vad", eagerness="high"), 0.5),
    ):
        told = turns(detection=detection)
        told.take(heard(2.0, (1.0, 2.0)))
        assert told.take(heard(2.0 + silence_s - 0.1, (1.0, 2.0))) == []
        assert "committed" in kinds(told.take(heard(2.0 + silence_s, (1.0, 2.0))))


def test_without_detection_the_client_ends_turns() -> None:
    told = turns(detection=None)
    assert told.take(heard(3.0, (1.0, 3.0), 1.0, 2.0)) == [], "the item has no name yet"
    events = told.commit(3.2)
    assert kinds(events) == ["committed", "added", "done", "input_audio_transcription.delta"]
    assert events[-1]["delta"] == "w1 w2"
    with pytest.raises(InvalidRequest) as raised:
        told.commit(3.25)
    assert raised.value.params["reason"] == "input_audio_buffer_commit_empty"
    assert told.take(heard(3.0, (1.0, 3.0), 1.0, 2.0, settled_s=2.5)) == []
    told.settle(3.0)  # the last moment is heard with the next sound
    (done,) = told.take(heard(3.0, (1.0, 3.0), 1.0, 2.0, settled_s=3.0))
    assert (done["transcript"], done["usage"]["seconds"]) == ("w1 w2", 3.2)
    events = told.take(heard(5.0, (1.0, 5.0), 1.0, 2.0, 3.1, settled_s=5.0)) + told.commit(5.0)
    assert events[-1]["delta"] == "w3.1", "a word that was heard late is in the next turn"


def test_what_is_cleared_is_not_told() -> None:
    told = turns(detection=None)
    told.take(heard(2.0, (0.5, 2.0), 1.0))
    assert told.clear(3.0) == [{"type": "input_audio_buffer.cleared"}]
    told.take(heard(5.0, (0.5, 5.0), 1.0, 2.4, 3.5))
    assert told.commit(5.0)[-1]["delta"] == "w3.5"
    told = turns()
    told.take(heard(2.0, (0.5, 2.0), 1.0))
    told.clear(2.0)
    assert kinds(told.take(heard(3.0, (0.5, 3.0), 1.0, 2.5))) == ["speech_started", "input_audio_transcription.delta"]


def test_a_commit_ends_a_turn_that_is_detected_too() -> None:
    told = turns()
    told.take(heard(2.0, (1.0, 2.0)))
    assert kinds(told.commit(2.2)) == ["committed", "added", "done"]
    events = told.take(heard(3.0, (1.0, 3.0), 1.0, settled_s=2.5))
    assert [event["type"] for event in events][1:] == [DELTA, COMPLETED]
    assert events[0]["audio_start_ms"] == 2200, "the speech goes on in a turn of its own"


def test_the_older_dialect_has_one_event_for_an_item() -> None:
    told = turns(beta=True)
    told.take(heard(2.0, (1.0, 2.0)))
    assert kinds(told.take(heard(2.5, (1.0, 2.0)))) == ["speech_stopped", "committed", "created"]


def test_words_without_detected_speech_have_a_turn() -> None:
    told = turns()
    events = told.take(heard(3.0, None, 1.0))
    assert kinds(events) == ["speech_started", "input_audio_transcription.delta"]


def test_the_end_of_a_session_ends_its_turns() -> None:
    told = turns()
    told.take(heard(2.0, (1.0, 2.0), 1.0))
    assert kinds(told.finish()) == ["committed", "added", "done", "input_audio_transcription.completed"]
    told = turns()
    told.take(heard(2.0, (1.0, 2.0), 1.0))
    events = told.finish({"code": "no_memory"})
    assert kinds(events)[-1] == "input_audio_transcription.failed"
    assert events[-1]["error"] == {"code": "no_memory"}
    assert told.finish() == []


def test_what_another_connection_told_is_left_out() -> None:
    told = turns()
    told.skip(4.0)
    assert told.take(heard(4.5, (1.0, 3.8), 1.0, 3.0)) == []
    events = told.take(heard(6.0, (5.0, 6.0), 1.0, 3.0, 5.2))
    assert [event.get("delta") for event in events] == [None, "w5.2"]


@given(
    st.lists(st.tuples(st.floats(0.1, 3), st.floats(0.05, 3)), min_size=1, max_size=6),
    st.lists(st.floats(0.05, 1.0), min_size=5, max_size=60),
    st.floats(0, 4),
)
def test_no_word_is_lost_or_told_twice_whenever_it_comes(
    speech: list[tuple[float, float]], steps: list[float], late_s: float
) -> None:
    """Speech of any lengths with any pauses, words that are late by up to `late_s`, looks in any rhythm."""
    spans, at = [], 0.0
    for pause, length in speech:
        spans.append((at + pause, at + pause + length))
        at += pause + length
    all_words = [
        DraftWord(b + n * 0.3, b + n * 0.3 + 0.2, f" {n}@{b:.3f}")
        for b, e in spans
        for n in range(int((e - b) / 0.3) + 1)
    ]
    told, now, events = turns(), 0.0, []
    times = [*steps, *[1.0] * int(at + late_s + 8)]
    for step in times:
        now += step
        begun = [span for span in spans if span[0] < now]
        last = begun[-1] if begun else None
        speaking = last is not None and last[1] >= now
        settled = max(0.0, now - late_s)
        said = tuple(word for word in all_words if word.end <= settled)
        end = 0.0 if last is None else min(last[1], now)
        events += told.take(Hearing(said, 0, (), now, speaking, last and last[0], end, settled))
    events += told.finish()
    text = {}
    for event in events:
        if event["type"] == DELTA:
            text[event["item_id"]] = text.get(event["item_id"], "") + event["delta"]
    done = {event["item_id"]: event["transcript"] for event in events if event["type"] == COMPLETED}
    assert {item: said for item, said in done.items() if said} == text, "deltas joined are the text"
    assert " ".join(done[item] for item in done if done[item]).split() == "".join(w.word for w in all_words).split()
    items = [event["item_id"] for event in events if event["type"] == "input_audio_buffer.committed"]
    previous = [event["previous_item_id"] for event in events if event["type"] == "input_audio_buffer.committed"]
    assert previous == [None, *items][: len(items)]
    starts = [e["audio_start_ms"] for e in events if e["type"] == "input_audio_buffer.speech_started"]
    assert all(a <= b for a, b in pairwise(starts))
