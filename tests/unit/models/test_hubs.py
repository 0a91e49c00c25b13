"""Which hub, which way, who we are: the settings first, the environment where they are silent."""

from __future__ import annotations

from pathlib import Path

import pytest

from whisper_service.config.schema import ModelSettings
from whisper_service.models import hubs
from whisper_service.models.files import PATTERNS
from whisper_service.models.hubs import PUBLIC, Hub

SECRETS = {"token": "hf_NobodyMaySee", "proxy": "http://name:NobodyMaySee@proxy:3128"}


def test_without_anything_it_is_the_public_hub() -> None:
    assert hubs.resolve(ModelSettings(), {}) == Hub((PUBLIC,))


def test_the_environment_speaks_where_the_settings_are_silent() -> None:
    environ = {"HF_ENDPOINT": " https://mirror.example ", "HF_TOKEN": "t", "HF_HUB_OFFLINE": "1"}
    assert hubs.resolve(ModelSettings(), environ) == Hub(("https://mirror.example",), token="t", offline=True)
    chosen = ModelSettings(endpoints=("https://a", "https://b"), token="mine", proxy="http://p:1")
    assert hubs.resolve(chosen, environ | {"HF_HUB_OFFLINE": "0"}) == Hub(
        ("https://a", "https://b"), proxy="http://p:1", token="mine"
    )


@pytest.mark.parametrize(
    ("text", "offline"),
    [("1", True), ("ON", True), ("Yes", True), ("true", True), ("0", False), ("", False), ("no", False)],
)
def test_offline_is_read_as_the_library_reads_it(text: str, offline: bool) -> None:
    assert hubs.resolve(ModelSettings(), {"HF_HUB_OFFLINE": text}).offline is offline
    assert hubs.resolve(ModelSettings(offline=True), {"HF_HUB_OFFLINE": text}).offline


def test_what_is_shown_of_it_holds_no_secret() -> None:
    hub = hubs.resolve(
        ModelSettings(endpoints=("https://user:NobodyMaySee@hub.example/path?sign=NobodyMaySee",), **SECRETS), {}
    )
    assert hub.info.endpoints == ("https://hub.example/path",)
    assert hub.info.proxy == "http://proxy:3128"
    assert hub.info.token
    assert "NobodyMaySee" not in f"{hub} {hub!r} {hub.info}"


def test_the_command_has_everything() -> None:
    command = hubs.resolve(ModelSettings(**SECRETS, read_timeout_s=3.0), {}).download(
        "a/b", "a/b", Path("/models/a--b"), spare_bytes=7
    )
    assert (command.repo, command.target, command.patterns, command.spare_bytes) == ("a/b", "/models/a--b", PATTERNS, 7)
    assert (command.token, command.proxy, command.read_timeout_s) == (SECRETS["token"], SECRETS["proxy"], 3.0)
