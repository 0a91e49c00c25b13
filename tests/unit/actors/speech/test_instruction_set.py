"""The choice of AVX-512: on which processors, and that CTranslate2 obeys."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from whisper_service.actors.speech import instruction_set

AVX512 = "avx512f avx512dq avx512cd avx512bw avx512vl"

# CTranslate2 logs what it has chosen when it makes its first model, even one that cannot be loaded.
PROGRAM = """
import sys
from whisper_service.actors.speech import instruction_set
print(instruction_set.choose())
import ctranslate2
try:
    ctranslate2.models.Whisper(sys.argv[1], device="cpu")
except Exception:
    pass
"""


def cpuinfo(folder: Path, flags: str) -> Path:
    path = folder / "cpuinfo"
    path.write_text(
        f"processor\t: 0\nmodel name\t: a processor\nflags\t\t: fpu avx2 {flags}\nbugs\t\t: none\n", "utf-8"
    )
    return path


@pytest.mark.parametrize(
    ("flags", "chosen"),
    [
        pytest.param(f"{AVX512} avx512_vnni avx512_bitalg", True, id="Zen 4, Ice Lake"),
        pytest.param(f"{AVX512} avx512_vnni", False, id="Cascade Lake lowers its clock"),
        pytest.param("", False, id="Zen 3"),
        pytest.param("avx512f avx512_bitalg", False, id="not all that is needed"),
        pytest.param(f"{AVX512}_more avx512_bitalg", False, id="names are compared as a whole"),
    ],
)
def test_the_processors_that_gain_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: str, *, chosen: bool
) -> None:
    monkeypatch.setattr(os, "environ", {})
    assert instruction_set.choose(cpuinfo(tmp_path, flags)) is chosen
    assert os.environ == ({instruction_set.VARIABLE: "AVX512"} if chosen else {})


def test_what_somebody_has_set_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {instruction_set.VARIABLE: "AVX2"})
    assert not instruction_set.choose(cpuinfo(tmp_path, f"{AVX512} avx512_bitalg"))
    assert os.environ == {instruction_set.VARIABLE: "AVX2"}


def test_no_such_file_is_no_avx_512(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {})
    assert not instruction_set.choose(tmp_path / "cpuinfo")
    assert os.environ == {}


def test_the_library_obeys_on_this_processor(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != instruction_set.VARIABLE}
    said = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        env={**environment, "CT2_VERBOSE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    chosen = said.stdout.strip() == "True"
    assert "Selected ISA: " in said.stderr
    assert ("Selected ISA: AVX512" in said.stderr) is chosen
