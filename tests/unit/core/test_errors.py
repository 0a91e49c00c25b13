"""The tree in `errors` shows every error, and docs/operations.md explains every code that a user may see."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator

import whisper_service
from testkit.repository import DOCS, PACKAGE
from whisper_service.actors.download.hub_problems import CASES
from whisper_service.actors.sites.site_problems import CASES as SITE_CASES
from whisper_service.core import errors
from whisper_service.core.errors import ServiceError
from whisper_service.supervision.faults import FaultKind
from whisper_service.web.http import errors as web

LINE = re.compile(
    r"^    (?P<indent>[│├└─ ]*)(?P<name>\w+) +(?P<code>[a-z_]+) +(?P<status>\d{3}|-)(?: +\((?P<module>[\w.]+)\))?$"
)
MAKERS = {"Problem", "UnreadableChunk", "JobNote"}
"""Classes that take a code as their first argument, or as `code`."""


def everything() -> dict[str, type[ServiceError]]:
    """Return every error class of the package, by name."""
    for module in pkgutil.walk_packages(whisper_service.__path__, "whisper_service."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found: dict[str, type[ServiceError]] = {}
    todo = [ServiceError]
    while todo:
        for kind in todo.pop().__subclasses__():
            if kind.__module__.startswith("whisper_service."):
                assert found.get(kind.__name__, kind) is kind
                found[kind.__name__] = kind
                todo.append(kind)
    return found


def drawn() -> list[re.Match[str]]:
    return [match for line in (errors.__doc__ or "").splitlines() if (match := LINE.match(line))]


def written() -> Iterator[str]:
    """Yield the codes that are constants in the source."""
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", None) in MAKERS:
                given = [*node.args[:1], *(keyword.value for keyword in node.keywords if keyword.arg == "code")]
                yield from (value.value for value in given if isinstance(value, ast.Constant))


def codes() -> set[str]:
    """Return every code that a user may see."""
    return {
        *(kind.code for kind in everything().values()),
        ServiceError.code,
        *(kind.value for kind in FaultKind),
        *web._CODES.values(),
        *CASES,
        *SITE_CASES,
        *written(),
    }


def test_the_tree_shows_every_error_with_its_parent_code_status_and_home() -> None:
    classes = everything()
    parents: dict[int, str] = {}
    for match in drawn():
        kind = classes[match["name"]]
        depth = len(match["indent"])
        parents[depth] = match["name"]
        above = max((d for d in parents if d < depth), default=None)
        assert kind.__base__ is (ServiceError if above is None else classes[parents[above]]), match[0]
        assert match["code"] == kind.code, match[0]
        assert kind.__module__ == f"whisper_service.{match['module'] or 'core.errors'}", match[0]
        if match["status"] != "-":
            assert int(match["status"]) == web.status_of(kind()), match[0]
    assert {match["name"] for match in drawn()} == set(classes)


def test_codes_are_stable_words_and_messages_are_sentences() -> None:
    kinds = everything().values()
    assert len(kinds) > 30
    for kind in kinds:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", kind.code)
        message = kind().message
        assert message[0].isupper()
        assert message.endswith(".")


def test_the_search_for_codes_finds_them() -> None:
    assert {"decode_failed", "spool_missing", "host_not_allowed", "truncated", "disk_full"} <= set(written())


def rows_of_the_page() -> list[tuple[str, str]]:
    """Return the code of each row in docs/operations.md, and the rest of the row."""
    page = (DOCS / "operations.md").read_text("utf-8")
    return re.findall(r"^\| `([a-z_]+)` \|(.*)\|$", page, re.MULTILINE)


def test_a_class_has_its_name_as_code_unless_it_states_another_one() -> None:
    class RecordingTooLarge(errors.TooLarge):
        pass

    class BigRecording(errors.TooLarge):
        code = "too_large"

    assert (errors.TooLarge.code, RecordingTooLarge.code, BigRecording.code) == (
        "too_large",
        "recording_too_large",
        "too_large",
    )


def test_the_code_of_every_class_is_in_the_table_for_operators() -> None:
    """A class that is renamed without stating its old code ends here."""
    codes_of_classes = {kind.code for kind in everything().values()}
    assert len(codes_of_classes) > 30
    assert codes_of_classes <= {code for code, _ in rows_of_the_page()}


def test_every_code_is_explained_once_and_no_other() -> None:
    rows = rows_of_the_page()
    explained = [code for code, _ in rows]
    assert sorted(explained) == sorted(set(explained))
    assert set(explained) == codes()
    for code, rest in rows:
        meaning, done, cure = (cell.strip() for cell in rest.split("|"))
        assert meaning, code
        assert done, code
        assert cure, code
