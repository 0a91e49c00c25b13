"""The layout of the data directory, and the lock that gives it to one service at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from whisper_service.core.errors import DataDirectoryInUse, DiskFull, ServiceError
from whisper_service.core.files import is_disk_full

SAMPLE_BYTES: Final = 2
"""Of a sample in a spool, int16."""


class DataDir:
    """Where everything lies below one directory. Names below it are ids of ours, never a client's."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.database = root / "whisper_service.db"
        self.media = root / "media"
        self.uploads = root / "uploads"
        self.spool = root / "spool"
        self.peaks = root / "peaks"
        self.models = root / "models"
        self.logs = root / "logs"
        self.children = root / "children"

    def source_of(self, job_id: str) -> Path:
        """The recording as it was uploaded."""
        return self.media / job_id

    def spool_of(self, job_id: str) -> Path:
        """Its 16 kHz mono int16 samples; there only while they are needed."""
        return self.spool / f"{job_id}.pcm"

    def spooled_samples(self, job_id: str) -> int:
        """How many samples of a job there are; 0 if it has no spool."""
        try:
            return self.spool_of(job_id).stat().st_size // SAMPLE_BYTES
        except FileNotFoundError:
            return 0

    def peaks_of(self, job_id: str) -> Path:
        """Its waveform for people to look at."""
        return self.peaks / job_id

    @contextmanager
    def advertise(self, address: str) -> Iterator[None]:
        """Let programs on this machine know where the service that holds the directory listens."""
        (self.root / "address").write_text(address, "utf-8")
        try:
            yield
        finally:
            (self.root / "address").unlink(missing_ok=True)

    def address(self) -> str | None:
        """Where the service listens that holds the directory; None: nobody said so."""
        try:
            return (self.root / "address").read_text("utf-8").strip() or None
        except OSError:
            return None

    def forget(self, job_id: str) -> None:
        """Remove every file of a job."""
        for path in (self.source_of(job_id), self.spool_of(job_id), self.peaks_of(job_id)):
            path.unlink(missing_ok=True)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Create the directories and keep everybody else out. Raises `DataDirectoryInUse`."""
        try:
            for path in (self.root, self.media, self.uploads, self.spool, self.peaks, self.models, self.logs):
                path.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            if is_disk_full(error):
                raise DiskFull(f"{self.root} cannot be created: the disk is full.") from error
            raise ServiceError(
                f"{self.root} cannot be used as data directory: {error.strerror}.",
                hint="Choose a directory that you may write to with --data-dir.",
            ) from error
        try:
            if not _lock(descriptor):
                owner = os.pread(descriptor, 20, 0).decode(errors="replace").strip() if hasattr(os, "pread") else ""
                raise DataDirectoryInUse(
                    f"Another whisper_service{f' (process {owner})' if owner else ''} is using {self.root}."
                )
            (self.root / "address").unlink(missing_ok=True)  # of a service that was killed
            os.ftruncate(descriptor, 0)
            os.write(descriptor, str(os.getpid()).encode())
            yield
        finally:
            os.close(descriptor)  # gives the lock back; the file stays, removing it would race with the next owner


def _lock(descriptor: int) -> bool:
    """Take the lock if nobody has it. It goes with the process, however that ends."""
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        except OSError:
            return False
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
