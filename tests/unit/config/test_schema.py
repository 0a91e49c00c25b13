"""Defaults and descriptions in one place, the order of precedence, and errors that name the key."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from whisper_service.config.load import load, resource
from whisper_service.config.schema import Config, SpeechSettings, setting_fields
from whisper_service.core.domain import Preset
from whisper_service.core.errors import InvalidConfig

SHIPPED = resource("config.toml")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def put(directory: Path, text: str) -> Path:
    file = directory / "config.toml"
    file.write_text(text, "utf-8")
    return file


def test_the_file_that_ships_is_the_defaults() -> None:
    defaults = msgspec.json.decode(msgspec.json.encode(Config(), enc_hook=str))  # where tuples are lists
    assert msgspec.toml.decode(SHIPPED.read_bytes()) == defaults


def test_the_file_that_ships_lists_the_keys_in_their_order() -> None:
    tree = msgspec.toml.decode(SHIPPED.read_bytes())
    listed = [
        f"{name}.{key}" if isinstance(value, dict) else name
        for name, value in tree.items()
        for key in (value if isinstance(value, dict) else [""])
    ]
    assert listed == list(setting_fields())


def test_the_file_that_ships_describes_each_key_as_the_schema_does() -> None:
    described, section = {}, ""
    for line in SHIPPED.read_text("utf-8").splitlines():
        if line.startswith("["):
            section = line.partition("]")[0].strip("[") + "."
        elif match := re.fullmatch(r'(\w+) = (?:"[^"]*"|[^#"]*?)(?: +# (.*))?', line):
            described[section + match[1]] = match[2] or ""
    plain = {key: field.description.lower().removesuffix(".") for key, field in setting_fields().items()}
    assert {key: comment.lower() for key, comment in described.items()} == plain


def test_loading_the_file_that_ships_changes_nothing(tmp_path: Path) -> None:
    copy = put(tmp_path, SHIPPED.read_text("utf-8"))
    assert load(copy, {}) == load(put(tmp_path, ""), {})


def test_without_anything_the_defaults_are_in_force(tmp_path: Path) -> None:
    assert load(None, {}) == msgspec.structs.replace(Config(), data_dir=tmp_path / "data")


def test_a_file_in_the_working_directory_is_found(tmp_path: Path) -> None:
    put(tmp_path, "[server]\nport = 1234")
    assert load(None, {}).server.port == 1234


def test_the_environment_may_name_the_file(tmp_path: Path) -> None:
    put(tmp_path, "[server]\nport = 1")
    other = tmp_path / "other"
    other.mkdir()
    file = put(other, "[server]\nport = 2")
    loaded = load(None, {"WHISPER_SERVICE_CONFIG": str(file)})
    assert loaded.server.port == 2
    assert loaded.data_dir == other / "data"


def test_later_wins(tmp_path: Path) -> None:
    file = put(tmp_path, '[server]\nport = 1\nhost = "file"\n[speech]\nmodel = "file"\ndevice = "cuda"')
    environ = {"WHISPER_SERVICE_SERVER__PORT": "2", "WHISPER_SERVICE_SPEECH__MODEL": "environment", "HOME": "/"}
    loaded = load(file, environ, {"server.port": 3, "speech.device": None})
    assert loaded.server.port == 3
    assert loaded.server.host == "file"
    assert loaded.speech.model == "environment"
    assert loaded.speech.device == "cuda"  # None: not given on the command line


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("SERVER__PORT", "0", 0),
        ("SERVER__HEARTBEAT_S", "2.5", 2.5),
        ("SERVER__HEARTBEAT_S", "2", 2.0),
        ("SPEECH__PRELOAD", "false", False),
        ("SPEECH__PRELOAD", "0", False),
        ("LOG__JSON", "true", True),
        ("SPEECH__PRESET", "accurate", Preset.ACCURATE),
        ("SPEECH__DEVICE", "cuda:1", "cuda:1"),
        ("SPEECH__MODEL", "1234", "1234"),
        ("SERVER__MAX_UPLOAD_BYTES", "5000000000000", 5_000_000_000_000),
        (
            "MODELS__ENDPOINTS",
            "https://a.example, http://b.example:8080,",
            ("https://a.example", "http://b.example:8080"),
        ),
        ("MODELS__ENDPOINTS", "", ()),
    ],
)
def test_text_from_the_environment_becomes_what_the_key_holds(name: str, text: str, value: Any) -> None:
    loaded: Any = load(None, {f"WHISPER_SERVICE_{name}": text})
    for part in name.lower().split("__"):
        loaded = getattr(loaded, part)
    assert loaded == value
    assert type(loaded) is type(value)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[server]\nprot = 1", "prot"),
        ("[sever]\nport = 1", "sever"),
        ("port = 1", "port"),
        ("[server]\nport = 65536", "$.server.port"),
        ("[server]\nport = -1", "$.server.port"),
        ("[server]\nheartbeat_s = 0", "$.server.heartbeat_s"),
        ("[media]\nworkers = -1", "$.media.workers"),
        ('[cluster]\nengine = "slurm"', "$.cluster.engine"),
        ('[cluster]\naddress = "head"', "$.cluster.address"),
        ("[cluster]\ngpus = 1.5", "gpus is 1.5"),
        ("[cluster]\ncpus = 0\ngpus = 0", "set cpus or gpus"),
        ('[speech]\ndevice = "none"', "speech.device is none"),
        ('[server]\nroot_path = "whisper/"', "$.server.root_path"),
        ('[speech]\ndevice = "gpu"', "$.speech.device"),
        ('[speech]\ndevice = "cuda:0;cpu"', "$.speech.device"),
        ('[speech]\ndevice = "auto,cpu"', "$.speech.device"),
        ('[speech]\npreset = "best"', "$.speech.preset"),
        ('[log]\nlevel = "loud"', "$.log.level"),
        ('[models]\nendpoints = ["hf.example"]', "$.models.endpoints"),
        ('[models]\nendpoints = "https://hf.example"', "$.models.endpoints"),
        ("server = 5", "$.server"),
        ("[server", "config.toml"),
    ],
)
def test_a_wrong_file_is_refused_by_name(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        load(put(tmp_path, text), {})
    assert named in caught.value.message
    assert caught.value.code == "invalid_config"
    assert caught.value.problem.hint


@pytest.mark.parametrize(
    ("name", "text", "named"),
    [
        ("SERVER__PROT", "1", "prot"),
        ("SEVER__PORT", "1", "sever"),
        ("PORT", "1", "port"),
        ("SERVER__PORT", "many", "$.server.port"),
        ("SERVER__PORT", "", "$.server.port"),
        ("SPEECH__PRELOAD", "perhaps", "$.speech.preload"),
        ("SERVER", "1", "$.server"),
    ],
)
def test_a_wrong_variable_is_refused_by_name(name: str, text: str, named: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        load(None, {f"WHISPER_SERVICE_{name}": text})
    assert named in caught.value.message


def test_a_variable_cannot_hide_that_the_file_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match=r"\$\.server"):
        load(put(tmp_path, "server = 5"), {"WHISPER_SERVICE_SERVER__PORT": "1"})


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="cannot be read"):
        load(tmp_path / "missing.toml", {})


@pytest.mark.parametrize(
    ("written", "expected"), [("data", "sub/data"), ("../data", "data"), ("./a/b", "sub/a/b"), ("数据", "sub/数据")]
)
def test_a_relative_data_dir_lies_beside_the_file(tmp_path: Path, written: str, expected: str) -> None:
    (tmp_path / "sub").mkdir()
    file = put(tmp_path / "sub", f'data_dir = "{written}"')
    assert load(file, {}).data_dir == tmp_path / expected
    assert load(Path("sub/config.toml"), {}).data_dir == tmp_path / expected


def test_other_ways_to_say_the_data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert load(None, {"WHISPER_SERVICE_DATA_DIR": "here"}).data_dir == tmp_path / "here"
    assert load(None, {"WHISPER_SERVICE_DATA_DIR": str(tmp_path / "there")}).data_dir == tmp_path / "there"
    assert load(None, {"WHISPER_SERVICE_DATA_DIR": "~/data"}).data_dir == tmp_path / "home" / "data"
    assert load(None, {}, {"data_dir": str(tmp_path / "cli")}).data_dir == tmp_path / "cli"


def test_what_only_the_build_of_the_page_reads_is_no_setting(tmp_path: Path) -> None:
    assert load(None, {"WHISPER_SERVICE_UI": "require"}) == load(None, {})


@pytest.mark.parametrize(("text", "value"), [("", ()), ("a", ("a",)), ("a, *.b,c", ("a", "*.b", "c"))])
def test_lists_in_the_environment_are_separated_by_commas(text: str, value: tuple[str, ...]) -> None:
    assert load(None, {"WHISPER_SERVICE_SECURITY__ALLOWED_HOSTS": text}).security.allowed_hosts == value


def test_a_secret_is_not_shown(tmp_path: Path) -> None:
    secret = "correct-horse-battery-staple"
    loaded = load(
        put(tmp_path, f'[security]\ntoken = "{secret}"\n[models]\ntoken = "{secret}"\nproxy = "{secret}"'), {}
    )
    assert loaded.security.token == secret
    assert secret not in f"{loaded} {loaded!r} {loaded.models}"
    assert repr(loaded).count("***") == 3
    assert "***" not in repr(Config())
    assert "port=8000" in repr(Config())


def test_a_secret_of_the_wrong_kind_is_not_quoted(tmp_path: Path) -> None:
    for value in ("1234567890123456", '["1234567890123456"]'):
        with pytest.raises(InvalidConfig, match=r"\$\.security\.token") as caught:
            load(put(tmp_path, f"[security]\ntoken = {value}"), {})
        assert "1234567890123456" not in str(caught.value.problem)


def test_a_relative_token_file_lies_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    file = put(tmp_path / "sub", '[security]\ntoken_file = "token"')
    assert load(file, {}).security.token_file == str(tmp_path / "sub" / "token")
    assert load(None, {"WHISPER_SERVICE_SECURITY__TOKEN_FILE": "/run/token"}).security.token_file == "/run/token"


def test_what_ships_is_found_in_a_checkout() -> None:
    assert SHIPPED.is_file()
    assert resource("static").name == "static"


def test_a_list_of_devices_names_each_once() -> None:
    lists = {
        "auto": ("auto",),
        "cuda": ("cuda",),
        "cuda:0, cuda:2": ("cuda:0", "cuda:2"),
        "cpu,cuda,cuda:0": ("cpu", "cuda:0"),
        "none": (),
    }
    assert {text: SpeechSettings(device=text).devices for text in lists} == lists
