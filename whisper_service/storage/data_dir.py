"""The layout of the data directory, and the lock that gives the directory to one service at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from whisper_service.core.errors import DataDirectoryInUse, DiskFull, ServiceError
from whisper_service.core.files import draft_of, is_disk_full

SAMPLE_BYTES: Final = 2
"""Bytes of one int16 sample in a spool."""


class DataDir:
    """The paths below the data directory. File names are ids that the service made, never names from a client."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.database = root / "whisper_service.db"
        self.media = root / "media"
        self.uploads = root / "uploads"
        self.spool = root / "spool"
        self.peaks = root / "peaks"
        self.fine_peaks = root / "fine_peaks"
        self.copies = root / "copies"
        self.models = root / "models"
        self.logs = root / "logs"
        self.sites = root / "sites"
        self.orphans = root / "children"
        self._address = root / "address"

    def source_of(self, job_id: str) -> Path:
        """Return the path of the recording as it was uploaded."""
        return self.media / job_id

    def spool_of(self, job_id: str) -> Path:
        """Return the path of the job's samples: 16 kHz, mono, int16. The file exists only while it is needed."""
        return self.spool / f"{job_id}.pcm"

    def channels_of(self, job_id: str) -> Path:
        """Return the path of the job's samples before they were mixed, if its channels are kept apart."""
        return self.spool / f"{job_id}.channels.pcm"

    def spooled_samples(self, job_id: str) -> int:
        """Return the number of samples in the spool of a job, 0 without a spool."""
        try:
            return self.spool_of(job_id).stat().st_size // SAMPLE_BYTES
        except FileNotFoundError:
            return 0

    def peaks_of(self, job_id: str) -> Path:
        """Return the path of the waveform that the page draws."""
        return self.peaks / job_id

    def fine_peaks_of(self, job_id: str) -> Path:
        """Return the path of the waveform in fine steps. Recordings of earlier versions have none."""
        return self.fine_peaks / job_id

    def copy_of(self, job_id: str) -> Path:
        """Return the path of the listening copy. Until it is complete, it is a draft (`core.files.draft_of`)."""
        return self.copies / job_id

    def site_of(self, job_id: str) -> Path:
        """Return the folder for the recording of a web page while it is fetched. It exists only so long."""
        return self.sites / job_id

    @contextmanager
    def advertise(self, address: str) -> Iterator[None]:
        """Write down the address of the service for programs on this machine, for the time of the block."""
        self._address.write_text(address, "utf-8")
        try:
            yield
        finally:
            self._address.unlink(missing_ok=True)

    def address(self) -> str | None:
        """Return the address of the service that holds the directory. None: no address is written down."""
        try:
            return self._address.read_text("utf-8").strip() or None
        except OSError:
            return None

    def delete_files(self, job_id: str) -> None:
        """Delete every file of a job. The draft of the copy goes first: what has no draft cannot become complete."""
        copy = self.copy_of(job_id)
        waveforms = (self.peaks_of(job_id), self.fine_peaks_of(job_id))
        others = (self.source_of(job_id), self.spool_of(job_id), self.channels_of(job_id))
        for path in (draft_of(copy), copy, *others, *waveforms):
            path.unlink(missing_ok=True)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Create the directories and keep other services out for the time of the block. Raises `DataDirectoryInUse`."""
        try:
            for path in (
                self.root, self.media, self.uploads, self.spool, self.peaks, self.fine_peaks, self.copies, self.models,
                self.logs, self.sites,
            ):  # fmt: skip
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
                process = f" (process {owner})" if owner else ""
                raise DataDirectoryInUse(f"Another whisper_service{process} is using {self.root}.")
            self._address.unlink(missing_ok=True)  # left by a service that was killed
            os.ftruncate(descriptor, 0)
            os.write(descriptor, str(os.getpid()).encode())
            yield
        finally:
            os.close(
                descriptor
            )  # gives the lock back; the file stays, because deleting it would race with the next owner


def _lock(descriptor: int) -> bool:
    """Take the lock and return whether it was free. The system frees it when the process ends, however that happens."""
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
