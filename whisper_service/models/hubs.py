"""Where models are downloaded from: endpoints, proxy and token, from the settings or else from the environment.

The variables are those of `huggingface_hub`: HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE. The download actor reads the
proxies of the environment (HTTPS_PROXY and others) itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from msgspec.structs import replace

from whisper_service.config.schema import ModelSettings
from whisper_service.core.domain import Value
from whisper_service.models.known import BY_NAME
from whisper_service.models.speaker_networks import SEGMENTATION
from whisper_service.supervision.messages.download import Hub, TestConnection

PUBLIC: Final = "https://huggingface.co"
PROBE: Final = BY_NAME["tiny"].repo
"""The repo that a test of the connection asks for if it names none."""
_TRUE: Final = frozenset({"1", "true", "yes", "on"})


class HubInfo(Value, frozen=True):
    """What a user may see of a hub's settings: no names, no passwords, no token."""

    endpoints: tuple[str, ...]
    proxy: str | None
    token: bool  # whether there is one
    offline: bool


def info_of(hub: Hub) -> HubInfo:
    """Return the settings as a user may see them."""
    proxy = None if hub.proxy is None else _public(hub.proxy)
    return HubInfo(tuple(map(_public, hub.endpoints)), proxy, hub.token is not None, hub.offline)


def asking_for(
    hub: Hub, repo: str | None, endpoints: tuple[str, ...], proxy: str | None = None, token: str | None = None
) -> TestConnection:
    """Return the command to ask for this repo without downloading. The settings fill in what is not given."""
    asked = replace(hub, endpoints=endpoints or hub.endpoints, token=token or hub.token, proxy=proxy or hub.proxy)
    of_pair = SEGMENTATION.sources[0]
    return TestConnection(repo or PROBE, asked, of_pair.path if repo == of_pair.repo else "")


def resolve(models: ModelSettings, environ: Mapping[str, str]) -> Hub:
    """Return the hub of the settings; the environment fills in what they leave empty."""
    return Hub(
        endpoints=models.endpoints or tuple(filter(None, [environ.get("HF_ENDPOINT", "").strip()])) or (PUBLIC,),
        proxy=models.proxy or None,
        token=models.token or environ.get("HF_TOKEN", "").strip() or None,
        offline=models.offline or environ.get("HF_HUB_OFFLINE", "").strip().lower() in _TRUE,
        connect_timeout_s=models.connect_timeout_s,
        read_timeout_s=models.read_timeout_s,
    )


def _public(address: str) -> str:
    """Return the address without user, password and query."""
    parts = urlsplit(address if "://" in address else f"//{address}")
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl().removeprefix("//")
