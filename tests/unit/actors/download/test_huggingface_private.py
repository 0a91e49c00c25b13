"""What the download actor needs of `huggingface_hub` beyond its public interface is still there."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from importlib import import_module
from typing import Any

import huggingface_hub
import pytest

from testkit.repository import PACKAGE

MODULE = PACKAGE / "actors" / "download" / "huggingface_private.py"
CHANGED = f"huggingface_hub {huggingface_hub.__version__} has changed; adapt actors/download/huggingface_private.py: "
USES: list[tuple[str, str, Callable[[Callable[..., Any]], object]]] = [
    (
        "file_download",
        "http_get",
        lambda get: inspect.signature(get).bind(
            "url", None, resume_size=1, headers={}, expected_size=1, displayed_filename=""
        ),
    ),
    ("utils._headers", "build_hf_headers", lambda build: build(token=False, library_name="name")["user-agent"]),
    ("utils._http", "default_client_factory", lambda factory: factory().event_hooks["request"]),
    ("utils._http", "hf_raise_for_status", lambda check: inspect.signature(check).bind(None)),
]


@pytest.mark.parametrize(("module", "name", "use"), USES, ids=[name for _, name, _ in USES])
def test_a_private_part_can_be_called_as_the_actor_calls_it(
    module: str, name: str, use: Callable[[Callable[..., Any]], object]
) -> None:
    try:
        use(getattr(import_module(f"huggingface_hub.{module}"), name))
    except Exception as error:
        pytest.fail(f"{CHANGED}{module}.{name}: {error!r}")


def test_the_size_of_a_block_is_read_at_every_download() -> None:
    source = inspect.getsource(import_module("huggingface_hub.file_download"))
    assert "chunk_size=constants.DOWNLOAD_CHUNK_SIZE" in source, f"{CHANGED}constants.DOWNLOAD_CHUNK_SIZE"


@pytest.mark.parametrize(
    "name",
    ["FileMetadataError", "GatedRepoError", "HFValidationError", "OfflineModeIsEnabled", "RevisionNotFoundError"],
)
def test_an_error_that_is_recognised_by_its_name_keeps_it(name: str) -> None:
    assert hasattr(import_module("huggingface_hub.errors"), name), f"errors.{name} is gone; adapt network_errors.py"


def test_no_other_module_imports_private_parts() -> None:
    modules: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("huggingface_hub"):
                modules.setdefault(node.module or "", set()).add(path.name)
    private = {module: users for module, users in modules.items() if "._" in module or module.endswith("file_download")}
    assert {module for module, _, _ in USES} == {module.partition(".")[2] for module in private}
    assert set.union(*private.values()) == {MODULE.name}
