"""Makes CUDA libraries that were installed with pip known to the process, so that nobody has to set LD_LIBRARY_PATH."""

from __future__ import annotations

import ctypes
import importlib.util
import logging
from pathlib import Path
from typing import Final

logger = logging.getLogger(__name__)

LIBRARIES: Final = ("libcublasLt.so.12", "libcublas.so.12")
"""What CTranslate2 opens by name at its first encode; the second needs the first."""


def preload(packages: tuple[str, ...] = ("nvidia.cublas", "nvidia.cu12")) -> list[Path]:
    """Open the libraries by their full paths; opening them again by name then finds them. Returns what was opened.

    Call it before CTranslate2 is imported. Does nothing where the packages are not installed.
    """
    opened: list[Path] = []
    for name in LIBRARIES:
        path = next((p for package in packages for p in _library(package, name)), None)
        if path is None:
            continue
        try:
            ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
        except OSError as error:
            logger.warning("could not open %s: %s", path, error)
        else:
            opened.append(path)
    return opened


def _library(package: str, name: str) -> list[Path]:
    try:
        spec = importlib.util.find_spec(package)
    except ModuleNotFoundError:
        return []
    locations = spec.submodule_search_locations if spec else None
    return [path for location in locations or () if (path := Path(location) / "lib" / name).is_file()]
