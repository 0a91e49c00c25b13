"""Import of models from an archive or from a folder on this machine, checked before the model is listed.

Archives are not trusted. Only files that belong to a model are written, all into one folder. Paths that lead out, links
and devices are refused. Unpacked bytes are counted as they come, whatever the archive says about its sizes.
"""

from __future__ import annotations

import bz2
import errno
import fnmatch
import gzip
import hashlib
import lzma
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Collection, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final, NamedTuple

import msgspec

from whisper_service.core.errors import BadArchive, DiskFull, ImportRefused, InvalidRequest
from whisper_service.core.files import full_disk_as_error, sync_file, write_whole
from whisper_service.core.text import quoted
from whisper_service.models.files import ORIGIN, PATTERNS, WEIGHTS, ModelOrigin, missing_files, read_facts
from whisper_service.models.speaker_networks import PAIR, check_networks

BLOCK: Final = 1 << 20
MAX_MEMBERS: Final = 1_000
MAX_READ: Final = 1 << 24
"""The most bytes that the unpacker may read at once: headers are short, and data comes in blocks."""
MAX_SMALL: Final = 1 << 28
"""The most bytes that any file but the weights may have."""
DISK_FULL: Final = "The disk is too full for the model."
_PACKERS: Final = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
_DAMAGED: Final = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, gzip.BadGzipFile),
    *(NotImplementedError, UnicodeDecodeError, struct.error),  # of zipfile: a version, a name, a field that cannot be
)


class ImportLimits(NamedTuple):
    """How many bytes a model may have, and how many must stay free on the disk."""

    bytes: int
    spare: int


def from_archive(archive: Path, into: Path, limits: ImportLimits, *, pair: bool = False) -> None:
    """Unpack a model into the new folder `into`. `pair`: unpack the networks for speakers.

    Raises `BadArchive`, `ModelBroken` or `DiskFull`. The caller then removes `into`.
    """
    into.mkdir()
    folder = _PairFolder(into, limits) if pair else _ModelFolder(into, limits)
    try:
        if zipfile.is_zipfile(archive):
            _unzip(archive, folder)
        else:
            _untar(archive, folder)
    except _DAMAGED as error:
        raise BadArchive(f"The archive cannot be read: {str(error) or type(error).__name__}.") from error
    except OSError as error:
        if error.errno not in (errno.EINVAL, None):  # a place before the beginning of the archive; bad data for bzip2
            raise
        raise BadArchive(f"The archive cannot be read: {error.strerror or error}.") from error
    folder.finish()


def from_folder(source: Path, allowed: Sequence[Path], into: Path, limits: ImportLimits, *, pair: bool = False) -> None:
    """Copy a model into the new folder `into`. `source` must lie in one of the `allowed` folders.

    `pair`: copy the networks for speakers.

    Raises `ImportRefused`, `InvalidRequest`, `BadArchive`, `ModelBroken` or `DiskFull`. The caller then removes `into`.
    """
    roots = [root.expanduser().resolve() for root in allowed]
    real = source.expanduser().resolve()
    if not any(real.is_relative_to(root) for root in roots):
        raise ImportRefused()  # does not tell whether the folder exists
    if not real.is_dir():
        raise InvalidRequest(
            f"{source} is not a folder.", hint="Name the folder that contains model.bin.", field="path"
        )
    into.mkdir()
    folder = _PairFolder(into, limits) if pair else _ModelFolder(into, limits)
    for path in sorted(real.iterdir()):
        if path.is_file() and path.resolve().is_relative_to(real):  # a link may lead anywhere
            with path.open("rb") as content:
                folder.write(path.name, path.stat().st_size, content)
    folder.finish()


class _ModelFolder:
    """The new folder of a model: checks the names and sizes of what is written into it."""

    _one_parent = True  # all files come from one folder
    _hashed: Collection[str] = (WEIGHTS,)  # files whose hashes are kept

    def __init__(self, folder: Path, limits: ImportLimits) -> None:
        self._folder = folder
        self._limits = limits
        self._parent: PurePosixPath | None = None  # the folder in the archive that the files come from
        self._written = 0  # bytes
        self._stated = 0  # bytes of all members, as the archive says
        self._members = 0
        self._sizes: dict[str, int] = {}
        self._hashes: dict[str, str] = {}

    def check_member(self, name: str, size: int, *, plain: bool) -> None:
        """Count a member of an archive. Raises `BadArchive` for members that no archive of a model has."""
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or any(":" in part for part in path.parts):
            raise BadArchive(f"The archive has a path that leads out of it: {quoted(name)}.")
        if not plain:
            raise BadArchive(f"{quoted(name)} in the archive is neither a file nor a folder.")
        self._members += 1
        self._stated += size
        if self._members > MAX_MEMBERS:
            raise BadArchive(f"The archive has more than {MAX_MEMBERS} files.")
        if self._stated > self._limits.bytes:
            raise BadArchive(
                f"The archive unpacks to more than the {self._limits.bytes} bytes that a model may have.",
                hint="Raise models.max_import_bytes if the model is really so large.",
            )

    def write(self, name: str, size: int, content: IO[bytes]) -> None:
        """Write a file if a model has files of this name; skip it otherwise."""
        path = PurePosixPath(name.replace("\\", "/"))
        if (own := self._own_name(path)) is None:
            return
        if (self._one_parent and self._parent not in (None, path.parent)) or own in self._sizes:
            raise BadArchive("There is more than one model in the archive.", hint="Pack the folder of one model only.")
        self._parent = path.parent
        limit = self._limits.bytes if own == WEIGHTS else MAX_SMALL
        with full_disk_as_error(DISK_FULL):
            if shutil.disk_usage(self._folder).free < size + self._limits.spare:
                raise DiskFull(f"The disk is too full for the model: {own} needs {size} bytes.")
            self._copy(own, content, limit)

    def _own_name(self, path: PurePosixPath) -> str | None:
        """Return the name that a file has in the folder. None: it does not belong to a model."""
        return path.name if any(fnmatch.fnmatchcase(path.name, pattern) for pattern in PATTERNS) else None

    def _copy(self, name: str, content: IO[bytes], limit: int) -> None:
        digest, count = hashlib.sha256(), 0
        with (self._folder / name).open("xb") as sink:
            while block := content.read(BLOCK):
                count += len(block)
                self._written += len(block)
                if count > limit or self._written > self._limits.bytes:
                    raise BadArchive(f"{name} is larger than a file of that name may be.")
                digest.update(block)
                sink.write(block)
            sync_file(sink)
        self._sizes[name] = count
        if name in self._hashed:
            self._hashes[name] = digest.hexdigest()

    def finish(self) -> None:
        """Check that the folder holds a model, and write the sizes and hashes of its files beside them."""
        self._check()
        origin = ModelOrigin(files=self._sizes, sha256=self._hashes)
        with full_disk_as_error(DISK_FULL):
            write_whole(self._folder / ORIGIN, msgspec.json.encode(origin))

    def _check(self) -> None:
        if missing := missing_files(self._sizes):
            raise BadArchive(f"The model is incomplete: there is no {' and no '.join(missing)}.")
        read_facts(self._folder)


class _PairFolder(_ModelFolder):
    """The new folder of the networks for speakers. Their files may have the names that they have on hubs."""

    _one_parent = False
    _hashed = tuple(network.file for network in PAIR)

    def _own_name(self, path: PurePosixPath) -> str | None:
        return next((network.file for network in PAIR if path.name in network.names), None)

    def _check(self) -> None:
        if missing := [network.file for network in PAIR if network.file not in self._sizes]:
            raise BadArchive(
                f"The networks for speakers are incomplete: there is no {' and no '.join(missing)}.",
                hint=f"Pack one folder with {' and '.join(network.file for network in PAIR)}.",
            )
        check_networks(self._folder)


def _unzip(archive: Path, folder: _ModelFolder) -> None:
    with zipfile.ZipFile(archive) as packed:
        for member in packed.infolist():
            if not member.filename:
                raise BadArchive("A file in the archive has no name.")
            kind = stat.S_IFMT(member.external_attr >> 16)
            folder.check_member(member.filename, member.file_size, plain=kind in (0, stat.S_IFREG, stat.S_IFDIR))
        for member in packed.infolist():
            if not member.is_dir():
                try:
                    with packed.open(member) as content:
                        folder.write(member.filename, member.file_size, content)
                except RuntimeError as error:  # a password, or a method that Python does not know
                    raise BadArchive(f"{member.filename[:80]} cannot be unpacked: {error}.") from error


def _untar(archive: Path, folder: _ModelFolder) -> None:
    with archive.open("rb") as raw:
        head = raw.read(8)
    opener: Any = next((packer for magic, packer in _PACKERS.items() if head.startswith(magic)), open)
    try:
        with (
            opener(archive, "rb") as unpacked,
            tarfile.open(fileobj=_Bounded(unpacked), mode="r:") as packed,  # type: ignore[call-overload]
        ):
            for member in packed:  # in one pass: going back would unpack the archive again
                folder.check_member(member.name, member.size, plain=member.isfile() or member.isdir())
                content = packed.extractfile(member) if member.isfile() else None
                if content is not None:
                    with content:
                        folder.write(member.name, member.size, content)
    except tarfile.ReadError as error:
        raise BadArchive(f"The file is damaged, or it is neither a .zip nor a .tar archive: {error}.") from None


class _Bounded:
    """A file that is read in small pieces only: a header of an archive may claim to be gigabytes long."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, count: int = -1) -> bytes:
        if not 0 <= count <= MAX_READ:
            raise BadArchive("A header of the archive is too long.")
        return self._file.read(count)
