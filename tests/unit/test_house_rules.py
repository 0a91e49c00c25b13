"""The borders between the modules, as import-linter sees them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from whisper_service.storage import database


def test_imports_point_one_way() -> None:
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_migrations_are_numbered_without_hole_and_none_hides_another() -> None:
    names = sorted(file.name for file in (Path(__file__).parents[2] / "whisper_service" / "schema").glob("*.sql"))
    assert [int(name.partition("_")[0]) for name in names] == list(range(1, len(names) + 1)), names


def test_every_migration_has_a_number_of_its_own() -> None:
    numbers = sorted(int(file.name.partition("_")[0]) for file in database.SCHEMA.glob("*.sql"))
    assert numbers == list(range(1, len(numbers) + 1))
