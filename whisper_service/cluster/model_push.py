"""The way of a model to the machine that is to load it. A `Load` that goes there names the folder on that machine."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, Final

from anyio import CapacityLimiter, to_thread
from msgspec.structs import replace

from whisper_service.cluster.file_push import FileCalls, FileOffer, NotStored, StoredFiles, push
from whisper_service.cluster.model_files import ModelDigests
from whisper_service.core.domain import Problem
from whisper_service.core.text import reason
from whisper_service.supervision.faults import FaultKind
from whisper_service.supervision.messages.base import Fault
from whisper_service.supervision.messages.speech import Load, ModelProgress
from whisper_service.supervision.protocol import Report

PIECES: Final = 4
"""Pieces on their way at once, to all machines together: 64 MB of memory, and enough to keep a network busy."""
SAY_S: Final = 1.0
"""Seconds between two reports of the progress."""
DISK_HINT: Final = "Free some space on that machine, or set XDG_CACHE_HOME there before Ray is started."
CACHE_HINT: Final = "Let the user that runs Ray write there, or set XDG_CACHE_HOME before Ray is started."
CONTENT_HINT: Final = (
    "It is sent again after a while. If that fails too, compare the files with `whisper_service models verify`."
)


class ModelPush:
    """Sends models to all machines of a cluster. Lives as long as the gateway."""

    def __init__(self) -> None:
        self._digests = ModelDigests()
        self._pieces = CapacityLimiter(PIECES)

    async def place(
        self,
        command: Load,
        host: str,
        calls: FileCalls,
        repeat: Callable[[Callable[[], Coroutine[Any, Any, StoredFiles]]], Awaitable[StoredFiles]],
        say: Callable[[Report], None],
    ) -> Load | None:
        """Bring a model to a machine. Return the command with its folder there.

        None: that is not possible. `say` gets the progress, and then the `Fault`. Raises what `repeat` raises.
        """
        try:
            offer = await to_thread.run_sync(self._digests.offer_of, Path(command.path), abandon_on_cancel=True)
            progress = _Progress(command.model, offer, say)
            stored = await push(
                calls, offer, Path(command.path), repeat=repeat, on_bytes=progress.take, pieces=self._pieces
            )
        except OSError as error:
            message = f"The files of the model cannot be read on the machine of the service: {reason(error)}."
            hint = "Make them readable for the service, or remove the model and install it again."
            problem = Problem(FaultKind.MODEL_UNAVAILABLE.value, message, hint)
            say(Fault("model", FaultKind.MODEL_UNAVAILABLE.value, problem, model=command.model))
            return None
        if stored.refusal is not None:
            say(_fault(command.model, host, stored.refusal, stored.why))
            return None
        return replace(command, path=stored.path)


class _Progress:
    """Tells how much of a model is there, not too often."""

    def __init__(self, model: str, offer: FileOffer, say: Callable[[Report], None]) -> None:
        self._model = model
        self._total = offer.size
        self._say = say
        self._said_at = float("-inf")

    def take(self, count: int) -> None:
        now = time.monotonic()
        if now - self._said_at >= SAY_S:
            self._said_at = now
            self._say(ModelProgress(self._model, count, self._total))


def _fault(model: str, host: str, refusal: NotStored, why: str) -> Fault:
    """Return the failure of one machine: others can still load the model."""
    message = f"The machine {host} of the cluster cannot store the model {model}. {why}"
    match refusal:
        case NotStored.FULL:
            kind, problem = FaultKind.DISK_FULL, Problem("cluster_disk_full", message, DISK_HINT)
        case NotStored.CONTENT:
            kind, problem = FaultKind.MODEL_BROKEN, Problem("model_broken", message, CONTENT_HINT)
        case NotStored.FAILED:
            kind, problem = FaultKind.MODEL_UNAVAILABLE, Problem("cluster_cache_failed", message, CACHE_HINT)
    return Fault("model", kind.value, problem, model=model)
