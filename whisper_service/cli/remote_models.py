"""The models of a running service on this machine, for commands that must not touch its data directory.

The service writes its address into the data directory. Its token, if there is one, is in the same settings.
"""

from __future__ import annotations

import http.client
import io
import os
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from whisper_service.app.models import HubTest, ModelsInfo
from whisper_service.config.schema import Config
from whisper_service.config.tokens import read_tokens
from whisper_service.core.domain import Problem
from whisper_service.core.errors import DataDirectoryInUse, ServiceError
from whisper_service.core.model_names import folder_of
from whisper_service.core.text import reason
from whisper_service.models.inventory import ModelInfo
from whisper_service.storage.data_dir import DataDir

TIMEOUT_S: Final = 60.0
BLOCK: Final = 1 << 20


class RemoteModels:
    """The models of the service that has the data directory.

    Every method raises the problem that the service answers with, and `DataDirectoryInUse` without an answer.
    """

    def __init__(self, config: Config) -> None:
        """Find the service. Raises `DataDirectoryInUse` if its address is unknown."""
        if (address := DataDir(config.data_dir).address()) is None:
            raise DataDirectoryInUse
        parts = urlsplit(address)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        token = next(iter(read_tokens(config.security)), "")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def list(self) -> ModelsInfo:
        """Return all models and the hubs."""
        return msgspec.json.decode(self._ask("GET", "/api/models"), type=ModelsInfo)

    def download(self, name: str, show: Callable[[ModelInfo], None]) -> ModelInfo:
        """Download a model and `show` every change of its state. Return the state at the end."""
        with self._answer("GET", "/api/events") as answer:
            events = _model_events(answer)
            next(events)  # the first event says that the stream has begun: from here on none is missed
            info = self._model("POST", name, "/download")
            while info.transfer is not None:
                show(info)
                info = next(event for event in events if event is not None and event.name == info.name)
            return info

    def test(self, model: str | None, endpoints: tuple[str, ...], proxy: str | None) -> HubTest:
        """Ask each endpoint whether this model could be downloaded."""
        body = io.BytesIO(msgspec.json.encode({"model": model, "endpoints": endpoints, "proxy": proxy}))
        return msgspec.json.decode(self._ask("POST", "/api/models/test-connection", body), type=HubTest)

    def unload(self, name: str) -> ModelInfo:
        """Free the memory of the loaded model."""
        return self._model("POST", name, "/unload")

    def cancel(self, name: str) -> None:
        """Stop a download."""
        self._model("POST", name, "/cancel")

    def remove(self, name: str) -> None:
        """Delete a model from this machine."""
        self._ask("DELETE", _path(name))

    def import_model(self, source: Path, name: str) -> ModelInfo:
        """Make a model of a folder or an archive."""
        path = f"/api/models/import?{urlencode({'name': name})}"
        with _tar_stream(source) if source.is_dir() else source.open("rb") as archive:
            return msgspec.json.decode(self._ask("POST", path, archive, "application/octet-stream"), type=ModelInfo)

    def _model(self, method: str, name: str, act: str = "") -> ModelInfo:
        return msgspec.json.decode(self._ask(method, _path(name) + act), type=ModelInfo)

    def _ask(self, method: str, path: str, body: BinaryIO | None = None, kind: str = "application/json") -> bytes:
        with self._answer(method, path, body, kind) as answer:
            return answer.read()

    @contextmanager
    def _answer(
        self, method: str, path: str, body: BinaryIO | None = None, kind: str = "application/json"
    ) -> Iterator[http.client.HTTPResponse]:
        """Send a request, with the body in chunks, and return the answer while the connection is open."""
        connection = http.client.HTTPConnection(self._host, self._port, timeout=None if body else TIMEOUT_S)
        chunked = {"Transfer-Encoding": "chunked"} if body else {}
        try:
            headers = self._headers | {"Content-Type": kind} | chunked
            connection.request(method, path, body, headers, encode_chunked=body is not None)
            answer = connection.getresponse()
            if answer.status >= 400:
                raise _error(msgspec.json.decode(answer.read(), type=Problem))
            yield answer
        except OSError as error:
            raise DataDirectoryInUse(
                f"The service that has the data directory does not answer: {reason(error)}."
            ) from error
        finally:
            connection.close()


def _model_events(answer: http.client.HTTPResponse) -> Iterator[ModelInfo | None]:
    """Yield the events about models, and None for every other event."""
    kind = ""
    while line := answer.readline():
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name == "event":
            kind = value
        elif name == "data":
            yield msgspec.json.decode(value, type=ModelInfo) if kind == "model" else None
    hint = "Start it again: the download goes on."
    raise DataDirectoryInUse("The service ended before it answered.", hint=hint)


@contextmanager
def _tar_stream(folder: Path) -> Iterator[BinaryIO]:
    """Open a folder as a tar archive that is made while it is read."""
    reading, writing = os.pipe()
    thread = threading.Thread(target=_pack, args=(folder, os.fdopen(writing, "wb", BLOCK)), daemon=True)
    with os.fdopen(reading, "rb", BLOCK) as stream:
        thread.start()
        yield stream
    thread.join()


def _pack(folder: Path, sink: BinaryIO) -> None:
    try:
        with sink, tarfile.open(fileobj=sink, mode="w|") as packed:
            for path in sorted(folder.iterdir()):
                if path.is_file():
                    packed.add(path.resolve(), arcname=path.name)
    except BrokenPipeError:  # the reader has stopped
        return


def _path(name: str) -> str:
    return f"/api/models/{quote(folder_of(name), safe='')}"


def _error(problem: Problem) -> ServiceError:
    return ServiceError(problem.message, hint=problem.hint, **problem.params)
