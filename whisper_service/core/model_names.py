"""Check the names of models, and turn them into names of folders and back."""

from __future__ import annotations

import re
from typing import Final

_REPO: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,94}[A-Za-z0-9])?/[A-Za-z0-9_][A-Za-z0-9._-]{0,95}")
_SLASH: Final = "--"  # in the name of a folder
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")


def is_name(name: str) -> bool:
    """Return whether a model can have this name."""
    return bool(_NAME.fullmatch(name)) or (bool(_REPO.fullmatch(name)) and _SLASH not in name and ".." not in name)


def is_folder(name: str) -> bool:
    """Return whether the folder of a model can have this name."""
    return bool(_NAME.fullmatch(name))


def folder_of(name: str) -> str:
    """Return the name of the folder of a model."""
    return name.replace("/", _SLASH)


def name_of_folder(folder: str) -> str:
    """Return the name of the model in a folder."""
    name = folder.replace(_SLASH, "/", 1)
    return name if name != folder and is_name(name) else folder
