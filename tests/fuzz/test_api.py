"""Schemathesis against the whole API on a real port, with actors that follow a script: whatever a client sends, no 5xx.

Requests are made from the OpenAPI document that is served, right ones and wrong ones; every answer must be one that the
document promises, with its type and its shape. Streams are left out, because they do not end, and so is what would ask
the network.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import schemathesis
from anyio import from_thread, to_thread
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from testkit.service import Running, running, send

pytestmark = pytest.mark.anyio

STREAMS = {"streamEvents", "streamJob", "streamJobAlias"}
NETWORK = {"testConnection", "downloadModel"}
CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)
EXAMPLES = 6
"""Per operation and kind."""


def fuzz(operation: Any, mode: GenerationMode, web: Running) -> None:
    """Requests of this kind to one operation. Where a job is named, every other one names one that exists."""
    asked = 0

    @seed(1)
    @settings(
        max_examples=EXAMPLES,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        nonlocal asked
        asked += 1
        if "job_id" in (case.path_parameters or {}) and asked % 2:
            case.path_parameters["job_id"] = from_thread.run(made, web)
        response = case.call(base_url=web.url, timeout=30)
        case.validate_response(response, checks=CHECKS)

    ask()
    assert asked


async def made(web: Running) -> str:
    return (await send(web.service, chunks=1)).id


async def test_every_operation_keeps_its_promises(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        schema = await to_thread.run_sync(schemathesis.openapi.from_url, f"{web.url}/schema/openapi.json")
        operations = [result.ok() for result in schema.get_all_operations()]
        names = set()
        failures: list[str] = []
        for operation in operations:
            name = operation.definition.raw["operationId"]
            if name in STREAMS | NETWORK:
                continue
            names.add(name)
            for mode in GenerationMode:
                try:
                    await to_thread.run_sync(fuzz, operation, mode, web)
                except Unsatisfiable:  # there is no wrong request to an operation that takes nothing
                    assert mode is GenerationMode.NEGATIVE, name
                except (Exception, FailureGroup) as error:
                    failures.append(f"{operation.label}, {mode.value}: {error}")
        assert not failures, "\n\n".join(failures)
        assert len(names) > 30
        assert web.service.readiness().ready
