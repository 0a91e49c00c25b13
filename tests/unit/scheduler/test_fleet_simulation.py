"""A hundred unlike devices under the planner, on a clock of their own: recordings are done soon, and none is lost.

The limits are 1.5 times what another simulation with the same rules found before the planner was written, and what a
planner that takes any free device reaches. Nothing here depends on the speed of this machine.
"""

from __future__ import annotations

from testkit.fleet_simulation import CHUNKS, CHUNKS_A_SECOND, KINDS, LOAD, FleetSimulation

DEVICES = 100
SECONDS = 20.0


def simulated(**options: float) -> FleetSimulation:
    simulation = FleetSimulation(DEVICES, **options)  # type: ignore[arg-type]
    simulation.run(SECONDS)
    expected = SECONDS * LOAD * DEVICES * CHUNKS_A_SECOND * sum(share * speed for share, speed, _ in KINDS) / CHUNKS
    assert 0.8 * expected < len(simulation.took) < 1.2 * expected, "recordings came as they should"
    return simulation


def test_a_planner_that_knows_its_devices_is_faster_than_one_that_takes_any() -> None:
    knows, takes_any = simulated(), simulated(knows=False)
    assert knows.quantile(0.95) <= 1.5 * 4.2
    assert knows.quantile(0.99) <= 1.5 * 8.6
    assert knows.quantile(0.99) < 0.7 * takes_any.quantile(0.99)
    assert knows.quantile(1.0) < takes_any.quantile(1.0)
    assert (knows.given_again, takes_any.tried_twice) == (0, 0)
    assert knows.tried_twice > 0


def test_devices_that_die_lose_nothing_and_hold_little_up() -> None:
    simulation = simulated(deaths_per_hour=20.0)  # three times as many as a bad day has
    assert simulation.given_again > 0
    assert simulation.quantile(0.95) <= 1.5 * 5.0
    assert simulation.quantile(1.0) <= 1.5 * 59.0
