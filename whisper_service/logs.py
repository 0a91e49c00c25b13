"""What goes to standard error: one line per event, as text or as JSON. The only logging configuration there is."""

from __future__ import annotations

import json
import logging
import logging.config
from typing import Any, Final

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
"""What every record has; the rest came with `extra=`."""


def configure(level: str = "info", *, json: bool = False) -> None:
    """Set up logging for this process; called once, by whoever owns `main`."""
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
    """`12:00:01 warning supervisor: the actor died [actor=speech, exit=-9]`"""

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
    """One object per line: time (Unix seconds), level, logger, message, everything given as `extra`, and the traceback."""

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


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}
