"""The real media actor, which stops behind each chunk for as long as a test wants. On machines of a cluster only.

The variable `HELD_MEDIA` names a file: the actor goes on when the file is gone.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

from testkit.scripted_actors import FAR
from whisper_service.actors.media import main
from whisper_service.supervision.boot import Emit, Inbox
from whisper_service.supervision.messages.media import ChunkFound
from whisper_service.supervision.protocol import Report

HOLD: Final = "HELD_MEDIA"


def run(inbox: Inbox, emit: Emit) -> None:
    """Run the actor. An entry."""

    def held(report: Report) -> None:
        emit(report)
        while FAR in os.environ and isinstance(report, ChunkFound) and Path(os.environ[HOLD]).exists():
            time.sleep(0.01)

    main.run(inbox, held)
