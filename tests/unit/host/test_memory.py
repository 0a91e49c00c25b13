"""Memory of the machine, within the limits of its control groups."""

from __future__ import annotations

from pathlib import Path

import pytest

from whisper_service.host import memory

SERVICE = "0::/system.slice/whisper.service\n"


class Groups:
    """A machine with 5,000 kB available and the control groups that a test writes."""

    def __init__(self, path: Path) -> None:
        self.root, self.membership, self.meminfo = path / "fs", path / "membership", path / "meminfo"
        self.root.mkdir()
        self.meminfo.write_text("MemTotal:  9000 kB\nMemAvailable:  5000 kB\n")

    def write(self, membership: str, files: dict[str, str]) -> None:
        self.membership.write_text(membership)
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def total(self) -> int:
        return memory.total(self.root, self.membership)

    def free(self) -> int | None:
        return memory.free(self.root, self.membership, self.meminfo)


@pytest.fixture
def groups(tmp_path: Path) -> Groups:
    return Groups(tmp_path)


@pytest.mark.parametrize(
    ("membership", "name"),
    [
        ("0::/\n", "memory.max"),
        ("0::/docker/1234\n", "memory.max"),  # the path of the host: only the root is there
        (SERVICE, "system.slice/whisper.service/memory.max"),  # systemd's MemoryMax=
        (SERVICE, "system.slice/memory.max"),
        (SERVICE, "unified/system.slice/whisper.service/memory.max"),
        ("4:memory:/pod/a\n0::/\n", "memory/pod/a/memory.limit_in_bytes"),
        ("4:memory:/pod/a\n", "memory/pod/memory.limit_in_bytes"),
        ("", "memory/memory.limit_in_bytes"),  # the membership is hidden
    ],
)
def test_a_limit_counts_wherever_it_is_set(groups: Groups, membership: str, name: str) -> None:
    groups.write(membership, {name: "1000000\n"})
    assert groups.total() == 1_000_000
    assert groups.free() == 1_000_000


@pytest.mark.parametrize("text", ["max\n", "9223372036854771712\n", "", "odd"])
def test_no_limit_is_no_limit(groups: Groups, text: str) -> None:
    before = groups.total()
    groups.write("0::/\n", {"memory.max": text})
    assert groups.total() == before
    assert groups.free() == 5_000 * 1024


def test_the_group_with_the_least_left_decides(groups: Groups) -> None:
    files = {"a/memory.max": "3000000", "a/memory.current": "2500000"}
    files |= {"a/b/memory.max": "1000000", "a/b/memory.current": "100000"}
    groups.write("0::/a/b\n", files)
    assert groups.total() == 1_000_000
    assert groups.free() == 500_000


def test_the_cache_of_files_is_free_and_more_than_all_is_none(groups: Groups) -> None:
    files = {"memory.max": "3000000", "memory.current": "4000000"}
    groups.write("0::/\n", files)
    assert groups.free() == 0
    groups.write("0::/\n", {"memory.stat": "anon 5\ninactive_file 1500000\n"})
    assert groups.free() == 500_000


def test_the_first_version_of_control_groups(groups: Groups) -> None:
    files = {
        "limit_in_bytes": "3000000",
        "usage_in_bytes": "2900000",
        "stat": "inactive_file 7\ntotal_inactive_file 400000\n",
    }
    groups.write("4:memory:/a\n", {f"memory/a/memory.{name}": text for name, text in files.items()})
    assert groups.free() == 500_000


def test_a_system_that_does_not_say_has_no_free_memory_to_tell(tmp_path: Path) -> None:
    assert memory.free(tmp_path, tmp_path / "none", tmp_path / "neither") is None
