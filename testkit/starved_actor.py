"""The real speech actor, with hardly more memory than it has once its model is loaded."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable

from whisper_service.actors.speech import main as real
from whisper_service.supervision.boot import Inbox
from whisper_service.supervision.messages.speech import Loaded
from whisper_service.supervision.protocol import Report

SPARE_BYTES = 8 << 20


def speech(inbox: Inbox, emit: Callable[[Report], None]) -> None:
    """Run the real speech actor with a limit: memory for one chunk is there after the first one, for two it is not."""

    def limited(report: Report) -> None:
        if isinstance(report, Loaded):
            with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123
                size = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
            resource.setrlimit(resource.RLIMIT_AS, (size + SPARE_BYTES, resource.RLIM_INFINITY))
        emit(report)

    real.run(inbox, limited)
