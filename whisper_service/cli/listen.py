"""The `listen` command: send sound from standard input to a running service while it comes, and print the text.

What the service has not acknowledged is kept in memory and sent again: the service may be away, killed and started
again meanwhile. Nothing is lost as long as this command runs.
"""

from __future__ import annotations

import http.client
import os
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import msgspec

from whisper_service.config.schema import Config
from whisper_service.config.tokens import read_tokens
from whisper_service.core.domain import Job, Problem, Segment, Status
from whisper_service.core.errors import DataDirectoryInUse, InvalidRequest, ServiceError
from whisper_service.core.job_states import TERMINAL
from whisper_service.core.sound_format import SoundFormat
from whisper_service.storage.data_dir import DataDir

PIECE_S: Final = 0.25
"""Seconds of sound in a request."""
MOST_BYTES: Final = 1 << 20
"""Bytes of a request, where more waits."""
BLOCK: Final = 1 << 16
RETRY_S: Final = 1.0
TIMEOUT_S: Final = 60.0
UNREACHABLE: Final = (OSError, http.client.HTTPException)
ANSWER_LOST: Final = (ConnectionResetError, BrokenPipeError, http.client.HTTPException)
"""What happens to a request that a service may have taken."""


class HttpAnswer(NamedTuple):
    """An answer of the service."""

    status: int
    offset: int  # Upload-Offset; 0: the answer has none
    body: bytes


def run(config: Config, form: SoundFormat, wishes: Mapping[str, Any], url: str | None = None) -> int:
    """Send standard input until its end, print the text in order, and return the exit code.

    Ctrl-C ends the sound; the text of what was said is still printed. Raises `ServiceError`.
    """
    if sys.stdin is None or sys.stdin.isatty():
        hint = "Send sound into the command: arecord -f S16_LE -r 16000 | whisper_service listen -"
        raise InvalidRequest("Standard input is a terminal.", hint=hint)
    service = _RunningService(config, url)
    body = {"rate": form.rate, "encoding": form.encoding.value, "channels": form.channels, **wishes}
    job = _begin(service, msgspec.json.encode(body))
    _tell(f"Listening. The job is {job.id}.")
    sound, printer = _Sound(), _Printer(service, job.id)
    threading.Thread(target=sound.read, name="sound", daemon=True).start()
    printing = threading.Thread(target=printer.run, name="text", daemon=True)
    printing.start()
    _send(service, job.id, sound, int(PIECE_S * form.rate) * form.frame_bytes)
    printing.join()
    return 0 if printer.status is Status.COMPLETED else 1


def _begin(service: _RunningService, body: bytes) -> Job:
    """Begin a session, once also when the answer is lost. Raises `DataDirectoryInUse` if no service answers."""
    key = {"Idempotency-Key": str(uuid.uuid4())}
    try:
        answer = service.ask("POST", "/api/live", body, key)
    except ANSWER_LOST:
        answer = service.patiently("POST", "/api/live", body, key)
    except UNREACHABLE as error:
        raise DataDirectoryInUse(
            "No service answers.", hint="Start one: whisper_service serve. Or name its address with --url."
        ) from error
    return msgspec.json.decode(_checked(answer).body, type=Job)


def _send(service: _RunningService, job_id: str, sound: _Sound, piece_bytes: int) -> None:
    """Send all of the sound, then say that it is over. A first Ctrl-C ends the sound."""
    path, offset = f"/api/live/{job_id}", 0
    while True:
        try:
            piece = sound.piece(offset, piece_bytes)
            if not piece:
                break
            stored = service.patiently("PATCH", path, piece, {"Upload-Offset": str(offset)}).offset
        except KeyboardInterrupt:
            sound.stop()
            continue
        if stored == offset and sound.stopped:  # half a sample at the end
            break
        offset = stored
        sound.forget(offset)
    service.patiently("POST", f"{path}/end")


class _RunningService:
    """Requests to the service that has the data directory, or to the one at `url`. Its port may change."""

    def __init__(self, config: Config, url: str | None) -> None:
        self._url = url
        self._data = DataDir(config.data_dir)
        token = next(iter(read_tokens(config.security)), "")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def ask(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> HttpAnswer:
        """Send a request and return the answer. Raises one of `UNREACHABLE`."""
        with self.open(method, path, body, headers) as answer:
            offset = answer.headers.get("upload-offset", "0")
            return HttpAnswer(answer.status, int(offset), answer.read())

    def patiently(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> HttpAnswer:
        """Send a request until the service has taken it. Raises the problem if it never will."""
        away = False
        while True:
            try:
                answer = self.ask(method, path, body, headers)
                if answer.status < 500:
                    if away:
                        _tell("The service answers again.")
                    return _checked(answer)
                why = _problem(answer).message
            except UNREACHABLE:
                why = "The service does not answer."
            if not away:
                _tell(f"{why} The sound is kept here and sent again.")
            away = True
            time.sleep(RETRY_S)

    @contextmanager
    def open(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        """Send a request and return the answer while the connection is open."""
        address = self._url or self._data.address()
        if address is None:
            raise ConnectionRefusedError
        parts = urlsplit(address)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.hostname or "127.0.0.1", parts.port, timeout=TIMEOUT_S)
        try:
            connection.request(method, parts.path.rstrip("/") + path, body, self._headers | dict(headers or {}))
            yield connection.getresponse()
        finally:
            connection.close()


class _Sound:
    """Standard input, as far as it was not acknowledged."""

    def __init__(self) -> None:
        self.stopped = False
        self._changed = threading.Condition()
        self._kept = bytearray()
        self._begin = 0  # the offset of the first byte that is kept

    def read(self) -> None:
        """Read standard input to its end."""
        while not self.stopped and (data := os.read(sys.stdin.fileno(), BLOCK)):
            with self._changed:
                self._kept += data
                self._changed.notify()
        self.stop()

    def stop(self) -> None:
        """Take no more sound."""
        with self._changed:
            self.stopped = True
            self._changed.notify()

    def piece(self, offset: int, least: int) -> bytes:
        """Wait for `least` bytes from `offset` on, and return them with what is there. At the end: what is left."""
        with self._changed:
            self._changed.wait_for(lambda: self.stopped or self._begin + len(self._kept) - offset >= least)
            return bytes(self._kept[offset - self._begin :][:MOST_BYTES])

    def forget(self, offset: int) -> None:
        """Drop what comes before `offset`: the service has it."""
        with self._changed:
            del self._kept[: offset - self._begin]
            self._begin = offset


class _Printer:
    """Prints the text of a job in its order, as it comes."""

    def __init__(self, service: _RunningService, job_id: str) -> None:
        self.status: Status | None = None
        self._service = service
        self._job_id = job_id
        self._last = ""  # the id of the last event
        self._waiting: dict[tuple[int, int], Segment] = {}
        self._printed: set[tuple[int, int]] = set()

    def run(self) -> None:
        """Follow the job to its end. A stream that breaks off is continued."""
        while self.status is None:
            try:
                headers = {"Last-Event-ID": self._last} if self._last else {}
                with self._service.open("GET", f"/api/jobs/{self._job_id}/events?drafts=false", b"", headers) as answer:
                    if answer.status == 200:
                        self._read(answer)
                    elif answer.status < 500:
                        return  # the job was deleted
            except UNREACHABLE:
                pass
            if self.status is None:
                time.sleep(RETRY_S)

    def _read(self, answer: http.client.HTTPResponse) -> None:
        kind = ""
        while line := answer.readline():
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name == "event":
                kind = value
            elif name == "id":
                self._last = value
            elif name == "data" and kind == "segment":
                segment = msgspec.convert(msgspec.json.decode(value)["segment"], Segment)
                if (place := (segment.chunk, segment.index)) not in self._printed:
                    self._waiting[place] = segment
            elif name == "data" and kind == "update":
                job = msgspec.json.decode(value, type=Job)
                over = job.status in TERMINAL
                self._print(float("inf") if over else job.position_s)
                if over:
                    self._say_end(job)
                    return

    def _print(self, before_s: float) -> None:
        """Print what begins before this time: everything there is known."""
        for place in sorted(place for place, segment in self._waiting.items() if segment.start < before_s):
            print(self._waiting.pop(place).text, flush=True)  # noqa: T201
            self._printed.add(place)

    def _say_end(self, job: Job) -> None:
        if job.status is not Status.COMPLETED or job.message:
            _tell(job.message or f"The job is {job.status.value}.")
        self.status = job.status


def _checked(answer: HttpAnswer) -> HttpAnswer:
    """Return an answer that says yes. Raises the problem of another one."""
    if answer.status >= 400:
        problem = _problem(answer)
        raise ServiceError(problem.message, hint=problem.hint, **problem.params)
    return answer


def _problem(answer: HttpAnswer) -> Problem:
    try:
        return msgspec.json.decode(answer.body, type=Problem)
    except msgspec.MsgspecError:  # a proxy answers
        return Problem("internal", f"The service answers with status {answer.status}.")


def _tell(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)  # noqa: T201
