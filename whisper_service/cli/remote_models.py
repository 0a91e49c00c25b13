"""A running service on this machine as a client sees it: for commands that must not touch its data directory themselves.

Where it listens is written in the data directory; the token, if there is one, is in the same settings as the service's.
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
from whisper_service.models.inventory import ModelInfo
from whisper_service.storage.data_dir import DataDir

TIMEOUT_S: Final = 60.0
BLOCK: Final = 1 << 20


class RemoteModels:
    """The models of a running service. Every method raises what the service says (`refusal`), and `DataDirectoryInUse` if it does not answer."""

    def __init__(self, config: Config, address: str) -> None:
        parts = urlsplit(address)
        self._where = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._headers = (
            {"Authorization": f"Bearer {token}"} if (token := next(iter(read_tokens(config.security)), "")) else {}
        )

    @classmethod
    def of(cls, config: Config) -> RemoteModels:
        """The service that has the data directory. Raises `DataDirectoryInUse` if nobody knows where it listens."""
        if (address := DataDir(config.data_dir).address()) is None:
            raise DataDirectoryInUse
        return cls(config, address)

    def list(self) -> ModelsInfo:
        """Every model there is or could be."""
        return msgspec.json.decode(self._ask("GET", "/api/models"), type=ModelsInfo)

    def show(self, name: str) -> ModelInfo:
        """One model."""
        return self._model("GET", name)

    def download(self, name: str, show: Callable[[ModelInfo], None]) -> ModelInfo:
        """Have a model fetched; tells its state whenever that changes, until it is here or cannot be had."""
        connection = http.client.HTTPConnection(*self._where, timeout=TIMEOUT_S)
        try:
            connection.request("GET", "/api/events", headers=self._headers)
            events = self._events(connection.getresponse())
            next(events)  # hello: from here on nothing is missed
            info = self._model("POST", name, "/download")
            while info.transfer is not None:
                show(info)
                info = next(told for told in events if told is not None and told.name == info.name)
            return info
        finally:
            connection.close()

    def test(self, model: str | None, endpoints: tuple[str, ...], proxy: str | None) -> HubTest:
        """Whether this model could be fetched, from each endpoint."""
        wish = {"model": model, "endpoints": endpoints, "proxy": proxy}
        data = self._ask("POST", "/api/models/test-connection", io.BytesIO(msgspec.json.encode(wish)))
        return msgspec.json.decode(data, type=HubTest)

    def unload(self, name: str) -> ModelInfo:
        """Give the memory of a loaded model back."""
        return self._model("POST", name, "/unload")

    def cancel(self, name: str) -> None:
        """Stop a download."""
        self._model("POST", name, "/cancel")

    def remove(self, name: str) -> None:
        """Take a model off the disk."""
        self._ask("DELETE", _path(name))

    def take(self, source: Path, name: str) -> ModelInfo:
        """Have an archive, or a folder, become a model."""
        path = f"/api/models/import?{urlencode({'name': name})}"
        if source.is_dir():
            with _packed(source) as archive:
                return msgspec.json.decode(self._ask("POST", path, archive, "application/x-tar"), type=ModelInfo)
        with source.open("rb") as archive:
            return msgspec.json.decode(self._ask("POST", path, archive, "application/octet-stream"), type=ModelInfo)

    def _model(self, method: str, name: str, verb: str = "") -> ModelInfo:
        return msgspec.json.decode(self._ask(method, _path(name) + verb), type=ModelInfo)

    def _ask(self, method: str, path: str, body: BinaryIO | None = None, kind: str = "application/json") -> bytes:
        connection = http.client.HTTPConnection(*self._where, timeout=None if body else TIMEOUT_S)
        try:
            headers = self._headers | {"Content-Type": kind}
            connection.request(
                method,
                path,
                body,
                headers | ({"Transfer-Encoding": "chunked"} if body else {}),
                encode_chunked=body is not None,
            )
            answer = connection.getresponse()
            data = answer.read()
        except OSError as error:
            raise DataDirectoryInUse(f"The service that has the data directory does not answer: {error}.") from error
        finally:
            connection.close()
        if answer.status >= 400:
            raise refusal(msgspec.json.decode(data, type=Problem))
        return data

    def _events(self, answer: http.client.HTTPResponse) -> Iterator[ModelInfo | None]:
        """The events `model`; None for any other."""
        if answer.status >= 400:
            raise refusal(msgspec.json.decode(answer.read(), type=Problem))
        kind = ""
        while line := answer.readline():
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name == "event":
                kind = value
            elif name == "data":
                yield msgspec.json.decode(value, type=ModelInfo) if kind == "model" else None
        raise DataDirectoryInUse(
            "The service stopped while it was asked.", hint="Start it again: the download goes on."
        )


@contextmanager
def _packed(folder: Path) -> Iterator[BinaryIO]:
    """A folder as a stream of tar, made while it is read."""
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
    except BrokenPipeError:  # nobody reads on
        return


def _path(name: str) -> str:
    return f"/api/models/{quote(folder_of(name), safe='')}"


def refusal(problem: Problem) -> ServiceError:
    """What the service said, for the terminal."""
    return ServiceError(problem.message, hint=problem.hint, **problem.params)
