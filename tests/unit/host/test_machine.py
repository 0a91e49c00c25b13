"""What a machine has for a model."""

from __future__ import annotations

from pathlib import Path

import pytest

from whisper_service.host import machine


def test_this_machine_has_cores_and_memory(tmp_path: Path) -> None:
    found = machine.look(tmp_path)
    assert found.cpus >= 1
    assert found.memory_bytes > 1_000_000
    assert 0 < found.for_models < found.memory_bytes


@pytest.mark.parametrize("name", ["memory.max", "memory/memory.limit_in_bytes"])
def test_a_container_has_what_it_is_given(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("1000000\n")
    assert machine.look(tmp_path).memory_bytes == 1_000_000


@pytest.mark.parametrize("text", ["max\n", "9223372036854771712\n", "", "odd"])
def test_no_limit_is_no_limit(tmp_path: Path, text: str) -> None:
    (tmp_path / "memory.max").write_text(text)
    assert machine.look(tmp_path) == machine.look(tmp_path / "nowhere")


def test_what_is_free_is_what_the_system_and_the_container_leave(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    assert machine.free_memory(tmp_path, meminfo) is None
    meminfo.write_text("MemTotal:  9000 kB\nMemAvailable:  5000 kB\n")
    assert machine.free_memory(tmp_path, meminfo) == 5_000 * 1024
    (tmp_path / "memory.max").write_text("3000000")
    (tmp_path / "memory.current").write_text("1000000")
    assert machine.free_memory(tmp_path, meminfo) == 2_000_000
    (tmp_path / "memory.current").write_text("4000000")
    assert machine.free_memory(tmp_path, meminfo) == 0
