"""Show the newest draft of each live session to those who read it.

Drafts are outside of the change log: they have no number, and are never sent again. A reader that is slow gets the
newest one only, so it costs no memory. All methods are called on the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from whisper_service.core.domain import Value
from whisper_service.core.drafts import Hearing, ShownDraft


class DraftNews(Value, frozen=True):
    """What is newest of a session."""

    payload: bytes  # the draft, as JSON
    hearing: Hearing


class DraftReader:
    """One who reads the drafts of a session."""

    def __init__(self, news: DraftNews | None) -> None:
        self._news = news
        self._over = False
        self._fresh = news is not None
        self._rung = asyncio.Event()
        if news is not None:
            self._rung.set()

    async def next(self) -> DraftNews | None:
        """Wait for newer news and return the newest. None: the session is over. A cancelled call loses nothing."""
        await self._rung.wait()
        if not self._fresh:
            return None
        self._fresh = False
        if not self._over:
            self._rung.clear()
        return self._news

    def ring(self, news: DraftNews) -> None:
        """Wake the reader with newer news."""
        self._news, self._fresh = news, True
        self._rung.set()

    def end(self) -> None:
        """Wake the reader at the end of its session. It still gets the last news."""
        self._over = True
        self._rung.set()


class DraftFeed:
    """The newest draft of each session, and its readers."""

    def __init__(self) -> None:
        self.noticed: Callable[[], None] = lambda: None  # called when somebody begins to read a session
        self._news: dict[str, DraftNews] = {}
        self._shown: dict[str, ShownDraft] = {}
        self._readers: dict[str, list[DraftReader]] = {}
        self._closed = False

    @property
    def read(self) -> frozenset[str]:
        """The sessions that somebody reads."""
        return frozenset(self._readers)

    def show(self, draft: ShownDraft, hearing: Hearing) -> None:
        """Show the draft of a session in place of the one before."""
        job_id = draft.job_id
        known, news = self._shown.get(job_id), self._news.get(job_id)
        same = known is not None and _visible(known) == _visible(draft)
        payload = news.payload if same and news is not None else msgspec.json.encode(draft)
        if news is not None and payload is news.payload and hearing == news.hearing:
            return
        self._shown[job_id] = draft if not same or known is None else known
        self._news[job_id] = DraftNews(payload, hearing)
        for reader in self._readers.get(job_id, ()):
            reader.ring(self._news[job_id])

    def end(self, job_id: str) -> None:
        """Tell the readers of a session that it is over."""
        self._news.pop(job_id, None)
        self._shown.pop(job_id, None)
        for reader in self._readers.get(job_id, ()):
            reader.end()

    def close(self) -> None:
        """End every reader, because the service ends."""
        self._closed = True
        for job_id in list(self._readers):
            self.end(job_id)

    @contextmanager
    def reader(self, job_id: str) -> Iterator[DraftReader]:
        """Give a reader inside the block. While a session has one, drafts of it are made."""
        reader = DraftReader(self._news.get(job_id))
        readers = self._readers.setdefault(job_id, [])
        readers.append(reader)
        if self._closed:
            reader.end()
        self.noticed()
        try:
            yield reader
        finally:
            readers.remove(reader)
            if not readers and self._readers.get(job_id) is readers:
                del self._readers[job_id]


def _visible(draft: ShownDraft) -> tuple[object, ...]:
    """Return what readers see of a draft: that silence goes on is no news."""
    return draft.from_s, draft.speaking, draft.stable, draft.tentative
