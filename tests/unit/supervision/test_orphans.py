"""Who is on the roll and still lives when a new service comes is one of ours that was left behind; nobody else is touched."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from whisper_service.supervision import orphans
from whisper_service.supervision.orphans import OrphanList

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux tells when a process was born")


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """Looks like one of ours, and is as deaf as one that is stopped."""
    code = "import time; name = 'multiprocessing'; time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        while b"multiprocessing" not in Path(f"/proc/{process.pid}/cmdline").read_bytes():
            pass
        yield process
        process.kill()


def test_a_child_that_is_left_is_ended_by_the_next(tmp_path: Path, child: subprocess.Popen[bytes]) -> None:
    OrphanList(tmp_path / "children").add(child.pid)
    OrphanList(tmp_path / "children").end_orphans()
    assert child.wait(10) == -9
    assert (tmp_path / "children").read_text() == ""


def test_a_process_that_only_has_its_number_is_left_alone(tmp_path: Path, child: subprocess.Popen[bytes]) -> None:
    (tmp_path / "children").write_text(f"{child.pid} 1\n")
    OrphanList(tmp_path / "children").end_orphans()
    assert child.poll() is None


def test_a_process_that_is_nothing_of_ours_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as other:
        (tmp_path / "children").write_text(f"{other.pid} {orphans.start_time(other.pid)}\n")
        OrphanList(tmp_path / "children").end_orphans()
        assert other.poll() is None
        other.kill()


def test_who_has_left_is_forgotten(tmp_path: Path, child: subprocess.Popen[bytes]) -> None:
    present = OrphanList(tmp_path / "children")
    present.add(child.pid)
    assert (tmp_path / "children").read_text() == f"{child.pid} {orphans.start_time(child.pid)}\n"
    present.remove(child.pid)
    assert (tmp_path / "children").read_text() == ""


@pytest.mark.parametrize("text", ["", "x", "1", "1 \n", "-1 5", "99999999 5", "\u00e9"])
def test_a_roll_that_makes_no_sense_ends_nobody(tmp_path: Path, text: str) -> None:
    (tmp_path / "children").write_text(text, "utf-8")
    OrphanList(tmp_path / "children").end_orphans()
    assert (tmp_path / "children").read_text() == ""


def test_without_room_it_is_done_without(tmp_path: Path, child: subprocess.Popen[bytes]) -> None:
    present = OrphanList(tmp_path / "missing" / "children")
    present.end_orphans()
    present.add(child.pid)
    present.remove(child.pid)
