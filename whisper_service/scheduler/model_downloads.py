"""The downloads of models as the scheduler sees them: which models are wanted, which one is in work, how far it is.

One actor downloads one model at a time. All who want a model share its download. What is wanted and what went wrong is
stored before it is published, so that a restart goes on. The actor ends when there is nothing to download.
"""

from __future__ import annotations

import logging
from typing import Final

from msgspec.structs import replace

from whisper_service.core.domain import Problem
from whisper_service.scheduler.model_states import ModelStates, WantedModel
from whisper_service.storage.row_mapping import ModelRow
from whisper_service.supervision.messages.download import Download, Downloaded, DownloadProgress, Hub, Transfer
from whisper_service.supervision.supervisor import Supervisor

logger = logging.getLogger(__name__)

STALL_S: Final = 90.0
"""Seconds without a report after which the actor is replaced. It reports every second."""
TRIES: Final = 3
"""Deaths of the actor in a row, without one more byte, after which a download is given up."""
MESSAGE_BYTES: Final = 64 * 1024**2
"""The message of waiting jobs changes after so many more bytes, or after a hundredth of the model if that is less."""

CANCELLED: Final = Problem(
    "download_cancelled",
    "The download of the model was stopped.",
    "Start it again, or retry the job: it goes on where it stopped.",
)


class ModelDownloads:
    """The downloads of models. Called on the scheduler's loop."""

    def __init__(self, actor: Supervisor, states: ModelStates, hub: Hub, *, spare_bytes: int) -> None:
        self.actor = actor
        self.hub = hub
        self.spare_bytes = spare_bytes  # that stay free on the disk
        self._states = states
        self._catalog = states.catalog
        self._wanted = states.wanted
        self._current: str | None = None  # the model that the actor downloads

    def has(self, name: str | None) -> bool:
        """Return whether this model is being downloaded, or waits for its turn."""
        return name in self._wanted

    def message(self, name: str) -> str:
        """Return the message of the jobs that wait for this model."""
        wanted = self._wanted.get(name)
        return wanted.message if wanted and wanted.message else f"Waiting for the download of the model {name}."

    async def resume(self, stored: list[ModelRow]) -> None:
        """Go on with the downloads of the last service that users asked for. Jobs ask again for theirs."""
        for row in stored:
            if row.problem is not None:
                self._states.problems[row.name] = row.problem
            elif row.asked and not self._catalog.has(row.name):
                await self.start(row.name, asked=True)
            else:
                await self._states.announce(row.name, None)

    async def start(self, name: str, *, asked: bool = False) -> None:
        """Download this model when its turn comes. `asked`: a user wants it, not only a job.

        Raises `ModelUnavailable` for a model that no hub has.
        """
        wanted = self._wanted.get(name)
        if wanted is not None:
            if asked and not wanted.asked:
                wanted.asked = True
                await self._announce(name, wanted)
            return
        if (source := self._catalog.source_of(name)) is None:
            raise self._catalog.unavailable(name)
        wanted = self._wanted[name] = WantedModel(source, asked, Transfer(total=source.bytes))
        self._states.problems.pop(name, None)
        try:
            await self._announce(name, wanted)
        except BaseException:  # a download that cannot be stored is not started
            self._wanted.pop(name, None)
            raise
        self._next()

    async def release(self, name: str | None) -> None:
        """Stop the download of a model that no job wants any more, unless a user asked for it."""
        if name is not None and (wanted := self._wanted.get(name)) and not wanted.asked:
            await self.cancel(name)

    async def cancel(self, name: str) -> bool:
        """Stop a download at once; keep what has arrived. False: there is none."""
        if self._wanted.pop(name, None) is None:
            return False
        if self._current == name:
            self.actor.go_idle()
            self._current = None
        try:
            await self._states.announce(name, None)
        finally:
            self._next()
        return True

    # -- reports ------------------------------------------------------------------------------------------------------

    def on_ready(self) -> None:
        """Record that an actor takes commands."""
        self._current = None
        self._next()

    async def on_progress(self, report: DownloadProgress) -> None:
        """Publish how far a download is. Reports come every second, even if nothing arrives."""
        wanted = self._wanted.get(report.model)
        if wanted is None or self._current != report.model:
            return
        self.actor.set_deadline("download", STALL_S, generation=self.actor.ready_generation)
        now = report.transfer
        if now.bytes > wanted.transfer.bytes:
            self.actor.mark_useful(generation=self.actor.ready_generation)
            wanted.deaths = 0
        wanted.transfer = replace(now, total=now.total or wanted.source.bytes)
        step = min(MESSAGE_BYTES, (now.total or 0) / 100)
        if wanted.message_bytes < 0 or now.bytes - wanted.message_bytes >= step:
            wanted.message_bytes, wanted.message = now.bytes, describe(report.model, wanted.transfer)
        await self._announce(report.model, wanted)

    async def on_downloaded(self, report: Downloaded) -> None:
        """Record that a model is complete on this machine."""
        facts = {"model": report.model, "endpoint": report.endpoint, "bytes": report.bytes}
        logger.info("The model %s is here.", report.model, extra={"action": "model_downloaded", **facts})
        self._end()
        self._wanted.pop(report.model, None)
        try:
            await self._states.announce(report.model, None)
        finally:  # a full disk does not stop the other downloads
            self._next()

    async def on_failed(self, name: str, problem: Problem) -> None:
        """Record that a model cannot be downloaded."""
        logger.warning("%s", problem.message, extra={"action": "download_failed", "model": name, "code": problem.code})
        self._end()
        try:
            if self._wanted.pop(name, None) is not None:
                await self._states.blame(name, problem, "absent")
        finally:
            self._next()

    async def on_died(self, problem: Problem) -> str | None:
        """Record the death of the actor; the next one goes on. Return the model that is given up, if it had `TRIES`."""
        name, self._current = self._current, None
        wanted = self._wanted.get(name or "")
        if name is None or wanted is None:
            return None
        wanted.deaths += 1
        if wanted.deaths < TRIES:
            return None
        message = f"The process that downloads {name} died {TRIES} times: {problem.message}"
        hint = "Try again. If it happens again, report it."
        await self.on_failed(name, Problem("download_failed", message, hint, problem.params))
        return name

    # -- small parts --------------------------------------------------------------------------------------------------

    def _next(self) -> None:
        """Give the next model to the actor, or let the actor end when there is none."""
        if self._current is None and self.actor.takes_command(work=bool(self._wanted)):
            name, wanted = next(iter(self._wanted.items()))
            self._current = name
            target = self._catalog.target_of(name)
            source = wanted.source
            command = Download(name, source.repo, str(target), self.hub, self.spare_bytes, source.files)
            self.actor.send(command, generation=self.actor.ready_generation, within_s=STALL_S, key="download")

    def _end(self) -> None:
        self.actor.clear_deadline("download")
        self.actor.mark_useful(generation=self.actor.ready_generation)
        self._current = None

    async def _announce(self, name: str, wanted: WantedModel) -> None:
        await self._states.announce(name, ModelRow(name, "downloading", asked=wanted.asked))


def describe(name: str, transfer: Transfer) -> str:
    """Return a sentence: `Downloading the model large-v3: 0.51 of 3.09 GB, 12.3 MB/s, 3 min left.`."""
    said = f"Downloading the model {name}: {transfer.bytes / 1e9:.2f}"
    said += f" of {transfer.total / 1e9:.2f} GB" if transfer.total else " GB"
    if transfer.speed_bps:
        said += f", {transfer.speed_bps / 1e6:.1f} MB/s"
    if (left := transfer.eta_s) is not None:
        said += f", {max(1, round(left))} s left" if left < 90 else f", {round(left / 60)} min left"
    return f"{said}."
