"""What a deployment would change, resource by resource: read from a change set, or from two templates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flowrunner.ports.installer import Change, Verb

HOLD_DATA = frozenset(
    {
        "AWS::DynamoDB::Table",
        "AWS::DynamoDB::GlobalTable",
        "AWS::KMS::Key",
        "AWS::S3::Bucket",
    }
)
"""Types that hold what nobody can make again: data, and the key to it."""


def _change(
    stack: str, resource: str, type: str, verb: Verb, causes: tuple[str, ...] = (), *, keeps: bool = False
) -> Change:
    loses = type in HOLD_DATA and verb in (Verb.REPLACE, Verb.REMOVE)
    return Change(stack, resource, type, verb, causes, keeps, loses)


def read_change(stack: str, raw: Mapping[str, Any]) -> Change:
    """One `ResourceChange` of DescribeChangeSet."""
    match (raw.get("Action"), raw.get("Replacement")):
        case ("Add" | "Import", _):
            verb = Verb.ADD
        case ("Remove", _):
            verb = Verb.REMOVE
        case (_, "True"):
            verb = Verb.REPLACE
        case ("Dynamic", _) | (_, "Conditional"):
            verb = Verb.MAYBE_REPLACE
        case _:
            verb = Verb.MODIFY
    return _change(
        stack,
        str(raw.get("LogicalResourceId", "")),
        str(raw.get("ResourceType", "")),
        verb,
        causes=tuple(dict.fromkeys(filter(None, map(_cause, raw.get("Details", ()))))),
        keeps="Retain" in str(raw.get("PolicyAction", "")),
    )


def _cause(detail: Mapping[str, Any]) -> str:
    target = detail.get("Target", {})
    return str(target.get("Name") or target.get("Attribute") or "")


def compare(stack: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """The changes between two templates, as far as templates tell: whether a change replaces is not in them."""
    old: Mapping[str, Any] = before.get("Resources", {})
    new: Mapping[str, Any] = after.get("Resources", {})
    return [
        *(_change(stack, name, one["Type"], Verb.ADD) for name, one in new.items() if name not in old),
        *(
            _change(stack, name, one["Type"], _modified(old[name], one), _differing(old[name], one))
            for name, one in new.items()
            if name in old and _essence(old[name]) != _essence(one)
        ),
        *(
            _change(
                stack, name, one["Type"], Verb.REMOVE, keeps=str(one.get("DeletionPolicy", "")).startswith("Retain")
            )
            for name, one in old.items()
            if name not in new
        ),
    ]


def _essence(resource: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in resource.items() if key != "Metadata"}


def _modified(old: Mapping[str, Any], new: Mapping[str, Any]) -> Verb:
    if old["Type"] != new["Type"]:
        return Verb.REPLACE
    return Verb.MAYBE_REPLACE if new["Type"] in HOLD_DATA else Verb.MODIFY


def _differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, ...]:
    before, after = old.get("Properties", {}), new.get("Properties", {})
    return tuple(name for name in sorted({*before, *after}) if before.get(name) != after.get(name))


def reserved_concurrency(templates: Iterable[Mapping[str, Any]]) -> int:
    """How much of the account's concurrency the functions of these templates take for themselves."""
    return sum(
        int(one.get("Properties", {}).get("ReservedConcurrentExecutions") or 0)
        for template in templates
        for one in template.get("Resources", {}).values()
        if one.get("Type") == "AWS::Lambda::Function"
    )


def of_type(template: Mapping[str, Any], types: Sequence[str]) -> list[str]:
    """The logical ids of a template's resources of these types."""
    return [name for name, one in template.get("Resources", {}).items() if one.get("Type") in types]


def alarmed_metrics(templates: Iterable[Mapping[str, Any]]) -> int:
    """How many metrics the alarms of these templates watch: each costs, and an alarm on a sum has several."""
    resources = [one for template in templates for one in template.get("Resources", {}).values()]
    alarms = [one.get("Properties", {}) for one in resources if one.get("Type") == "AWS::CloudWatch::Alarm"]
    return sum(max(1, sum("MetricStat" in metric for metric in alarm.get("Metrics", ()))) for alarm in alarms)
