"""Downloads of models as the service loop sees them: which are wanted, which one is in work, how far it is.

One child fetches one model at a time; whoever wants a model that is on its way shares that download. What is wanted and what
went wrong is written before it is told, so that a restart goes on. The child is there only while there is something to fetch.
"""

from __future__ import annotations

import logging
from typing import Final

from whisper_service.core.domain import Problem
from whisper_service.models.hubs import Hub
from whisper_service.models.inventory import EndpointState, Transfer
from whisper_service.scheduler.model_states import ModelStates, WantedModel
from whisper_service.storage.row_mapping import ModelRow
from whisper_service.supervision.protocol import Downloaded, DownloadProgress
from whisper_service.supervision.supervisor import Supervisor

logger = logging.getLogger(__name__)

STALL_S: Final = 90.0
"""A child that says nothing for this long is replaced; it speaks every second."""
TRIES: Final = 3
"""Children that may die without a byte more, before a download is given up."""
MESSAGE_BYTES: Final = 64 * 1024**2
"""Jobs are told anew how far the download is when this much more has come, or a hundredth of it if that is less."""

CANCELLED: Final = Problem(
    "download_cancelled",
    "The download of the model was stopped.",
    "Start it again, or retry the job: it goes on where it stopped.",
)


class ModelDownloads:
    """See the module. Called on the service loop alone."""

    def __init__(self, actor: Supervisor, states: ModelStates, hub: Hub, *, spare_bytes: int) -> None:
        self.actor = actor
        self.hub = hub
        self.spare_bytes = spare_bytes  # of the disk, to stay free
        self.generation = 0  # of the child that takes commands, as far as the loop has heard
        self._states = states
        self._catalog = states.catalog
        self._items = states.wanted
        self._given: str | None = None  # what the child is at

    def awaits(self, name: str | None) -> bool:
        """Whether this model is on its way."""
        return name in self._items

    def message(self, name: str) -> str:
        """One sentence for the people whose job waits."""
        item = self._items.get(name)
        return item.message if item and item.message else f"Waiting for the download of the model {name}."

    async def restore(self, remembered: list[ModelRow]) -> None:
        """Go on where the last service was. What only jobs wanted, they want again by themselves."""
        for row in remembered:
            if row.problem is not None:
                self._states.problems[row.name] = row.problem
            elif row.asked and not self._catalog.has(row.name):
                await self.want(row.name, asked=True)
            else:
                await self._states.announce(row.name, None)

    async def want(self, name: str, *, asked: bool = False) -> None:
        """Have this model fetched. Raises `ModelUnavailable` if no hub can have it."""
        item = self._items.get(name)
        if item is not None:
            if asked and not item.asked:
                item.asked = True
                await self._remember(name, item)
            return
        if (source := self._catalog.source_of(name)) is None:
            raise self._catalog.unavailable(name)
        item = self._items[name] = WantedModel(source, asked, Transfer(total=source.bytes))
        self._states.problems.pop(name, None)
        try:
            await self._remember(name, item)
        except BaseException:  # what cannot be written is not begun: whoever wants it hears why
            self._items.pop(name, None)
            raise
        self._next()

    async def release(self, name: str | None) -> None:
        """No job wants this model any more: nobody else does either, unless a user asked for it."""
        if name is not None and (item := self._items.get(name)) and not item.asked:
            await self.cancel(name)

    async def cancel(self, name: str) -> bool:
        """Stop at once; what has come stays. False if it was not on its way."""
        if self._items.pop(name, None) is None:
            return False
        if self._given == name:
            self.actor.go_idle()
            self._given, self.generation = None, 0
        try:
            await self._states.announce(name, None)
        finally:
            self._next()
        return True

    # -- what the child reports --------------------------------------------------------------------------------------

    def on_ready(self, generation: int) -> None:
        """A child takes commands."""
        if generation <= self.actor.idle_generation:
            return
        self.generation, self._given = generation, None
        self._next()

    async def on_progress(self, report: DownloadProgress) -> None:
        """Something came, or at least a second went by."""
        item = self._items.get(report.model)
        if item is None or self._given != report.model:
            return
        self.actor.set_deadline("download", STALL_S, generation=self.generation)
        if report.bytes > item.transfer.bytes:
            self.actor.mark_useful(generation=self.generation)
            item.deaths = 0
        item.transfer = transfer_of(report, item.source.bytes)
        if item.told_bytes < 0 or report.bytes - item.told_bytes >= min(MESSAGE_BYTES, (report.total or 0) / 100):
            item.told_bytes, item.message = report.bytes, describe(report.model, item.transfer)
        await self._remember(report.model, item)

    async def on_downloaded(self, report: Downloaded) -> None:
        """It is there."""
        facts = {
            "action": "model_downloaded",
            "model": report.model,
            "endpoint": report.endpoint,
            "bytes": report.bytes,
        }
        logger.info("the model %s is here", report.model, extra=facts)
        self._settle()
        self._items.pop(report.model, None)
        try:
            await self._states.announce(report.model, None)
        finally:  # the others need not wait for a disk that is full
            self._next()

    async def on_failed(self, name: str, problem: Problem) -> None:
        """It cannot be fetched."""
        logger.warning("%s", problem.message, extra={"action": "download_failed", "model": name, "code": problem.code})
        self._settle()
        try:
            if self._items.pop(name, None) is not None:
                await self._states.blame(name, problem, "absent")
        finally:
            self._next()

    async def on_died(self, problem: Problem) -> str | None:
        """The child is gone. Another goes on where it stopped; returns the model that is given up, if too many died of it."""
        name, self._given, self.generation = self._given, None, 0
        item = self._items.get(name or "")
        if name is None or item is None:
            return None
        item.deaths += 1
        if item.deaths < TRIES:
            return None
        message = f"The process that downloads {name} died {TRIES} times: {problem.message}"
        await self.on_failed(
            name, Problem("download_failed", message, "Try again; if it stays, report it.", problem.params)
        )
        return name

    # -- small parts -------------------------------------------------------------------------------------------------

    def _next(self) -> None:
        """Give the child what is wanted first; without anything to do it goes."""
        if self._given is not None:
            return
        if not self._items:
            if self.generation:
                self.actor.go_idle()
                self.generation = 0
            return
        if not self.generation:
            self.actor.start()
            return
        name, item = next(iter(self._items.items()))
        self._given = name
        target = self._catalog.target_of(name)
        command = self.hub.download(name, item.source.repo, target, spare_bytes=self.spare_bytes)
        self.actor.send(command, generation=self.generation, within_s=STALL_S, key="download")

    def _settle(self) -> None:
        self.actor.clear_deadline("download")
        self.actor.mark_useful(generation=self.generation)
        self._given = None

    async def _remember(self, name: str, item: WantedModel) -> None:
        await self._states.announce(name, ModelRow(name, "downloading", asked=item.asked))


def describe(name: str, transfer: Transfer) -> str:
    """`Downloading the model large-v3: 0.51 of 3.09 GB, 12.3 MB/s, 3 min left.`"""
    said = f"Downloading the model {name}: {transfer.bytes / 1e9:.2f}"
    said += f" of {transfer.total / 1e9:.2f} GB" if transfer.total else " GB"
    if transfer.speed_bps:
        said += f", {transfer.speed_bps / 1e6:.1f} MB/s"
    if transfer.eta_s is not None:
        said += f", {_duration(transfer.eta_s)} left"
    return f"{said}."


def _duration(seconds: float) -> str:
    return f"{max(1, round(seconds))} s" if seconds < 90 else f"{round(seconds / 60)} min"


def transfer_of(report: DownloadProgress, expected: int | None) -> Transfer:
    """What a child reports, as users see it; `expected` bytes until the hub has said how many there are."""
    failed = tuple(EndpointState(result.endpoint, result.problem) for result in report.failed)
    return Transfer(report.bytes, report.total or expected, report.speed_bps, report.eta_s, report.endpoint, failed)
