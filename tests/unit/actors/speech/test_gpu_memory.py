"""Before a model is loaded: who gives memory back is waited for, and nobody else."""

from __future__ import annotations

import pytest

from whisper_service.actors.speech import gpu_memory

MB = 1 << 20


class Machine:
    """Free memory as it is told, one answer after the other; the last one stays."""

    def __init__(self, *free: int | None) -> None:
        self.told = list(free)
        self.now = 0.0

    def free(self) -> int | None:
        return self.told.pop(0) if len(self.told) > 1 else self.told[0]

    def settle(self, wanted: int) -> float:
        return gpu_memory.wait_until_free(self.free, wanted, clock=lambda: self.now, sleep=self.sleep)

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize(
    ("free", "steps"),
    [
        ([900 * MB], 0),  # enough
        ([None], 0),  # nobody knows
        ([100 * MB], 1),  # not enough, and nothing moves
        ([100 * MB, 300 * MB, 700 * MB], 2),  # it comes back, until there is enough
        ([100 * MB, 300 * MB, 310 * MB], 2),  # or no more comes
        ([300 * MB, 100 * MB], 1),  # somebody else takes it
        ([100 * MB, None], 1),
    ],
)
def test_it_waits_while_memory_comes_back(free: list[int | None], steps: int) -> None:
    assert Machine(*free).settle(500 * MB) == steps * gpu_memory.STEP_S


def test_it_never_waits_long() -> None:
    machine = Machine(*(n * 20 * MB for n in range(1000)))
    assert machine.settle(10**15) == gpu_memory.LONGEST_S


def test_a_gpu_that_is_not_there_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> object:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(gpu_memory.ctypes, "CDLL", missing)
    assert gpu_memory.free_bytes("cuda:1") is None
    assert gpu_memory.driver_version() is None
