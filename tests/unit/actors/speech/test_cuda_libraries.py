"""CUDA libraries in pip packages are found and opened. The packages are made by the test."""

from __future__ import annotations

import ctypes
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from whisper_service.actors.speech import cuda_libraries
from whisper_service.actors.speech.cuda_libraries import LIBRARIES, preload

compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler to make a library with")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages, on the path."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def put(site: Path, package: str, library: str, data: bytes = b"no library") -> Path:
    path = site.joinpath(*package.split("."), "lib", library)
    path.parent.mkdir(parents=True, exist_ok=True)
    (path.parent.parent / "__init__.py").touch()
    path.write_bytes(data)
    return path


def test_nothing_is_opened_where_nothing_is_installed() -> None:
    assert preload(("no_such_package", "no_such_package.below")) == []


def test_the_one_that_the_other_needs_comes_first(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[tuple[str, int]] = []
    monkeypatch.setattr(cuda_libraries.ctypes, "CDLL", lambda path, mode: opened.append((path, mode)))
    expected = [put(site, "made_up.cublas", name) for name in LIBRARIES]
    assert preload(("made_up.cublas",)) == expected
    assert opened == [(str(path), ctypes.RTLD_GLOBAL) for path in expected]
    assert expected[0].name.startswith("libcublasLt")


def test_the_first_package_that_has_it_counts(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_libraries.ctypes, "CDLL", lambda path, mode: None)
    put(site, "made_up_one", "other.so")
    second = put(site, "made_up_two", LIBRARIES[0])
    put(site, "made_up_three", LIBRARIES[0])
    assert preload(("made_up_one", "made_up_two", "made_up_three")) == [second]


def test_a_library_that_cannot_be_opened_is_logged_and_the_next_is_tried(
    site: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paths = [put(site, "made_up_broken", name) for name in LIBRARIES]
    with caplog.at_level(logging.WARNING, logger=cuda_libraries.__name__):  # whatever level others left behind
        assert preload(("made_up_broken",)) == []
    assert [str(path) in record.getMessage() for path, record in zip(paths, caplog.records, strict=True)] == [
        True,
        True,
    ]


@compiler
def test_what_was_opened_is_found_by_its_name_alone(site: Path) -> None:
    """CTranslate2 opens libraries by name."""
    path = put(site, "made_up_real", LIBRARIES[1])
    source = site / "library.c"
    source.write_text("int answer(void) { return 42; }")
    subprocess.run(["cc", "-shared", f"-Wl,-soname,{LIBRARIES[1]}", "-o", str(path), str(source)], check=True)
    program = (
        "import ctypes, sys; from whisper_service.actors.speech.cuda_libraries import preload\n"
        "if sys.argv[1] == 'preload': preload(('made_up_real',))\n"
        f"print(ctypes.CDLL({LIBRARIES[1]!r}).answer())"
    )
    environment = {**os.environ, "PYTHONPATH": str(site)}
    answers = [
        subprocess.run(
            [sys.executable, "-c", program, how], capture_output=True, text=True, env=environment, check=False
        )
        for how in ("leave", "preload")
    ]
    assert answers[1].stdout.strip() == "42", answers[1].stderr
    assert answers[0].stdout.strip() != "42"
