"""The fleet: how fast seats are, which one stands for all, and what holds only when all seats agree."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from whisper_service.config import schema
from whisper_service.core.domain import SAMPLE_RATE, ActorState, Problem, Span
from whisper_service.core.fallback import Fallback, Rung
from whisper_service.scheduler.fleet import Fleet
from whisper_service.scheduler.speech_device import SpeechDevice
from whisper_service.scheduler.speeds import SeatSpeed
from whisper_service.scheduler.views import GiveBatch
from whisper_service.supervision.messages.speech import BatchDone, ChunkInput, Loaded

PROBLEM = Problem("oom", "Too little memory.")


def actor(name: str) -> Any:
    """Return a supervisor whose actor is ready and says nothing."""

    def nothing(*_: object, **__: object) -> None: ...

    return SimpleNamespace(
        name=name, facts={"cuda_devices": 3, "vram_total": [24, 24, 80]}, ready_generation=1, broken=False,
        obstacle=None, problem=None, send=nothing, clear_deadline=nothing, mark_useful=nothing, start=nothing,
    )  # fmt: skip


def fleet(device: str = "cuda:0,cuda:1") -> Fleet:
    return Fleet(actor, schema.SpeechSettings(device=device, slots=2), schema.SupervisionSettings())


def speeds(fleet: Fleet) -> list[float]:
    return [round(view.speed, 3) for view in fleet.view(lambda *_: True)]


def finish(fleet: Fleet, seat: int, chunks: int, seconds: float) -> None:
    """Let a seat finish a batch of chunks of ten seconds."""
    number = fleet.next_batch()
    inputs = [ChunkInput("job", Span(n, 0, 10 * SAMPLE_RATE, 0.0, 10.0), "spool") for n in range(chunks)]
    batch = GiveBatch(tuple(("job", n) for n in range(chunks)))
    fleet.seats[seat].give(number, batch, inputs, preset="balanced", prompt=None)
    fleet.seats[seat].on_batch_done(BatchDone(number, seconds, 10.0 * chunks))


def test_seats_are_compared_by_their_first_window_until_all_of_them_are_measured() -> None:
    both = fleet()
    assert speeds(both) == [0.0, 0.0]
    for seat, window_s in zip(both.seats, (1.0, 3.0), strict=True):
        seat.on_loaded(Loaded("base", "cuda", "float16", 1.0, window_s))
    assert speeds(both) == [60.0, 20.0]
    finish(both, 0, 8, 4.0)
    assert speeds(both) == [60.0, 20.0], "what was measured differently cannot be compared"
    finish(both, 1, 8, 8.0)
    assert speeds(both) == [40.0, 20.0], "20 s of sound a second in each of two slots"
    finish(both, 1, 3, 30.0)
    assert speeds(both) == [40.0, 20.0], "a few chunks take nearly as long as many"
    both.seats[1].on_loaded(Loaded("large", "cuda", "float16", 1.0, 3.0))
    assert speeds(both) == [40.0, 20.0], "each model by itself"


def test_a_speed_is_a_mean_of_which_the_last_batch_is_a_part() -> None:
    speed = SeatSpeed()
    assert (speed.measured(4), speed.guessed(4)) == (0.0, 0.0)
    speed.add(1.0, 10.0, chunks=8, full=8)
    speed.add(2.0, 10.0, chunks=4, full=8)
    speed.add(0.0, 10.0, chunks=8, full=8)
    assert speed.measured(2) == pytest.approx(2 / 0.13)
    speed.start(0.5)
    assert (speed.measured(2), speed.guessed(2)) == (0.0, 120.0)


def test_the_fleet_grows_only_by_cards_and_only_where_the_setting_is_auto() -> None:
    auto, named, started = fleet("auto"), fleet("cuda:2"), []
    auto.run_actor = lambda actor: started.append(actor.name)
    for one in (auto, auto, named):
        one.grow()
    assert [seat.device.name for seat in auto.seats] == ["cuda:0", "cuda:1", "cuda:2"]
    assert started == ["speech-2", "speech-3"]
    assert [seat.device.name for seat in named.seats] == ["cuda:2"]


def test_a_gpu_stands_for_all_seats_and_its_memory_is_the_one_that_counts() -> None:
    assert fleet("cpu,cuda:2").main.device.name == "cuda:2"
    assert fleet("cuda:2").main.device.vram_bytes == 80
    assert fleet("cpu").main.device.vram_bytes == 0
    both = fleet("cuda:0,cuda:2")
    both.first.device.leave(PROBLEM)
    assert both.main.device.name == "cuda:2"


def test_work_is_obstructed_only_where_every_seat_is() -> None:
    both = fleet()
    both.first.block("base", PROBLEM)
    assert (both.is_blocked("base"), both.obstacle("base"), both.outage) == (False, None, None)
    both.seats[1].block("base", PROBLEM)
    assert (both.is_blocked("base"), both.obstacle("base"), both.is_blocked("tiny")) == (True, PROBLEM, False)
    both.reset(device=False)
    for seat in both.seats:
        assert both.outage is None
        seat.actor.broken, seat.actor.problem = True, PROBLEM
    assert both.outage == PROBLEM


def test_a_card_goes_out_of_service_while_another_can_work_and_the_last_one_leaves_to_the_cpu() -> None:
    both = fleet()
    first, second = (seat.device for seat in both.seats)
    assert first.leave(PROBLEM)
    assert (first.out, first.name, both.first.view().ready) == (True, "cuda:0", False)
    assert second.leave(PROBLEM)
    assert (second.out, second.name, both.seats[1].view().ready) == (False, "cpu", True)
    both.reset(device=True)
    assert [(seat.device.out, seat.device.name) for seat in both.seats] == [(False, "cuda:0"), (False, "cuda:1")]


def test_what_a_card_learnt_is_known_to_cards_of_its_size_under_their_own_name() -> None:
    keys = [seat.device.fallback_key for seat in fleet("cuda:0,cuda:1,cuda:2,cpu").seats]
    assert keys == ["cuda/24", "cuda/24", "cuda/80", "cpu"]
    assert SpeechDevice(actor("speech"), schema.SpeechSettings(device="cuda")).fallback_key == "cuda"
    second = fleet().seats[1].device
    second.prepare(Fallback(Rung("cuda:0", "auto", 4, 2), 0.0, PROBLEM, 60.0), None)
    assert second.rung == Rung("cuda:1", "auto", 4, 2)


class Places:
    """The machines of a cluster."""

    def __init__(self, places: int) -> None:
        self.places = places
        self.wished: int | None = None
        self.problem: Problem | None = None
        self.made: list[Any] = []

    def supervise(self, name: str) -> Any:
        self.made.append(actor(name))
        self.made[-1].state = ActorState.PENDING
        self.made[-1].ready_generation = 0
        self.made[-1].facts = {"cpus": 64}
        self.made[-1].go_idle = lambda: None
        return self.made[-1]


def clustered(places: int, device: str = "cuda:0", **cluster: Any) -> tuple[Fleet, Places]:
    far = Places(places)
    settings = schema.ClusterSettings(engine="ray", **cluster)
    speech = schema.SpeechSettings(device=device)
    return Fleet(actor, speech, schema.SupervisionSettings(), far=far, cluster=settings), far


def names(fleet: Fleet) -> list[str]:
    return [seat.actor.name for seat in fleet.seats]


def test_there_is_a_far_seat_for_each_place_behind_those_of_this_machine() -> None:
    both, far = clustered(2, "auto")
    ran: list[str] = []
    both.run_actor = lambda supervisor: ran.append(supervisor.name)
    assert names(both) == ["speech"]
    both.follow_cluster(work=False)
    assert names(both) == ["speech", "cluster-1", "cluster-2"]
    both.grow()
    assert names(both) == ["speech", "speech-2", "speech-3", "cluster-1", "cluster-2"]
    assert ran == ["cluster-1", "cluster-2", "speech-2", "speech-3"]
    both.follow_cluster(work=False)
    assert len(far.made) == 2


def test_only_seats_without_a_machine_go_and_they_come_back_under_their_names() -> None:
    both, far = clustered(3)
    both.follow_cluster(work=False)
    far.made[1].state = ActorState.READY
    far.places = 0
    both.follow_cluster(work=False)
    assert names(both) == ["speech", "cluster-2"], "a machine that goes takes its actor along first"
    assert {one.name for one in both.actors} == {"speech", "cluster-1", "cluster-2", "cluster-3"}
    assert both.of("cluster-1") is not None, "its last reports may still come"
    far.made[1].state = ActorState.PENDING
    both.follow_cluster(work=False)
    assert names(both) == ["speech"]
    far.places = 3
    both.follow_cluster(work=False)
    assert sorted(names(both)) == ["cluster-1", "cluster-2", "cluster-3", "speech"]
    assert len(far.made) == 3


def test_a_seat_whose_chunks_are_not_given_back_yet_stays() -> None:
    both, far = clustered(1)
    both.follow_cluster(work=False)
    seat = both.seats[1]
    seat.give(both.next_batch(), GiveBatch((("job", 0),)), [], preset="balanced", prompt=None)
    far.places = 0
    both.follow_cluster(work=False)
    assert names(both) == ["speech", "cluster-1"]
    seat.on_died()
    both.follow_cluster(work=False)
    assert names(both) == ["speech"]


def test_without_a_device_of_its_own_one_far_seat_is_always_there() -> None:
    alone, far = clustered(0, "none", cpus=3.0, gpus=0.0)
    assert names(alone) == ["cluster-1"]
    alone.follow_cluster(work=True)
    assert names(alone) == ["cluster-1"]
    far.places = 2
    alone.follow_cluster(work=False)
    assert names(alone) == ["cluster-1", "cluster-2"]
    assert [seat.device.name for seat in alone.seats] == ["cpu", "cpu"]
    assert alone.first.rung.slots == 3, "as many cores as are taken for the actor, not all of its machine"


def test_machines_that_are_not_wanted_any_more_are_given_back_when_their_batches_have_ended() -> None:
    both, far = clustered(3)
    both.follow_cluster(work=False)
    ended: list[str] = []
    for one in far.made:
        one.state, one.ready_generation = ActorState.READY, 1
        one.go_idle = lambda name=one.name: ended.append(name)
    busy = both.seats[2]
    busy.give(both.next_batch(), GiveBatch((("job", 0),)), [], preset="balanced", prompt=None)
    far.places = far.wished = 1
    both.follow_cluster(work=True)
    assert names(both) == ["speech", "cluster-1", "cluster-2"]
    assert ended == ["cluster-3"]
    assert [seat.view().ready for seat in both.seats] == [True, True, False], "no batch more for the one that leaves"
    busy.on_batch_done(BatchDone(batch=1, seconds=1.0, audio_s=1.0))
    both.follow_cluster(work=True)
    assert names(both) == ["speech", "cluster-1"]
    assert ended == ["cluster-3", "cluster-2"]
    far.places = far.wished = 3
    both.follow_cluster(work=True)
    assert sorted(names(both)) == ["cluster-1", "cluster-2", "cluster-3", "speech"]
    assert all(seat.view().ready for seat in both.seats)


def test_a_seat_that_leaves_stays_when_it_is_wanted_again_meanwhile() -> None:
    both, far = clustered(1)
    both.follow_cluster(work=False)
    far.made[0].state, far.made[0].ready_generation = ActorState.READY, 1
    seat = both.seats[1]
    seat.give(both.next_batch(), GiveBatch((("job", 0),)), [], preset="balanced", prompt=None)
    far.places = far.wished = 0
    both.follow_cluster(work=True)
    assert not seat.view().ready
    far.places = far.wished = 1
    both.follow_cluster(work=True)
    assert seat.view().ready


def test_the_one_seat_of_a_service_without_a_device_gives_its_machine_back_and_stays() -> None:
    alone, far = clustered(1, "none")
    ended: list[str] = []
    far.made[0].state, far.made[0].ready_generation = ActorState.READY, 1
    far.made[0].go_idle = lambda: ended.append("cluster-1")
    far.places = far.wished = 0
    alone.follow_cluster(work=False)
    assert (names(alone), ended) == (["cluster-1"], ["cluster-1"])


def test_a_card_far_away_is_known_by_its_memory() -> None:
    alone, far = clustered(1, "none")
    far.made[0].facts = {"cuda_devices": 1, "vram_total": [80]}
    assert alone.first.device.name == "cuda"
    assert alone.first.device.fallback_key == "cuda/80", "the next actor of the seat may have another card"


def test_a_cluster_that_cannot_be_reached_is_a_warning_while_this_machine_works() -> None:
    both, far = clustered(0)
    assert both.warnings == ()
    far.problem = PROBLEM
    assert both.warnings == (PROBLEM,)
    assert both.outage is None
