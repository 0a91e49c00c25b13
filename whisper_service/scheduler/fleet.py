"""The fleet: all seats. A seat is a device with a speech actor of its own. What goes wrong on one concerns no other.

The first seat is there from the beginning. With `speech.device = "auto"` the others come when its actor has told how
many graphics cards there are. Far seats are on the machines of a cluster; they come and go with them. Numbers of
batches are the fleet's: none is used twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from msgspec.structs import replace

from whisper_service.config import schema
from whisper_service.core.domain import ActorState, Problem
from whisper_service.scheduler.speech_actor import SpeechActor
from whisper_service.scheduler.views import FIRST_SEAT, ChunkKey, SeatView
from whisper_service.supervision.supervisor import Supervisor

AUTO: Final = "auto"
FAR_SEAT: Final = "cluster"
"""How the names of far seats begin: "cluster-1", "cluster-2"..."""

WITHOUT_MACHINE: Final = (ActorState.IDLE, ActorState.PENDING)


class FarPlaces(Protocol):
    """The machines of a cluster, as far as the fleet knows them."""

    @property
    def places(self) -> int:
        """How many speech actors the machines have room for, at most as many as are wanted."""

    @property
    def wished(self) -> int | None:
        """How many speech actors are wanted. None: as many as there are places."""

    @property
    def problem(self) -> Problem | None:
        """Why none of the machines can be reached. None: they can, or soon."""

    def supervise(self, name: str) -> Supervisor:
        """Make the supervisor of a speech actor on whichever machine has room."""


class Fleet:
    """The seats, in order: those of this machine, then the far ones. There is one at least."""

    def __init__(
        self,
        supervise: Callable[[str], Supervisor],
        speech: schema.SpeechSettings,
        limits: schema.SupervisionSettings,
        *,
        far: FarPlaces | None = None,
        cluster: schema.ClusterSettings | None = None,
    ) -> None:
        self.seats: list[SpeechActor] = []
        self.run_actor: Callable[[Supervisor], object] | None = None  # starts the task of an actor that came later
        self._supervise = supervise
        self._speech = speech
        self._limits = limits
        self._last_batch = 0
        self._far = far
        self._cluster = cluster or schema.ClusterSettings()
        self._parked: list[SpeechActor] = []  # far seats without a machine, until there is one again
        for device in speech.devices:
            self._add(device)
        if not self.seats:
            self._add_far()

    @property
    def first(self) -> SpeechActor:
        """The first seat."""
        return self.seats[0]

    @property
    def main(self) -> SpeechActor:
        """The seat that stands for all where one is asked for: the first one on a GPU, else the first."""
        usable = [seat for seat in self.seats if not seat.device.out] or self.seats
        return next((seat for seat in usable if seat.device.name_or_cpu != "cpu"), usable[0])

    @property
    def actors(self) -> tuple[Supervisor, ...]:
        """The supervisors of all speech actors."""
        return tuple(seat.actor for seat in (*self.seats, *self._parked))

    def of(self, name: str) -> SpeechActor | None:
        """Return the seat whose actor has this name. None: that is no speech actor."""
        return next((seat for seat in (*self.seats, *self._parked) if seat.actor.name == name), None)

    def seat(self, name: str) -> SpeechActor:
        """Return the seat of this name, which a plan has named."""
        return next(seat for seat in self.seats if seat.actor.name == name)

    def start(self) -> None:
        """Start the speech actors, because there is work. Whoever is out of service stays so."""
        for seat in self.seats:
            if not seat.device.out:
                seat.actor.start()

    def grow(self) -> None:
        """Add a seat for each further graphics card, once the first actor has told how many there are."""
        if self._speech.devices != (AUTO,):
            return
        for number in range(self._local_seats, int(self.first.actor.facts.get("cuda_devices", 0))):
            self._run(self._add(f"cuda:{number}")).start()

    def follow_cluster(self, *, work: bool) -> None:
        """Have a far seat for each place in the cluster. Start the actors of new ones if there is `work`.

        Only seats without a machine go. A machine that goes takes its actor along, and then the seat waits.
        """
        if self._far is None:
            return
        wanted = self._local_seats + max(self._far.places, 0 if self._local_seats else 1)
        while len(self.seats) < wanted:
            seat = self._return() if self._parked else self._add_far()
            if work:
                seat.actor.start()
        far = [seat for seat in self.seats if seat.far and not seat.view().busy]
        without = [seat for seat in far if seat.actor.state in WITHOUT_MACHINE]
        for seat in without[::-1][: max(0, len(self.seats) - wanted)]:
            self._park(seat)
        self._give_machines_back(self._far.wished)

    def _give_machines_back(self, wished: int | None) -> None:
        """Let the far seats go that are not wanted any more, each when its batches have ended. None: all are wanted."""
        placed = [seat for seat in self.seats if seat.far and seat.actor.state not in WITHOUT_MACHINE]
        for number, seat in enumerate(placed):
            seat.leaving = wished is not None and number >= wished
            if seat.leaving and not seat.view().busy:
                if len(self.seats) > 1:
                    self._park(seat)
                else:
                    seat.unload()  # the one seat of a service without a device of its own: it starts again with work
                    seat.leaving = False

    def view(self, unanswered: Callable[[ChunkKey, int], bool]) -> tuple[SeatView, ...]:
        """Return the seats as the planner sees them. `unanswered`: whether a chunk still waits for this batch."""
        now = time.monotonic()
        views = [seat.view(now if len(self.seats) > 1 else None, unanswered) for seat in self.seats]
        speeds = self._speeds()
        return tuple(replace(view, speed=speeds[seat]) for seat, view in zip(self.seats, views, strict=True))

    def _speeds(self) -> dict[SpeechActor, float]:
        """Return the speed of each seat: measured if all seats with its model are, else by their first windows."""
        speeds = dict.fromkeys(self.seats, 0.0)
        for model in self.models:
            mates = [seat for seat in self.seats if seat.model == model]
            measured = {mate: mate.speed.measured(mate.rung.slots) for mate in mates}
            guessed = {mate: mate.speed.guessed(mate.rung.slots) for mate in mates}
            speeds |= next((found for found in (measured, guessed) if all(found.values())), {})
        return speeds

    # -- batches ------------------------------------------------------------------------------------------------------

    def next_batch(self) -> int:
        """Return the number of the next batch. No number is used twice."""
        self._last_batch += 1
        return self._last_batch

    def batches(self) -> set[int]:
        """Return the batches that the speech actors have."""
        return {number for seat in self.seats for number in seat.batches}

    def mark_tried_again(self, number: int) -> None:
        """Record that a late batch was given to a second seat."""
        for seat in self.seats:
            seat.mark_tried_again(number)

    def cancel(self, job_id: str) -> None:
        """Let all actors skip the chunks of a job that they have not begun."""
        for seat in self.seats:
            seat.cancel(job_id)

    # -- models -------------------------------------------------------------------------------------------------------

    @property
    def models(self) -> frozenset[str]:
        """The loaded models."""
        return frozenset(seat.model for seat in self.seats if seat.model is not None)

    def having(self, model: str) -> list[SpeechActor]:
        """Return the seats that have a model, or load it."""
        return [seat for seat in self.seats if model in (seat.model, seat.loading)]

    # -- what cannot be done ------------------------------------------------------------------------------------------

    def others_can(self, seat: SpeechActor, model: str | None) -> bool:
        """Return whether another seat than this one may work with a model."""
        return any(
            not (other is seat or other.device.out or other.halt is not None or other.is_blocked(model))
            for other in self.seats
        )

    def works(self, seat: SpeechActor) -> bool:
        """Return whether a seat has an actor that takes commands."""
        return bool(seat.actor.ready_generation) and not seat.device.out

    def is_blocked(self, model: str | None) -> bool:
        """Return whether the jobs of this model wait for its next try, because no seat can load it."""
        return all(seat.is_blocked(model) for seat in self.in_service())

    def obstacle(self, model: str | None) -> Problem | None:
        """Return what keeps jobs of this model from going on until a person acts. None: some seat can work."""
        return _first_if_all(seat.obstacle(model) for seat in self.in_service())

    @property
    def outage(self) -> Problem | None:
        """Why nothing is transcribed at all: no seat has an actor, nor will soon. None: some seat can work."""
        return _first_if_all(seat.halt for seat in self.in_service())

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """Why the work is done otherwise than configured, each reason once."""
        of_seats = (warning for seat in self.seats for warning in seat.warnings)
        no_cluster = self._far.problem if self._far is not None else None
        return _each_once((*of_seats, *((no_cluster,) if no_cluster else ())))

    @property
    def load_problem(self) -> Problem | None:
        """Why no seat could load its last model. None: one of them could."""
        return _first_if_all(seat.problem for seat in self.in_service())

    @property
    def due_at(self) -> float | None:
        """When a plan is due without an event: a model is to be tried again, or a batch may be late. None: never."""
        times = [seat.probe_at for seat in self.seats]
        if len(self.seats) > 1:
            times += [seat.late_at(time.monotonic()) for seat in self.seats]
        return min((at for at in times if at is not None), default=None)

    @property
    def idle_until(self) -> float | None:
        """When the first idle model is unloaded if there is no work until then. None: never."""
        return min((at for seat in self.seats if (at := seat.idle_until) is not None), default=None)

    def reset(self, *, device: bool) -> None:
        """Try again what failed, because a person says that the cause is gone. With `device`, also the GPUs."""
        for seat in self.seats:
            seat.reset(device=device)

    def in_service(self) -> list[SpeechActor]:
        """Return the seats that work, or are to work again."""
        return [seat for seat in self.seats if not seat.device.out]

    @property
    def _local_seats(self) -> int:
        return sum(not seat.far for seat in self.seats)

    def _add(self, device: str) -> SpeechActor:
        number = self._local_seats + 1
        name = FIRST_SEAT if number == 1 else f"{FIRST_SEAT}-{number}"
        seat = SpeechActor(self._supervise(name), self._speech, self._limits, device=device, others_can=self.others_can)
        self.seats.insert(number - 1, seat)
        return seat

    def _add_far(self) -> SpeechActor:
        """Add a seat on whichever machine of the cluster has room. Its actor sees only what it may use there."""
        assert self._far is not None
        number = sum(seat.far for seat in self.seats) + 1
        settings = replace(
            self._speech,
            device=AUTO if self._cluster.gpus else "cpu",
            threads=self._speech.threads or max(1, int(self._cluster.cpus)),
        )
        actor = self._far.supervise(f"{FAR_SEAT}-{number}")
        seat = SpeechActor(actor, settings, self._limits, far=True, others_can=self.others_can)
        self.seats.append(seat)
        self._run(seat)
        return seat

    def _park(self, seat: SpeechActor) -> None:
        """Put a far seat away until there is a place for it."""
        seat.unload()
        seat.leaving = False
        self.seats.remove(seat)
        self._parked.append(seat)

    def _return(self) -> SpeechActor:
        """Put the far seat back that went last."""
        seat = self._parked.pop()
        self.seats.append(seat)
        return seat

    def _run(self, seat: SpeechActor) -> Supervisor:
        """Run the supervisor of a seat that came later than the service."""
        if self.run_actor is not None:
            self.run_actor(seat.actor)
        return seat.actor


def _first_if_all(problems: Iterable[Problem | None]) -> Problem | None:
    found = list(problems)
    return found[0] if found and all(problem is not None for problem in found) else None


def _each_once(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    found: list[Problem] = []
    for problem in problems:
        if problem not in found:
            found.append(problem)
    return tuple(found)
