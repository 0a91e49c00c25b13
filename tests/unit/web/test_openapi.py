"""The committed OpenAPI document is the one that the code makes, and it is complete."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from testkit.repository import DOCS
from whisper_service.core.domain import Options
from whisper_service.web.app import openapi_json

COMMITTED = DOCS / "openapi.json"
DOCUMENT: dict[str, Any] = json.loads(openapi_json())


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            yield f"{method.upper()} {path}", operation


def test_the_committed_document_is_current() -> None:
    if COMMITTED.read_bytes() != openapi_json():
        pytest.fail("The API changed: python -m whisper_service openapi > docs/openapi.json")


def test_the_document_is_valid() -> None:
    faults = [
        f"{list(fault.absolute_path)}: {fault.message}" for fault in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()
    ]
    assert not faults, faults


def test_operation_ids_are_unique_and_everything_has_a_summary() -> None:
    ids = [operation["operationId"] for _, operation in operations()]
    assert len(ids) == len(set(ids)) >= 18
    assert all(operation["summary"] for _, operation in operations())


def carrier(name: str, status: str) -> str:
    """Return the schema of an error of this operation."""
    if (name, status) == ("GET /api/health/ready", "503"):
        return "Readiness"
    if (name, status) == ("GET /health", "503"):
        return "Health"
    path = name.partition(" ")[2]
    return "OpenAIRefusal" if path.startswith("/v1/") else "CppError" if path == "/inference" else "Problem"


def test_every_error_has_its_form() -> None:
    known = list(operations())
    assert len(known) > 30
    for name, operation in known:
        errors = {status: answer for status, answer in operation["responses"].items() if status >= "400"}
        assert {"400", "421", "500"} <= errors.keys(), name
        assert name.startswith("GET") or "403" in errors, name
        assert "{" not in name or "404" in errors, name
        for status, answer in errors.items():
            schema = answer["content"]["application/json"]["schema"]["$ref"]
            assert schema.rpartition("/")[2] == carrier(name, status), (name, status)


def test_every_reference_leads_somewhere() -> None:
    def references(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            if "$ref" in node:
                yield node["$ref"]
            for value in node.values():
                yield from references(value)
        elif isinstance(node, list):
            for value in node:
                yield from references(value)

    schemas = DOCUMENT["components"]["schemas"]
    named = {reference.removeprefix("#/components/schemas/") for reference in references(DOCUMENT)}
    assert {"Job", "Problem"} <= named <= schemas.keys()


def test_the_upload_is_documented_with_every_option() -> None:
    operation = DOCUMENT["paths"]["/api/jobs"]["post"]
    form = operation["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["properties"].keys() == {"file", *Options.__struct_fields__}
    assert form["required"] == ["file"]
    assert {p["name"] for p in operation["parameters"]} == {"filename", *Options.__struct_fields__}
    assert {"application/octet-stream", "audio/*", "video/*"} <= operation["requestBody"]["content"].keys()


def test_streams_and_exports_have_their_own_types() -> None:
    events = DOCUMENT["paths"]["/api/events"]["get"]["responses"]["200"]["content"]
    assert list(events) == ["text/event-stream"]
    exported = DOCUMENT["paths"]["/api/jobs/{job_id}/export"]["get"]["responses"]["200"]["content"]
    assert {kind.partition(";")[0] for kind in exported} >= {"text/vtt", "application/x-subrip", "application/json"}
