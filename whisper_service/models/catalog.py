"""Models: which names there are, which are on disk, and the built-in one. No downloads, no model is ever loaded here.

A model is a directory in CTranslate2's format. Three places hold one: `models_dir/<name>`, the directory that the
configuration names, and - for the built-in model - the data files of two installed packages, which are joined into
`models_dir` when the model is first needed. Only the configuration may name a path; a job names a model by its name.

A name is one of `known.KNOWN`, or "owner/name" as on a hub, or what a folder in `models_dir` is called. The folder of
"owner/name" is called "owner--name", which no repo on a hub can be called.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from whisper_service.core.domain import Value
from whisper_service.core.errors import Conflict, InvalidRequest, ModelUnavailable, NotFound
from whisper_service.core.model_names import folder_of, is_folder, is_name, name_of_folder
from whisper_service.models.bundled import (
    BUNDLED,
    INSTALL,
    REQUIREMENTS,
    BundledFile,
    absent,
    is_joined,
    is_ours,
    join,
    size,
)
from whisper_service.models.files import REQUIRED, VOCABULARIES, missing_files
from whisper_service.models.known import BY_NAME, BY_REPO
from whisper_service.supervision.protocol import partial_of

AUTO: Final = "auto"
ALIASES: Final = {"large": "large-v3", "turbo": "large-v3-turbo"}

BY_QUALITY: Final = (
    "large-v3-turbo",  # as good as large-v3 on long recordings, at more than twice its speed
    "large-v3",
    "large-v2",
    "large-v1",
    "medium",
    "small",
    "base",
    "tiny",
    "distil-large-v3.5",  # from here on English only
    "distil-large-v3",
    "distil-large-v2",
    "medium.en",
    "distil-medium.en",
    "small.en",
    "distil-small.en",
    "base.en",
    "tiny.en",
)
"""The known models, the one to prefer on a GPU first. What understands one language only comes after what knows them all."""

ON_CPU: Final = ("small", "base", "tiny", *(name for name in BY_QUALITY if name not in {"small", "base", "tiny"}))
"""The same for a CPU: first what is faster than real time on two cores."""


class Located(Value, frozen=True):
    """A model that can be loaded: `path` is an absolute directory with a complete CTranslate2 model."""

    name: str
    path: Path


class RepoSource(Value, frozen=True):
    """Where a model that is not here can be had: a repo on a hub. `bytes` is what it weighs, None: only the hub knows."""

    repo: str
    bytes: int | None = None


class CatalogEntry(Value, frozen=True):
    """A model by its name: what is known of it and what of it is on this disk."""

    name: str
    path: Path | None = None  # the folder; None: nothing is there, or only the packages of the built-in model are
    bytes: int = 0  # on the disk
    complete: bool = False  # it can be loaded, as far as names and sizes tell
    missing: tuple[str, ...] = ()  # files that the folder lacks
    source: RepoSource | None = None
    builtin: bool = False  # comes with the packages of the extra [bundled], and always can again
    configured: bool = False  # its folder is named in the configuration, and is not ours


class Catalog:
    """The models of this machine.

    `default` is what the configuration names: "auto", a name, or a directory, which then is called by its last part.
    """

    def __init__(
        self, models_dir: Path, *, default: str, bundled: Mapping[str, Sequence[BundledFile]] = BUNDLED
    ) -> None:
        self._root = models_dir
        self._bundled = bundled
        self._configured = _directory(default)
        self._default = self._configured.name if self._configured else default

    def resolve(self, wanted: str, *, device: str = "cpu") -> str:
        """The name of the model that `wanted` means on `device`: what the configuration names for "auto", else the best here.

        Raises `InvalidRequest` for what cannot be a name, and `ModelUnavailable` with cause and cure.
        """
        name = self.name_of(wanted, device=device)
        if not self.is_here(name):
            raise self.unavailable(name)
        return name

    def name_of(self, wanted: str, *, device: str = "cpu") -> str:
        """The same, whether or not that model is here; only "auto" needs one that is."""
        if wanted == AUTO:
            wanted = self._default
        if wanted == AUTO:
            return self._best(device)
        if self._configured and wanted == self._default:
            if not self._configured.is_dir():
                raise ModelUnavailable(
                    f"The directory {self._configured} that the configuration names as the model is not there.",
                    hint="Correct speech.model, or remove it to use the best model on this machine.",
                    model=wanted,
                )
            return wanted
        name = ALIASES.get(wanted, wanted)
        if name in BY_REPO:
            return BY_REPO[name].name
        if "/" not in name:
            name = name_of_folder(name)
        if not is_name(name):
            raise InvalidRequest(
                f"{wanted!r} is not the name of a model.",
                hint=f"Installed: {', '.join(self.installed()) or 'none'}. Only the configuration may give a directory.",
                model=wanted,
            )
        return name

    def obtainable(self, wanted: str) -> str:
        """The same; raises `ModelUnavailable` for one that is not here and that no hub can have."""
        name = self.name_of(wanted)
        if not self.is_here(name) and self.source_of(name) is None:
            raise self.unavailable(name)
        return name

    def is_here(self, name: str) -> bool:
        """Whether there is something to load under this name, complete or not."""
        if self._configured and name == self._default:
            return True
        return self.target_of(name).is_dir() or self._comes_with_packages(name)

    def target_of(self, name: str) -> Path:
        """The folder of a model in `models_dir`, absolute."""
        return (self._root / folder_of(name)).absolute()

    def source_of(self, name: str) -> RepoSource | None:
        """Where this model can be had; None if no hub knows it by this name."""
        if model := BY_NAME.get(name):
            return RepoSource(model.repo, model.download_bytes)
        return RepoSource(name) if "/" in name and is_name(name) else None

    def repo_of(self, wanted: str) -> str:
        """The repo on a hub that `wanted` means. Raises `InvalidRequest`, and `ModelUnavailable` if there is none."""
        name = self.name_of(wanted)
        if (source := self.source_of(name)) is None:
            raise self.unavailable(name)
        return source.repo

    def depends_on_device(self, wanted: str) -> bool:
        """Whether `resolve` may answer differently for another device."""
        return wanted == AUTO and self._default == AUTO

    def locate(self, name: str) -> Located:
        """Where the model is; the built-in one is put together if need be. Blocks for that: call it in a thread.

        Raises what `resolve` raises, `ModelUnavailable` if files are missing or damaged, and `DiskFull`.
        """
        name = self.resolve(name)
        if self._configured and name == self._default:
            path = self._configured
        else:
            path = self.target_of(name)
            if name in self._bundled and is_ours(path) and not is_joined(path, self._bundled[name]):
                join(self._root, name, self._bundled[name])
        if missing := _missing(path):
            raise self._unavailable(f"The model {name} is incomplete: {path} has no {' and no '.join(missing)}.", name)
        return Located(name=name, path=path)

    def installed(self) -> list[str]:
        """The names of the models that are here, the best first; what is incomplete is left out."""
        names = {name for name, path in self._folders() if not _missing(path)}
        names |= {name for name in self._bundled if self._comes_with_packages(name)}
        if self._configured and not _missing(self._configured):
            names.add(self._default)
        return sorted(names, key=lambda name: (_place(name, BY_QUALITY), name))

    def entries(self) -> list[CatalogEntry]:
        """Every known model and every one that is here, the best first."""
        names = {*BY_NAME, *self.installed(), *(name for name, _ in self._folders())}
        return [self.entry(name) for name in sorted(names, key=lambda name: (_place(name, BY_QUALITY), name))]

    def entry(self, name: str) -> CatalogEntry:
        """What there is of this model, by its canonical name."""
        configured = self._configured is not None and name == self._default
        path = self._configured if configured and self._configured else self.target_of(name)
        builtin = not configured and is_ours(path) and self._comes_with_packages(name)
        there = path.is_dir()
        missing = tuple(_missing(path)) if there else ()
        return CatalogEntry(
            name=name,
            path=path if there else None,
            bytes=_bytes(path) if there else sum(file.size for file in self._bundled[name]) if builtin else 0,
            complete=builtin or (there and not missing),
            missing=() if builtin else missing,
            source=None if configured else self.source_of(name),
            builtin=builtin,
            configured=configured,
        )

    def remove(self, name: str) -> None:
        """Take a model, and what a download of it left, off the disk. It is gone for everybody at once, or not at all.

        Blocks. Raises `Conflict` for what is not ours to remove, `NotFound` if there is nothing, and `OSError`.
        """
        entry, partial = self.entry(name), Path(partial_of(str(self.target_of(name))))
        if entry.configured:
            raise Conflict(
                f"The model {name} lies in a folder that the configuration names; it is not the service's.",
                hint="Remove speech.model from the configuration, and the folder by hand.",
            )
        if entry.builtin:
            raise Conflict(
                f"The model {name} is the built-in one: it comes with installed packages.",
                hint=f"Uninstall them: `pip uninstall {' '.join(part.partition('=')[0] for part in REQUIREMENTS.split())}`.",
            )
        if entry.path is None and not partial.exists():
            raise NotFound(
                f"There is nothing of the model {name} on this machine.", hint="GET /api/models lists what there is."
            )
        if entry.path is not None:
            doomed = self._root / f".removed-{secrets.token_hex(8)}"
            entry.path.rename(doomed)  # whoever looks sees all of it or nothing
            shutil.rmtree(doomed, ignore_errors=True)
        shutil.rmtree(partial, ignore_errors=True)

    def scratch(self) -> Path:
        """A new folder beside the models, for one that is being put together; whoever asked for it removes it."""
        folder = self._root / f".import-{secrets.token_hex(8)}"
        folder.mkdir(parents=True)
        return folder

    def sweep(self) -> None:
        """Remove what a removal or an import left that was cut off. For the start only."""
        for pattern in (".removed-*", ".import-*"):
            for path in self._root.glob(pattern):
                shutil.rmtree(path, ignore_errors=True)

    def unavailable(self, name: str) -> ModelUnavailable:
        """Why a model that is not here cannot be used."""
        return self._unavailable(f"The model {name} is not on this machine.", name)

    def _folders(self) -> Iterable[tuple[str, Path]]:
        """The names of what lies in `models_dir`."""
        return ((name_of_folder(path.name), path) for path in _directories(self._root) if is_folder(path.name))

    def _comes_with_packages(self, name: str) -> bool:
        return name in self._bundled and not absent(self._bundled[name])

    def _best(self, device: str) -> str:
        if not (names := self.installed()):
            raise self._unavailable("There is no model on this machine.", AUTO)
        order = BY_QUALITY if device.startswith("cuda") else ON_CPU
        return min(names, key=lambda name: (_place(name, order), name))

    def _unavailable(self, message: str, name: str) -> ModelUnavailable:
        names = self.installed()
        ways = [f"Installed: {', '.join(names)}." if names else INSTALL]
        if self.source_of(name) is not None:
            ways.append(f"Fetch it: `python -m whisper_service models download {name}`.")
        put = "Or put" if len(ways) > 1 or not names else "Put"
        return ModelUnavailable(
            message,
            hint=f"{' '.join(ways)} {put} a folder with a CTranslate2 model (model.bin, config.json, tokenizer.json, "
            f"vocabulary.json or .txt) into models/{folder_of(name) if name != AUTO else '<name>'} of the data directory.",
            model=name,
            installed=names,
        )


def _directory(default: str) -> Path | None:
    """The directory that the configuration means, if it means one: what looks like a path, or is one and no known name."""
    path = Path(default).expanduser()
    if default == AUTO or default in BY_QUALITY or default in ALIASES:
        return None
    return path.resolve() if not is_name(default) or path.is_dir() else None


def _directories(root: Path) -> Iterable[Path]:
    return (path for path in root.iterdir() if path.is_dir()) if root.is_dir() else ()


def _missing(path: Path) -> list[str]:
    """What a model directory lacks to be loaded."""
    return missing_files([name for name in (*REQUIRED, *VOCABULARIES) if size(path / name)])


def _bytes(directory: Path) -> int:
    return sum(size(path) for path in directory.iterdir() if path.is_file())


def _place(name: str, order: tuple[str, ...]) -> int:
    return order.index(name) if name in order else len(order)
