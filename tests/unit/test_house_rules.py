"""Rules of this repository that no other tool watches."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from testkit.repository import PACKAGE, ROOT
from whisper_service.storage import database

OURS = ("whisper_service", "testkit", "bench", "tests")


def imports(folder: str) -> Iterator[tuple[Path, str]]:
    """Every import of a module of ours in the Python files of a folder: the file, and the module's name."""
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files, folder
    for file in files:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module is not None:
                assert node.level == 0, f"{file} has a relative import"
                names = [_module(node.module, alias.name) for alias in node.names]
            yield from ((file.relative_to(ROOT), name) for name in names if name.partition(".")[0] in OURS)


def _module(package: str, name: str) -> str:
    """`from package import name`: the module that is meant, which may be a module of the package."""
    inside = ROOT / package.replace(".", "/") / name
    return f"{package}.{name}" if inside.is_dir() or inside.with_suffix(".py").exists() else package


def test_modules_of_the_package_point_one_way() -> None:
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_package_knows_no_tests_and_no_benchmarks() -> None:
    found = list(imports("whisper_service"))
    assert len(found) > 500
    assert [(file, name) for file, name in found if not name.startswith("whisper_service")] == []


def test_the_testkit_knows_neither_tests_nor_benchmarks() -> None:
    found = list(imports("testkit"))
    assert len(found) > 50
    assert [(file, name) for file, name in found if name.startswith(("tests", "bench"))] == []


def test_benchmarks_stand_on_the_testkit_and_on_their_library() -> None:
    found = [(file, name) for file, name in imports("bench") if name.startswith(("tests", "bench"))]
    assert len(found) > 20
    assert [(file, name) for file, name in found if not f"{name}.".startswith("bench.lib.")] == []


def test_tests_stand_on_the_testkit_and_on_the_helpers_of_their_folder() -> None:
    found = [(file, name) for file, name in imports("tests") if name.startswith(("tests", "bench"))]
    assert found
    wrong = []
    for file, name in found:
        helper = f"{name}.".startswith(f"{'.'.join(file.parent.parts)}.") and "test_" not in name
        of_a_benchmark = name.startswith("bench") and file.stem == "test_bench"
        if not helper and not of_a_benchmark:
            wrong.append((file, name))
    assert wrong == []


def test_web_and_cli_use_the_facade_and_not_its_parts() -> None:
    files = [file for wing in ("web", "cli") for file in (PACKAGE / wing).rglob("*.py")]
    assert len(files) > 30
    nodes = ((file, node) for file in files for node in ast.walk(ast.parse(file.read_text("utf-8"))))
    used = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for file, node in nodes
        if isinstance(node, ast.Attribute) and node.attr == "parts"
    ]
    assert used == []


def python_notation(tree: ast.AST) -> Iterator[int]:
    """Yield the lines that put a value in Python's notation into a text: `!r`, `%r` or `repr`."""
    methods = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "__repr__"]
    inside = {id(child) for method in methods for child in ast.walk(method)}
    for node in ast.walk(tree):
        formatted = isinstance(node, ast.FormattedValue) and node.conversion == ord("r")
        template = isinstance(node, ast.Constant) and isinstance(node.value, str)
        template = template and re.search(r"\{\w*!r\}|%r\b", node.value) is not None
        called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "repr"
        if (formatted or template or called) and id(node) not in inside:
            yield node.lineno


def test_no_message_shows_a_value_in_pythons_notation() -> None:
    wrong = 'f"{a!r} {b}"; "{a!r}".format(a=1); "%r" % a; repr(a); str(a); "100%"; "{a}"'
    assert len(list(python_notation(ast.parse(wrong)))) == 4
    files = sorted(PACKAGE.rglob("*.py"))
    assert len(files) > 100
    found = [(file, line) for file in files for line in python_notation(ast.parse(file.read_text("utf-8")))]
    assert [f"{file.relative_to(ROOT)}:{line}" for file, line in found] == []


def test_only_the_package_is_installed() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]
    assert build["targets"]["wheel"]["packages"] == ["whisper_service"]


def test_migrations_are_numbered_from_one_and_none_is_left_out() -> None:
    names = sorted(file.name for file in (PACKAGE / "storage" / "schema").glob("*.sql"))
    assert len(names) >= 14
    assert [int(name.partition("_")[0]) for name in names] == list(range(1, len(names) + 1)), names
    assert [file.name for file in sorted(database.SCHEMA.glob("*.sql"))] == names
