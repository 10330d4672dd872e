"""A CloudFormation that takes its time and fails as told, which moto does not: stacks move on when somebody waits."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

Event = tuple[str, str, str]
"""Logical id, status, reason."""
Ahead = Sequence[tuple[str, Sequence[Event]]]
"""What a stack goes through, wait by wait: its status, and the events that come with it."""


@dataclass
class Standing:
    """A stack."""

    name: str
    status: str
    template: Mapping[str, Any] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    protected: bool = False
    policy: Any = None
    events: list[dict[str, str]] = field(default_factory=list)
    ahead: deque[tuple[str, Sequence[Event]]] = field(default_factory=deque)


class ChangeSetNotFoundException(ClientError):
    """What boto3 makes of the code."""


class Exceptions:
    """The client's own."""

    ChangeSetNotFoundException = ChangeSetNotFoundException


def refused(message: str, operation: str, code: str = "ValidationError") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


@dataclass
class ChangeSet:
    """One that was made. `pages`: what describing it gives, page by page."""

    stack: str
    status: str = "CREATE_COMPLETE"
    reason: str = ""
    pages: Sequence[Sequence[Mapping[str, Any]]] = ((),)
    pending: int = 0


class FakeCloudFormation:
    """The calls of the client that `Stacks` uses. `wait` is the only clock."""

    exceptions = Exceptions

    def __init__(self) -> None:
        self.stacks: dict[str, Standing] = {}
        self.change_sets: dict[str, ChangeSet] = {}
        self.calls: list[str] = []
        self.waits = 0
        self.next_change_set: ChangeSet | ClientError = ChangeSet("")
        self.next_ahead: Ahead | None = None
        """What the next call that changes a stack sets off; None: that it ends well."""

    # -- for tests ----------------------------------------------------------------------------------------------

    def add(self, name: str, status: str, ahead: Ahead = (), **more: Any) -> Standing:
        """A stack, and what it will go through without being asked."""
        self.stacks[name] = Standing(name, status, ahead=deque(ahead), **more)
        return self.stacks[name]

    def wait(self, seconds: float) -> None:
        """Let everything move on by one."""
        assert seconds > 0, "a wait takes some time"
        self.waits += 1
        assert self.waits < 50, "nothing will ever come of it"
        for one in self.change_sets.values():
            one.pending = max(0, one.pending - 1)
        for stack in self.stacks.values():
            if stack.ahead:
                stack.status, events = stack.ahead.popleft()
                for logical, status, reason in events:
                    self._event(stack, logical, status, reason)
                self._event(stack, stack.name, stack.status, "")

    def _event(self, stack: Standing, logical: str, status: str, reason: str) -> None:
        number = len(stack.events)
        stack.events.insert(
            0,
            {
                "EventId": f"{stack.name}-{number}",
                "LogicalResourceId": logical,
                "ResourceType": "AWS::Test::Thing",
                "ResourceStatus": status,
                "ResourceStatusReason": reason,
            },
        )

    def _begin(self, stack: Standing, status: str, end: str) -> None:
        stack.status = status
        stack.ahead = deque(self.next_ahead if self.next_ahead is not None else [(end, ())])
        self.next_ahead = None

    def _stack(self, name: str, operation: str) -> Standing:
        """By name, or by id, which is the same here."""
        if name not in self.stacks:
            raise refused(f"Stack with id {name} does not exist", operation)
        return self.stacks[name]

    # -- the client's calls -------------------------------------------------------------------------------------

    def describe_stacks(self, StackName: str) -> dict[str, Any]:  # noqa: N803 - the client's names
        return {"Stacks": [_described(self._stack(StackName, "DescribeStacks"))]}

    def get_paginator(self, name: str) -> FakePages:
        return FakePages(self, name)

    def get_template(self, StackName: str) -> dict[str, Any]:  # noqa: N803 - the client's names
        return {"TemplateBody": json.dumps(self._stack(StackName, "GetTemplate").template)}

    def describe_stack_events(self, StackName: str) -> dict[str, Any]:  # noqa: N803 - the client's names
        return {"StackEvents": self._stack(StackName, "DescribeStackEvents").events}

    def create_change_set(self, **given: Any) -> dict[str, str]:
        name = given["StackName"]
        self.calls.append(f"plan {name} {given['ChangeSetType']}")
        if isinstance(self.next_change_set, ClientError):
            raise self.next_change_set
        if given["ChangeSetType"] == "CREATE" and name not in self.stacks:
            self.add(name, "REVIEW_IN_PROGRESS")
        made, self.next_change_set = self.next_change_set, ChangeSet("")
        made.stack = name
        self.change_sets[given["ChangeSetName"]] = made
        return {"Id": given["ChangeSetName"]}

    def describe_change_set(self, ChangeSetName: str, StackName: str, NextToken: str = "0") -> dict[str, Any]:  # noqa: N803 - the client's names
        made = self.change_sets[ChangeSetName]
        page = int(NextToken)
        status = "CREATE_IN_PROGRESS" if made.pending else made.status
        more = {"NextToken": str(page + 1)} if page + 1 < len(made.pages) else {}
        changes = [{"ResourceChange": one} for one in made.pages[page]]
        return {"Status": status, "StatusReason": made.reason, "Changes": changes, **more}

    def delete_change_set(self, ChangeSetName: str, StackName: str) -> None:  # noqa: N803 - the client's names
        self.calls.append(f"discard {StackName}")
        if self.change_sets.pop(ChangeSetName, None) is None:
            error: Any = {"Error": {"Code": "ChangeSetNotFound", "Message": "gone"}}
            raise ChangeSetNotFoundException(error, "DeleteChangeSet")

    def execute_change_set(self, ChangeSetName: str, StackName: str) -> None:  # noqa: N803 - the client's names
        self.calls.append(f"execute {StackName}")
        self.change_sets.pop(ChangeSetName)
        stack = self.stacks[StackName]
        made = "CREATE" if stack.status == "REVIEW_IN_PROGRESS" else "UPDATE"
        self._begin(stack, f"{made}_IN_PROGRESS", f"{made}_COMPLETE")

    def create_stack(self, StackName: str, TemplateBody: str) -> dict[str, str]:  # noqa: N803 - the client's names
        self.calls.append(f"create {StackName}")
        stack = self.add(StackName, "CREATE_IN_PROGRESS", template=json.loads(TemplateBody))
        self._begin(stack, "CREATE_IN_PROGRESS", "CREATE_COMPLETE")
        return {"StackId": StackName}

    def delete_stack(self, StackName: str) -> None:  # noqa: N803 - the client's names
        self.calls.append(f"delete {StackName}")
        stack = self._stack(StackName, "DeleteStack")
        if stack.status == "REVIEW_IN_PROGRESS":
            del self.stacks[StackName]
        else:
            self._begin(stack, "DELETE_IN_PROGRESS", "DELETE_COMPLETE")

    def continue_update_rollback(self, StackName: str) -> None:  # noqa: N803 - the client's names
        self.calls.append(f"continue {StackName}")
        self._begin(self.stacks[StackName], "UPDATE_ROLLBACK_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE")

    def update_termination_protection(self, StackName: str, EnableTerminationProtection: bool) -> None:  # noqa: N803 - the client's names
        self.stacks[StackName].protected = EnableTerminationProtection

    def set_stack_policy(self, StackName: str, StackPolicyBody: str) -> None:  # noqa: N803 - the client's names
        self.stacks[StackName].policy = json.loads(StackPolicyBody)


@dataclass
class FakePages:
    """A paginator: one entry to a page."""

    client: FakeCloudFormation
    name: str

    def paginate(self, StackName: str = "") -> Iterator[dict[str, Any]]:  # noqa: N803 - the client's names
        if self.name == "describe_stack_events":
            for event in self.client.describe_stack_events(StackName)["StackEvents"]:
                yield {"StackEvents": [event]}
            return
        if self.name == "list_stack_resources":
            yield {"StackResourceSummaries": []}
            return
        for stack in self.client.stacks.values():
            yield {"Stacks": [_described(stack)]}


def _described(stack: Standing) -> dict[str, Any]:
    return {
        "StackName": stack.name,
        "StackId": stack.name,
        "StackStatus": stack.status,
        "Outputs": [{"OutputKey": key, "OutputValue": value} for key, value in stack.outputs.items()],
        "Tags": [{"Key": key, "Value": value} for key, value in stack.tags.items()],
        "EnableTerminationProtection": stack.protected,
    }
