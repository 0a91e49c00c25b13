"""What the speech actor needs of `faster_whisper` beyond its public interface is still there."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from typing import Any

import numpy as np
import pytest

from testkit.repository import PACKAGE

FOLDER = PACKAGE / "actors" / "speech"
MODULE = FOLDER / "faster_whisper_private.py"
CHANGED = f"faster-whisper {version('faster-whisper')} has changed; adapt actors/speech/faster_whisper_private.py: "


def tokenizer(kind: type[Any]) -> None:
    inspect.signature(kind).bind(None, True, task="transcribe", language="en")
    inspect.signature(kind.encode).bind(None, " a prompt")
    inspect.signature(kind.split_to_word_tokens).bind(None, [1, 2])
    for name in ("sot_sequence", "sot_prev", "no_timestamps"):
        getattr(kind, name)


def features(kind: type[Any]) -> None:
    extract = kind(feature_size=128)
    spectrum = extract(np.zeros(16_000, dtype=np.float32))
    assert extract.hop_length == 160
    assert (spectrum.shape[0], spectrum.shape[1] >= 100, spectrum.dtype) == (128, True, np.float32)


USES: list[tuple[str, str, Callable[[Any], object]]] = [
    ("tokenizer", "Tokenizer", tokenizer),
    ("feature_extractor", "FeatureExtractor", features),
    ("transcribe", "get_suppressed_tokens", lambda get: inspect.signature(get).bind(None, [-1])),
]


@pytest.mark.parametrize(("module", "name", "use"), USES, ids=[name for _, name, _ in USES])
def test_a_private_part_can_be_used_as_the_actor_uses_it(module: str, name: str, use: Callable[[Any], object]) -> None:
    try:
        use(getattr(import_module(f"faster_whisper.{module}"), name))
    except Exception as error:
        pytest.fail(f"{CHANGED}{module}.{name}: {error!r}")


def test_no_other_module_imports_private_parts() -> None:
    found = set()
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("faster_whisper"):
                found |= {(path.name, node.module, alias.name) for alias in node.names}
    assert found == {(MODULE.name, f"faster_whisper.{module}", name) for module, name, _ in USES}
