"""Follow what is said in a live session: the newest draft, and every stable word once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from whisper_service.core.drafts import Hearing
from whisper_service.core.errors import NotFound
from whisper_service.core.job_states import TERMINAL
from whisper_service.scheduler import draft_work
from whisper_service.scheduler.context import Context
from whisper_service.scheduler.draft_feed import DraftReader


class DraftFollower:
    """One who follows a session. Drafts of it are made until the block of `followed` ends."""

    def __init__(self, context: Context, job_id: str, reader: DraftReader) -> None:
        self._context = context
        self._job_id = job_id
        self._reader = reader
        self._checked = False
        self._shown = b""

    async def next(self) -> Hearing | None:
        """Wait until something was heard, and return the newest. None: the session is over, and all of it is text."""
        news = await self._next()
        return None if news is None else news[1]

    async def draft(self) -> bytes | None:
        """Wait until the draft is another one, and return it as JSON. None: as `next`."""
        while (news := await self._next()) is not None:
            if news[0] != self._shown:
                self._shown = news[0]
                return news[0]
        return None

    def hear_ahead(self) -> bool:
        """Have the session heard up to its newest sound, which else waits for more. False: nobody listens now."""
        return self._context.live.hear_ahead(self._job_id)

    async def flush(self) -> None:
        """Have all words stable that were said until now, with the next draft. Raises `Unavailable`."""
        await self._context.ask(_flush, self._job_id)

    async def _next(self) -> tuple[bytes, Hearing] | None:
        if not self._checked and await self._is_over():
            return None
        self._checked = True
        news = await self._reader.next()
        return None if news is None else (news.payload, news.hearing)

    async def _is_over(self) -> bool:
        """Return whether the session was over before it was followed: then no news comes."""
        try:
            return (await self._context.store.job(self._job_id)).status in TERMINAL
        except NotFound:
            return True


@contextmanager
def followed(context: Context, job_id: str) -> Iterator[DraftFollower]:
    """Give a follower of a session inside the block."""
    with context.drafts.feed.reader(job_id) as reader:
        yield DraftFollower(context, job_id, reader)


async def _flush(context: Context, job_id: str) -> None:
    draft_work.flush(context, job_id)
