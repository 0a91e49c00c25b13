"""The process that serves: address, signals, order of starting and stopping. Knows HTTP only as "an app behind uvicorn"."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from types import FrameType
from typing import ClassVar, Final

import anyio
import uvicorn

from whisper_service.app.service import Service
from whisper_service.config.schema import Config, SettingSource
from whisper_service.config.tokens import check_access
from whisper_service.core import logs
from whisper_service.core.errors import InvalidConfig, ServiceError
from whisper_service.web import page
from whisper_service.web.app import create_app
from whisper_service.web.http.request_bodies import RequestBodies

logger = logging.getLogger(__name__)

BODY_S: Final = 0.7
"""How long uploads may go on after the service was asked to stop; streams end at once."""
GRACE_S: Final = 1.5
"""How long answers may go on; then their connections are cut."""
BACKSTOP_S: Final = 2
"""When requests that did not even notice that are cancelled."""

COLLECT_AFTER: Final = 50_000
"""New objects after which garbage is looked for. Python's own number, 700, is what telling a change to 100 clients makes."""

INTERRUPTED: Final = 130  # 128 + SIGINT, as shells count


class AddressUnavailable(ServiceError):
    """The service cannot listen at this address."""

    code: ClassVar[str] = "address_unavailable"


def run(config: Config, sources: Mapping[str, SettingSource] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; the exit code. Errors before that are raised. `sources`: where settings come from."""
    logs.configure(config.log.level, json=config.log.json)
    check_access(config)
    with listen(config.server.host, config.server.port) as listener:
        anyio.run(_run, config, sources or {}, listener)
    return 0


async def _run(config: Config, sources: Mapping[str, SettingSource], listener: socket.socket) -> None:
    leave = anyio.Event()
    with _signals(leave.set):
        async with (
            Service.open(config, sources=sources) as service,
            _wyoming(service),
            _serving(service, listener) as address,
        ):
            calm_collector()
            if missing := page.remedy():
                logger.warning("%s", missing, extra={"action": "page_missing"})
            _say(f"whisper_service is at {address}\n")
            with service.advertise(address):
                await leave.wait()


def calm_collector() -> None:
    """Once up: what is there by now stays and is not looked through again; and new things, of which a change makes some for every
    client, are looked through seldom. With thousands of clients the collector took a fifth of the time, and found nothing."""
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 20, 50)
    gc.enable()  # see cli


@asynccontextmanager
async def _wyoming(service: Service) -> AsyncIterator[None]:
    """The port for Home Assistant, if it is wanted."""
    wanted = service.config.wyoming
    if not wanted.enabled:
        yield
        return
    try:
        from whisper_service.web.compat import wyoming
    except ImportError as error:
        hint = 'pip install "whisper_service[wyoming]", or set wyoming.enabled to false.'
        raise InvalidConfig("wyoming.enabled needs the package wyoming, which is not installed.", hint=hint) from error
    try:
        listener = await anyio.create_tcp_listener(local_host=wanted.host, local_port=wanted.port)
    except OSError as error:
        raise _unavailable(wanted.host, wanted.port, error, "wyoming.port") from error
    async with wyoming.serving(service, listener):
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        logger.info("Home Assistant is answered at %s:%d", wanted.host, port, extra={"action": "wyoming_up"})
        yield


def _say(text: str) -> None:
    """To whoever reads standard output. That nobody does any more, or its disk is full, is no reason not to serve."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        logger.warning("standard output cannot be written: %s", error, extra={"action": "stdout_lost"})
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else the end of the process would try again


@asynccontextmanager
async def serving(service: Service, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serve on this address (port 0: any) inside the block; gives the base URL once it answers."""
    with listen(host, port) as listener:
        async with _serving(service, listener) as address:
            yield address


@asynccontextmanager
async def _serving(service: Service, listener: socket.socket) -> AsyncIterator[str]:
    server = HttpServer(service)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve, [listener])
        await server.up.wait()
        try:
            yield address_of(listener)
        finally:
            server.should_exit = True
            with anyio.CancelScope(shield=True):
                await server.down.wait()


class HttpServer(uvicorn.Server):
    """uvicorn that ends streams and stalled requests before it waits for connections, and leaves signals to `run`."""

    def __init__(self, service: Service) -> None:
        self._bodies = RequestBodies(create_app(service))
        trusted = list(service.config.security.trusted_proxies)
        super().__init__(
            uvicorn.Config(
                self._bodies,
                log_config=None,
                http="h11",  # httptools, if it is there, keeps heads that do not end
                lifespan="off",
                ws="none",
                proxy_headers=bool(trusted),
                forwarded_allow_ips=trusted,
                server_header=False,
                timeout_graceful_shutdown=BACKSTOP_S,
            )
        )
        self.service = service
        self.up = anyio.Event()
        self.down = anyio.Event()

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Until `should_exit`, and not shorter: a cancelled server would leave its connections open."""
        try:
            with anyio.CancelScope(shield=True):
                await super().serve(sockets)
        finally:
            self.down.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.service.events.close()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._hurry)
            await super().shutdown(sockets)
            tasks.cancel_scope.cancel()

    async def _hurry(self) -> None:
        """A client that sends or reads nothing any more is not waited for."""
        await anyio.sleep(BODY_S)
        self._bodies.close()
        await anyio.sleep(GRACE_S - BODY_S)
        for connection in list(self.server_state.connections):
            if connection.transport is not None:
                connection.transport.abort()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(host: str, port: int) -> socket.socket:
    """A listening socket, taken before anything else starts; raises `AddressUnavailable`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise _unavailable(host, port, error, "--port") from error


def _unavailable(host: str, port: int, error: OSError, setting: str) -> AddressUnavailable:
    hint = f"Another program may use that port, perhaps another whisper_service: stop it, or choose another with {setting}."
    return AddressUnavailable(
        f"Cannot listen at {host}:{port}: {error.strerror or error}.", hint=hint, host=host, port=port
    )


def address_of(listener: socket.socket) -> str:
    """The URL to type into a browser on this machine."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextmanager
def _signals(leave: Callable[[], object]) -> Iterator[None]:
    """SIGINT and SIGTERM call `leave`; a second one ends the process at once (children notice that by themselves)."""
    asked = False

    def on_signal(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            os._exit(INTERRUPTED)
        asked = True
        loop.call_soon_threadsafe(leave)

    loop = asyncio.get_running_loop()
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = {kind: signal.signal(kind, on_signal) for kind in kinds}
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
