"""A job in work: chunks move between waiting, in flight and done, and progress follows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from whisper_service.domain import Chunk, ChunkState, Job, Options, Phase, Problem, Span, Status
from whisper_service.runs import LANGUAGE_SURE, LANGUAGE_TRIES, Decoding, Run


def span(index: int, seconds: float = 10.0) -> Span:
    return Span(index, int(index * seconds * 16_000), int(seconds * 16_000), index * seconds, (index + 1) * seconds)


def job(**fields: object) -> Job:
    values: dict[str, object] = {
        "id": "j", "name": "n", "status": Status.PROCESSING, "options": Options(language="en"), "created_at": 0.0, "bytes": 1,
        "sha256": "0", "model": "base",
    }  # fmt: skip
    return Job(**(values | fields))  # type: ignore[arg-type]


def run_with(chunks: int, duration_s: float | None = 100.0, **fields: object) -> Run:
    run = Run.resume(job(**fields), [], order=1, spooled=False, now=0.0)
    run.duration_s = duration_s
    for index in range(chunks):
        run.found(span(index))
    return run


def test_a_chunk_that_is_found_waits_and_is_given_in_order() -> None:
    run = run_with(3)
    assert list(run.waiting) == [0, 1, 2]
    run.give(0, turn=1, now=5.0)
    assert (list(run.waiting), list(run.in_flight), run.served, run.last_turn, run.since) == ([1, 2], [0], 1, 1, 5.0)


def test_what_an_actor_dropped_waits_again_in_its_place() -> None:
    run = run_with(3)
    for index in range(3):
        run.give(index, 1, 0.0)
    run.take_back(1)
    assert run.strike(0).attempts == 1
    assert list(run.waiting) == [0, 1]
    assert [chunk.attempts for chunk in run.waiting.values()] == [1, 0]
    run.take_back(7)  # never given: nothing happens


def test_a_second_decode_brings_back_only_what_is_not_done() -> None:
    chunks = [Chunk(span(0), ChunkState.DONE), Chunk(span(1), attempts=2), Chunk(span(2), ChunkState.FAILED)]
    run = Run.resume(job(), chunks, order=1, spooled=False, now=0.0)
    assert not run.waiting
    for index in range(4):
        run.found(span(index))
    assert list(run.waiting) == [1, 3]
    assert run.waiting[1].attempts == 2


def test_with_a_complete_spool_work_begins_at_once() -> None:
    run = Run.resume(job(duration_s=30.0), [Chunk(span(0), ChunkState.DONE), Chunk(span(1))], order=1, spooled=True, now=0.0)
    assert list(run.waiting) == [1]
    assert run.decoding is Decoding.DONE
    assert run.progress(1.0)["progress"] == round(20 / 30, 4)


def test_progress_speed_and_eta() -> None:
    run = run_with(5)
    run.give(0, 1, 0.0)
    run.done(0)
    fields = run.progress(now=2.0)
    assert fields == {"position_s": 10.0, "duration_s": 100.0, "progress": 0.1, "speed": 5.0, "eta_s": 18.0}


def test_position_is_what_is_done_without_a_hole() -> None:
    run = run_with(3)
    run.give(1, 1, 0.0)
    run.done(1)
    assert run.covered_s() == 0.0
    run.done(0)
    assert run.covered_s() == 20.0


def test_without_a_known_duration_there_is_no_fraction() -> None:
    run = run_with(1, duration_s=None)
    run.done(0)
    assert "progress" not in run.progress(1.0)


@given(st.lists(st.sampled_from(["find", "give", "done", "back", "strike"]), max_size=60))
def test_progress_is_a_fraction_whatever_happens(steps: list[str]) -> None:
    run = run_with(0)
    found = 0
    for now, step in enumerate(steps):
        if step == "find":
            run.found(span(found))
            found += 1
        elif step == "give" and run.waiting:
            run.give(next(iter(run.waiting)), now, float(now))
        elif step == "done" and run.in_flight:
            run.done(next(iter(run.in_flight)))
        elif step == "back" and run.in_flight:
            run.take_back(next(iter(run.in_flight)))
        elif step == "strike" and run.in_flight:
            run.strike(next(iter(run.in_flight)))
        fields = run.progress(float(now))
        assert 0.0 <= fields["progress"] < 1.0
        assert set(run.waiting) | set(run.in_flight) | run.finished == set(range(found))
        assert not set(run.waiting) & set(run.in_flight)
        assert list(run.waiting) == sorted(run.waiting)


def test_phases() -> None:
    run = run_with(0)
    assert run.phase(None) is Phase.DECODING
    run.found(span(0))
    assert run.phase(None) is Phase.LOADING_MODEL
    assert run.phase("other") is Phase.LOADING_MODEL
    assert run.phase("base") is Phase.TRANSCRIBING
    run.give(0, 1, 0.0)
    assert run.phase("base") is Phase.TRANSCRIBING
    run.done(0)
    assert run.phase("base") is Phase.DECODING
    run.decoded(10.0, None)
    assert run.phase("base") is Phase.FINALIZING


def test_the_language_is_taken_when_it_is_sure_or_at_the_last_try() -> None:
    run = run_with(5, options=Options())
    assert run.hear("de", LANGUAGE_SURE - 0.1, text=True) is None
    assert run.hear("de", LANGUAGE_SURE, text=True) == "de"
    assert run.hear("de", 0.99, text=False) is None
    for index in range(LANGUAGE_TRIES - 1):
        run.done(index)
    assert run.hear("fr", 0.1, text=True) == "fr"


def test_a_language_that_was_asked_for_is_never_changed() -> None:
    assert run_with(1).hear("de", 0.99, text=True) == "en"


def test_a_decoder_that_gets_further_each_time_is_not_counted_out() -> None:
    run = run_with(1)
    assert [run.decoder_died(), run.decoder_died()] == [1, 2]
    run.found(span(1))
    assert run.decoder_died() == 1
    run.broke_off(Problem("decode_failed", "broken"))
    assert run.decoding is Decoding.DONE


def test_the_planner_sees_what_it_needs() -> None:
    work = run_with(2, options=Options(language="en", prompt="names"), rank=-1.0).view()
    assert (work.model, work.rank, work.language_known, [chunk.index for chunk in work.ready]) == ("base", -1.0, True, [0, 1])
    assert work.batch_key != run_with(2).view().batch_key
