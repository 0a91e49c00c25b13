"""A database file counts as sound only when nothing speaks against it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from whisper_service.storage import integrity


@pytest.fixture(autouse=True)
def boot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "boot_id"
    path.write_text("monday\n")
    monkeypatch.setattr(integrity, "BOOT", path)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "db"
    path.write_bytes(b"rows")
    return path


def closed(path: Path) -> None:
    integrity.mark_open(path)
    integrity.mark_closed(path)


def test_a_file_without_a_mark_is_checked(path: Path) -> None:
    assert not integrity.is_known_good(path)


def test_a_file_that_was_closed_is_known_even_after_a_restart_of_the_machine(path: Path, boot: Path) -> None:
    closed(path)
    boot.write_text("tuesday")
    assert integrity.is_known_good(path)


def test_a_file_that_was_changed_since_is_checked(path: Path) -> None:
    closed(path)
    path.write_bytes(b"rats")
    os.utime(path, ns=(1, 1))
    assert not integrity.is_known_good(path)


def test_a_file_that_was_cut_off_is_checked(path: Path) -> None:
    closed(path)
    times = path.stat()
    os.truncate(path, 2)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert not integrity.is_known_good(path)


def test_a_closed_file_with_a_write_ahead_log_is_checked(path: Path) -> None:
    closed(path)
    path.with_name("db-wal").write_bytes(b"")
    assert integrity.is_known_good(path)
    path.with_name("db-wal").write_bytes(b"more rows")
    assert not integrity.is_known_good(path)


def test_a_file_whose_process_was_killed_is_known_until_the_machine_is_restarted(path: Path, boot: Path) -> None:
    integrity.mark_open(path)
    path.with_name("db-wal").write_bytes(b"more rows")
    path.write_bytes(b"rows and rows")
    assert integrity.is_known_good(path)
    boot.write_text("tuesday")
    assert not integrity.is_known_good(path)


def test_another_file_in_its_place_is_checked(path: Path) -> None:
    integrity.mark_open(path)
    shutil.copy(path, path.with_name("backup"))
    path.with_name("backup").replace(path)
    assert not integrity.is_known_good(path)


def test_without_a_boot_id_a_file_whose_process_was_killed_is_checked(path: Path, boot: Path) -> None:
    boot.unlink()
    integrity.mark_open(path)
    assert not integrity.is_known_good(path)
    integrity.mark_closed(path)
    assert integrity.is_known_good(path)


@pytest.mark.parametrize("mark", [b"", b"{", b"[]", b'{"inode": 1}', b"\xff"])
def test_a_mark_that_cannot_be_read_is_ignored(path: Path, mark: bytes) -> None:
    closed(path)
    path.with_name("db-sound").write_bytes(mark)
    assert not integrity.is_known_good(path)


def test_a_mark_that_was_deleted_while_the_file_was_open_stays_deleted(path: Path) -> None:
    integrity.mark_open(path)
    integrity.delete_mark(path)
    integrity.mark_closed(path)
    assert not integrity.is_known_good(path)
