"""Files are written whole or not at all, and a full disk is an error for users."""

from __future__ import annotations

import errno
import hashlib
import os
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from whisper_service.core import files
from whisper_service.core.errors import DiskFull


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_an_error_for_users(number: int) -> None:
    with pytest.raises(DiskFull, match="No room for the model"), files.full_disk_as_error("No room for the model."):
        raise OSError(number, "full")


def test_other_errors_pass_as_they_are() -> None:
    with pytest.raises(PermissionError), files.full_disk_as_error():
        raise PermissionError(errno.EACCES, "no")
    assert not files.is_disk_full(ValueError())


def test_all_is_written_to_a_file_that_takes_only_a_part_at_a_time() -> None:
    class Slow(BytesIO):
        def write(self, data: Any) -> int:
            return super().write(data[:3])

    file = Slow()
    files.write_all(file, b"0123456789")
    assert file.getvalue() == b"0123456789"


def test_a_file_is_replaced_and_no_draft_is_left(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    files.write_whole(path, b"new")
    files.write_whole(tmp_path / "b", b"other", draft=tmp_path / "b.new")
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == {"a": b"new", "b": b"other"}


def test_a_file_that_cannot_be_written_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="full"):
        files.write_whole(path, b"new")
    assert [each.read_bytes() for each in tmp_path.iterdir()] == [b"old"]


def test_a_directory_that_cannot_be_synced_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []

    def fail(descriptor: int) -> None:
        tried.append(descriptor)
        raise OSError(errno.EINVAL, "not on this file system")

    monkeypatch.setattr(os, "fsync", fail)
    files.sync_directory(tmp_path)
    assert tried


def test_the_hash_of_a_file(tmp_path: Path) -> None:
    data = bytes(range(256)) * 5_000
    (tmp_path / "a").write_bytes(data)
    assert files.sha256_of(tmp_path / "a") == hashlib.sha256(data).hexdigest()
