"""Which hub, which way, who we are: the settings first, the environment where they are silent."""

from __future__ import annotations

import pytest

from whisper_service.config.schema import ModelSettings
from whisper_service.models import hubs
from whisper_service.models.hubs import PUBLIC
from whisper_service.supervision.messages import download
from whisper_service.supervision.messages.download import Hub

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
    info = hubs.info_of(hub)
    assert info.endpoints == ("https://hub.example/path",)
    assert info.proxy == "http://proxy:3128"
    assert info.token
    assert "NobodyMaySee" not in f"{hub} {hub!r} {info} {hubs.asking_for(hub, None, ())!r}"


def test_a_test_of_the_connection_asks_with_the_settings_and_what_is_given_instead() -> None:
    hub = hubs.resolve(ModelSettings(**SECRETS, read_timeout_s=3.0), {})
    assert hubs.asking_for(hub, None, ()) == download.TestConnection(hubs.PROBE, hub)
    given = hubs.asking_for(hub, "a/b", ("https://mirror.example",), "http://p:1", "other")
    assert (given.repo, given.hub.endpoints, given.hub.proxy, given.hub.token) == (
        "a/b",
        ("https://mirror.example",),
        "http://p:1",
        "other",
    )
    assert given.hub.read_timeout_s == 3.0
