"""Cores by affinity and by the quota of a container."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from whisper_service.host.cpu import cores


@pytest.fixture(autouse=True)
def _a_large_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)


def count(tmp_path: Path, membership: str, files: dict[str, str]) -> int:
    for name, text in files.items():
        path = tmp_path / "fs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "membership").write_text(membership)
    return cores(tmp_path / "fs", tmp_path / "membership")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("200000 100000\n", 2),
        ("250000 100000\n", 2),
        ("50000 100000\n", 1),
        ("max 100000\n", 64),
        ("", 64),
        ("nonsense", 64),
        ("1 0", 64),
    ],
)
def test_a_container_sees_its_own_quota_at_the_root(tmp_path: Path, text: str, expected: int) -> None:
    assert count(tmp_path, "0::/\n", {"cpu.max": text}) == expected


def test_the_smallest_quota_on_the_way_up_counts(tmp_path: Path) -> None:
    files = {"a/b/c/cpu.max": "max 100000", "a/b/cpu.max": "300000 100000", "a/cpu.max": "800000 100000"}
    assert count(tmp_path, "0::/a/b/c\n", files) == 3


def test_a_path_of_the_host_that_is_not_there_falls_back_to_the_root(tmp_path: Path) -> None:
    assert count(tmp_path, "0::/docker/1234\n", {"cpu.max": "400000 100000"}) == 4


@pytest.mark.parametrize("mount", ["cpu,cpuacct", "cpu"])
def test_the_first_version_of_control_groups(tmp_path: Path, mount: str) -> None:
    files = {f"{mount}/pod/cpu.cfs_quota_us": "150000\n", f"{mount}/pod/cpu.cfs_period_us": "50000\n"}
    files |= {f"{mount}/cpu.cfs_quota_us": "-1\n", f"{mount}/cpu.cfs_period_us": "100000\n"}
    assert count(tmp_path, "4:memory:/pod\n1:cpu,cpuacct:/pod\n0::/\n", files) == 3


def test_a_group_of_another_controller_does_not_count(tmp_path: Path) -> None:
    files = {"memory/cpu.cfs_quota_us": "100000", "memory/cpu.cfs_period_us": "100000"}
    assert count(tmp_path, "4:memory:/\n3:cpuset:/\n", files) == 64


def test_affinity_counts_where_it_is_less_than_the_quota(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5})
    assert count(tmp_path, "0::/\n", {"cpu.max": "800000 100000"}) == 2


@pytest.mark.parametrize(("machine", "expected"), [(10, 10), (None, 1)])
def test_other_systems_know_neither(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine: int | None, expected: int
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: machine)
    assert cores(tmp_path / "none", tmp_path / "neither") == expected
