"""`transcribe` with real processes, pipes, files and database. The actors follow scripts instead of a model."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import anyio
import msgspec
import pytest
import srt  # type: ignore[import-untyped]

from testkit.fake_hub import REPO, FakeHub
from testkit.hub_service import FILES
from testkit.repository import ROOT
from testkit.scripted_actors import script, text_of
from testkit.service import entries, placeholder_model, placeholder_networks
from whisper_service.app.service import Service
from whisper_service.cli import main as cli
from whisper_service.core.domain import Job, Status, Transcript
from whisper_service.export import render
from whisper_service.export.render import Format
from whisper_service.storage.data_dir import DataDir
from whisper_service.storage.store import Store

DRIVER = f"""
import sys
from functools import partial
from whisper_service.cli import main as cli
from whisper_service.app.service import Service
Service.open = staticmethod(partial(Service.open, **{entries()!r}))
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.fixture(autouse=True)
def working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prepare a working directory with a model folder that only scripted actors can load."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("WHISPER_SERVICE_")]:
        monkeypatch.delenv(name)
    placeholder_model(tmp_path / "data" / "models" / "tiny")
    monkeypatch.setenv("WHISPER_SERVICE_SPEECH__MODEL", "tiny")
    monkeypatch.setattr(Service, "open", staticmethod(partial(Service.open, **entries())))


def recording(name: str, **play: object) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(script(**play))
    return path


def process(*words: str, stderr: int = subprocess.PIPE) -> subprocess.Popen[str]:
    """Start the command in a process of its own, to be killed."""
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, "transcribe", *words],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )


def percent(line: str) -> int:
    """Return how far a file is by a line on standard error; 0: the line does not tell."""
    found = re.search(r"(\d+)% ", line)
    return int(found[1]) if found else 0


def until(running: subprocess.Popen[str], least: int) -> int:
    """Wait until the file is this far, in percent. Return how far it really is."""
    assert running.stderr is not None
    said = []
    for line in running.stderr:
        said.append(line)
        if (now := percent(line)) >= least:
            return now
    pytest.fail(f"it never came to {least} %: {''.join(said)}")


def jobs() -> list[Job]:
    """Read the database while no service runs in it."""

    async def read(path: Path) -> list[Job]:
        async with Store.open(path) as store:
            return await store.jobs()

    return anyio.run(read, DataDir(Path("data").resolve()).database)


def test_every_format_is_written_whole_and_its_path_printed(capsys: pytest.CaptureFixture[str]) -> None:
    recording("talk.mp3", chunks=3)
    assert cli.main(["transcribe", "talk.mp3", "-f", ",".join(Format)]) == 0
    said = capsys.readouterr()
    assert sorted(said.out.split()) == sorted(f"talk.{kind.value}" for kind in Format)
    assert Path("talk.txt").read_text().splitlines() == [text_of(0), text_of(1), text_of(2)]
    transcript = msgspec.json.decode(Path("talk.json").read_bytes(), type=Transcript)
    assert transcript.model == "tiny"
    for kind in Format:
        assert Path(f"talk.{kind.value}").read_bytes() == render.render(transcript, kind)
    assert sorted(path.name for path in Path().iterdir()) == ["data", *sorted([*said.out.split(), "talk.mp3"])]
    assert "talk.mp3: 0:33 of sound" in said.err
    assert "100%" not in said.out
    assert "completed" not in said.err, "the last line tells what became of the file"


def test_captions_look_as_they_are_asked_to() -> None:
    recording("a.wav", chunks=2)
    assert cli.main(["transcribe", "a.wav", "-f", "srt,vtt", "--max-s", "2", "--bom", "--word-times"]) == 0
    said = Path("a.srt").read_bytes()
    assert said.startswith(b"\xef\xbb\xbf")
    seconds = [(cue.end - cue.start).total_seconds() for cue in srt.parse(said.decode("utf-8-sig"))]
    assert seconds
    assert max(seconds) <= 2
    assert cli.main(["transcribe", "a.wav", "--lines", "5"]) == 1


def test_who_speaks_is_told_in_the_files_that_can_tell_it(tmp_path: Path) -> None:
    placeholder_networks(tmp_path)
    recording("call.wav", chunks=3, people="QR")
    assert cli.main(["transcribe", "call.wav", "-f", "srt,tsv,json", "--speakers", "auto"]) == 0
    captions = [cue.content for cue in srt.parse(Path("call.srt").read_text())]
    assert captions == [f"Speaker 1: {text_of(0)}", f"Speaker 2: {text_of(1)}", f"Speaker 1: {text_of(2)}"]
    assert Path("call.tsv").read_text().splitlines()[0] == "start\tend\ttext"
    assert [each["name"] for each in json.loads(Path("call.json").read_text())["speakers"]] == [
        "Speaker 1",
        "Speaker 2",
    ]
    assert cli.main(["transcribe", "call.wav", "-f", "tsv", "--speakers", "auto", "--speaker-names"]) == 0
    assert Path("call.tsv").read_text().splitlines()[1] == f"0\t10000\t{text_of(0)}\tSpeaker 1"
    assert cli.main(["transcribe", "call.wav", "--speakers", "auto", "--no-speaker-names"]) == 0
    assert [cue.content for cue in srt.parse(Path("call.srt").read_text())] == [text_of(n) for n in range(3)]
    assert len(jobs()) == 1


def test_speakers_that_are_not_found_are_told_and_found_by_the_same_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    placeholder_networks(tmp_path)
    recording("call.wav", chunks=2, people="QR", voice_faults={"0": "model_broken_once"}, marks=str(tmp_path))
    assert cli.main(["transcribe", "call.wav", "-f", "txt", "--speakers", "2"]) == 1
    said = capsys.readouterr().err
    assert "could not be told apart" in said
    assert "The same command finds only the speakers." in said
    assert Path("call.txt").read_text().splitlines() == [text_of(0), text_of(1)]
    assert cli.main(["transcribe", "call.wav", "-f", "txt", "--speakers", "2"]) == 0
    assert Path("call.txt").read_text().splitlines() == [f"Speaker 1: {text_of(0)}", f"Speaker 2: {text_of(1)}"]
    assert len(jobs()) == 1


def test_many_files_at_once_each_get_their_own_text() -> None:
    names = [recording(f"in/{number}.会议.mp3", chunks=number + 1) for number in range(6)]
    assert cli.main(["transcribe", *map(str, names), "-o", "out", "-f", "txt"]) == 0
    for number in range(6):
        lines = Path(f"out/{number}.会议.txt").read_text().splitlines()
        assert lines == [text_of(chunk) for chunk in range(number + 1)]


def test_equal_names_do_not_write_over_each_other() -> None:
    recording("x/talk.mp3", chunks=1)
    recording("y/talk.mp3", chunks=2)
    assert cli.main(["transcribe", "x/talk.mp3", "y/talk.mp3", "-o", "out", "-f", "txt"]) == 0
    assert sorted(path.name for path in Path("out").iterdir()) == ["talk.mp3.2.txt", "talk.mp3.txt"]
    assert len(Path("out/talk.mp3.txt").read_text().splitlines()) == 1
    assert len(Path("out/talk.mp3.2.txt").read_text().splitlines()) == 2


def test_a_failure_is_told_and_does_not_stop_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    recording("good.mp3", chunks=1)
    Path("bad.mp3").write_text("this is no script")
    Path("empty.mp3").touch()
    assert cli.main(["transcribe", "bad.mp3", "empty.mp3", "good.mp3"]) == 1
    said = capsys.readouterr()
    assert said.out == "good.srt\n"
    assert "bad.mp3: failed: This is not a recording." in said.err
    assert "empty.mp3: failed: The file is empty. Check that the recording was saved completely" in said.err
    assert not Path("bad.srt").exists()
    assert not Path("empty.srt").exists()


def test_a_file_that_is_not_there_stops_everything_before_it_starts(capsys: pytest.CaptureFixture[str]) -> None:
    recording("good.mp3", chunks=1)
    assert cli.main(["transcribe", "good.mp3", "gone.mp3"]) == 1
    assert "gone.mp3: there is no such file." in capsys.readouterr().err
    assert not Path("data/whisper_service.db").exists()


def test_a_model_that_is_not_there_stops_everything_before_it_starts(capsys: pytest.CaptureFixture[str]) -> None:
    recording("good.mp3", chunks=1)
    assert cli.main(["transcribe", "good.mp3", "--model", "our-own"]) == 1
    assert "The model our-own is not on this machine." in capsys.readouterr().err
    assert not Path("data/whisper_service.db").exists()


def test_the_command_line_and_the_environment_win_over_what_was_set_in_a_service() -> None:
    recording("good.mp3", chunks=2)
    database = DataDir(Path("data").resolve()).database

    async def keep() -> None:
        async with Store.open(database) as store:
            await store.service_state.set_settings({"speech.model": "our-own"})

    anyio.run(keep)
    assert cli.main(["transcribe", "good.mp3"]) == 0
    assert cli.main(["transcribe", "good.mp3", "--model", "tiny", "--language", "de"]) == 0


def test_a_model_that_a_hub_has_is_fetched_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recording("good.mp3", chunks=2)
    with FakeHub(FILES) as hub:
        hub.fault("/storage/", "slow", rate=2_000_000, times=1)
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        assert cli.main(["transcribe", "good.mp3", "--model", REPO]) == 0
    said = capsys.readouterr().err
    assert f"Downloading the model {REPO}" in said
    assert Path("good.srt").is_file()


def test_a_model_that_does_not_come_is_said_with_its_cure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recording("good.mp3", chunks=2)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert cli.main(["transcribe", "good.mp3", "--model", "small"]) == 1
    said = capsys.readouterr().err
    assert "the settings forbid downloads" in said
    assert "copy the folder of the model" in said


def test_the_second_time_nothing_is_done_again() -> None:
    recording("talk.mp3", chunks=2)
    for _ in range(2):
        with process("talk.mp3") as running:
            out, _ = running.communicate(timeout=60)
        assert (running.returncode, out) == (0, "talk.srt\n")
        Path("talk.srt").unlink()
    (job,) = jobs()
    assert (job.status, job.attempts) == (Status.COMPLETED, 1)
    assert [path.name for path in Path("data/media").iterdir()] == [job.id]  # the second copy is gone


def test_other_options_are_other_jobs() -> None:
    recording("talk.mp3", chunks=1)
    for words in ([], ["--task", "translate"], ["--language", "de"]):
        with process("talk.mp3", *words) as running:
            running.communicate(timeout=60)
    assert len(jobs()) == 3


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_the_same_command_goes_on_where_it_stopped(number: signal.Signals) -> None:
    recording("talk.mp3", chunks=6, delay=0.3)
    with process("talk.mp3", "-f", "json") as running:
        before = until(running, 30)
        running.send_signal(number)
        out, err = running.communicate(timeout=60)
    assert out == ""
    assert not Path("talk.json").exists()
    if number is signal.SIGINT:
        assert running.returncode == 130
        assert "Stopped. The same command goes on from here." in err
        assert "Traceback" not in err
    (job,) = jobs()
    assert job.status in (Status.PROCESSING, Status.PENDING)
    done = job.chunks_done
    assert 1 <= done < 6

    with process("talk.mp3", "-f", "json") as running:
        assert until(running, 1) >= before  # it did not begin again
        out, _ = running.communicate(timeout=60)
    assert (running.returncode, out) == (0, "talk.json\n")
    transcript = json.loads(Path("talk.json").read_bytes())
    assert [segment["text"] for segment in transcript["segments"]] == [text_of(chunk) for chunk in range(6)]
    (job,) = jobs()
    assert (job.status, job.attempts) == (Status.COMPLETED, 2)


def test_a_job_that_failed_is_tried_again() -> None:
    recording("talk.mp3", chunks=2, decode_fault="abort")
    with process("talk.mp3") as running:
        running.communicate(timeout=120)
    assert running.returncode == 1
    with process("talk.mp3") as running:
        running.communicate(timeout=120)
    (job,) = jobs()
    assert (job.status, job.attempts) == (Status.FAILED, 2)


def test_a_file_that_cannot_be_worked_on_says_why_and_goes_on_with_the_same_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    recording("talk.mp3", chunks=2)
    with monkeypatch.context() as patch:
        patch.setenv("WHISPER_SERVICE_SUPERVISION__MAX_RESTARTS", "1")
        patch.setattr(
            Service, "open", staticmethod(partial(Service.open, speech_entry="testkit.scripted_actors:broken"))
        )
        assert cli.main(["transcribe", "talk.mp3"]) == 1
    assert "talk.mp3: waits: A library that the GPU needs is missing. Install it" in capsys.readouterr().err
    assert cli.main(["transcribe", "talk.mp3"]) == 0
    (job,) = jobs()
    assert (job.status, job.attempts, job.problem) == (Status.COMPLETED, 2, None)


def test_gaps_are_a_failure_and_tried_again(capsys: pytest.CaptureFixture[str]) -> None:
    recording("talk.mp3", chunks=3, faults={"1": "error"})
    assert cli.main(["transcribe", "talk.mp3", "-f", "txt"]) == 1
    said = capsys.readouterr()
    assert "talk.mp3: incomplete: 0:33 of sound" in said.err
    assert "not transcribed: 0:11 to 0:21" in said.err
    assert said.out == "talk.txt\n"  # with the gap marked in it
    assert "not transcribed" in Path("talk.txt").read_text()
    (job,) = jobs()
    assert (job.status, job.attempts) == (Status.COMPLETED, 1)
    assert cli.main(["transcribe", "talk.mp3", "-f", "txt"]) == 1
    (job,) = jobs()
    assert (job.status, job.attempts) == (Status.COMPLETED, 2)


def test_a_terminal_gets_bars_and_pipes_get_paths_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    pty = pytest.importorskip("pty", reason="there are no pseudo-terminals on this system")
    monkeypatch.setenv("TERM", "xterm")
    recording("talk [1].mp3", chunks=3, delay=0.2)
    ours, theirs = pty.openpty()
    with process("talk [1].mp3", stderr=theirs) as running:
        os.close(theirs)
        shown = b""
        while block := _read(ours):
            shown += block
        out, _ = running.communicate(timeout=60)
    os.close(ours)
    assert (running.returncode, out) == (0, "talk [1].srt\n")
    assert "━" in shown.decode()
    assert "transcribing" in shown.decode()
    assert "talk [1].mp3: 0:33 of sound" in shown.decode()


def _read(terminal: int) -> bytes:
    """Read a terminal. After its last writer is gone, which is an error on Linux, return nothing."""
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""


def test_a_data_directory_in_use_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    recording("talk.mp3", chunks=1)
    with DataDir(Path("data").resolve()).hold():
        assert cli.main(["transcribe", "talk.mp3"]) == 1
    error = capsys.readouterr().err
    assert "Another whisper_service" in error
    assert "--data-dir" in error


# -- standard input and output ----------------------------------------------------------------------------------------


def piped(data: bytes, *words: str, encoding: str = "utf-8") -> subprocess.CompletedProcess[bytes]:
    """Run the command with this on its standard input."""
    return subprocess.run(
        [sys.executable, "-c", DRIVER, "transcribe", *words],
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
        input=data,
        capture_output=True,
        check=False,
        timeout=120,
    )


def test_standard_input_becomes_a_transcript_on_standard_output() -> None:
    done = piped(script(chunks=2), "-", "-f", "txt")
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().splitlines() == [text_of(0), text_of(1)]
    assert b"stdin: 0:22 of sound" in done.stderr
    assert [path.name for path in Path().iterdir()] == ["data"]
    (job,) = jobs()
    assert job.name == "stdin"


def test_standard_input_may_go_to_a_directory_beside_other_files() -> None:
    recording("a.mp3", chunks=1)
    done = piped(script(chunks=2), "-", "a.mp3", "-f", "txt,json", "-o", "out")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in Path("out").iterdir()) == ["a.json", "a.txt", "stdin.json", "stdin.txt"]
    assert Path("out/stdin.txt").read_text().splitlines() == [text_of(0), text_of(1)]


def test_standard_output_takes_one_transcript() -> None:
    recording("a.mp3", chunks=1)
    for words in (["-", "a.mp3"], ["-", "-f", "txt,srt"]):
        done = piped(b"", *words)
        assert done.returncode == 1
        assert b"one transcript in one format" in done.stderr
    empty = piped(b"", "-")
    assert (empty.returncode, empty.stdout) == (1, b"")
    assert b"The file is empty." in empty.stderr


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_any_name_is_printed_in_any_encoding(encoding: str) -> None:
    name = "会议 ré\x1b[1m.mp3"
    recording(name, chunks=1)
    raw = os.fsencode("in") + b"/r\xe9union.mp3"
    os.mkdir("in")  # noqa: PTH102 - beside bytes
    with open(raw, "wb") as file:  # noqa: PTH123 - its name is no text
        file.write(script(chunks=2))
    done = piped(b"", name, os.fsdecode(raw), encoding=encoding)
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    assert b"\x1b" not in done.stderr
    assert b"in/r\xe9union.srt\n" in done.stdout  # the bytes of the disk, for the next program
    shown = "会议 ré".encode(encoding, "replace")
    assert shown + b"?[1m.mp3: 0:11 of sound" in done.stderr
    assert Path(name).with_suffix(".srt").exists()
    failed = piped(b"", "没有.mp3", encoding=encoding)
    assert failed.returncode == 1
    assert b"there is no such file" in failed.stderr


# -- files in the way -------------------------------------------------------------------------------------------------


def test_subtitles_of_a_person_are_not_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    recording("talk.mp3", chunks=2)
    Path("talk.srt").write_text("by hand")
    assert cli.main(["transcribe", "talk.mp3"]) == 1
    assert "talk.srt is in the way: this command did not write it." in capsys.readouterr().err
    assert Path("talk.srt").read_text() == "by hand"
    assert not Path("data/whisper_service.db").exists()
    assert cli.main(["transcribe", "talk.mp3", "--overwrite"]) == 0
    assert text_of(0) in Path("talk.srt").read_text()


def test_a_transcript_is_replaced_until_a_person_edits_it(capsys: pytest.CaptureFixture[str]) -> None:
    recording("talk.mp3", chunks=2)
    assert cli.main(["transcribe", "talk.mp3"]) == 0
    assert cli.main(["transcribe", "talk.mp3", "--lines", "1"]) == 0
    Path("talk.srt").write_text("better")
    assert cli.main(["transcribe", "talk.mp3"]) == 1
    assert Path("talk.srt").read_text() == "better"
    Path("talk.srt").write_text("")
    assert cli.main(["transcribe", "talk.mp3"]) == 0


def test_the_longest_name_gets_a_transcript() -> None:
    name = "长" * 84 + ".ts"  # 255 bytes
    recording(name, chunks=1)
    assert cli.main(["transcribe", name, "-f", "docx"]) == 0
    assert Path("长" * 83 + ".docx").is_file()
