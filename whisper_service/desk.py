"""What anybody may ask about models: the facade over the shelf, for the web. Whatever changes something is done on the loop."""

from __future__ import annotations

from functools import partial
from typing import Final

from whisper_service.connections import Connections
from whisper_service.domain import Value
from whisper_service.hubs import HubInfo
from whisper_service.inventory import EndpointState, ModelInfo
from whisper_service.known import BY_NAME
from whisper_service.mailbox import Mailbox
from whisper_service.protocol import TestConnection
from whisper_service.shelf import Shelf

PROBE: Final = BY_NAME["tiny"].repo
"""What hubs are asked about when nobody says."""


class Models(Value, frozen=True):
    """Every model there is or could be, the best first, and where those come from that are not here."""

    models: list[ModelInfo]
    hub: HubInfo


class Connection(Value, frozen=True):
    """How each endpoint answered. `proxy` is the one that the settings name, without name and password."""

    repo: str
    endpoints: list[EndpointState]
    proxy: str | None = None


class ModelDesk:
    """See the module."""

    def __init__(self, mailbox: Mailbox, shelf: Shelf, connections: Connections) -> None:
        self._mailbox = mailbox
        self._shelf = shelf
        self._connections = connections

    async def list(self) -> Models:
        """Everything."""
        return Models(await self._shelf.list(), self._shelf.downloads.hub.info)

    async def show(self, name: str) -> ModelInfo:
        """One model. Raises `InvalidRequest` for what cannot be a name."""
        return await self._shelf.show(self._shelf.catalog.name_of(name))

    async def download(self, name: str) -> ModelInfo:
        """See `Shelf.download`."""
        return await self._mailbox.ask(partial(self._shelf.download, name))

    async def cancel(self, name: str) -> ModelInfo:
        """See `Shelf.cancel`."""
        return await self._mailbox.ask(partial(self._shelf.cancel, name))

    async def remove(self, name: str) -> None:
        """See `Shelf.remove`."""
        await self._mailbox.ask(partial(self._shelf.remove, name))

    async def unload(self, name: str) -> ModelInfo:
        """See `Shelf.unload`."""
        return await self._mailbox.ask(partial(self._shelf.unload, name))

    async def test(
        self, model: str | None = None, *, endpoints: tuple[str, ...] = (), proxy: str | None = None, token: str | None = None
    ) -> Connection:
        """Whether this model could be fetched, from each endpoint, without fetching it. What is not given is as in the settings."""
        hub = self._shelf.downloads.hub
        name = self._shelf.catalog.name_of(model) if model else None
        source = self._shelf.catalog.source_of(name) if name else None
        if name is not None and source is None:
            raise self._shelf.catalog.unavailable(name)
        command = TestConnection(
            repo=source.repo if source else PROBE,
            endpoints=endpoints or hub.endpoints,
            token=token or hub.token,
            proxy=proxy or hub.proxy,
            offline=hub.offline,
            connect_timeout_s=hub.connect_timeout_s,
            read_timeout_s=hub.read_timeout_s,
        )
        test = await self._mailbox.ask(partial(self._connections.ask, command))
        await test.done.wait()
        return Connection(command.repo, list(test.results), hub.info.proxy)
