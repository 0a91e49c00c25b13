"""Remember which transcripts the `transcribe` command wrote, so that it never replaces the work of a person."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

import msgspec

from whisper_service.core.files import sha256_of, write_whole

KEPT: Final = 10_000
"""Files that are remembered, the newest. A forgotten one counts as the work of a person."""


class WrittenFiles:
    """The files that the command wrote: path and SHA-256, in a file of the data directory."""

    def __init__(self, record: Path) -> None:
        self._record = record
        try:
            self._hashes = msgspec.json.decode(record.read_bytes(), type=dict[str, str])
        except (OSError, msgspec.DecodeError):
            self._hashes = {}

    def may_replace(self, target: Path) -> bool:
        """Return whether a file is missing, empty, or as the command wrote it."""
        try:
            return target.stat().st_size == 0 or self._hashes.get(_key(target)) == sha256_of(target)
        except OSError:
            return not target.exists()

    def write(self, target: Path, content: bytes) -> None:
        """Write a file whole, and remember it."""
        write_whole(target, content)
        self._hashes.pop(_key(target), None)
        self._hashes[_key(target)] = hashlib.sha256(content).hexdigest()
        newest = dict(list(self._hashes.items())[-KEPT:])
        write_whole(self._record, msgspec.json.encode(newest))


def _key(path: Path) -> str:
    return ascii(str(path.resolve()))
