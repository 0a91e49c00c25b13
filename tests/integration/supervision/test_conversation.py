"""One command to one real actor: its reports come in order, and an actor that dies gets the command again."""

from __future__ import annotations

import os
import signal
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import anyio
import pytest

from whisper_service.config.schema import SupervisionSettings
from whisper_service.core.domain import Problem
from whisper_service.supervision.conversation import Conversation, conversation
from whisper_service.supervision.messages import download
from whisper_service.supervision.messages.base import Ready
from whisper_service.supervision.messages.download import ConnectionTested, EndpointState

pytestmark = pytest.mark.anyio

HERE = "tests.integration.supervision.test_conversation"
COMMAND = download.TestConnection("owner/name", download.Hub(()))


def answer(inbox: Any, emit: Any) -> None:
    """Answer one command."""
    emit(Ready(pid=os.getpid()))
    emit(ConnectionTested((EndpointState(inbox.get().repo),)))
    inbox.get()


def die_once(inbox: Any, emit: Any) -> None:
    """Die with the first command, answer the second one."""
    emit(Ready(pid=os.getpid()))
    command, mark = inbox.get(), Path(os.environ["MARK"])
    if not mark.exists():
        mark.touch()
        os.abort()
    emit(ConnectionTested((EndpointState(command.repo),)))
    inbox.get()


def say_nothing(inbox: Any, emit: Any) -> None:
    """Become ready and answer no command."""
    emit(Ready(pid=os.getpid()))
    signal.sigtimedwait(set(), 3600)


def with_actor(
    tmp_path: Path, entry: str, within_s: float = 30.0, **options: Any
) -> AbstractAsyncContextManager[Conversation]:
    return conversation(
        "test", f"{HERE}:{entry}", COMMAND, logs=tmp_path, limits=SupervisionSettings(), within_s=within_s, **options
    )


async def test_a_command_is_answered(tmp_path: Path) -> None:
    with anyio.fail_after(60):
        async with with_actor(tmp_path, "answer") as actor:
            assert isinstance(await actor.report(), Ready)
            assert await actor.report() == ConnectionTested((EndpointState("owner/name"),))


@pytest.mark.parametrize("tries", [1, 2])
async def test_an_actor_that_dies_gets_the_command_again_until_its_tries_are_used_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tries: int
) -> None:
    monkeypatch.setenv("MARK", str(tmp_path / "mark"))
    with anyio.fail_after(60):
        async with with_actor(tmp_path, "die_once", tries=tries) as actor:
            reports = [await actor.report() for _ in range(tries + 1)]
    kinds = [Ready, Problem] if tries == 1 else [Ready, Ready, ConnectionTested]
    assert [type(report) for report in reports] == kinds


async def test_an_actor_that_does_not_answer_is_a_problem(tmp_path: Path) -> None:
    with anyio.fail_after(60):
        async with with_actor(tmp_path, "say_nothing", within_s=0.2) as actor:
            assert isinstance(await actor.report(), Ready)
            problem = await actor.report()
    assert isinstance(problem, Problem)
    assert problem.code == "hung"
