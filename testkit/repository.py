"""Where the files of this repository are."""

from __future__ import annotations

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
DOCS: Final = ROOT / "docs"
STATIC: Final = ROOT / "static"
PACKAGE: Final = ROOT / "whisper_service"
