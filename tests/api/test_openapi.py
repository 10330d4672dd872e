"""The OpenAPI document says all that a client needs to know, and nothing that is not so."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.api.harness import Service


@pytest.fixture(scope="module")
def document(api: Service) -> dict[str, Any]:
    found: dict[str, Any] = api.client.get("/openapi.json").json()
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def test_it_is_openapi_3_1(document: dict[str, Any]) -> None:
    """With every way to say who one is."""
    assert document["openapi"] == "3.1.0"
    assert set(document["components"]["securitySchemes"]) == {"basic", "bearer", "session"}


def test_every_operation_is_described(document: dict[str, Any]) -> None:
    """By a name fit for a function, a summary, a description, and typed errors in the one shape."""
    names = [operation["operationId"] for _, operation in operations(document)]
    assert len(set(names)) == len(names)
    for where, operation in operations(document):
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", operation["operationId"]), where
        assert operation["summary"], where
        assert operation["description"], where
        assert operation["tags"], where
        errors = {status: answer for status, answer in operation["responses"].items() if status >= "400"}
        assert {"400", "429", "500", "503"} <= errors.keys(), where
        assert "422" not in errors, where
        for status, answer in errors.items():
            if where == "GET /readyz" or "application/json" not in answer.get("content", {}):
                continue
            schema = answer["content"]["application/json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/ErrorAnswer"}, (where, status)
        if operation["security"]:
            assert {"401", "403"} <= errors.keys(), where


def test_every_parameter_has_a_type(document: dict[str, Any]) -> None:
    """And path parameters a length, so that nothing endless is looked up."""
    for where, operation in operations(document):
        for parameter in operation.get("parameters", ()):
            assert parameter["schema"], (where, parameter["name"])


def test_every_example_fits_its_schema(document: dict[str, Any]) -> None:
    """Each body in JSON has one."""
    for where, operation in operations(document):
        for body in (operation.get("requestBody", {}), *operation["responses"].values()):
            media = body.get("content", {}).get("application/json")
            if media is None or not media.get("schema"):
                continue
            shown = [media["example"]] if "example" in media else [one["value"] for one in media["examples"].values()]
            schema = {**media["schema"], "components": document["components"]}
            for example in shown:
                problems = [error.message for error in Draft202012Validator(schema).iter_errors(example)]
                assert problems == [], (where, example)
