"""Which programs a machine of a cluster has. What differs would fail later, and less clearly. Pure."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from whisper_service import __version__
from whisper_service.core.domain import Problem, Value


class Versions(Value, frozen=True):
    """The versions that must be equal on every machine of a cluster."""

    whisper_service: str
    python: str  # without the last part: 3.11.7 and 3.11.9 work together
    ray: str  # empty: not installed


def of_this_machine() -> Versions:
    """Return the versions that run here. Ray is not imported."""
    try:
        ray = version("ray")
    except PackageNotFoundError:
        ray = ""
    return Versions(__version__, ".".join(platform.python_version_tuple()[:2]), ray)


def compare(ours: Versions, theirs: Versions, host: str) -> Problem | None:
    """Return what is wrong if the machine `host` has other versions than the service's machine."""
    names = {"whisper_service": "whisper_service", "python": "Python", "ray": "Ray"}
    for field, name in names.items():
        here, there = str(getattr(ours, field)), str(getattr(theirs, field))
        if here != there:
            message = f"The machine {host} has {name} {there or 'not at all'}, the service has {here or 'none'}."
            return versions_differ(message, host=host, program=name, here=here, there=there)
    return None


def versions_differ(message: str, **params: str) -> Problem:
    """Return the problem for machines that cannot work together."""
    hint = "Install the same versions of Python, Ray and whisper_service on every machine of the cluster."
    return Problem("cluster_versions", message, hint, dict(params))
