"""Describe this machine for the choice of a model: cores and memory. Starts nothing."""

from __future__ import annotations

from typing import Final

from whisper_service.core.domain import Value
from whisper_service.host import cpu, memory

MODEL_SHARE: Final = 0.75
"""Part of the memory that a model may use. The system, other programs and the service need the rest."""


class Machine(Value, frozen=True):
    """What this process may use of the machine. `memory_bytes` 0: the system does not say."""

    cpus: int
    memory_bytes: int

    @property
    def model_bytes(self) -> int:
        """Bytes that a model may use."""
        return int(self.memory_bytes * MODEL_SHARE)


def inspect() -> Machine:
    """Return the machine as this process may use it."""
    return Machine(cpu.cores(), memory.total())
