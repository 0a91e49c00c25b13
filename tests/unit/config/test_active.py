"""Settings: which can be changed, what wins over what, and that no secret is shown."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import msgspec
import pytest

from whisper_service.config.active import ActiveSettings
from whisper_service.config.load import find_sources, load
from whisper_service.config.schema import Config, Effect, SettingSource, setting_fields
from whisper_service.core.errors import InvalidRequest

SECRET = "hf_verysecret"


def test_every_setting_is_described() -> None:
    assert [s.key for s in ActiveSettings(Config(), {}, {}).describe()] == list(setting_fields())


def test_bounds_are_told_and_hold() -> None:
    settings = ActiveSettings(Config(), {}, {})
    told = {s.key: (s.minimum, s.exclusive_minimum, s.maximum) for s in settings.describe()}
    assert told["captions.lines"] == (1, None, 2)
    assert told["speech.batch_size"] == (0, None, None)
    assert told["models.read_timeout_s"] == (None, 0, None)
    assert told["speech.preset"] == (None, None, None)
    refused = 0
    for key, (minimum, exclusive, maximum) in told.items():
        if not settings.is_changeable(key) or key in ("captions.min_s", "captions.max_s"):  # each bounds the other
            continue
        whole = isinstance(setting_fields()[key].default, int)
        for bound, beyond in ((minimum, -1), (exclusive, 0), (maximum, 1)):
            if bound is None:
                continue
            if beyond:
                settings.check({key: int(bound) if whole else float(bound)})
            with pytest.raises(InvalidRequest) as caught:
                settings.check({key: (int if whole else float)(bound + beyond)})
            assert caught.value.params["field"] == key
            refused += 1
    assert refused > 20


def test_addresses_paths_access_and_messages_are_for_the_operator_alone() -> None:
    closed = (
        "security.",
        "data_dir",
        "server.host",
        "server.port",
        "server.root_path",
        "models.import_dirs",
        "webhooks.",
    )
    for part in closed:
        found = [field for key, field in setting_fields().items() if key.startswith(part)]
        assert found, part
        assert not any(field.effect for field in found), part


def test_a_setting_without_an_effect_of_its_own_has_that_of_its_section() -> None:
    assert setting_fields()["captions.lines"].effect is Effect.NOW
    assert setting_fields()["supervision.probe_s"].effect is None


def test_each_source_wins_over_those_before_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "config.toml"
    file.write_text('data_dir = "d"\n[speech]\npreset = "fast"\nbatch_size = 3\n[log]\nlevel = "debug"\n')
    environ = {"WHISPER_SERVICE_SPEECH__BATCH_SIZE": "4", "WHISPER_SERVICE_CONFIG": str(file), "HOME": "/"}
    overrides = {"log.level": "error", "server.port": None}
    sources = find_sources(None, environ, overrides)
    assert sources == {
        "data_dir": SettingSource.FILE,
        "speech.preset": SettingSource.FILE,
        "speech.batch_size": SettingSource.ENVIRONMENT,
        "log.level": SettingSource.COMMAND_LINE,
    }
    base = load(None, environ, overrides)
    stored = {"speech.preset": "accurate", "speech.batch_size": 9, "log.level": "info", "storage.undo_s": 5.0}
    settings = ActiveSettings(base, sources, stored)
    assert not caplog.records, "a stored setting was refused"
    now = settings.config
    assert (now.speech.preset, now.speech.batch_size, now.log.level, now.storage.undo_s) == (
        "accurate",
        4,
        "error",
        5.0,
    )
    described = {s.key: s for s in settings.describe()}
    assert (described["speech.preset"].source, described["speech.preset"].changeable) == (SettingSource.STORED, True)
    assert (described["speech.batch_size"].source, described["speech.batch_size"].changeable) == (
        SettingSource.ENVIRONMENT,
        False,
    )
    assert (described["log.level"].source, described["log.level"].effect) == (SettingSource.COMMAND_LINE, None)
    assert (described["storage.undo_s"].value, described["storage.undo_s"].default) == (5.0, 600.0)
    assert (described["server.port"].source, described["server.port"].changeable) == (SettingSource.DEFAULT, False)
    assert described["speech.device"].effect is Effect.RESTART


def test_secrets_go_in_and_never_out() -> None:
    stored = {"models.token": SECRET, "models.proxy": f"http://me:{SECRET}@proxy:1"}
    settings = ActiveSettings(Config(), {}, stored)
    now = settings.config
    assert now.models.token == SECRET
    described = settings.describe()
    assert SECRET not in msgspec.json.encode(described).decode()
    token = next(s for s in described if s.key == "models.token")
    assert (token.secret, token.given, token.value, token.default) == (True, True, None, None)
    assert {s.key for s in described if s.secret} >= {
        "security.token",
        "models.token",
        "models.proxy",
        "webhooks.secret",
    }
    assert SECRET not in repr(now)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"speech.preset": "best"}, "speech.preset"),
        ({"speech.batch_size": -1}, "speech.batch_size"),
        ({"speech.batch_size": "8"}, "speech.batch_size"),
        ({"nope.nope": 1}, "nope.nope"),
        ({"speech": {}}, "speech"),
        ({"server.host": "0.0.0.0"}, "server.host"),
        ({"security.token": ""}, "security.token"),
        ({"data_dir": "/"}, "data_dir"),
        ({"speech.model": "/etc"}, "speech.model"),
        ({"speech.model": "../models"}, "speech.model"),
        ({"speech.model": "a/b/c"}, "speech.model"),
        ({"models.endpoints": ["ftp://x"]}, "models.endpoints"),
        ({"log.level": "info"}, "log.level"),
        ({"speech.device": "none"}, "speech.device"),
        ({"speech.preset": "fast", "storage.undo_s": -1}, "storage.undo_s"),
    ],
)
def test_what_cannot_be_set_is_refused_by_name(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        ActiveSettings(Config(), {"log.level": SettingSource.COMMAND_LINE}, {}).check(changes)
    assert refused.value.params["field"] == field
    assert refused.value.advice


def test_a_value_can_be_taken_back() -> None:
    stored = {"speech.preset": "fast", "storage.undo_s": 5}
    changes = {"speech.preset": None, "models.endpoints": ["https://hf-mirror.example"]}
    assert ActiveSettings(Config(), {}, stored).check(changes) == {
        "storage.undo_s": 5,
        "models.endpoints": ["https://hf-mirror.example"],
    }


def test_what_is_not_valid_any_more_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    stored = {"speech.preset": "gone", "storage.undo_s": 5, "server.host": "0.0.0.0"}
    with caplog.at_level(logging.WARNING, "whisper_service"):
        now = ActiveSettings(Config(), {}, stored).config
    assert [record.getMessage() for record in caplog.records] == ["the stored setting speech.preset is no longer valid"]
    assert (now.speech.preset, now.storage.undo_s, now.server.host) == ("balanced", 5.0, "127.0.0.1")
