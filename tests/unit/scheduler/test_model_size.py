"""Models that are too big for a machine are refused before they are loaded there."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from whisper_service.core.errors import ModelTooBig
from whisper_service.scheduler.model_states import ModelStates

GB = 10**9


def states(needed: int, here: int) -> ModelStates:
    """Return the states of models which need so many bytes, on a machine with so many."""

    def too_big(name: str, have: int | None = None) -> int | None:
        have = here if have is None else have
        return needed if have and needed > have else None

    inventory: Any = SimpleNamespace(machine=SimpleNamespace(memory_bytes=here), too_big=too_big)
    nothing: Any = None
    return ModelStates(nothing, nothing, inventory, nothing)


def device(name: str, vram: int = 0) -> Any:
    return SimpleNamespace(name_or_cpu=name, vram_bytes=vram)


@pytest.mark.parametrize(
    ("where", "far", "said"),
    [
        (device("cpu"), None, "this machine has 2.0 GB"),
        (device("cuda", GB), None, None),
        (device("cpu"), GB, "that machine of the cluster has 1.0 GB"),
        (device("cpu"), 8 * GB, None),
        (device("cpu"), 0, None),
        (device("cuda", GB), 64 * GB, "the graphics card of that machine of the cluster has 1.0 GB"),
        (device("cuda", 80 * GB), GB, None),
        (device("cuda"), GB, None),
    ],
)
def test_the_memory_that_counts_is_that_of_the_device(where: Any, far: int | None, said: str | None) -> None:
    checked = states(3 * GB, here=2 * GB)
    if said is None:
        checked.check_size("big", where, far)
        return
    with pytest.raises(ModelTooBig, match=said):
        checked.check_size("big", where, far)
