"""What CloudFormation says of a stack: its status, its outputs, and what happens to its resources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flowrunner.adapters.aws.cloud import DeploymentFailed

NEVER_MADE = frozenset({"REVIEW_IN_PROGRESS"})
DEAD = frozenset({"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"})
"""A stack in one of these can only be deleted."""
STUCK = "UPDATE_ROLLBACK_FAILED"
GOOD = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"})


@dataclass(frozen=True, slots=True)
class Found:
    """A stack that is there."""

    name: str
    id: str
    status: str
    reason: str = ""
    outputs: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    protected: bool = False

    @property
    def exists(self) -> bool:
        """Whether it has resources: it was made, if maybe badly."""
        return self.status not in NEVER_MADE

    @property
    def busy(self) -> bool:
        return self.status.endswith("_IN_PROGRESS") and self.status not in NEVER_MADE


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that happened to a resource of a stack."""

    stack: str
    resource: str
    type: str
    status: str
    reason: str = ""

    @property
    def failed(self) -> bool:
        return self.status.endswith("_FAILED")


def found_stack(raw: Any) -> Found:
    return Found(
        name=str(raw["StackName"]),
        id=str(raw.get("StackId") or raw["StackName"]),
        status=str(raw["StackStatus"]),
        reason=str(raw.get("StackStatusReason", "")),
        outputs={one["OutputKey"]: one["OutputValue"] for one in raw.get("Outputs", ())},
        tags={one["Key"]: one["Value"] for one in raw.get("Tags", ())},
        protected=bool(raw.get("EnableTerminationProtection")),
    )


def happening(stack: str, event: Any) -> Happening:
    return Happening(
        stack,
        str(event.get("LogicalResourceId", "")),
        str(event.get("ResourceType", "")),
        str(event.get("ResourceStatus", "")),
        str(event.get("ResourceStatusReason", "")),
    )


def failure(stack: str, found: Found | None, failures: Sequence[Happening]) -> DeploymentFailed:
    """The error that names the first cause: the rest was cancelled because of it."""
    status = found.status if found else "DELETE_COMPLETE"
    of_resources = [one for one in failures if one.resource != stack]
    causes = [one for one in of_resources if "cancelled" not in one.reason.lower()] or of_resources
    if not causes:
        reason = found.reason if found else "it was deleted meanwhile"
        return DeploymentFailed(
            f"{stack} ended as {status}: {reason or 'no reason is given'}", stack=stack, status=status
        )
    first = causes[0]
    return DeploymentFailed(
        f"{stack} ended as {status}: {first.resource} ({first.type}): {first.reason or first.status}",
        hint="what had been changed is rolled back; put the cause right and deploy again",
        stack=stack,
        status=status,
    )
