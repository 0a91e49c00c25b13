"""Configure logging: one line per event on standard error, as text or as JSON. The only place that does."""

from __future__ import annotations

import itertools
import json
import logging
import logging.config
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from whisper_service.core.domain import Value

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
"""Fields of every record. The other fields of a record came with `extra=`."""


def configure(level: str = "info", *, json: bool = False) -> None:
    """Set up logging for this process. Call once, from `main`."""
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"line": {"()": JsonFormatter if json else TextFormatter}},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
            "root": {"level": "WARNING", "handlers": ["stderr"]},
            "loggers": {
                "whisper_service": {"level": level.upper()},
                "uvicorn.access": {"level": "INFO" if level == "debug" else "WARNING"},
                "uvicorn.asgi": {"level": "ERROR"},
            },
        }
    )


class TextFormatter(logging.Formatter):
    """Lines such as `12:00:01 warning supervisor: the actor died [actor=speech, exit=-9]`."""

    default_time_format = "%H:%M:%S"
    default_msec_format = ""

    def format(self, record: logging.LogRecord) -> str:
        name = record.name.removeprefix("whisper_service.")
        line = f"{self.formatTime(record)} {record.levelname.lower():<7} {name}: {record.getMessage()}"
        if extra := _extra(record):
            line += f" [{', '.join(f'{key}={value}' for key, value in extra.items())}]"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class JsonFormatter(logging.Formatter):
    """One object per line: time (Unix seconds), level, logger, message, all of `extra`, and the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_extra(record),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False, default=str)


class LogEntry(Value, frozen=True):
    """A line of the log. `seq` counts lines from the start of the service."""

    seq: int
    time: float
    level: str
    logger: str
    message: str
    facts: dict[str, str]
    traceback: str | None = None


class LogTail(logging.Handler):
    """The last lines of the log, which the web page shows."""

    def __init__(self, keep: int = 2_000) -> None:
        super().__init__()
        self._entries: deque[LogEntry] = deque(maxlen=keep)
        self._count = itertools.count(1)

    def emit(self, record: logging.LogRecord) -> None:
        self._entries.append(
            LogEntry(
                seq=next(self._count),
                time=round(record.created, 3),
                level=record.levelname.lower(),
                logger=record.name.removeprefix("whisper_service."),
                message=record.getMessage(),
                facts={key: str(value) for key, value in _extra(record).items()},
                traceback=logging.Formatter().formatException(record.exc_info) if record.exc_info else None,
            )
        )

    def entries(self, since: int = 0, level: str = "debug", limit: int = 500) -> list[LogEntry]:
        """Return the last `limit` lines after `since` of this level or a higher one, in order."""
        least = logging.getLevelName(level.upper())
        found = [e for e in list(self._entries) if e.seq > since and logging.getLevelName(e.level.upper()) >= least]
        return found[-limit:]

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Collect what the service and its HTTP server log inside the block."""
        loggers = [logging.getLogger(name) for name in ("whisper_service", "uvicorn")]
        for logger in loggers:
            logger.addHandler(self)
        try:
            yield
        finally:
            for logger in loggers:
                logger.removeHandler(self)


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}
