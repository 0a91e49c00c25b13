"""A job in work: chunks move between waiting, in flight and done, and progress follows."""

from __future__ import annotations

from itertools import pairwise

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from whisper_service.core.domain import DETECT_S, Chunk, ChunkState, Job, Options, Phase, Problem, Span, Status, Task
from whisper_service.core.speaker_count import Wanted
from whisper_service.scheduler.run import LANGUAGE_SURE, LANGUAGE_TRIES, SHORTEST_CHUNK, Run
from whisper_service.scheduler.run_speakers import RunSpeakers
from whisper_service.scheduler.run_views import phase_of, view_of
from whisper_service.scheduler.views import Decoding, ReadyChunk


def span(index: int, seconds: float = 10.0) -> Span:
    return Span(index, int(index * seconds * 16_000), int(seconds * 16_000), index * seconds, (index + 1) * seconds)


def job(**fields: object) -> Job:
    values: dict[str, object] = {
        "id": "j",
        "name": "n",
        "status": Status.PROCESSING,
        "options": Options(language="en"),
        "created_at": 0.0,
        "bytes": 1,
        "sha256": "0",
        "model": "base",
    }
    return Job(**(values | fields))  # type: ignore[arg-type]


def run_with(chunks: int, duration_s: float | None = 100.0, **fields: object) -> Run:
    run = Run.resume(job(**fields), [], order=1, spooled=False, now=0.0)
    run.duration_s = duration_s
    for index in range(chunks):
        add(run, span(index))
    return run


def add(run: Run, found: Span) -> Span | None:
    """Do what the ledger does with a span of the media actor."""
    run.spool_reaches(found)
    new = run.new_part(found)
    if new is not None:
        run.add_chunk(new)
    return new


def test_a_chunk_that_is_found_waits_and_is_given_in_order() -> None:
    run = run_with(3)
    assert list(run.waiting) == [0, 1, 2]
    run.give(0, batch=1, now=5.0)
    assert (list(run.waiting), list(run.in_flight), run.given, run.last_batch, run.waiting_since) == (
        [1, 2],
        [0],
        1,
        1,
        5.0,
    )


def test_what_an_actor_dropped_waits_again_in_its_place() -> None:
    run = run_with(3)
    for index in range(3):
        run.give(index, 1, 0.0)
    run.take_back(1, 1)
    counted = run.count_failure(0, 1)
    assert counted is not None
    assert counted.attempts == 1
    assert list(run.waiting) == [0, 1]
    assert [chunk.attempts for chunk in run.waiting.values()] == [1, 0]
    run.take_back(7, 1)  # never given: nothing happens


def test_a_batch_that_does_not_have_a_chunk_any_more_says_nothing_about_it() -> None:
    """The job was paused with the chunk in batch 1, and resumed: it is in batch 2 now."""
    run = run_with(1)
    run.give(0, batch=2, now=0.0)
    run.take_back(0, 1)
    assert run.count_failure(0, 1) is None
    assert not run.lose_spool(0, 1)
    assert (list(run.in_flight), list(run.waiting)) == ([0], [])


def test_a_second_decode_brings_back_only_what_is_not_done() -> None:
    broken = Problem("crashed", "It crashed.")
    chunks = [
        Chunk(span(0), ChunkState.DONE),
        Chunk(span(1), attempts=2),
        Chunk(span(2), ChunkState.FAILED, error=broken),
    ]
    run = Run.resume(job(), chunks, order=1, spooled=False, now=0.0)
    assert not run.waiting
    assert [add(run, span(index)) for index in range(4)] == [None, None, None, span(3)]
    assert list(run.waiting) == [1, 3]
    assert run.waiting[1].attempts == 2


def test_a_chunk_waits_until_the_second_decode_is_past_it() -> None:
    run = Run.resume(job(), [Chunk(span(0)), Chunk(span(1)), Chunk(span(2))], order=1, spooled=False, now=0.0)
    add(run, Span(0, 0, 300_000, 0.0, 18.75))  # another chunker: it ends between chunk 1 and 2
    assert list(run.waiting) == [0]
    run.finish_decoding(30.0)
    assert list(run.waiting) == [0, 1, 2]
    assert not run.unspooled


def test_a_job_whose_chunks_are_all_known_gets_no_more_of_them() -> None:
    run = Run.resume(job(decoded=True, duration_s=20.0), [Chunk(span(0))], order=1, spooled=False, now=0.0)
    assert add(run, span(1)) is None
    assert list(run.waiting) == [0]


def test_a_scrap_behind_the_old_cut_is_no_chunk() -> None:
    run = Run.resume(job(), [Chunk(span(0), ChunkState.DONE)], order=1, spooled=False, now=0.0)
    assert run.new_part(Span(0, 0, 160_000 + SHORTEST_CHUNK - 1, 0.0, 10.1)) is None
    assert run.new_part(Span(0, 0, 160_000 + SHORTEST_CHUNK, 0.0, 10.1)) == Span(1, 160_000, SHORTEST_CHUNK, 10.0, 10.1)


LENGTHS = st.lists(st.tuples(st.integers(0, 50_000), st.integers(SHORTEST_CHUNK, 200_000)), min_size=1, max_size=12)


def cut(lengths: list[tuple[int, int]], offset_s: float) -> list[Span]:
    """Return spans with these pauses before them and these lengths."""
    spans: list[Span] = []
    end = 0
    for pause, samples in lengths:
        start, end = end + pause, end + pause + samples
        spans.append(Span(len(spans), start, samples, offset_s + start / 16_000, offset_s + end / 16_000))
    return spans


@given(LENGTHS, LENGTHS, st.integers(0, 12), st.sets(st.integers(0, 12)), st.sampled_from([0.0, 1.5]))
def test_a_job_cut_by_two_versions_has_every_stretch_of_speech_once(
    old: list[tuple[int, int]], new: list[tuple[int, int]], stored: int, done: set[int], offset_s: float
) -> None:
    """The job is interrupted after `stored` chunks of one chunker and goes on with another."""
    before, after = cut(old, offset_s)[:stored], cut(new, offset_s)
    chunks = [Chunk(s, ChunkState.DONE if s.index in done else ChunkState.WAITING) for s in before]
    run = Run.resume(job(), chunks, order=1, spooled=False, now=0.0)
    added = []
    for found in after:
        if (fresh := add(run, found)) is not None:
            added.append(fresh)
        written = found.start_sample + found.samples
        assert all(c.span.start_sample + c.span.samples <= written for c in run.waiting.values())
    run.finish_decoding(max(s.end for s in (*before, *after)))
    spans = [*before, *added]
    assert [s.index for s in spans] == list(range(len(spans)))
    assert all(a.start_sample + a.samples <= b.start_sample for a, b in pairwise(spans))
    assert all(abs(s.end - s.start - s.samples / 16_000) < 1e-6 for s in spans)
    assert all(abs(s.start - offset_s - s.start_sample / 16_000) < 1e-6 for s in spans)
    assert set(run.waiting) | run.finished == {s.index for s in spans}
    limit = max((s.start_sample + s.samples for s in before), default=0)
    lost = sum(max(0, s.start_sample + s.samples - max(s.start_sample, limit)) for s in after) - sum(
        s.samples for s in added
    )
    assert 0 <= lost < SHORTEST_CHUNK


@given(LENGTHS, st.integers(0, 12))
def test_the_same_version_cuts_as_if_nothing_had_happened(lengths: list[tuple[int, int]], stored: int) -> None:
    spans = cut(lengths, 0.25)
    run = Run.resume(job(), [Chunk(s) for s in spans[:stored]], order=1, spooled=False, now=0.0)
    assert [s for s in (add(run, found) for found in spans) if s is not None] == spans[stored:]
    assert [c.span for c in run.waiting.values()] == spans


def test_a_lost_spool_is_decoded_again_and_its_chunks_wait_for_that() -> None:
    run = run_with(4, duration_s=40.0)
    run.finish_decoding(40.0)
    for index, turn in ((0, 1), (1, 2), (2, 2)):
        run.give(index, turn, 0.0)
    run.finish_chunk(0)
    assert run.lose_spool(1, 2)
    run.restart_decoding()
    assert not run.lose_spool(2, 2)  # of the same batch: this decode will mend it too
    assert (list(run.unspooled), list(run.waiting), list(run.in_flight), run.spool_losses) == ([1, 2, 3], [], [], 1)
    add(run, span(1))
    assert list(run.waiting) == [1]
    run.finish_decoding(40.0)
    assert list(run.waiting) == [1, 2, 3]
    run.give(1, 3, 0.0)
    assert run.lose_spool(1, 3)  # and lost again
    assert run.spool_losses == 2


def test_a_job_of_gaps_alone_fails_with_the_cause_of_the_last() -> None:
    run = run_with(2)
    assert run.failure is None  # silence is no failure
    for index in range(2):
        run.give(index, 1, 0.0)
        run.finish_chunk(index, Problem(f"cause{index}", "It crashed.", "Do this.", {"n": index}))
    assert run.failure == Problem(
        "cause1", "No part of the recording could be transcribed. It crashed.", "Do this.", {"n": 1}
    )
    add(run, span(2))
    run.finish_chunk(2)
    assert run.failure is None
    run.stop_decoding(Problem("decode_failed", "broken"))
    assert run.failure == Problem("decode_failed", "broken")


def test_with_a_complete_spool_work_begins_at_once() -> None:
    chunks = [Chunk(span(0), ChunkState.DONE), Chunk(span(1))]
    run = Run.resume(job(duration_s=30.0, decoded=True), chunks, order=1, spooled=True, now=0.0)
    assert list(run.waiting) == [1]
    assert run.decoding is Decoding.DONE
    assert run.progress(1.0)["progress"] == round(20 / 30, 4)


def test_without_a_spool_progress_and_position_stay_where_they_were() -> None:
    chunks = [Chunk(span(0), ChunkState.DONE), Chunk(span(1)), Chunk(span(2), ChunkState.DONE)]
    run = Run.resume(job(duration_s=40.0), chunks, order=1, spooled=False, now=0.0)
    assert run.progress(1.0) == {"position_s": 10.0, "duration_s": 40.0, "progress": 0.5}
    add(run, span(0))
    assert run.progress(2.0) == {"position_s": 10.0, "duration_s": 40.0, "progress": 0.5}


def test_progress_speed_and_eta() -> None:
    run = run_with(5)
    run.give(0, 1, 0.0)
    run.finish_chunk(0)
    fields = run.progress(now=2.0)
    assert fields == {"position_s": 10.0, "duration_s": 100.0, "progress": 0.1, "speed": 5.0, "eta_s": 18.0}


def test_silence_alone_promises_no_speed() -> None:
    run = run_with(0)
    run.decoded_s = 60.0
    assert run.progress(now=2.0) == {"position_s": 60.0, "duration_s": 100.0, "progress": 0.6}
    add(run, Span(0, 960_000, 160_000, 60.0, 70.0))
    run.give(0, 1, 0.0)
    run.finish_chunk(0)
    assert run.progress(now=2.0)["speed"] == 35.0


def test_after_a_death_the_batches_grow_from_one_again() -> None:
    run = run_with(5)
    run.give(0, 1, 0.0)
    run.give(1, 1, 0.0)
    run.start_small()
    assert view_of(run).given == 0


def test_kills_from_outside_are_counted_apart() -> None:
    run = run_with(1)
    for turn, killed in enumerate((True, False, True)):
        run.give(0, turn, 0.0)
        run.count_failure(0, turn, killed=killed)
    assert (run.waiting[0].attempts, run.waiting[0].kills) == (1, 2)
    assert view_of(run).ready == (ReadyChunk(0, 1, 2),)


def test_a_chunk_that_two_batches_have_waits_again_only_when_both_are_lost() -> None:
    for first, second in ((1, 2), (2, 1)):
        run = run_with(1)
        run.give(0, 1, 0.0)
        assert run.give_again(0, 2) == run.in_flight[0]
        assert set(run.batches_in_flight()) == {(0, 1), (0, 2)}
        counted = run.count_failure(0, first)
        assert counted is not None
        assert (counted.attempts, run.in_flight, run.waiting) == (1, {0: counted}, {})
        assert (run.waits_for(0, first), run.waits_for(0, second)) == (False, True)
        assert run.count_failure(0, first) is None
        run.take_back(0, first)
        assert 0 in run.in_flight
        run.take_back(0, second)
        assert (run.waiting[0].attempts, run.in_flight, list(run.batches_in_flight())) == (1, {}, [])


def test_the_first_answer_for_a_chunk_ends_it_in_both_batches() -> None:
    run = run_with(1)
    run.give(0, 1, 0.0)
    run.give_again(0, 2)
    assert list(run.with_finished(0).batches_in_flight()) == []
    assert run.waits_for(0, 2)
    run.finish_chunk(0)
    assert (run.waits_for(0, 1), run.waits_for(0, 2), run.count_failure(0, 2)) == (False, False, None)


def test_position_is_what_is_done_without_a_gap_before() -> None:
    run = run_with(3)
    run.give(1, 1, 0.0)
    run.finish_chunk(1)
    assert run.position_s() == 0.0
    run.finish_chunk(0)
    assert run.position_s() == 20.0


def test_without_a_known_duration_there_is_no_fraction() -> None:
    run = run_with(1, duration_s=None)
    run.finish_chunk(0)
    assert "progress" not in run.progress(1.0)


@given(st.lists(st.sampled_from(["add", "give", "again", "done", "back", "fail"]), max_size=60))
def test_progress_is_a_fraction_whatever_happens(steps: list[str]) -> None:
    run = run_with(0)
    found = 0
    for now, step in enumerate(steps):
        if step == "add":
            add(run, span(found))
            found += 1
        elif step == "give" and run.waiting:
            run.give(next(iter(run.waiting)), now, float(now))
        elif step == "again" and run.in_flight:
            run.give_again(next(iter(run.in_flight)), now)
        elif step == "done" and run.in_flight:
            run.finish_chunk(next(iter(run.in_flight)))
        elif step == "back" and run.in_flight:
            run.take_back(*next(iter(run.batch_of.items())))
        elif step == "fail" and run.in_flight:
            run.count_failure(*next(iter(run.batch_of.items())))
        fields = run.progress(float(now))
        assert 0.0 <= fields["progress"] < 1.0
        assert set(run.waiting) | set(run.in_flight) | run.finished == set(range(found))
        assert not set(run.waiting) & set(run.in_flight)
        assert list(run.waiting) == sorted(run.waiting)


def test_phases() -> None:
    run = run_with(0)
    assert phase_of(run, None) is Phase.DECODING
    add(run, span(0))
    assert phase_of(run, None) is Phase.LOADING_MODEL
    assert phase_of(run, "other") is Phase.LOADING_MODEL
    assert phase_of(run, "base") is Phase.TRANSCRIBING
    run.give(0, 1, 0.0)
    assert phase_of(run, "base") is Phase.TRANSCRIBING
    run.finish_chunk(0)
    assert phase_of(run, "base") is Phase.DECODING
    run.finish_decoding(10.0)
    assert phase_of(run, "base") is Phase.FINALIZING
    undecided = run_with(1, model=None)
    assert phase_of(undecided, None) is Phase.LOADING_MODEL
    assert view_of(undecided).model is None


def test_the_language_is_taken_when_it_is_sure_or_at_the_last_try() -> None:
    run = run_with(5, options=Options())
    assert run.language_after("de", LANGUAGE_SURE - 0.1, text=True) is None
    assert run.language_after("de", LANGUAGE_SURE, text=True) == "de"
    assert run.language_after("de", 0.99, text=False) is None
    for index in range(LANGUAGE_TRIES - 1):
        run.finish_chunk(index)
    assert run.language_after("fr", 0.1, text=True) == "fr"


def test_a_language_that_was_asked_for_is_never_changed() -> None:
    assert run_with(1).language_after("de", 0.99, text=True) == "en"


def test_a_media_actor_that_gets_further_each_time_is_not_given_up() -> None:
    run = run_with(1)
    for killed in (False, True, False, True, True):
        run.count_media_death(killed=killed)
    assert (run.media_deaths, run.media_kills) == (2, 3)
    add(run, span(1))
    run.count_media_death()
    assert (run.media_deaths, run.media_kills) == (1, 0)
    run.stop_decoding(Problem("decode_failed", "broken"))
    assert run.decoding is Decoding.DONE


def test_the_planner_sees_what_it_needs() -> None:
    work = view_of(run_with(2, options=Options(language="en", prompt="names"), rank=-1.0))
    assert (work.model, work.rank, work.language_known, [chunk.index for chunk in work.ready]) == (
        "base",
        -1.0,
        True,
        [0, 1],
    )
    assert work.batch_key != view_of(run_with(2)).batch_key


def test_who_asks_for_the_language_alone_gets_it_without_any_text() -> None:
    run = run_with(1)
    run.job = msgspec.structs.replace(run.job, language=None, options=Options(task=Task.DETECT))
    assert run.language_after("de", 0.9, text=False) == "de"
    assert run.limit_s == DETECT_S
    assert run_with(1).limit_s is None
    assert view_of(run).batch_key != view_of(run_with(1)).batch_key


def test_a_file_that_says_less_than_was_read_of_it_is_as_long_as_what_was_read() -> None:
    run = run_with(1, duration_s=None)
    assert view_of(run).duration_s is None
    run.duration_s = 5.0
    assert view_of(run).duration_s == 10.0
    run.decoded_s = 3_600.0
    assert view_of(run).duration_s == 3_600.0
    run.finish_decoding(3_601.0)
    assert view_of(run).duration_s == 3_601.0


def test_a_recording_that_is_read_again_for_its_speakers_alone_fails_no_job() -> None:
    broken = Problem("decode_failed", "It cannot be read.")
    done = [Chunk(span(index), ChunkState.DONE) for index in range(2)]
    run = Run.resume(job(decoded=True, duration_s=20.0), done, order=1, spooled=False, now=0.0)
    run.stop_decoding(broken)
    assert run.failure is None
    run = Run.resume(job(decoded=True, duration_s=30.0), [*done, Chunk(span(2))], order=1, spooled=False, now=0.0)
    run.stop_decoding(broken)
    assert run.failure == broken  # the last chunk has no text yet
    run = Run.resume(job(), done, order=1, spooled=False, now=0.0)
    run.stop_decoding(broken)
    assert run.failure == broken  # nobody knows what comes behind


def test_chunks_are_heard_when_the_spool_has_them_and_not_after_it_was_lost() -> None:
    done = [Chunk(span(index), ChunkState.DONE) for index in range(2)]
    run = Run.resume(job(), [*done, Chunk(span(2))], order=1, spooled=False, now=0.0)
    run.speakers = RunSpeakers.resume(Wanted(), done, [0, 1], spooled=False)
    assert view_of(run).unheard is None
    run.spool_reaches(span(0))
    assert (view_of(run).unheard, view_of(run).unassigned, sorted(run.speakers.ready)) == (0, True, [0])
    run.finish_decoding(30.0)
    assert sorted(run.speakers.ready) == [0, 1]
    run.give(2, batch=1, now=0.0)
    assert run.lose_spool(2, batch=1)
    assert (view_of(run).unheard, run.speakers.unheard) == (None, [0, 1])


def test_the_phases_of_speakers_come_when_nothing_else_is_left() -> None:
    run = run_with(1)
    run.speakers = RunSpeakers(Wanted())
    assert phase_of(run, "base", fetching=True) is Phase.TRANSCRIBING
    run.give(0, batch=1, now=0.0)
    run.finish_chunk(0)
    run.speakers.add(span(0), spooled=True)
    assert phase_of(run, "base", fetching=True) is Phase.DECODING
    run.finish_decoding(10.0)
    assert phase_of(run, "base", fetching=True) is Phase.DOWNLOADING_MODEL
    assert phase_of(run, "base") is Phase.SPEAKERS
    run.speakers.finish(0)
    assert phase_of(run, "base", fetching=True) is Phase.SPEAKERS  # to name them, no networks are needed
    run.speakers.named = True
    assert phase_of(run, "base") is Phase.FINALIZING
