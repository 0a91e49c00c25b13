"""Find the Linux control groups that limit this process, of version 1 and 2. Reads files only.

A group's parents limit the group too. In a container the path in `/proc/self/cgroup` may be the host's. Then only the
root directory exists, and its files hold the limits of the container.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

ROOT: Final = Path("/sys/fs/cgroup")
MEMBERSHIP: Final = Path("/proc/self/cgroup")


class Group(NamedTuple):
    """The directory of a control group. It may not exist."""

    directory: Path
    version: int  # 1 or 2


def groups(controller: str, root: Path = ROOT, membership: Path = MEMBERSHIP) -> Iterator[Group]:
    """Yield the groups of this process for "cpu" or "memory", each before its parents. Without Linux none exists."""
    for line in read(membership).splitlines() or ["0::/", f"1:{controller}:/"]:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":
            version, mounts = 2, ("", "unified")
        elif controller in controllers.split(","):
            version, mounts = 1, (controllers, controller)
        else:
            continue
        group = PurePosixPath(path.lstrip("/"))
        for mount in dict.fromkeys(mounts):
            yield from (Group(root / mount / member, version) for member in (group, *group.parents))


def read(file: Path) -> str:
    """Return the text of a file, "" if it cannot be read."""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeError):  # not Linux, or hidden
        return ""


def counters(file: Path) -> dict[str, int]:
    """Return the numbers in a file whose lines are "NAME NUMBER", such as `memory.stat`."""
    pairs = (line.split() for line in read(file).splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}
