"""The arguments of the command line, its settings, how errors look, and where transcripts are written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testkit.repository import ROOT
from whisper_service import __version__
from whisper_service.cli import main as cli
from whisper_service.cli import transcribe
from whisper_service.config.schema import Config, SpeechSettings
from whisper_service.core.domain import Gap, Job, Options, Phase, Preset, Problem, Script, Status, Task
from whisper_service.core.errors import DataDirectoryInUse, DiskFull, InvalidRequest
from whisper_service.export.render import Format
from whisper_service.web import server


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the config.toml and the environment of the machine that runs the tests."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("WHISPER_SERVICE_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """Collect the configurations that are served."""
    found: list[Config] = []

    def run(config: Config, sources: object = None) -> int:
        found.append(config)
        return 0

    monkeypatch.setattr(server, "run", run)
    return found


def make(**fields: Any) -> Job:
    given = {"id": "j", "name": "n", "status": Status.PROCESSING, "options": Options(), "created_at": 0.0, "bytes": 1}
    return Job(**(given | {"sha256": ""} | fields))


# -- commands --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [[], ["--port", "0"], ["serve"], ["serve", "--port", "0"], ["--host=::1"]])
def test_serving_is_the_default(served: list[Config], words: list[str]) -> None:
    assert cli.main(words) == 0
    assert len(served) == 1


def test_arguments_win_over_the_environment_and_the_file(
    served: list[Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "conf" / "mine.toml"
    file.parent.mkdir()
    file.write_text('data_dir = "there"\n[server]\nhost = "10.0.0.1"\nport = 1\n[log]\nlevel = "error"\n')
    monkeypatch.setenv("WHISPER_SERVICE_SERVER__PORT", "2")
    assert cli.main(["--config", "conf/mine.toml", "--port", "3", "--device", "cuda:1", "--model", "tiny"]) == 0
    assert cli.main(["--config", str(file), "--data-dir", "here", "--log-level", "debug"]) == 0
    first, second = served
    assert (first.server.host, first.server.port, first.data_dir) == ("10.0.0.1", 3, file.parent / "there")
    assert (first.speech.device, first.speech.model, first.log.level) == ("cuda:1", "tiny", "error")
    assert (second.server.port, second.data_dir, second.log.level) == (2, tmp_path / "here", "debug")


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ("base", "name"),
        ("./mine", "path"),
        ("mine", "path"),
        ("./sub/mine", "path"),
        ("other", "name"),
        ("owner/name", "name"),
    ],
)
def test_a_model_given_as_a_directory_is_made_absolute(
    served: list[Config], tmp_path: Path, given: str, kind: str
) -> None:
    (tmp_path / "mine").mkdir()
    cli.main(["--model", given])
    assert served[0].speech.model == (given if kind == "name" else str(tmp_path / given))


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        cli.main(["--version"])
    assert leaving.value.code == 0
    assert capsys.readouterr().out == f"whisper_service {__version__}\n"


@pytest.mark.parametrize(
    "words",
    [
        ["talk.mp3"],
        ["--port", "many"],
        ["--nonsense"],
        ["transcribe"],
        ["transcribe", "a", "-f", "doc"],
        ["transcribe", "a", "-f", ","],
        ["transcribe", "a", "--task", "sing"],
        ["transcribe", "a", "--speakers", "21"],
        ["--log-level", "loud"],
    ],
)
def test_wrong_usage_is_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        cli.main(words)
    assert leaving.value.code == 2
    assert "usage: whisper_service" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--config", "gone.toml"], "gone.toml"),
        (["--port", "70000"], "port"),
        (["--device", "abacus"], "device"),
        (["transcribe", "gone.mp3"], "gone.mp3: there is no such file"),
        (["transcribe", "."], "is not a file"),
    ],
)
def test_a_users_mistake_is_1_with_a_reason_and_no_traceback(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words) == 1
    error = capsys.readouterr().err
    assert error.startswith("whisper_service: ")
    assert said in error
    assert error.count("\n") == 2  # what happened, and what to do
    assert "Traceback" not in error


def test_errors_out_of_a_task_group_look_like_any_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(config: Config, sources: object = None) -> int:
        raise ExceptionGroup("", [ExceptionGroup("", [DiskFull("It is full.")]), DataDirectoryInUse("It is taken.")])

    monkeypatch.setattr(server, "run", run)
    assert cli.main([]) == 1
    error = capsys.readouterr().err
    assert "It is full." in error
    assert "It is taken." in error


def test_what_is_not_a_users_error_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(config: Config, sources: object = None) -> int:
        raise ExceptionGroup("", [DiskFull(), ZeroDivisionError()])

    monkeypatch.setattr(server, "run", run)
    with pytest.raises(ExceptionGroup) as caught:
        cli.main([])
    assert caught.group_contains(ZeroDivisionError)


def test_openapi_prints_the_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["openapi"]) == 0
    assert json.loads(capsys.readouterr().out)["openapi"].startswith("3.")


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = [sys.executable, "-m", "whisper_service", "openapi"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == cli.BROKEN_PIPE


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("whisper_service.__main__", ("msgspec", "argparse", "anyio")),  # every actor runs it again
        (
            "whisper_service.cli.main",
            ("litestar", "uvicorn", "rich", "anyio", "aiosqlite", "numpy", "av", "ctranslate2"),
        ),
        ("whisper_service.cli.doctor", ("numpy", "av", "ctranslate2", "faster_whisper", "onnxruntime")),
        ("whisper_service.cli.transcribe", ("litestar", "uvicorn", "numpy", "av", "ctranslate2", "faster_whisper")),
    ],
)
def test_starting_imports_nothing_heavy(module: str, forbidden: tuple[str, ...]) -> None:
    code = f"import sys, {module}; print(sorted(set({forbidden!r}) & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# -- where transcripts go --------------------------------------------------------------------------------------------


def test_transcripts_lie_beside_their_files(tmp_path: Path) -> None:
    talk = tmp_path / "my talk.v2.mp3"
    talk.touch()
    (item,) = transcribe.plan([talk], [Format.SRT, Format.TXT], None)
    assert item.targets == {Format.SRT: tmp_path / "my talk.v2.srt", Format.TXT: tmp_path / "my talk.v2.txt"}


def test_a_file_named_twice_is_done_once(tmp_path: Path) -> None:
    (tmp_path / "a.mp3").touch()
    assert len(transcribe.plan([tmp_path / "a.mp3", tmp_path / "a.mp3"], [Format.SRT], None)) == 1


def test_equal_stems_get_longer_names(tmp_path: Path) -> None:
    for name in ("x/talk.mp3", "x/Talk.wav", "y/talk.mp3", "y/other.mp3"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    files = [tmp_path / name for name in ("x/talk.mp3", "x/Talk.wav", "y/talk.mp3", "y/other.mp3")]
    items = transcribe.plan(files, [Format.SRT], tmp_path / "out")
    names = [item.targets[Format.SRT].name for item in items]
    assert names == ["talk.mp3.srt", "Talk.wav.srt", "talk.mp3.2.srt", "other.srt"]


def test_an_input_is_never_written_over(tmp_path: Path) -> None:
    for name in ("talk.txt", "notes.txt"):
        (tmp_path / name).touch()
    items = transcribe.plan([tmp_path / "talk.txt", tmp_path / "notes.txt"], [Format.TXT], None)
    assert [item.targets[Format.TXT].name for item in items] == ["talk.txt.txt", "notes.txt.txt"]


NAMES = st.sampled_from(
    ["a.mp3", "a.wav", "A.mp3", "a.mp3.wav", "a.mp3.2.wav", "b", "b.srt", "b.srt.srt", ".srt", "c.2"]
)
FILES = st.lists(st.tuples(st.sampled_from(["x", "y", "out"]), NAMES), min_size=1, unique=True)


@given(FILES, st.booleans())
def test_no_two_transcripts_share_a_place(
    tmp_path_factory: pytest.TempPathFactory, names: list[tuple[str, str]], together: bool
) -> None:
    root = tmp_path_factory.getbasetemp() / "plans"
    files = []
    for folder, name in names:
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder / name).touch()
        files.append(root / folder / name)
    items = transcribe.plan(files, list(Format), root / "out" if together else None)
    assert [item.source for item in items] == files
    taken = [str(path).casefold() for path in files]
    taken += [str(path).casefold() for item in items for path in item.targets.values()]
    assert len(set(taken)) == len({str(path).casefold() for path in files}) + len(files) * len(Format)


def test_a_place_that_cannot_be_is_said_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "a.mp3").touch()
    with pytest.raises(InvalidRequest, match="cannot be created"):
        transcribe.plan([tmp_path / "a.mp3"], [Format.SRT], tmp_path / "a.mp3" / "out")


# -- options and words -----------------------------------------------------------------------------------------------


def test_options_leave_the_model_open_and_take_the_preset_of_the_configuration() -> None:
    wishes = {"language": "zh", "task": "translate", "preset": None, "prompt": None}
    options = transcribe.options_of(Config(), wishes)
    assert options == Options(model="auto", language="zh", task=Task.TRANSLATE, preset=Preset.BALANCED)


@pytest.mark.parametrize(
    ("words", "wishes"),
    [
        ([], (None, None, None)),
        (["--speakers", "auto", "--min-speakers", "2", "--max-speakers", "3"], ("auto", 2, 3)),
        (["--speakers", "20"], ("20", None, None)),
        (["--speakers", "off"], ("off", None, None)),
    ],
)
def test_speakers_are_wished_for(words: list[str], wishes: tuple[object, ...]) -> None:
    parsed = vars(cli.parser().parse_args(["transcribe", "talk.wav", *words]))
    options = transcribe.options_of(Config(), {name: parsed[name] for name in cli.WISHES})
    assert (options.speakers, options.min_speakers, options.max_speakers) == wishes


@pytest.mark.parametrize("wishes", [{"min_speakers": "3", "max_speakers": "2"}, {"max_speakers": "21"}])
def test_numbers_of_speakers_that_cannot_be_are_refused(wishes: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest):
        transcribe.options_of(Config(), {"speakers": "auto", **wishes})


def test_names_of_speakers_are_asked_for_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(transcribe, "run", lambda *given, **_: asked.append(given[5]["speakers"]) or 0)
    for words in ([], ["--speaker-names"], ["--no-speaker-names"]):
        assert cli.main(["transcribe", "talk.wav", *words]) == 0
    assert asked == [None, True, False]


def test_a_tag_of_chinese_says_the_script_else_the_setting_does() -> None:
    config = Config(speech=SpeechSettings(script="traditional"))
    scripts = [transcribe.options_of(config, {"language": tag}).script for tag in ("zh-CN", "zh", None)]
    assert scripts == [Script.SIMPLIFIED, Script.TRADITIONAL, Script.TRADITIONAL]
    assert transcribe.options_of(Config(), {"language": "zh"}).script is None


@pytest.mark.parametrize("wishes", [{"language": "Klingon"}, {"prompt": "x" * 2001}])
def test_options_that_are_not_valid_are_refused(wishes: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest):
        transcribe.options_of(Config(), wishes)


@pytest.mark.parametrize(
    ("job", "said"),
    [
        (make(status=Status.PENDING), "waiting"),
        (make(status=Status.PAUSED), "paused"),
        (make(phase=Phase.LOADING_MODEL), "loading model"),
        (make(phase=Phase.TRANSCRIBING, speed=12.34), "transcribing 12.3x"),
        (make(phase=Phase.TRANSCRIBING, speed=2.0, eta_s=3661.4), "transcribing 2.0x, 1:01:01 left"),
    ],
)
def test_what_a_job_is_doing_in_a_few_words(job: Job, said: str) -> None:
    assert transcribe.describe(job) == said


def test_the_last_word_tells_gaps_and_reasons() -> None:
    gap = Gap(start=61.0, end=65.4, reason="It crashed.")
    whole = transcribe.verdict(make(status=Status.COMPLETED, duration_s=119.6, gaps=(gap,)))
    assert whole == (
        "incomplete: 2:00 of sound\n  not transcribed: 1:01 to 1:05: It crashed.\n  The same command tries these again."
    )
    error = Problem(code="x", message="It broke.", hint="Mend it.")
    broken = transcribe.verdict(make(status=Status.FAILED, error=error, chunks_done=2))
    assert broken == "failed: It broke. Mend it. What was recognised until then is written."
