"""What this machine has for a model."""

from __future__ import annotations

import os

from whisper_service.host import machine, memory


def test_this_machine_has_cores_and_memory() -> None:
    found = machine.inspect()
    assert found.cpus >= 1
    assert found.memory_bytes > 1_000_000
    assert 0 < found.model_bytes < found.memory_bytes
    assert found.memory_bytes <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0 < (memory.free() or 1) <= found.memory_bytes
