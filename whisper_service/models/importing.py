"""Models that are brought along: a folder on this machine, or an archive, checked and copied before anybody sees it.

What comes from outside is trusted with nothing: of an archive only the files that a model is made of are written, under
names that are ours; paths, links and devices in it are refused; what is unpacked is counted as it comes.
"""

from __future__ import annotations

import bz2
import fnmatch
import gzip
import hashlib
import lzma
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final, NamedTuple

import msgspec

from whisper_service.core.errors import BadArchive, DiskFull, ImportRefused, InvalidRequest
from whisper_service.core.files import full_disk_as_error, sync_file, write_whole
from whisper_service.models import files as model_files
from whisper_service.models.files import ORIGIN, PATTERNS, WEIGHTS, ModelOrigin, missing_files

BLOCK: Final = 1 << 20
MAX_MEMBERS: Final = 1_000
MAX_READ: Final = 1 << 24
"""The longest single read that unpacking may ask for: names and headers are short, data comes in blocks."""
MAX_SMALL: Final = 1 << 28
"""Bytes of any file but the weights."""
NO_ROOM: Final = "There is no room for the model."
_PACKERS: Final = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
_DAMAGED: Final = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, gzip.BadGzipFile)


class ImportLimits(NamedTuple):
    """Bytes that a model may have, and bytes that must stay free on the disk."""

    bytes: int
    spare: int


def from_archive(archive: Path, into: Path, limits: ImportLimits) -> None:
    """Unpack a model into the new folder `into`. Raises `BadArchive`, `ModelBroken` or `DiskFull`; then remove `into`."""
    into.mkdir()
    sink = _ModelFolder(into, limits)
    try:
        if zipfile.is_zipfile(archive):
            _unzip(archive, sink)
        else:
            _untar(archive, sink)
    except _DAMAGED as error:
        raise BadArchive(f"The archive cannot be read: {str(error) or type(error).__name__}.") from error
    sink.complete()


def from_folder(source: Path, allowed: Sequence[Path], into: Path, limits: ImportLimits) -> None:
    """Copy a model into the new folder `into`. Raises `ImportRefused`, `InvalidRequest`, `ModelBroken` or `DiskFull`."""
    roots = [root.expanduser().resolve() for root in allowed]
    real = source.expanduser().resolve()
    if not any(real.is_relative_to(root) for root in roots):
        raise ImportRefused()  # whether it exists is nobody's business
    if not real.is_dir():
        raise InvalidRequest(
            f"{source} is not a folder.", hint="Name the folder that has model.bin in it.", field="path"
        )
    into.mkdir()
    sink = _ModelFolder(into, limits)
    for path in sorted(real.iterdir()):
        if path.is_file() and path.resolve().is_relative_to(real):  # a link may lead anywhere
            with path.open("rb") as content:
                sink.take(path.name, path.stat().st_size, content)
    sink.complete()


class _ModelFolder:
    """The folder that a model is written into."""

    def __init__(self, folder: Path, limits: ImportLimits) -> None:
        self._folder = folder
        self._limits = limits
        self._parent: PurePosixPath | None = None
        self._written = 0
        self._announced = 0
        self._members = 0
        self._sizes: dict[str, int] = {}
        self._hashes: dict[str, str] = {}

    def announce(self, name: str, size: int, *, plain: bool) -> None:
        """An archive has this member. Raises `BadArchive` for what no archive of a model has."""
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or any(":" in part for part in path.parts):
            raise BadArchive(f"The archive holds a path that leads out of it: {name[:80]!r}.")
        if not plain:
            raise BadArchive(f"The archive holds something that is neither a file nor a folder: {name[:80]!r}.")
        self._members += 1
        self._announced += size
        if self._members > MAX_MEMBERS:
            raise BadArchive(f"The archive holds more than {MAX_MEMBERS} files.")
        if self._announced > self._limits.bytes:
            raise BadArchive(
                f"Unpacked, the archive has more than the {self._limits.bytes} bytes that a model may have.",
                hint="Raise models.max_import_bytes if it is really so large.",
            )

    def take(self, name: str, size: int, content: IO[bytes]) -> None:
        """Write a file, if it is one of a model's."""
        path = PurePosixPath(name.replace("\\", "/"))
        if not any(fnmatch.fnmatchcase(path.name, pattern) for pattern in PATTERNS):
            return
        if self._parent not in (None, path.parent) or path.name in self._sizes:
            raise BadArchive("There is more than one model in the archive.", hint="Pack the folder of one model alone.")
        self._parent = path.parent
        limit = self._limits.bytes if path.name == WEIGHTS else MAX_SMALL
        with full_disk_as_error(NO_ROOM):
            if shutil.disk_usage(self._folder).free < size + self._limits.spare:
                raise DiskFull(f"There is no room for the model: {size} bytes of {path.name}.")
            self._copy(path.name, content, limit)

    def _copy(self, name: str, content: IO[bytes], limit: int) -> None:
        digest, count = hashlib.sha256(), 0
        with (self._folder / name).open("xb") as sink:
            while block := content.read(BLOCK):
                count += len(block)
                self._written += len(block)
                if count > limit or self._written > self._limits.bytes:
                    raise BadArchive(f"{name} is larger than a model's may be, or than the archive says.")
                digest.update(block)
                sink.write(block)
            sync_file(sink)
        self._sizes[name] = count
        if name == WEIGHTS:
            self._hashes[name] = digest.hexdigest()

    def complete(self) -> None:
        """Check that what came is a model, and write down what it should be from now on."""
        if missing := missing_files(self._sizes):
            raise BadArchive(f"The model is incomplete: there is no {' and no '.join(missing)}.")
        model_files.read(self._folder)
        about = ModelOrigin(files=self._sizes, sha256=self._hashes)
        with full_disk_as_error(NO_ROOM):
            write_whole(self._folder / ORIGIN, msgspec.json.encode(about))


def _unzip(archive: Path, sink: _ModelFolder) -> None:
    with zipfile.ZipFile(archive) as packed:
        for member in packed.infolist():
            kind = (member.external_attr >> 16) & 0o170000
            sink.announce(member.filename, member.file_size, plain=kind in (0, 0o100000, 0o040000))
        for member in packed.infolist():
            if not member.is_dir():
                try:
                    with packed.open(member) as content:
                        sink.take(member.filename, member.file_size, content)
                except (RuntimeError, NotImplementedError) as error:  # a password, a method that Python does not have
                    raise BadArchive(f"{member.filename[:80]} cannot be unpacked: {error}.") from error


def _untar(archive: Path, sink: _ModelFolder) -> None:
    with archive.open("rb") as raw:
        head = raw.read(8)
    opener: Any = next((packer for magic, packer in _PACKERS.items() if head.startswith(magic)), open)
    try:
        with (
            opener(archive, "rb") as unpacked,
            tarfile.open(fileobj=_Bounded(unpacked), mode="r:") as packed,  # type: ignore[call-overload]
        ):
            for member in packed:  # in one pass: a packed file is not wound back
                sink.announce(member.name, member.size, plain=member.isfile() or member.isdir())
                content = packed.extractfile(member) if member.isfile() else None
                if content is not None:
                    with content:
                        sink.take(member.name, member.size, content)
    except tarfile.ReadError as error:
        raise BadArchive(f"It is no .zip and no .tar, packed or not, or it is damaged: {error}.") from None


class _Bounded:
    """A file that refuses to be read in one go by a header that claims to be gigabytes long."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, count: int = -1) -> bytes:
        if not 0 <= count <= MAX_READ:
            raise BadArchive("A header of the archive is too long.")
        return self._file.read(count)
