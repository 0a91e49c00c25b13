"""Define what the interface of another program brings: its routes, and the form in which its callers expect errors.

The address of a request decides about the form, so that errors without a handler (no such address, no token) have it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

from litestar import Router

from whisper_service.core.domain import Problem

AUDIO: Final = frozenset({"empty_file", "not_media", "no_audio", "decode_failed", "too_long", "inflated", "media"})
"""Codes that blame the recording. The next request with the recording will fail too."""


class ErrorAnswer(NamedTuple):
    """An error as a client gets it."""

    status: int
    headers: dict[str, str]
    content: Any


ErrorForm = Callable[[int, Problem], ErrorAnswer]
"""Makes the answer from the status that the own API gives and the problem."""


def as_problem(status: int, problem: Problem) -> ErrorAnswer:
    """Return the form of the own API. Only the status changes: the recording is to blame, not the service."""
    return ErrorAnswer(422 if status == 500 and problem.code in AUDIO else status, {}, problem)


def sentence(problem: Problem) -> str:
    """Return message and hint, for callers that show one text."""
    return f"{problem.message} {problem.hint}".strip()


class Dialect(NamedTuple):
    """The interface of another program. `compat.registry` lists all."""

    routers: Sequence[Router]
    error: ErrorForm = as_problem
    paths: tuple[str, ...] = ()  # errors at and below these addresses have the form `error`


def error_form(dialects: Iterable[Dialect], path: str) -> ErrorForm:
    """Return the form of errors at an address."""
    for dialect in dialects:
        if any(path == root or path.startswith(f"{root}/") for root in dialect.paths):
            return dialect.error
    return as_problem
