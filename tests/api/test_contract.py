"""Schemathesis calls every operation with what the OpenAPI document allows and with what it forbids.

Of its checks one is left out: `positive_data_acceptance` wants every input that fits the schema to be accepted, and no
schema can say what a good flow, a cursor of ours or a time zone is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from schemathesis.checks import CHECKS

from tests.api.harness import Service, service
from tests.api.test_isolation import ACCESS
from tests.api.things import one_of_everything

EXAMPLES = int(os.environ.get("CONTRACT_EXAMPLES", "20"))
"""Per operation; more find more: CONTRACT_EXAMPLES=500 scripts/test tests/api/test_contract.py"""

UNLIMITED = {"requests_per_account": 0, "requests_per_address": 0}


@pytest.fixture(scope="module")
def described() -> Iterator[tuple[Service, Any, dict[str, str]]]:
    """The service, its schema, and one of everything."""
    with service({"api": UNLIMITED}, allow=["127.0.0.1"]) as api:
        schema = schemathesis.openapi.from_asgi("/openapi.json", api.client.app)
        yield api, schema, one_of_everything(api)


NOT_DESCRIBED = {"exchange_mcp", "refuse_mcp"}
"""Another protocol than the document's."""


@pytest.mark.parametrize("operation", sorted(ACCESS.keys() - NOT_DESCRIBED))
def test_an_operation_keeps_its_contract(described: tuple[Service, Any, dict[str, str]], operation: str) -> None:
    """No 5xx, no answer that the document does not describe, nothing accepted that it forbids."""
    api, schema, things = described
    found = schema.find_operation_by_id(operation)
    headers = api.team().headers()
    left_out = [CHECKS.get_one("positive_data_acceptance")]

    @hypothesis_settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=found.as_strategy(), real=st.booleans())
    def check(case: Any, real: bool) -> None:
        if real and operation not in ("delete_account", "update_account"):
            for name in case.path_parameters or {}:
                case.path_parameters[name] = things.get(name, case.path_parameters[name])
        api.later(61_000)  # failed logins are counted by the minute
        answer = case.call(headers=headers)
        case.validate_response(answer, excluded_checks=left_out, headers=headers)

    check()
