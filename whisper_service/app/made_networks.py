"""Make the networks for speakers of the Python package that has their weights, in an actor of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from whisper_service.config.schema import SupervisionSettings
from whisper_service.core.errors import BadArchive
from whisper_service.supervision.conversation import conversation
from whisper_service.supervision.messages.base import Fault, Ready
from whisper_service.supervision.messages.speakers import MakeNetworks, NetworksMade

ENTRY: Final = "whisper_service.actors.speakers.wheel:run"
WITHIN_S: Final = 120.0
"""Seconds to make both networks. It takes one or two."""


async def make_networks(archive: Path, target: Path, *, logs: Path, limits: SupervisionSettings) -> None:
    """Make the networks in the new directory `target`. Raises `BadArchive` with the reason."""
    command = MakeNetworks(str(archive), str(target))
    async with conversation("networks", ENTRY, command, logs=logs, limits=limits, within_s=WITHIN_S) as actor:
        while isinstance(answer := await actor.report(), Ready):
            pass
    if not isinstance(answer, NetworksMade):
        problem = answer.problem if isinstance(answer, Fault) else answer
        message = getattr(problem, "message", "The actor gave no answer.")
        raise BadArchive(message, hint=getattr(problem, "hint", ""), **getattr(problem, "params", {}))
