"""What is drafted of all live sessions, and who reads it."""

from __future__ import annotations

import anyio
import msgspec
import pytest

from whisper_service.config.schema import LiveSettings
from whisper_service.core.drafts import DraftWord, Hearing, ShownDraft
from whisper_service.scheduler.draft_feed import DraftFeed
from whisper_service.scheduler.drafts import Sound
from whisper_service.scheduler.live_drafts import CRASHES, REST_S, LiveDrafts
from whisper_service.supervision.messages.drafts import DraftedWord

pytestmark = pytest.mark.anyio
HELLO = DraftWord(1.0, 1.5, " hello")
SOUND = Sound(0.0, 2.0, (), "en", False)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Seat:
    """What drafts need of a speech actor."""

    class actor:
        ready_generation = 1


def base(job_id: str) -> str:
    return "base"


def shown(text: str, heard_s: float = 2.0) -> ShownDraft:
    return ShownDraft("job", 0.0, heard_s, True, (DraftWord(1.0, 1.5, text),))


async def test_a_reader_gets_the_newest_draft_at_once_and_then_each_newer_one_but_no_old_one() -> None:
    feed = DraftFeed()
    noticed: list[str] = []
    feed.noticed = lambda: noticed.append("somebody")
    feed.show(shown(" a"), Hearing(heard_s=2.0))
    with feed.reader("job") as reader, feed.reader("other"):
        assert feed.read == {"job", "other"}
        first = await reader.next()
        for text in (" b", " c", " d"):
            feed.show(shown(text), Hearing(heard_s=3.0))
        second = await reader.next()
        with anyio.move_on_after(0.05) as waited:
            await reader.next()
        feed.end("job")
        third = await reader.next()
    assert first is not None
    assert second is not None
    assert [msgspec.json.decode(news.payload)["stable"][0]["word"] for news in (first, second)] == [" a", " d"]
    assert waited.cancelled_caught
    assert third is None
    assert noticed == ["somebody", "somebody"]
    assert feed.read == frozenset()


async def test_that_silence_goes_on_is_news_for_those_who_wait_for_a_pause_alone() -> None:
    feed = DraftFeed()
    with feed.reader("job") as reader:
        feed.show(shown(" a", 2.0), Hearing(heard_s=2.0))
        first = await reader.next()
        feed.show(shown(" a", 2.5), Hearing(heard_s=2.5))
        second = await reader.next()
        feed.show(shown(" a", 2.5), Hearing(heard_s=2.5))
        with anyio.move_on_after(0.05) as waited:
            await reader.next()
    assert first is not None
    assert second is not None
    assert first.payload == second.payload
    assert (first.hearing.heard_s, second.hearing.heard_s) == (2.0, 2.5)
    assert waited.cancelled_caught


async def test_the_last_news_of_a_session_are_read_before_its_end() -> None:
    feed = DraftFeed()
    with feed.reader("job") as reader:
        feed.show(shown(" a"), Hearing())
        feed.end("job")
        last, over = await reader.next(), await reader.next()
    assert last is not None
    assert over is None
    with feed.reader("job") as later:
        feed.close()
        assert await later.next() is None
    with feed.reader("job") as too_late:
        assert await too_late.next() is None


def speaking(drafts: LiveDrafts, *job_ids: str) -> None:
    for job_id in job_ids:
        drafts.session(job_id).hear(2.0, True, (1.0, 2.0))


def test_only_sessions_that_somebody_reads_are_drafted() -> None:
    drafts = LiveDrafts()
    speaking(drafts, "a", "b")
    assert drafts.view(base).sessions == ()
    with drafts.feed.reader("b"):
        assert [each.job_id for each in drafts.view(base).sessions] == ["b"]
        assert drafts.view(lambda job_id: None).sessions == ()  # it is paused
    assert drafts.view(base).sessions == ()


def test_the_settings_are_those_in_force() -> None:
    drafts = LiveDrafts(lambda: LiveSettings(cadence_s=3.0, share=0.25))
    seen = drafts.view(base)
    assert (seen.cadence_s, seen.share, drafts.interval_s) == (3.0, 0.25, 3.0)


def test_a_batch_is_under_way_until_it_is_answered_or_its_actor_is_gone() -> None:
    clock, seat = Clock(), Seat()
    drafts = LiveDrafts(clock=clock)
    given = drafts.give(seat, {"a": SOUND})  # type: ignore[arg-type]
    assert drafts.view(base).under_way
    assert drafts.take_back(given.request + 1) is None
    clock.now += 0.7
    assert drafts.take_back(given.request) is given
    seen = drafts.view(base)
    assert (seen.under_way, round(seen.took_s, 3), seen.began_at) == (False, 0.7, 1_000.0)
    drafts.give(seat, {"a": SOUND})  # type: ignore[arg-type]
    seat.actor.ready_generation = 0  # it was ended
    assert not drafts.view(base).under_way
    seat.actor.ready_generation = 1


def test_three_deaths_stop_the_drafts_of_a_session_for_a_while() -> None:
    clock = Clock()
    drafts = LiveDrafts(clock=clock)
    speaking(drafts, "bad", "good")
    with drafts.feed.reader("bad"), drafts.feed.reader("good"):
        for death in range(CRASHES):
            seen = {each.job_id: each.suspect for each in drafts.view(base).sessions}
            assert seen == {"bad": death > 0, "good": False}
            given = drafts.give(Seat(), {"bad": SOUND})  # type: ignore[arg-type]
            drafts.take_back(given.request)
            assert drafts.count_crash(given)
            clock.now += 60
        assert [each.job_id for each in drafts.view(base).sessions] == ["good"]
        late = drafts.give(Seat(), {"bad": SOUND})  # type: ignore[arg-type]
        assert not drafts.count_crash(late)  # the next death is to be blamed on what else the actor had
        clock.now += REST_S
        assert [each.job_id for each in drafts.view(base).sessions] == ["bad", "good"]


def test_a_session_that_is_over_is_shown_as_empty_and_forgotten() -> None:
    drafts = LiveDrafts()
    speaking(drafts, "a")
    session = drafts.session("a")
    sound = session.sound("en", follow=False)
    assert sound is not None
    session.take(sound, [DraftedWord(1.0, 1.5, " hello", (1,))], "en", 1.0)
    drafts.show("a")
    drafts.end("a")
    assert drafts.find("a") is None
    assert drafts.known == frozenset()
