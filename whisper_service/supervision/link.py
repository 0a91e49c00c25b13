"""The way between a supervisor and one life of its actor: what each link can do, and how an actor ended. Pure.

A link lives as long as its actor. The actor may be a process of this machine (`supervision.process`) or of another one
(`cluster.far_links`). The supervisor sees no difference, except that an actor on another machine may have to wait until
there is room for it, and that the machine may get lost with it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from whisper_service.core.domain import Problem, Value


class Exit(Value, frozen=True):
    """How an actor ended, as the machine tells it on which it ran."""

    code: int | None = None  # as `multiprocessing` tells it: negative for a signal; None: nobody can know
    words: str = ""  # the end of its log
    oom_killed: bool = False  # the kernel killed for lack of memory on that machine while the actor lived
    lost: str | None = None  # why the machine, or the way to it, is gone; None: the actor itself ended


class Link(Protocol):
    """The service's end of one life of an actor. All methods are called on the event loop, and none of them waits."""

    @property
    def pid(self) -> int | None:
        """The process id on this machine. None: the actor runs on another machine."""

    @property
    def host(self) -> str | None:
        """The name of the other machine on which the actor runs. None: it is this one, or not known yet."""

    @property
    def is_open(self) -> bool:
        """Whether the actor was started. A link that is not open at once waits for a machine with room."""

    @property
    def obstacle(self) -> Problem | None:
        """Why the link has not been open for some time. None: nothing has to be told."""

    def send(self, data: bytes) -> None:
        """Send a command. Commands arrive in order. After the end of the actor they are dropped."""

    def signal(self, number: int) -> None:
        """Send a signal if the actor lives."""

    def kill(self) -> None:
        """Kill the actor. Its exit follows soon, whatever the other side does, also if it was never started."""


LinkFactory = Callable[[str, Path, Callable[[], None], Callable[[bytes], None], Callable[[Exit], None]], Link]
"""Start an actor: `(entry, log, on_open, on_message, on_exit)`. Raises `OSError`.

The functions are called on the event loop. `on_open`: once, by a link that was not open at once. `on_message`: with the
bytes of each report, in order. `on_exit`: once, after all reports and after `on_open`; nothing comes after it.
"""
