"""The kernel's counters of kills, in the layouts of several systems."""

from __future__ import annotations

from pathlib import Path

import pytest

from whisper_service.host import oom_kills

EVENTS = "low 0\nhigh 3\nmax 17\noom 2\noom_kill {}\noom_group_kill 0\n"
LAYOUTS = {
    "version 2": ("0::/system.slice/whisper.service", {"system.slice/whisper.service/memory.events": EVENTS.format(3)}),
    "version 2, in a container that sees its root alone": ("0::/docker/abc", {"memory.events": EVENTS.format(3)}),
    "version 2, where only a parent counts": (
        "0::/system.slice/whisper.service",
        {"system.slice/memory.events": EVENTS.format(3), "memory.events": EVENTS.format(9)},
    ),
    "version 2 beside version 1": ("9:cpu:/\n0::/a", {"unified/a/memory.events": EVENTS.format(3)}),
    "version 1": (
        "4:memory:/a/b\n0::/",
        {"memory/a/b/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"},
    ),
    "no group that counts": ("0::/", {}),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_group_that_is_nearest_counts(tmp_path: Path, layout: str) -> None:
    membership, files = LAYOUTS[layout]
    (tmp_path / "cgroup").write_text(membership + "\n")
    (tmp_path / "vmstat").write_text(f"pgfault 12\noom_kill {7 if files else 3}\n")
    for name, text in files.items():
        path = tmp_path / "groups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert oom_kills.count(tmp_path / "groups", tmp_path / "cgroup", tmp_path / "vmstat") == 3


def test_a_system_that_does_not_say_has_killed_nothing(tmp_path: Path) -> None:
    assert oom_kills.count(tmp_path, tmp_path / "none", tmp_path / "neither") == 0
