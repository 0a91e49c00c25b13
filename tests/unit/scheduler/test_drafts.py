"""The draft of a live session: what is heard, what is stable, and what is cleared."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_service.core.drafts import DraftWord, ShownDraft
from whisper_service.scheduler.drafts import (
    KEPT_WORDS,
    LEAD_S,
    LONG_S,
    MOST_S,
    MOST_TOKENS,
    TAIL_S,
    SessionDraft,
    Sound,
)
from whisper_service.supervision.messages.drafts import DraftedWord


def word(start: float, text: str, length: float = 0.5) -> DraftedWord:
    """A word with one token for each letter."""
    return DraftedWord(start, start + length, f" {text}", tuple(map(ord, text)))


def said(*texts: str, begin: float = 1.0) -> list[DraftedWord]:
    """One word a second."""
    return [word(begin + number, text) for number, text in enumerate(texts)]


class Talk:
    """A session in which somebody speaks from the first second on."""

    def __init__(self, *, begin: float = 1.0) -> None:
        self.draft = SessionDraft("job")
        self.begin = begin
        self.draft.hear(begin, False, None)

    def speak(self, until: float) -> None:
        self.draft.hear(until, True, (self.begin, until))

    def pause(self, since: float, until: float) -> None:
        self.draft.hear(until, False, (self.begin, since))

    def pass_(self, *words: DraftedWord, every: float = 1.0) -> Sound:
        """Hear the newest sound, and find these words behind the prefix."""
        sound = self.draft.sound("en", follow=False)
        assert sound is not None
        self.draft.take(sound, words, "en", every)
        return sound

    @property
    def stable(self) -> str:
        return "".join(each.word for each in self.draft.draft().stable)

    @property
    def tentative(self) -> str:
        return "".join(each.word for each in self.draft.draft().tentative)

    @property
    def all_words(self) -> str:
        return "".join(each.word for each in self.draft.hearing().words)


def test_a_word_is_stable_when_two_passes_agree_and_the_text_goes_on_behind_it() -> None:
    talk = Talk()
    talk.speak(2.5)
    first = talk.pass_(word(1.0, "hello"), word(1.8, "wor"))
    assert (first.begin_s, first.end_s, first.prefix, first.settles) == (1.0 - LEAD_S, 2.5, (), False)
    assert (talk.stable, talk.tentative) == ("", " hello wor")
    talk.speak(3.0)
    talk.pass_(word(1.0, "hello"), word(1.8, "world"), word(2.4, "a"))
    assert (talk.stable, talk.tentative) == (" hello", " world a")
    talk.speak(3.5)
    third = talk.pass_(word(1.8, "world"), word(2.4, "again"))
    assert third.prefix == tuple(map(ord, "hello"))
    assert (talk.stable, talk.tentative) == (" hello world", " again")


def test_marks_and_capitals_that_come_and_go_do_not_keep_words_from_agreeing() -> None:
    talk = Talk()
    talk.speak(2.6)
    talk.pass_(word(1.5, "Hello"), word(2.1, "world."))
    talk.speak(3.0)
    talk.pass_(word(1.5, "hello,"), word(2.1, "world"), word(2.6, "and", 0.3))
    assert (talk.stable, talk.tentative) == (" hello, world", " and")
    last = Talk()
    last.speak(2.4)
    last.pass_(word(1.6, "you..."))
    last.speak(2.8)
    last.pass_(word(1.6, "you."))  # at the end of the sound the mark is a guess
    assert (last.stable, last.tentative) == ("", " you.")


def test_a_word_is_stable_when_it_is_old_enough_although_no_pass_agrees() -> None:
    talk = Talk()
    talk.speak(4.0)
    talk.pass_(*said("one", "two", "three"))  # they end at 1.5, 2.5 and 3.5
    assert talk.stable == " one two"
    slow = Talk()
    slow.speak(4.0)
    slow.pass_(*said("one", "two", "three"), every=2.0)  # 2.4 s old
    assert slow.stable == " one"


def test_every_word_is_stable_at_a_pause() -> None:
    talk = Talk()
    talk.speak(2.4)
    talk.pass_(word(1.0, "yes"))
    talk.pause(2.4, 2.8)
    assert not talk.draft.settles
    assert not talk.draft.wants_pass  # nothing new was said
    talk.pause(2.4, 3.0)
    assert talk.draft.settles
    assert talk.draft.hearing().settled_s < 2.4
    sound = talk.pass_(word(1.0, "yes"), word(1.9, "indeed"))
    assert (sound.settles, sound.end_s) == (True, 3.0)
    assert (talk.stable, talk.tentative) == (" yes indeed", "")
    assert not talk.draft.wants_pass
    talk.pause(2.4, 9.0)
    assert not talk.draft.wants_pass  # silence goes on
    hearing = talk.draft.hearing()
    assert (hearing.settled_s, hearing.pause_s, hearing.speech_end_s) == (9.0, pytest.approx(6.6), 2.4)


def test_a_pause_is_heard_no_longer_than_needed() -> None:
    talk = Talk()
    talk.pause(2.4, 9.0)
    assert talk.pass_(word(1.0, "yes")).end_s == 2.4 + TAIL_S


def test_a_pause_whose_pass_failed_is_not_tried_again() -> None:
    talk = Talk()
    talk.pause(2.4, 3.0)
    assert talk.draft.sound("en", follow=False) is not None
    talk.draft.fail()
    talk.pause(2.4, 3.5)
    assert not talk.draft.wants_pass


def test_all_that_was_said_is_stable_when_a_client_asks_for_it() -> None:
    talk = Talk()
    talk.speak(2.0)
    talk.pass_(word(1.0, "ye"))
    talk.speak(2.5)
    talk.draft.flush()
    assert talk.draft.settles
    sound = talk.pass_(word(1.0, "yes"))
    assert (sound.settles, talk.stable) == (True, " yes")
    assert talk.draft.hearing().settled_s == 2.5
    talk.speak(3.0)
    assert not talk.draft.settles


def test_segments_clear_the_draft_of_their_place_and_nothing_behind_it() -> None:
    talk = Talk()
    talk.speak(6.0)
    talk.pass_(*said("one", "two", "three", "four", "five"))
    assert (talk.stable, talk.tentative) == (" one two three four", " five")
    talk.draft.finish(3.9, [DraftWord(1.0, 1.5, " One"), DraftWord(2.0, 2.5, " two"), DraftWord(3.0, 3.5, " three.")])
    draft = talk.draft.draft()
    assert (draft.from_s, talk.stable, talk.tentative) == (3.9, " four", " five")
    assert talk.all_words == " one two three four"  # what was stable stays as it was said
    talk.speak(6.5)
    sound = talk.draft.sound("en", follow=False)
    assert sound is not None
    assert (sound.begin_s, sound.prefix) == (3.9, tuple(map(ord, "four")))
    talk.draft.finish(7.0)
    assert talk.draft.draft() == ShownDraft("job", 7.0, 6.5, True)


def test_words_that_no_draft_had_come_from_the_segments_in_the_order_of_time() -> None:
    talk = Talk()
    talk.speak(40.0)
    late = [DraftWord(31.0, 31.5, " c"), DraftWord(35.0, 35.5, " d")]
    talk.draft.finish(0.0, late)  # the chunk before is not done
    assert talk.all_words == ""
    talk.draft.finish(39.0, [DraftWord(1.0, 1.5, " a"), DraftWord(2.0, 2.5, " b")])
    assert talk.all_words == " a b c d"
    assert talk.stable == ""


def test_a_result_that_comes_late_adds_nothing_to_what_is_final() -> None:
    talk = Talk()
    talk.speak(4.0)
    sound = talk.draft.sound("en", follow=False)
    assert sound is not None
    talk.draft.finish(2.9, [DraftWord(1.0, 1.5, " One"), DraftWord(2.0, 2.5, " two")])
    talk.draft.take(sound, said("one", "two", "three"), "en", 1.0)
    assert (talk.all_words, talk.stable, talk.tentative) == (" One two", "", " three")


def test_a_long_window_begins_anew_in_its_best_pause() -> None:
    talk = Talk()
    words = [*said("one", "two."), word(4.0, "three"), *said("four", "five", begin=4.6), word(8.4, "six", 0.2)]
    talk.speak(LONG_S + 1.0)
    talk.pass_(*words)
    talk.speak(LONG_S + 2.0)
    sound = talk.draft.sound("en", follow=False)
    assert sound is not None
    assert sound.begin_s == pytest.approx((6.1 + 8.4) / 2)
    assert sound.prefix == ()
    assert talk.stable == " one two. three four five"  # still shown


def test_a_window_without_a_pause_begins_anew_at_a_word() -> None:
    talk, begins = Talk(), [0.0]
    for second in range(3, 40):
        talk.speak(float(second))
        sound = talk.draft.sound("en", follow=False)
        assert sound is not None
        assert sound.end_s - sound.begin_s < MOST_S
        after = max([1.0, *(each.end for each in talk.draft.draft().stable)])
        words = [word(after + 0.4 * number, "ab", 0.4) for number in range(int((second - after) / 0.4))]
        talk.draft.take(sound, words, "en", 1.0)
        begins.append(sound.begin_s)
    assert begins[-1] > 25
    assert begins == sorted(begins)


def test_after_a_silence_the_window_begins_anew() -> None:
    talk = Talk()
    talk.pause(2.4, 3.0)
    talk.pass_(word(1.0, "yes"))
    talk.pause(2.4, 7.0)
    talk.draft.hear(8.0, True, (7.0, 8.0))
    sound = talk.draft.sound("en", follow=False)
    assert sound is not None
    assert (sound.begin_s, sound.prefix) == (7.0 - LEAD_S, ())
    assert talk.stable == " yes"


def test_words_that_were_tentative_before_a_new_window_are_stable() -> None:
    talk = Talk()
    talk.speak(2.4)
    talk.pass_(word(1.0, "yes"))
    talk.draft.hear(8.0, True, (7.0, 8.0))
    assert (talk.stable, talk.tentative) == (" yes", "")
    under_way = Talk()
    under_way.speak(2.4)
    sound = under_way.draft.sound("en", follow=False)
    assert sound is not None
    under_way.draft.hear(8.0, True, (7.0, 8.0))
    under_way.draft.take(sound, [word(1.0, "yes")], "en", 1.0)
    assert (under_way.stable, under_way.tentative) == (" yes", "")


def test_only_the_newest_sound_is_heard_after_a_long_wait() -> None:
    talk = Talk()
    talk.speak(100.0)
    sound = talk.draft.sound("en", follow=False)
    assert sound is not None
    assert (sound.begin_s, sound.end_s) == (100.0 - LONG_S, 100.0)
    assert (sound.start_sample, sound.samples) == (92 * 16_000, 8 * 16_000)


def test_nothing_is_heard_without_speech_and_a_click_is_none() -> None:
    draft = SessionDraft("job")
    draft.hear(10.0, False, None)
    assert not draft.wants_pass
    draft.hear(12.0, False, (10.5, 10.6))
    assert not draft.wants_pass
    assert draft.sound("en", follow=False) is None
    assert draft.hearing().settled_s == 12.0  # nobody waits for words of it
    draft.hear(13.0, True, (12.2, 13.0))
    assert draft.wants_pass


def test_a_language_is_looked_for_where_a_window_begins_if_others_are_followed() -> None:
    talk = Talk()
    talk.speak(2.0)
    first = talk.draft.sound("en", follow=True)
    assert first is not None
    assert first.language == "en"  # too little sound to tell
    talk.draft.take(first, [], "en", 1.0)
    talk.speak(4.0)
    second = talk.draft.sound("en", follow=True)
    assert second is not None
    assert second.language is None
    talk.draft.take(second, [word(1.0, "ja"), word(2.0, "gut")], "de", 1.0)
    talk.speak(5.0)
    third = talk.draft.sound("en", follow=True)
    assert third is not None
    assert (third.language, bool(third.prefix)) == ("de", True)


def test_a_session_that_is_read_again_after_a_death_hears_nothing_twice() -> None:
    talk = Talk()
    talk.speak(5.0)
    talk.pass_(*said("one", "two"))
    before = talk.draft.draft()
    talk.draft.hear(3.0, True, (1.0, 3.0))
    assert talk.draft.draft() == before
    assert not talk.draft.wants_pass


@st.composite
def sessions(draw: st.DrawFn) -> list[tuple[str, float, float, tuple[DraftedWord, ...]]]:
    """Draw what happens in a session: sound, passes with random words, failures, final text."""
    now, events = 0.0, []
    kinds = st.sampled_from(["speak", "speak", "pass", "pass", "pass", "pause", "fail", "final", "flush", "late"])
    for kind in draw(st.lists(kinds, min_size=5, max_size=120)):
        begun = now
        now += draw(st.floats(0.1, 6.0)) if kind in ("speak", "pause") else 0.0
        texts = draw(st.lists(st.sampled_from(["ja", "nein", "a", "was", "so."]), max_size=12))
        places = sorted(draw(st.floats(max(0.0, now - 9), now + 1)) for _ in texts)
        words = tuple(word(place, text, 0.3) for place, text in zip(places, texts, strict=True))
        events.append((kind, begun, now, words))
    return events


@given(sessions())
def test_stable_words_are_never_taken_back(events: list[tuple[str, float, float, tuple[DraftedWord, ...]]]) -> None:
    draft = SessionDraft("job")
    given_sound: Sound | None = None
    spoken = 0.0
    history: list[DraftWord] = []
    for kind, begun, now, words in events:
        before = draft.draft()
        match kind:
            case "speak":
                draft.hear(now, True, (begun, now))
                spoken = now
            case "pause":
                draft.hear(now, False, (max(0.0, spoken - 1), spoken) if spoken else None)
            case "pass" | "late" if given_sound is not None:
                draft.take(given_sound, words, "en", 1.0)
                given_sound = None
            case "pass":
                given_sound = draft.sound("en", follow=False)
            case "fail" if given_sound is not None:
                draft.fail()
                given_sound = None
            case "final":
                draft.finish(max(0.0, now - 2.0), [DraftWord(w.start, w.end, w.word) for w in words])
            case "flush":
                draft.flush()
        after, hearing = draft.draft(), draft.hearing()
        kept = [each for each in before.stable if (each.start + each.end) / 2 >= after.from_s]
        assert list(after.stable[: len(kept)]) == kept
        assert all((each.start + each.end) / 2 >= after.from_s - 1e-3 for each in (*after.stable, *after.tentative))
        assert after.from_s >= before.from_s
        assert hearing.before + len(hearing.words) >= len(history)
        assert list(hearing.words[: len(history) - hearing.before]) == history[hearing.before :]
        history += hearing.words[len(history) - hearing.before :]
        if given_sound is not None:
            assert 0 <= given_sound.begin_s < given_sound.end_s <= given_sound.begin_s + MOST_S + 1e-6
            assert len(given_sound.prefix) <= MOST_TOKENS + 12


@given(st.lists(st.lists(st.text("abc", min_size=1, max_size=9), max_size=9), min_size=100, max_size=100))
def test_where_passes_never_agree_everything_stays_bounded_and_words_become_stable_by_age(
    passes: list[list[str]],
) -> None:
    talk = Talk(begin=0.0)
    for second, texts in enumerate(passes, start=2):
        talk.speak(float(second))
        sound = talk.draft.sound("en", follow=False)
        assert sound is not None
        assert sound.end_s - sound.begin_s <= MOST_S
        assert len(sound.prefix) <= MOST_TOKENS + 9
        since = max(sound.begin_s, second - 4.0)
        step = (second - since) / max(1, len(texts))
        words = [word(since + number * step, f"{text}{second}", step) for number, text in enumerate(texts)]
        talk.draft.take(sound, words, "en", 1.0)
        old = [each for each in talk.draft.draft().tentative if each.end <= second - 1.2]
        assert old == []
        if second % 30 == 0:
            talk.draft.finish(second - 20.0)
            assert len(talk.draft.draft().stable) <= 40 * 9
    assert len(talk.draft.hearing().words) <= KEPT_WORDS


def test_speech_before_the_last_of_a_long_piece_is_heard_too() -> None:
    """An actor that starts takes in ten seconds at once, and tells only the last speech in them."""
    draft = SessionDraft("job")
    draft.hear(9.5, False, (6.0, 8.5))
    sound = draft.sound("en", follow=False)
    assert sound is not None
    assert (sound.begin_s, sound.end_s) == (0.0, 9.5)
    kept_up = SessionDraft("job")
    kept_up.hear(5.5, False, None)
    kept_up.hear(6.0, True, (5.8, 6.0))
    kept_up.hear(6.5, True, (5.8, 6.5))
    sound = kept_up.sound("en", follow=False)
    assert sound is not None
    assert sound.begin_s == 5.8 - LEAD_S
