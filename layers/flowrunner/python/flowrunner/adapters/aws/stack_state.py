"""What CloudFormation says of a stack: its status, its outputs, and what happens to its resources."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flowrunner.errors import DeploymentFailed
from flowrunner.ports.installer import Found, Happening

DEAD = frozenset({"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"})
"""A stack in one of these can only be deleted."""
STUCK = "UPDATE_ROLLBACK_FAILED"
GOOD = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"})


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
