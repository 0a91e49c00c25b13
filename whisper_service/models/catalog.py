"""The catalog: which models there are, where they lie on the disk, and what "auto" means. No model is loaded.

A model is a folder in CTranslate2's format. It lies in `models_dir`, or in the folder that the configuration names.
The built-in model comes as data files of two installed packages, which are joined into `models_dir` when it is first
needed. Only the configuration may name a path; a job names a model by its name.

A name is one of `known.KNOWN`, "owner/name" as on a hub, or the name of a folder in `models_dir`. The folder of
"owner/name" is called "owner--name": no repo on a hub can have that name.

The pair of networks for speakers is an entry as well, under the name `SPEAKERS`. It makes no text: no job can name it.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from whisper_service.core.domain import Value
from whisper_service.core.errors import Conflict, InvalidRequest, ModelUnavailable, NotFound
from whisper_service.core.model_names import folder_of, is_folder, is_name, name_of_folder
from whisper_service.core.text import quoted
from whisper_service.models.bundled import (
    BUNDLED,
    INSTALL,
    REQUIREMENTS,
    BundledFile,
    is_joined,
    is_replaceable,
    join,
    missing_packages,
)
from whisper_service.models.files import REQUIRED, VOCABULARIES, file_size, missing_files
from whisper_service.models.known import BY_NAME, BY_REPO, ON_CPU, ON_GPU
from whisper_service.models.speaker_networks import DOWNLOAD_BYTES, PAIR, SPEAKERS, missing_networks
from whisper_service.supervision.messages.download import RemoteFile, partial_of

AUTO: Final = "auto"
ALIASES: Final = {"large": "large-v3", "turbo": "large-v3-turbo"}


class Located(Value, frozen=True):
    """A model that can be loaded: `path` is an absolute directory with a complete CTranslate2 model."""

    name: str
    path: Path


class RepoSource(Value, frozen=True):
    """The repo on a hub that a model can be downloaded from. `bytes` None: only the hub knows the size."""

    repo: str
    bytes: int | None = None
    files: tuple[RemoteFile, ...] = ()  # of a model whose files lie in several repos; `repo` is the first of them


PAIR_SOURCE: Final = RepoSource(
    PAIR[0].sources[0].repo,
    DOWNLOAD_BYTES,
    tuple(RemoteFile(each.file, tuple((source.repo, source.path) for source in each.sources)) for each in PAIR),
)


class CatalogEntry(Value, frozen=True):
    """A model by its name: where it can come from, and what of it is on this disk."""

    name: str
    path: Path | None = None  # None: there is no folder; at most the packages of the built-in model are installed
    bytes: int = 0  # on the disk
    complete: bool = False  # can be loaded, as far as the names and sizes of its files tell
    missing: tuple[str, ...] = ()  # files that the folder lacks
    source: RepoSource | None = None
    builtin: bool = False  # comes with the packages of the extra [bundled], so it can always be joined again
    configured: bool = False  # its folder is named in the configuration, and is not the service's


class Catalog:
    """The models of this machine.

    `default` is what the configuration names: "auto", a name, or a directory, whose last part is then the name.
    """

    def __init__(
        self, models_dir: Path, *, default: str, bundled: Mapping[str, Sequence[BundledFile]] = BUNDLED
    ) -> None:
        self._root = models_dir
        self._bundled = bundled
        self._configured = _directory(default)
        self._default = self._configured.name if self._configured else default

    def resolve(self, wanted: str, *, device: str = "cpu") -> str:
        """Return the name of the model that `wanted` means, if that model is on this machine.

        "auto" means what the configuration names, else the best model on this machine for `device`. Raises
        `InvalidRequest` for what cannot be a name, and `ModelUnavailable`.
        """
        name = self.name_of(wanted, device=device)
        if not self.has(name):
            raise self.unavailable(name)
        return name

    def name_of(self, wanted: str, *, device: str = "cpu") -> str:
        """Return the name of the model that `wanted` means, whether or not it is on this machine. Raises as `resolve`.

        "auto" still needs a model on this machine, unless the configuration names one.
        """
        if wanted == AUTO:
            wanted = self._default
        if wanted == AUTO:
            if not (names := self.installed()):
                raise self._unavailable("There is no model on this machine.", AUTO)
            return min(names, key=_rank(ON_GPU if device.startswith("cuda") else ON_CPU))
        if self._configured and wanted == self._default:
            if not self._configured.is_dir():
                raise ModelUnavailable(
                    f"The configuration names the directory {self._configured} as the model; it does not exist.",
                    hint="Correct speech.model, or remove it to use the best model on this machine.",
                    model=wanted,
                )
            return wanted
        name = ALIASES.get(wanted, wanted)
        if name in BY_REPO:
            return BY_REPO[name].name
        if "/" not in name:
            name = name_of_folder(name)
        if name == SPEAKERS:
            raise InvalidRequest(
                f"{SPEAKERS} tells speakers apart and makes no text.",
                hint=f"Installed: {', '.join(self.installed()) or 'none'}. Speakers are an option of a job: speakers.",
                model=wanted,
            )
        if not is_name(name):
            raise InvalidRequest(
                f"{quoted(wanted)} is not the name of a model.",
                hint=f"Installed: {', '.join(self.installed()) or 'none'}. Only the configuration can name a folder.",
                model=wanted,
            )
        return name

    def managed(self, wanted: str, *, device: str = "cpu") -> str:
        """Return the name of what is to be downloaded, shown or removed: a model, or the pair. Raises as `resolve`."""
        return SPEAKERS if wanted == SPEAKERS else self.name_of(wanted, device=device)

    def obtainable(self, wanted: str) -> str:
        """Return the name of the model that `wanted` means, if this machine or a hub has it. Raises as `resolve`."""
        name = self.name_of(wanted)
        if not self.has(name) and self.source_of(name) is None:
            raise self.unavailable(name)
        return name

    def has(self, name: str) -> bool:
        """Return whether this machine has a model of this name, complete or not."""
        if self._configured and name == self._default:
            return True
        if name == SPEAKERS:
            return not missing_networks(self.target_of(name))
        return self.target_of(name).is_dir() or self._comes_with_packages(name)

    def target_of(self, name: str) -> Path:
        """Return the folder of a model in `models_dir`, absolute. The folder need not exist."""
        return (self._root / folder_of(name)).absolute()

    def source_of(self, name: str) -> RepoSource | None:
        """Return where a model can be downloaded from. None: no hub has a model of this name."""
        if name == SPEAKERS:
            return PAIR_SOURCE
        if model := BY_NAME.get(name):
            return RepoSource(model.repo, model.download_bytes)
        return RepoSource(name) if "/" in name and is_name(name) else None

    def repo_of(self, wanted: str) -> str:
        """Return the repo on a hub that `wanted` means. Raises `InvalidRequest`; without a repo `ModelUnavailable`."""
        name = self.managed(wanted)
        if (source := self.source_of(name)) is None:
            raise self.unavailable(name)
        return source.repo

    def depends_on_device(self, wanted: str) -> bool:
        """Return whether `resolve` may answer differently for another device."""
        return wanted == AUTO and self._default == AUTO

    def locate(self, name: str) -> Located:
        """Return where a model lies; join the built-in one first if need be. Blocks while it is joined.

        Raises as `resolve`; also `ModelUnavailable` if files are missing or damaged, and `DiskFull`.
        """
        name = self.resolve(name)
        if self._configured and name == self._default:
            path = self._configured
        else:
            path = self.target_of(name)
            if name in self._bundled and is_replaceable(path) and not is_joined(path, self._bundled[name]):
                join(self._root, name, self._bundled[name])
        if missing := _missing(path):
            raise self._unavailable(f"The model {name} is incomplete: {path} has no {' and no '.join(missing)}.", name)
        return Located(name=name, path=path)

    def installed(self) -> list[str]:
        """Return the names of the complete models on this machine, the best first."""
        names = {name for name, path in self._folders() if not _missing(path)}
        names |= {name for name in self._bundled if self._comes_with_packages(name)}
        if self._configured and not _missing(self._configured):
            names.add(self._default)
        return sorted(names, key=_rank(ON_GPU))

    def entries(self) -> list[CatalogEntry]:
        """Return every known model and every model on this machine, the best first, and the pair for speakers."""
        names = {*BY_NAME, SPEAKERS, *self.installed(), *(name for name, _ in self._folders())}
        return in_order(map(self.entry, names))

    def entry(self, name: str) -> CatalogEntry:
        """Return what is known about the model of this name, and what of it is on the disk."""
        configured = self._configured is not None and name == self._default
        path = self._configured if configured and self._configured else self.target_of(name)
        builtin = not configured and is_replaceable(path) and self._comes_with_packages(name)
        there = path.is_dir()
        missing = tuple(missing_networks(path) if name == SPEAKERS else _missing(path)) if there else ()
        if there:
            size = sum(file_size(file) for file in path.iterdir() if file.is_file())
        else:
            size = sum(file.size for file in self._bundled[name]) if builtin else 0
        return CatalogEntry(
            name=name,
            path=path if there else None,
            bytes=size,
            complete=builtin or (there and not missing),
            missing=() if builtin else missing,
            source=None if configured else self.source_of(name),
            builtin=builtin,
            configured=configured,
        )

    def remove(self, name: str) -> None:
        """Take a model off the disk, with what an unfinished download of it left. Readers see all of it or nothing.

        Blocks. Raises `Conflict` for a model that is not the service's, `NotFound` if there is nothing, and `OSError`.
        """
        entry, partial = self.entry(name), Path(partial_of(str(self.target_of(name))))
        if entry.configured:
            raise Conflict(
                f"The model {name} lies in a folder that the configuration names; that folder is not the service's.",
                hint="Remove speech.model from the configuration, and the folder by hand.",
            )
        if entry.builtin:
            packages = " ".join(part.partition("=")[0] for part in REQUIREMENTS.split())
            raise Conflict(
                f"The model {name} is the built-in one: it comes with installed packages.",
                hint=f"Uninstall the packages: `pip uninstall {packages}`.",
            )
        if entry.path is None and not partial.exists():
            raise NotFound(
                f"There is nothing of the model {name} on this machine.", hint="GET /api/models lists the models."
            )
        if entry.path is not None:
            removed = self._root / f".removed-{secrets.token_hex(8)}"
            entry.path.rename(removed)
            shutil.rmtree(removed, ignore_errors=True)
        shutil.rmtree(partial, ignore_errors=True)

    def scratch(self) -> Path:
        """Return a new folder beside the models, to build a model in. The caller removes it."""
        folder = self._root / f".import-{secrets.token_hex(8)}"
        folder.mkdir(parents=True)
        return folder

    def delete_leftovers(self) -> None:
        """Delete what interrupted removals and imports left. Call only when the service starts."""
        for pattern in (".removed-*", ".import-*"):
            for path in self._root.glob(pattern):
                shutil.rmtree(path, ignore_errors=True)

    def unavailable(self, name: str) -> ModelUnavailable:
        """Return the error for a model that is not on this machine. Its hint tells how to get the model."""
        return self._unavailable(f"The model {name} is not on this machine.", name)

    def _folders(self) -> Iterable[tuple[str, Path]]:
        """Return the name and the folder of every model in `models_dir`, complete or not. The pair is none."""
        folders = (path for path in self._root.iterdir() if path.is_dir()) if self._root.is_dir() else ()
        named = ((name_of_folder(path.name), path) for path in folders if is_folder(path.name))
        return (found for found in named if found[0] != SPEAKERS)

    def _comes_with_packages(self, name: str) -> bool:
        return name in self._bundled and not missing_packages(self._bundled[name])

    def _unavailable(self, message: str, name: str) -> ModelUnavailable:
        names = self.installed()
        ways = [f"Installed: {', '.join(names)}." if names else INSTALL]
        if self.source_of(name) is not None:
            ways.append(f"Download it: `python -m whisper_service models download {name}`.")
        put = "Or put" if len(ways) > 1 or not names else "Put"
        folder = folder_of(name) if name != AUTO else "<name>"
        return ModelUnavailable(
            message,
            hint=f"{' '.join(ways)} {put} a folder with a CTranslate2 model (model.bin, config.json, tokenizer.json, "
            f"vocabulary.json or .txt) into models/{folder} of the data directory.",
            model=name,
            installed=names,
        )


def _directory(default: str) -> Path | None:
    """Return the directory that the configuration names; None if it names a model.

    A directory looks like a path, or exists and is not called like a known model.
    """
    path = Path(default).expanduser()
    if default == AUTO or default in BY_NAME or default in ALIASES:
        return None
    return path.resolve() if not is_name(default) or path.is_dir() else None


def _missing(path: Path) -> list[str]:
    """Return the files that a model directory lacks to be loaded. An empty file counts as missing."""
    return missing_files([name for name in (*REQUIRED, *VOCABULARIES) if file_size(path / name)])


def in_order(entries: Iterable[CatalogEntry]) -> list[CatalogEntry]:
    """Return the known models, the best first, then the others by name, and the pair for speakers last."""
    rank = _rank(ON_GPU)
    return sorted(entries, key=lambda entry: (entry.name == SPEAKERS, rank(entry.name)))


def _rank(order: tuple[str, ...]) -> Callable[[str], tuple[int, str]]:
    """Return a sort key: the names in `order` first, then the others by the alphabet."""
    return lambda name: (order.index(name) if name in order else len(order), name)
