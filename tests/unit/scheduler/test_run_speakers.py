"""What is left to do for the speakers of a job: chunks wait, are heard, or are given up."""

from __future__ import annotations

from whisper_service.core.domain import Chunk, ChunkState, Problem, Span
from whisper_service.core.speaker_count import Wanted
from whisper_service.scheduler.batches import GIVE_UP_AFTER_KILLS
from whisper_service.scheduler.run_speakers import RunSpeakers


def span(index: int) -> Span:
    return Span(index, index * 1000, 1000, float(index), index + 1.0)


def speakers_of(*indices: int, spooled: bool = True) -> RunSpeakers:
    chunks = [Chunk(span(index), ChunkState.DONE) for index in range(6)]
    return RunSpeakers.resume(Wanted(), [*chunks, Chunk(span(6))], indices, spooled=spooled)


def test_a_resumed_job_hears_what_is_not_heard_in_order() -> None:
    speakers = speakers_of(4, 2, 6)  # the last one has no text yet
    assert speakers.unheard == [2, 4]
    assert speakers.first == 2
    assert speakers.give(2, 7) == span(2)
    assert (speakers.hearing, speakers.last_command) == (2, 7)
    speakers.finish(2)
    assert (speakers.hearing, speakers.first) == (None, 4)
    speakers.finish(4)
    assert (speakers.first, speakers.left) == (None, True)
    speakers.named = True
    assert not speakers.left


def test_without_its_samples_a_chunk_waits_until_the_spool_reaches_it() -> None:
    speakers = speakers_of(0, 1, 2, spooled=False)
    assert speakers.first is None
    speakers.spool_reaches(1999)
    assert (speakers.first, sorted(speakers.ready)) == (0, [0])
    speakers.spool_reaches(None)
    assert sorted(speakers.ready) == [0, 1, 2]
    speakers.lose_spool()
    assert (speakers.first, speakers.unheard) == (None, [0, 1, 2])


def test_new_text_is_heard_also_after_the_speakers_were_named() -> None:
    speakers = speakers_of()
    speakers.named = True
    speakers.add(span(9), spooled=True)
    assert (speakers.first, speakers.left) == (9, True)
    speakers.add(span(8), spooled=False)
    assert speakers.unheard == [8, 9]


def test_a_chunk_is_given_up_after_two_failures_and_kills_from_outside_count_less() -> None:
    speakers = speakers_of(0, 1)
    assert [speakers.count_failure(0), speakers.count_failure(1), speakers.count_failure(0)] == [False, False, True]
    speakers = speakers_of(0)
    kills = [speakers.count_failure(0, killed=True) for _ in range(GIVE_UP_AFTER_KILLS)]
    assert kills == [False] * (GIVE_UP_AFTER_KILLS - 1) + [True]


def test_with_a_problem_nothing_is_left_to_do() -> None:
    speakers = speakers_of(0)
    speakers.problem = Problem("offline", "No.")
    assert (speakers.left, speakers.first) == (False, None)
