"""Run the process that serves: address, signals, order of start and stop. Knows HTTP only as an ASGI application."""

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
from typing import Any, Final

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

UPLOADS_END_S: Final = 0.7
"""Seconds after the request to stop at which uploads are refused. Streams end at once."""
CONNECTIONS_END_S: Final = 1.5
"""Seconds after which the connections that are left are cut."""
REQUESTS_END_S: Final = 2
"""Seconds after which requests that still run are cancelled."""

COLLECT_AFTER: Final = 50_000
"""New objects between garbage collections. Python's default, 700, is reached by sending one change to 100 clients."""

MESSAGE_BYTES: Final = 22 << 20
"""Bytes of a message on a WebSocket: OpenAI's largest piece of sound, 15 MiB, in base64, and what is around it."""

INTERRUPTED: Final = 130  # 128 + SIGINT, the exit code that shells use


class AddressUnavailable(ServiceError):
    """The service cannot listen at this address."""


def run(config: Config, sources: Mapping[str, SettingSource] | None = None) -> int:
    """Serve until SIGINT or SIGTERM and return the exit code. Raises `ServiceError` if the service cannot start.

    `sources`: where the settings come from.
    """
    logs.configure(config.log.level, json=config.log.json)
    check_access(config)
    with listen(config.server.host, config.server.port) as listener:
        anyio.run(_run, config, sources or {}, listener)
    return 0


async def _run(config: Config, sources: Mapping[str, SettingSource], listener: socket.socket) -> None:
    stop = anyio.Event()
    with _signals(stop.set):
        async with (
            Service.open(config, sources=sources) as service,
            _wyoming(service),
            _serving(service, listener) as address,
        ):
            tune_garbage_collector()
            if missing := page.missing_page():
                logger.warning("%s", missing, extra={"action": "page_missing"})
            _print(f"whisper_service is at {address}\n")
            with service.advertise(address):
                await stop.wait()


def tune_garbage_collector() -> None:
    """Collect garbage rarely, and never among the objects that exist now. Call it once the service is up.

    With thousands of clients, the collector took a fifth of the time and found nothing.
    """
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 20, 50)
    gc.enable()  # `cli.main` switches it off for the start


@asynccontextmanager
async def _wyoming(service: Service) -> AsyncIterator[None]:
    """Serve Home Assistant's protocol inside the block, if the configuration asks for it."""
    settings = service.config.wyoming
    if not settings.enabled:
        yield
        return
    try:
        from whisper_service.web.compat import wyoming
    except ImportError as error:
        hint = 'Run pip install "whisper_service[wyoming]", or set wyoming.enabled to false.'
        raise InvalidConfig("wyoming.enabled needs the package wyoming, which is not installed.", hint=hint) from error
    try:
        listener = await anyio.create_tcp_listener(local_host=settings.host, local_port=settings.port)
    except OSError as error:
        raise _unavailable(settings.host, settings.port, error, "wyoming.port") from error
    async with wyoming.serving(service, listener):
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        logger.info("Home Assistant is answered at %s:%d.", settings.host, port, extra={"action": "wyoming_up"})
        yield


def _print(text: str) -> None:
    """Write to standard output. The service goes on if the reader is gone or the disk is full."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        logger.warning("Standard output cannot be written: %s", error, extra={"action": "stdout_lost"})
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python tries again when it exits


@asynccontextmanager
async def serving(service: Service, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serve at this address inside the block (port 0: any free port). Yields the base URL once the service answers."""
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


def _web_socket(**arguments: Any) -> asyncio.Protocol:
    """Return what speaks WebSocket on a connection. Imported here: most services never see one."""
    from uvicorn.protocols.websockets.wsproto_impl import WSProtocol

    return WSProtocol(**arguments)


class HttpServer(uvicorn.Server):
    """uvicorn that ends streams and stalled requests before it waits for connections. It leaves signals to `run`."""

    def __init__(self, service: Service) -> None:
        self._bodies = RequestBodies(create_app(service))
        trusted = list(service.config.security.trusted_proxies)
        super().__init__(
            uvicorn.Config(
                self._bodies,
                log_config=None,
                http="h11",  # httptools, where installed, keeps request heads that never end
                lifespan="off",
                ws=_web_socket if service.config.live.enabled else "none",  # type: ignore[arg-type]  # any callable
                ws_max_size=MESSAGE_BYTES,
                ws_per_message_deflate=False,  # sound in base64 shrinks little, and costs much
                proxy_headers=bool(trusted),
                forwarded_allow_ips=trusted,
                server_header=False,
                timeout_graceful_shutdown=REQUESTS_END_S,
            )
        )
        self.service = service
        self.up = anyio.Event()
        self.down = anyio.Event()

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until `should_exit`. Cannot be cancelled, because connections would stay open."""
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
            tasks.start_soon(self._cut_connections)
            await super().shutdown(sockets)
            tasks.cancel_scope.cancel()

    async def _cut_connections(self) -> None:
        """Refuse uploads after a while, then cut connections, so that a stalled client does not hold up the stop."""
        await anyio.sleep(UPLOADS_END_S)
        self._bodies.close()
        await anyio.sleep(CONNECTIONS_END_S - UPLOADS_END_S)
        for connection in list(self.server_state.connections):
            if connection.transport is not None:
                connection.transport.abort()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises `AddressUnavailable`, before any other part of the service starts."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise _unavailable(host, port, error, "--port") from error


def _unavailable(host: str, port: int, error: OSError, setting: str) -> AddressUnavailable:
    message = f"Cannot listen at {host}:{port}: {error.strerror or error}."
    hint = f"Another program, perhaps another whisper_service, may use the port. Stop it, or change {setting}."
    return AddressUnavailable(message, hint=hint, host=host, port=port)


def address_of(listener: socket.socket) -> str:
    """Return the URL for browsers on this machine."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextmanager
def _signals(stop: Callable[[], object]) -> Iterator[None]:
    """Call `stop` on SIGINT and SIGTERM inside the block. A second signal ends the process at once.

    Actors notice by themselves that the service is gone.
    """
    asked = False

    def on_signal(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            os._exit(INTERRUPTED)
        asked = True
        loop.call_soon_threadsafe(stop)

    loop = asyncio.get_running_loop()
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = {kind: signal.signal(kind, on_signal) for kind in kinds}
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
