"""The command line with the real model: `transcribe` killed in the middle and run again, and `doctor`."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import psutil
import pytest

from testkit import media_files, prompts
from testkit.process import environment
from testkit.program import BUNDLED, COMMAND, NOT_BUNDLED, Program

pytestmark = [pytest.mark.model, pytest.mark.skipif(not BUNDLED, reason=NOT_BUNDLED)]
FORMATS = ("json", "srt", "vtt", "txt", "tsv")


def transcribe(home: Path, source: Path) -> subprocess.Popen[str]:
    words = [*COMMAND, "transcribe", str(source), "-f", ",".join(FORMATS), "-o", "out", "--data-dir", "data"]
    home.mkdir(exist_ok=True)
    return subprocess.Popen(
        words, cwd=home, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finished(process: subprocess.Popen[str]) -> list[str]:
    """Let it come to its end; the paths it printed."""
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    return sorted(out.split())


def written(home: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (home / "out").iterdir()}


@pytest.mark.skipif(not prompts.PROMPTS.exists(), reason=prompts.NO_PROMPTS)
def test_transcribe_killed_in_the_middle_goes_on(tmp_path: Path) -> None:
    source = media_files.write_wav(tmp_path / "talk.wav", prompts.talk(*prompts.TALK))
    paths = finished(transcribe(tmp_path / "calm", source))
    assert paths == sorted(f"out/talk.{kind}" for kind in FORMATS)
    undisturbed = written(tmp_path / "calm")
    assert b"Asterisk" in undisturbed["talk.txt"]

    program = Program(tmp_path / "killed")
    with transcribe(program.home, source) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if (found := re.search(r"(\d+)% transcribing", line)) and int(found[1]) >= 40:
                break
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
    _, orphans = psutil.wait_procs(children, timeout=10)
    assert children
    assert not orphans
    assert not written(program.home)
    ((job_id, done),) = program.rows("SELECT id, chunks_done FROM job")
    kept = program.rows("SELECT id, chunk, text, words FROM segment ORDER BY id")
    assert done >= 1
    assert {chunk for _, chunk, *_ in kept}

    assert finished(transcribe(program.home, source)) == paths
    assert written(program.home) == undisturbed
    ((again, status, attempts, total),) = program.rows("SELECT id, status, attempts, chunks_total FROM job")
    assert (again, status, attempts) == (job_id, "completed", 2)
    now = program.rows("SELECT id, chunk, text, words FROM segment ORDER BY id")
    assert now[: len(kept)] == kept  # the very rows: what was done was not done again
    told = program.rows("SELECT count(*) FROM change WHERE kind = 'segment'")
    assert told == [(len(now),)]
    assert program.files() >= {f"media/{job_id}", f"peaks/{job_id}"}
    assert not [name for name in program.files() if name.startswith("spool/") or name.endswith(".part")]
    print(f"killed after {done} of {total} chunks")


def test_the_doctor_finds_everything_in_order(tmp_path: Path) -> None:
    words = [*COMMAND, "doctor", "--json", "--port", "0", "--data-dir", "data"]
    done = subprocess.run(
        words, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert {"packages", "data directory", "database", "decoding", "model"} <= rows.keys()
    assert {name: row["verdict"] for name, row in rows.items() if row["verdict"] == "fail"} == {}
    assert "ok" in {row["verdict"] for name, row in rows.items() if name.startswith("speech on ")}, rows
    left = sorted(path.relative_to(tmp_path).parts[:3] for path in tmp_path.rglob("*") if path.is_file())
    assert {parts[1] for parts in left} == {"lock", "models"}, left  # nothing of the trials stays
