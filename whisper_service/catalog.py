"""Models: which names there are, which are on disk, and the built-in one. No downloads, no model is ever opened here.

A model is a directory in CTranslate2's format. Three places hold one: `models_dir/<name>`, the directory that the
configuration names, and - for the built-in model - the data files of two installed packages, which are joined into
`models_dir` when the model is first needed. Only the configuration may name a path; a job names a model by its name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from whisper_service.bundled import BUNDLED, INSTALL, BundledFile, absent, is_joined, is_ours, join, size
from whisper_service.domain import Value
from whisper_service.errors import InvalidRequest, ModelUnavailable

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

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")
_REQUIRED: Final = ("model.bin", "config.json", "tokenizer.json")
_VOCABULARY: Final = ("vocabulary.json", "vocabulary.txt")


class Located(Value, frozen=True):
    """A model that can be loaded: `path` is an absolute directory with a complete CTranslate2 model."""

    name: str
    path: Path


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
        if not _NAME.fullmatch(wanted):
            raise InvalidRequest(
                f"{wanted!r} is not the name of a model.",
                hint=f"Installed: {', '.join(self.installed()) or 'none'}. Only the configuration may give a directory.",
                model=wanted,
            )
        name = ALIASES.get(wanted, wanted)
        if name not in self.installed() and not (self._root / name).is_dir():
            raise self._unavailable(f"The model {name} is not on this machine.", name)
        return name

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
            path = (self._root / name).absolute()
            if name in self._bundled and is_ours(path) and not is_joined(path, self._bundled[name]):
                join(self._root, name, self._bundled[name])
        if missing := _missing(path):
            raise self._unavailable(f"The model {name} is incomplete: {path} has no {' and no '.join(missing)}.", name)
        return Located(name=name, path=path)

    def installed(self) -> list[str]:
        """The names of the models that are here, the best first; what is incomplete is left out."""
        names = {path.name for path in _directories(self._root) if _NAME.fullmatch(path.name) and not _missing(path)}
        names |= {name for name, files in self._bundled.items() if not absent(files)}
        if self._configured and not _missing(self._configured):
            names.add(self._default)
        return sorted(names, key=lambda name: (_place(name, BY_QUALITY), name))

    def _best(self, device: str) -> str:
        if not (names := self.installed()):
            raise self._unavailable("There is no model on this machine.", AUTO)
        order = BY_QUALITY if device.startswith("cuda") else ON_CPU
        return min(names, key=lambda name: (_place(name, order), name))

    def _unavailable(self, message: str, name: str) -> ModelUnavailable:
        names = self.installed()
        here = f"Installed: {', '.join(names)}. " if names else ""
        bundled = "" if names else f"{INSTALL} Or put"
        return ModelUnavailable(
            message,
            hint=f"{here}{bundled or 'Put'} a folder with a CTranslate2 model (model.bin, config.json, tokenizer.json, "
            f"vocabulary.json or .txt) into {self._root / (name if name != AUTO else '<name>')}.",
            model=name,
            installed=names,
        )


def _directory(default: str) -> Path | None:
    """The directory that the configuration means, if it means one: what looks like a path, or is one and no known name."""
    path = Path(default).expanduser()
    if default == AUTO or default in BY_QUALITY or default in ALIASES:
        return None
    return path.resolve() if not _NAME.fullmatch(default) or path.is_dir() else None


def _directories(root: Path) -> Iterable[Path]:
    return (path for path in root.iterdir() if path.is_dir()) if root.is_dir() else ()


def _missing(path: Path) -> list[str]:
    """What a model directory lacks to be loaded."""
    missing = [name for name in _REQUIRED if not size(path / name)]
    if not any(size(path / name) for name in _VOCABULARY):
        missing.append(_VOCABULARY[0])
    return missing


def _place(name: str, order: tuple[str, ...]) -> int:
    return order.index(name) if name in order else len(order)
