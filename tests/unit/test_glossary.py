"""One word for one thing: what `docs/glossary.md` calls by another name is in no name of the package."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from testkit.repository import DOCS, PACKAGE

SETTINGS: Final = "config/schema.py"
"""Its fields are keys of config.toml, which stay as they are."""


def banned() -> dict[str, str]:
    """Read the words of the last column, each with the term to use. Text in brackets is an explanation."""
    words: dict[str, str] = {}
    for line in (DOCS / "glossary.md").read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if (
            line.startswith("|")
            and len(cells) == 3
            and cells[0] not in ("term", "verb")
            and not cells[0].startswith("-")
        ):
            words |= {word.strip(): cells[0] for word in re.sub(r"\([^)]*\)", "", cells[2]).split(",") if word.strip()}
    return words


def names(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield every name that a module gives: classes, functions, arguments, variables, attributes of `self`."""
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                yield node.name, node.lineno
            case ast.arg():
                yield node.arg, node.lineno
            case ast.Name(ctx=ast.Store()):
                yield node.id, node.lineno
            case ast.Attribute(ctx=ast.Store(), value=ast.Name(id="self")):
                yield node.attr, node.lineno


def words_of(name: str) -> set[str]:
    """Split `_spare_rows` and `SpareRows` into words in lower case."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


def modules() -> dict[str, ast.Module]:
    found = {str(file.relative_to(PACKAGE)): ast.parse(file.read_text("utf-8")) for file in PACKAGE.rglob("*.py")}
    assert len(found) > 100
    return found


def test_no_name_has_a_word_that_the_glossary_calls_by_another() -> None:
    instead = banned()
    assert {"child", "worker", "ladder"} <= instead.keys()
    wrong = []
    for file, tree in modules().items():
        given = [*names(tree), *((part, 0) for part in Path(file).with_suffix("").parts)]
        if file == SETTINGS:
            given = [(name, line) for name, line in given if not line or name[0].isupper()]
        for name, line in given:
            wrong += [f"{file}:{line} {name}: {instead[word]}" for word in words_of(name) & instead.keys()]
    assert not wrong, "\n".join(sorted(wrong))


def test_every_class_has_a_name_of_its_own() -> None:
    places = defaultdict(list)
    for file, tree in modules().items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                places[node.name].append(f"{file}:{node.lineno}")
    assert not {name: found for name, found in places.items() if len(found) > 1}
