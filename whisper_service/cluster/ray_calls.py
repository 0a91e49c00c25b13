"""The calls to one outpost through Ray: made, asked and ended. Imports Ray only while it runs."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from pickle import PickleBuffer
from typing import Any

from anyio import CapacityLimiter, to_thread

from whisper_service.cluster.far_actor import OutpostGone, OutpostSilent
from whisper_service.cluster.file_push import FileOffer, StoredFiles
from whisper_service.cluster.node_decodes import FileStretch
from whisper_service.cluster.outpost import Outpost, Started, Taken
from whisper_service.cluster.versions import Versions
from whisper_service.core.domain import Problem
from whisper_service.supervision.messages.cluster import Open, WantSeats


def log(text: str) -> None:
    """Write a line into the log of the gateway."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


class RayOutpost(Outpost):
    """An outpost as an actor of Ray."""

    async def node(self) -> str:
        """Return the id of the node that this outpost is on."""
        import ray

        node: str = ray.get_runtime_context().get_node_id()
        return node


class RayCalls:
    """The calls to one outpost through Ray. What asks the head for something runs in threads: it may be away."""

    def __init__(self, request: Open, makers: CapacityLimiter) -> None:
        self._request = request
        self._makers = makers
        self._outpost: Any = None
        self._ended = False
        self._lock = threading.Lock()

    async def start(self, entry: str, wanted: Versions) -> tuple[Started, str]:
        if self._outpost is None:
            try:
                await to_thread.run_sync(self._create, abandon_on_cancel=True, limiter=self._makers)
            except Exception as error:  # Ray raises many kinds
                raise OutpostGone(f"Ray did not make an outpost: {type(error).__name__}: {error}") from error
        started: Started = await _answer(self._outpost.start.remote(entry, wanted))
        node: str = await _answer(self._outpost.node.remote())
        return started, node

    async def put(self, number: int, data: bytes, sounds: Sequence[bytes | None]) -> None:
        # A `PickleBuffer` goes beside the pickle instead of into it, which saves a copy here and one there.
        buffers = [None if sound is None else PickleBuffer(sound) for sound in sounds]
        await _answer(self._outpost.put.remote(number, data, buffers))

    async def take(self, after: int, wait_s: float) -> Taken:
        taken: Taken = await _answer(self._outpost.take.remote(after, wait_s))
        return taken

    async def offer(self, offer: FileOffer) -> StoredFiles:
        stored: StoredFiles = await _answer(self._outpost.offer.remote(offer))
        return stored

    async def store(self, offer: FileOffer, file: int, at: int, data: bytes) -> StoredFiles:
        stored: StoredFiles = await _answer(self._outpost.store.remote(offer, file, at, PickleBuffer(data)))
        return stored

    async def write(self, number: int, file: str, at: int, data: bytes) -> None:
        await _answer(self._outpost.write.remote(number, file, at, PickleBuffer(data)))

    async def read(self, number: int, stretches: Sequence[FileStretch]) -> list[bytes]:
        pieces: list[bytes] = await _answer(self._outpost.read.remote(number, stretches))
        return pieces

    async def signal(self, number: int) -> None:
        await _answer(self._outpost.signal.remote(number))

    async def kill(self) -> None:
        await _answer(self._outpost.kill.remote())

    def end(self) -> None:
        with self._lock:
            self._ended = True
        if self._outpost is not None:
            threading.Thread(target=_kill, args=(self._outpost,), name="end of an outpost", daemon=True).start()

    def _create(self) -> None:
        """Make the outpost, which waits for a node with room."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        request = self._request
        where = NodeAffinitySchedulingStrategy(request.node, soft=False) if request.node else "SPREAD"
        outpost = ray.remote(RayOutpost).options(
            num_cpus=request.cpus, num_gpus=request.gpus, scheduling_strategy=where,
            max_restarts=0, max_task_retries=0,  # restarts are the supervisor's, and calls are repeated by `FarActor`
        ).remote()  # fmt: skip
        with self._lock:
            self._outpost = outpost
            given_up = self._ended
        if given_up:
            _kill(outpost)


def request(wish: WantSeats) -> None:
    """Ask the autoscaler for room for so many actors, in all. Blocks.

    A cluster without an autoscaler stores the wish, and nobody reads it.
    """
    from ray.autoscaler.sdk import request_resources

    shape = {name: amount for name, amount in (("CPU", wish.cpus), ("GPU", wish.gpus)) if amount}
    request_resources(bundles=[shape] * wish.seats)


def _kill(outpost: Any) -> None:
    """End an outpost. Blocks while the head is away."""
    import ray

    try:
        ray.kill(outpost, no_restart=True)
    except Exception as error:  # the head is away: the outpost ends with this process
        log(f"An outpost could not be ended: {type(error).__name__}: {error}")


async def _answer(call: Any) -> Any:
    """Wait for the answer to a call. Raises `OutpostGone` and `OutpostSilent`."""
    from ray import exceptions

    try:
        return await call
    except exceptions.ActorUnavailableError as error:
        raise OutpostSilent(str(error)) from error
    except exceptions.RayError as error:
        raise OutpostGone(*_cause(str(error))) from error


def _cause(text: str) -> tuple[str, Problem | None]:
    """Return what an error of Ray means: a sentence, and the problem if the actor cannot start there at all."""
    if "No module named 'whisper_service" in text:
        message = "A machine of the cluster does not have the package whisper_service."
        hint = "Install the same versions of Python, Ray and whisper_service on every machine of the cluster."
        return message, Problem("cluster_package_missing", message, hint)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    reason = " ".join(lines)[:500]
    return f"The cluster says that the outpost of the actor is gone: {reason}", None
