"""Before a model is loaded the actor waits for memory that is being released, and for nothing else."""

from __future__ import annotations

import pytest

from whisper_service.actors.speech import gpu_memory

MB = 1 << 20


class Machine:
    """A machine that reports these amounts of free memory, one after the other. The last one stays."""

    def __init__(self, *free: int | None) -> None:
        self.amounts = list(free)
        self.now = 0.0

    def free(self) -> int | None:
        return self.amounts.pop(0) if len(self.amounts) > 1 else self.amounts[0]

    def settle(self, wanted: int) -> float:
        return gpu_memory.wait_until_free(self.free, wanted, clock=lambda: self.now, sleep=self.sleep)

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize(
    ("free", "steps"),
    [
        ([900 * MB], 0),  # enough
        ([None], 0),  # unknown
        ([100 * MB], 1),  # not enough, and no more comes
        ([100 * MB, 300 * MB, 700 * MB], 2),  # more comes, until there is enough
        ([100 * MB, 300 * MB, 310 * MB], 2),  # more comes, then no more
        ([300 * MB, 100 * MB], 1),  # another program takes it
        ([100 * MB, None], 1),
    ],
)
def test_the_actor_waits_while_memory_is_released(free: list[int | None], steps: int) -> None:
    assert Machine(*free).settle(500 * MB) == steps * gpu_memory.STEP_S


def test_the_wait_has_an_end() -> None:
    machine = Machine(*(n * 20 * MB for n in range(1000)))
    assert machine.settle(10**15) == gpu_memory.LONGEST_S


def test_the_memory_of_a_missing_gpu_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> object:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(gpu_memory.ctypes, "CDLL", missing)
    assert gpu_memory.free_bytes("cuda:1") is None
    assert gpu_memory.driver_version() is None
