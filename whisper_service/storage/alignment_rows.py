"""The rows of the table `alignment`: chunks with words that people wrote, which may have to be aligned with the sound.

An edit writes them in its own transaction. So what is to be done is known after any end of the service.
"""

from __future__ import annotations

from collections.abc import Iterable

from whisper_service.editing.aligning import may_be_due
from whisper_service.editing.lines import Line
from whisper_service.storage.connections import Connections


async def note_spread(connections: Connections, job_id: str, lines: Iterable[Line], now: float) -> None:
    """Note the chunks of lines that an edit wrote, if their words may be due. Inside the transaction of the edit."""
    chunks = {line.chunk for line in lines if may_be_due(line)}
    await connections.run_many(
        "INSERT INTO alignment (job_id, chunk, edited_at) VALUES (?, ?, ?)"
        " ON CONFLICT DO UPDATE SET edited_at = excluded.edited_at, failures = 0",
        [(job_id, chunk, now) for chunk in sorted(chunks)],
    )
