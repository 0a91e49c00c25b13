"""Check the names of models, and turn them into names of folders and back."""

from __future__ import annotations

import re
from typing import Final

_REPO: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,94}[A-Za-z0-9])?/[A-Za-z0-9_][A-Za-z0-9._-]{0,95}")


_SLASH: Final = "--"  # in the name of a folder


_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")


def is_name(name: str) -> bool:
    """Whether a model can have this name."""
    return bool(_NAME.fullmatch(name)) or (bool(_REPO.fullmatch(name)) and _SLASH not in name and ".." not in name)


def is_folder(name: str) -> bool:
    """Whether the folder of a model can be called this."""
    return bool(_NAME.fullmatch(name))


def folder_of(name: str) -> str:
    """What the folder of a model is called."""
    return name.replace("/", _SLASH)


def name_of_folder(folder: str) -> str:
    """The other way round."""
    name = folder.replace(_SLASH, "/", 1)
    return name if name != folder and is_name(name) else folder
