"""Files that are read while they are written."""

from __future__ import annotations

from pathlib import Path

import pytest

from whisper_service.actors.media.spool import SpoolFile


def test_a_second_attempt_takes_nothing_away_until_it_is_sealed(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    path.write_bytes(b"0123456789")
    with SpoolFile(path) as file:
        file.write(b"012")
        file.flush()
        assert path.read_bytes() == b"0123456789"
        file.seal()
    assert path.read_bytes() == b"012"


def test_an_attempt_that_breaks_off_takes_nothing_away(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    path.write_bytes(b"0123456789")
    with SpoolFile(path) as file:
        file.write(b"abc")
    assert path.read_bytes() == b"abc3456789"


def test_what_is_flushed_is_seen_by_readers(tmp_path: Path) -> None:
    (tmp_path / "spool").touch()
    with SpoolFile(tmp_path / "spool") as file:
        file.write(b"abc")
        file.flush()
        assert (tmp_path / "spool").read_bytes() == b"abc"


def test_what_was_removed_does_not_come_back(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        SpoolFile(tmp_path / "spool")
    assert not list(tmp_path.iterdir())
