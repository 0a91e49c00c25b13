"""`close` ends the task that deletes expired uploads, at any moment."""

from __future__ import annotations

import threading
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from whisper_service.storage.resumable_uploads import ResumableUploads
from whisper_service.storage.uploads import UploadLimits, Uploads

pytestmark = pytest.mark.anyio


async def test_a_close_during_a_sweep_is_not_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "uploads").mkdir()
    uploads = ResumableUploads(tmp_path / "uploads", Uploads(tmp_path / "media", UploadLimits(1, 0)), keep_s=1.0)
    begun, go_on = threading.Event(), threading.Event()

    def sweep() -> None:
        begun.set()
        go_on.wait(10)

    monkeypatch.setattr(uploads, "_sweep", sweep)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(uploads.run)
            await to_thread.run_sync(begun.wait, 10)
            uploads.news.close()
            go_on.set()
