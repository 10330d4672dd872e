"""Findings of cdk-nag that we accept, next to what they are about: each with its reason."""

from __future__ import annotations

from aws_cdk import Acknowledgment, CfnElement, Stack, Validations
from constructs import IConstruct


def accept(construct: IConstruct, rule: str, reason: str) -> None:
    """Accept a finding of `AwsSolutionsChecks` for this construct and what is in it."""
    Validations.of(construct).acknowledge(Acknowledgment(id=rule, reason=reason))


def wildcard(resource: str) -> str:
    """The finding that a role names a resource with `*` in it."""
    return f"AwsSolutions-IAM5[Resource::{resource}]"


def seen_from(reader: Stack, owner: Stack, construct: IConstruct, value: str, attribute: str = "") -> str:
    """How cdk-nag writes `value`, which is of a construct of `owner`, where the stack `reader` uses it."""
    if reader is not owner:
        imported: str = owner.resolve(owner.export_value(value))["Fn::ImportValue"]
        return imported
    raw = construct.node.default_child
    assert isinstance(raw, CfnElement), "the construct is made of one resource"
    logical = owner.get_logical_id(raw)
    return f"<{logical}.{attribute}>" if attribute else f"<{logical}>"
