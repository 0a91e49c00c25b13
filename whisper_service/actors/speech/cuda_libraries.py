"""Opens the CUDA libraries that pip installed, so that CTranslate2 finds them without LD_LIBRARY_PATH."""

from __future__ import annotations

import ctypes
import importlib.util
import logging
from pathlib import Path
from typing import Final

logger = logging.getLogger(__name__)

LIBRARIES: Final = ("libcublasLt.so.12", "libcublas.so.12")
"""The libraries that CTranslate2 opens by name at its first encode. The second needs the first."""


def preload(packages: tuple[str, ...] = ("nvidia.cublas", "nvidia.cu12")) -> list[Path]:
    """Open the libraries by their paths and return these. Opening a library by name then finds the open one.

    Must come before CTranslate2 is imported. Does nothing where the packages are not installed.
    """
    opened: list[Path] = []
    for name in LIBRARIES:
        path = next((p for package in packages for p in _library(package, name)), None)
        if path is None:
            continue
        try:
            ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
        except OSError as error:
            logger.warning("The CUDA library %s could not be opened: %s", path, error)
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
