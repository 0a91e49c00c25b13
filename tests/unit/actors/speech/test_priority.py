"""Which slots of the speech actor pause for an urgent batch."""

from __future__ import annotations

import threading
from collections.abc import Callable

from whisper_service.actors.speech.priority import Priority

WAIT_S = 30.0


def started(act: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    return thread


def ended(thread: threading.Thread) -> bool:
    thread.join(WAIT_S)
    return not thread.is_alive()


def test_no_slot_pauses_without_an_urgent_batch() -> None:
    assert ended(started(Priority(pause_s=WAIT_S * 2).pause))


def test_one_slot_pauses_for_one_express_batch_and_goes_on_after_it() -> None:
    priority = Priority(pause_s=WAIT_S * 2)
    through: list[int] = []
    with priority.urgent(express=True):
        priority.pause()  # an urgent batch does not pause for itself
        slots = [started(lambda number=number: (priority.pause(), through.append(number))) for number in range(3)]  # type: ignore[misc]
        done = threading.Event()
        started(lambda: ([slot.join(0.2) for slot in slots], done.set()))
        assert done.wait(WAIT_S)
        assert len(through) == 2, "one pauses, the others have cores of their own"
    assert all(map(ended, slots))
    assert sorted(through) == [0, 1, 2]


def test_an_urgent_batch_in_a_slot_does_not_pause_and_no_slot_pauses_for_it() -> None:
    priority = Priority(pause_s=WAIT_S * 2)

    def urgent_in_a_slot() -> None:
        with priority.urgent(express=False):
            priority.pause()

    with priority.urgent(express=True):
        assert ended(started(urgent_in_a_slot))
    with priority.urgent(express=False):
        assert ended(started(priority.pause)), "it has its core already"


def test_a_pause_has_an_end_though_the_batch_has_none() -> None:
    priority = Priority(pause_s=0.05)
    with priority.urgent(express=True):
        assert ended(started(priority.pause))
        assert ended(started(priority.pause)), "and the next one begins anew"


def test_a_batch_that_breaks_off_lets_the_others_go_on() -> None:
    priority = Priority(pause_s=WAIT_S * 2)
    entered = threading.Event()

    def broken() -> None:
        try:
            with priority.urgent(express=True):
                entered.set()
                raise RuntimeError
        except RuntimeError:
            return

    assert ended(started(broken))
    assert entered.is_set()
    assert ended(started(priority.pause))
