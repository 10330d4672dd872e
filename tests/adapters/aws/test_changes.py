"""What a deployment would change."""

from __future__ import annotations

from typing import Any

import pytest
from flowrunner.adapters.aws.changes import compare, of_type, read_change, reserved_concurrency
from flowrunner.ports.installer import Verb, losses

from tests.assemblies import table


def raw(action: str, replacement: str | None = None, kind: str = "AWS::SQS::Queue", **more: Any) -> dict[str, Any]:
    """A change as CloudFormation describes it."""
    change = {"Action": action, "LogicalResourceId": "Thing", "ResourceType": kind, **more}
    return change if replacement is None else {**change, "Replacement": replacement}


@pytest.mark.parametrize(
    ("given", "verb"),
    [
        (raw("Add"), Verb.ADD),
        (raw("Import"), Verb.ADD),
        (raw("Remove"), Verb.REMOVE),
        (raw("Modify", "False"), Verb.MODIFY),
        (raw("Modify"), Verb.MODIFY),
        (raw("Modify", "Conditional"), Verb.MAYBE_REPLACE),
        (raw("Modify", "True"), Verb.REPLACE),
        (raw("Dynamic"), Verb.MAYBE_REPLACE),
    ],
)
def test_an_action_has_one_verb(given: dict[str, Any], verb: Verb) -> None:
    """Whether a resource is replaced counts more than that it is changed."""
    assert read_change("data", given).verb is verb


def test_the_causes_are_named_once() -> None:
    """By property, or by what else differs."""
    details = [
        {"Target": {"Attribute": "Properties", "Name": "KeySchema"}},
        {"Target": {"Attribute": "Properties", "Name": "KeySchema"}},
        {"Target": {"Attribute": "Tags"}},
        {},
    ]
    change = read_change("data", raw("Modify", "True", Details=details, PolicyAction="ReplaceAndRetain"))
    assert change.causes == ("KeySchema", "Tags")
    assert change.keeps


@pytest.mark.parametrize("kind", ["AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::KMS::Key"])
def test_replacing_what_holds_data_is_a_loss(kind: str) -> None:
    """And so is removing it, even if the old one stays: what runs would not see it any more."""
    replaced = read_change("data", raw("Modify", "True", kind))
    removed = read_change("data", raw("Remove", None, kind, PolicyAction="Retain"))
    harmless = [
        read_change("data", one)
        for one in (raw("Modify", "Conditional", kind), raw("Add", None, kind), raw("Modify", "True"))
    ]
    assert losses([replaced, *harmless, removed]) == [replaced, removed]


def test_templates_are_compared() -> None:
    """What is new, what differs (in what), and what is gone; metadata does not count."""
    before = {
        "Resources": {
            "Same": {"Type": "A", "Metadata": {"path": "x"}},
            "Queue": {"Type": "AWS::SQS::Queue", "Properties": {"DelaySeconds": 1}},
            "Table": table(),
            "Swapped": {"Type": "A"},
            "Gone": {"Type": "B", "DeletionPolicy": "RetainExceptOnCreate"},
        }
    }
    after = {
        "Resources": {
            "Same": {"Type": "A", "Metadata": {"path": "y"}},
            "Queue": {"Type": "AWS::SQS::Queue", "Properties": {"DelaySeconds": 2}},
            "Table": table(TableName="other"),
            "Swapped": {"Type": "B"},
            "New": {"Type": "C"},
        }
    }
    found = {change.resource: change for change in compare("data", before, after)}
    assert {name: change.verb for name, change in found.items()} == {
        "New": Verb.ADD,
        "Queue": Verb.MODIFY,
        "Table": Verb.MAYBE_REPLACE,
        "Swapped": Verb.REPLACE,
        "Gone": Verb.REMOVE,
    }
    assert found["Queue"].causes == ("DelaySeconds",)
    assert found["Gone"].keeps


def test_reserved_concurrency_is_added_up() -> None:
    """Over the functions of all templates that reserve any."""
    one = {"Resources": {"F": {"Type": "AWS::Lambda::Function", "Properties": {"ReservedConcurrentExecutions": 100}}}}
    two = {
        "Resources": {
            "F": {"Type": "AWS::Lambda::Function", "Properties": {"ReservedConcurrentExecutions": 5}},
            "G": {"Type": "AWS::Lambda::Function", "Properties": {}},
            "Q": {"Type": "AWS::SQS::Queue"},
        }
    }
    assert reserved_concurrency([one, two, {}]) == 105
    assert of_type(two, ["AWS::Lambda::Function"]) == ["F", "G"]
