"""The service never loads the model libraries: it starts at once, and no crash of a library can end it."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("ctranslate2", "faster_whisper", "onnxruntime", "numpy", "av", "huggingface_hub", "torch", "httpx", "ray")


@pytest.mark.parametrize(
    "module", ["whisper_service.web.server", "whisper_service.web.app", "whisper_service.cli.main"]
)
def test_nothing_heavy_comes_with(module: str) -> None:
    code = f"import sys, {module}; print(*sorted(set({HEAVY!r}) & set(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.split() == []
