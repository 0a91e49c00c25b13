"""List the interfaces of other programs over HTTP. A new one is a module beside this one and an entry here."""

from __future__ import annotations

from typing import Final

from whisper_service.web.compat import openai, whisper_asr, whisper_cpp
from whisper_service.web.http.dialects import Dialect

DIALECTS: Final[tuple[Dialect, ...]] = (openai.DIALECT, whisper_asr.DIALECT, whisper_cpp.DIALECT)
