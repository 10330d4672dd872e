"""CloudFormation stacks: found, changed by change sets, watched, deleted.

Everything can be done again after it was interrupted: a stack that is still busy is waited for, one whose creation
failed is taken away first, and a change set that nothing came of is removed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from flowrunner.adapters.aws.changes import HOLD_DATA, read_change
from flowrunner.adapters.aws.cloud import CloudError, asked, error_code
from flowrunner.adapters.aws.stack_state import DEAD, GOOD, STUCK, failure, found_stack, happening
from flowrunner.errors import DeploymentFailed
from flowrunner.ports.installer import Change, Found, Happening

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.literals import CapabilityType

EVERY = 2.0
"""Seconds between two looks at something that takes its time."""

CAPABILITIES: Sequence[CapabilityType] = ("CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND")
NO_CHANGE = ("didn't contain changes", "No updates are to be performed")
"""How CloudFormation says that a change set is empty: it has no code for it."""
UNRESOLVED = ("No export named", "Fn::GetStackOutput")
"""How it says that another stack has to come first."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A change set that waits to be carried out."""

    stack: str
    id: str
    changes: tuple[Change, ...]


class NotYet(DeploymentFailed):
    """The stack refers to another one that has to be deployed first."""


class Stacks:
    """See the module. `tell` hears what happens; `wait` lets so many seconds pass."""

    def __init__(
        self,
        client: CloudFormationClient,
        tell: Callable[[Happening], None] = lambda happening: None,
        wait: Callable[[float], object] | None = None,
        role: str = "",
    ) -> None:
        self._client = client
        self._tell = tell
        self._wait = wait or Event().wait
        self._role: Any = {"RoleARN": role} if role else {}

    # -- looking ------------------------------------------------------------------------------------------------

    def find(self, name: str) -> Found | None:
        """A stack by its name, or by its id also after its end."""
        with asked(f"looking for the stack {name}"):
            try:
                found = self._client.describe_stacks(StackName=name)["Stacks"]
            except ClientError as error:
                if error_code(error) == "ValidationError" and "does not exist" in str(error):
                    return None
                raise
        return found_stack(found[0]) if found else None

    def tagged(self, tags: Mapping[str, str]) -> list[Found]:
        """All stacks that carry these tags, and have not ended."""
        with asked("listing the stacks"):
            pages = self._client.get_paginator("describe_stacks").paginate()
            stacks = [found_stack(one) for page in pages for one in page["Stacks"]]
        return [
            one
            for one in stacks
            if one.status != "DELETE_COMPLETE" and all(one.tags.get(k) == v for k, v in tags.items())
        ]

    def template(self, name: str) -> dict[str, Any]:
        """The template that a stack was deployed with; empty if it has none yet."""
        with asked(f"reading the template of {name}"):
            try:
                body: Any = self._client.get_template(StackName=name).get("TemplateBody") or {}
            except ClientError as error:
                if error_code(error) == "ValidationError":
                    return {}
                raise
        found = json.loads(body) if isinstance(body, str) else body
        return dict(found)

    def resources(self, name: str) -> list[tuple[str, str, str]]:
        """Logical id, type and physical id of a stack's resources."""
        with asked(f"listing the resources of {name}"):
            pages = self._client.get_paginator("list_stack_resources").paginate(StackName=name)
            return [
                (one["LogicalResourceId"], one["ResourceType"], one.get("PhysicalResourceId", ""))
                for page in pages
                for one in page["StackResourceSummaries"]
            ]

    # -- changing -----------------------------------------------------------------------------------------------

    def settle(self, name: str) -> Found | None:
        """The stack as it is once nothing is under way, and None where there is nothing that could be updated.

        What an earlier creation left behind is deleted. Raises `DeploymentFailed` when that, or going on after a
        rollback that had failed, does not work.
        """
        found = self.find(name)
        if found is not None and found.busy:
            self._tell(Happening(name, name, "", found.status, "waiting for what is under way"))
            found = self._follow(found, before=None)
        if found is None or found.status == "DELETE_COMPLETE" or not found.exists:
            return None
        if found.status in DEAD:
            self._tell(Happening(name, name, "", found.status, "it was never made whole: deleting what is left of it"))
            self.delete(found)
            return None
        if found.status == STUCK:
            self._tell(Happening(name, name, "", found.status, "going on with the rollback that had failed"))
            before = self._newest(found.id)
            with asked(f"going on with the rollback of {name}"):
                self._client.continue_update_rollback(StackName=name, **self._role)
            found = self._follow(found, before)
            if found is None or found.status == STUCK:
                raise DeploymentFailed(
                    f"the rollback of {name} fails again",
                    hint="look at its events in the CloudFormation console; it can leave single resources out",
                )
        return found

    def plan(self, name: str, template_url: str, tags: Mapping[str, str], label: str) -> Plan | None:
        """A change set for a stack, new or not; None when nothing would change.

        Raises `NotYet` when the stack refers to what another one does not have yet.
        """
        found = self.find(name)
        made = found is not None and found.exists
        try:
            with asked(f"planning {name}"):
                answer = self._client.create_change_set(
                    StackName=name,
                    ChangeSetName=label,
                    ChangeSetType="UPDATE" if made else "CREATE",
                    TemplateURL=template_url,
                    Capabilities=CAPABILITIES,
                    Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
                    **self._role,
                )
        except CloudError as error:
            if any(text in error.message for text in UNRESOLVED):
                raise NotYet(error.message) from error
            raise
        identifier = answer["Id"]
        status, reason, changes = self._read(name, identifier)
        while status in ("CREATE_PENDING", "CREATE_IN_PROGRESS"):
            self._wait(EVERY)
            status, reason, changes = self._read(name, identifier)
        plan = Plan(name, identifier, tuple(changes))
        if status != "FAILED":
            return plan
        self.discard(plan)
        if any(text in reason for text in NO_CHANGE):
            return None
        if any(text in reason for text in UNRESOLVED):
            raise NotYet(f"{name}: {reason}")
        raise DeploymentFailed(f"{name} cannot be planned: {reason}")

    def _read(self, name: str, identifier: str) -> tuple[str, str, list[Change]]:
        changes: list[Change] = []
        status = reason = token = ""
        while True:
            more: Any = {"NextToken": token} if token else {}
            with asked(f"reading the plan of {name}"):
                page = self._client.describe_change_set(ChangeSetName=identifier, StackName=name, **more)
            status, reason = str(page["Status"]), str(page.get("StatusReason", ""))
            changes += [read_change(name, one["ResourceChange"]) for one in page["Changes"] if "ResourceChange" in one]
            token = page.get("NextToken", "")
            if not token:
                return status, reason, changes

    def discard(self, plan: Plan) -> None:
        """Take a change set away, and the empty stack that it may have been made with."""
        with asked(f"removing the plan of {plan.stack}"), suppress(self._client.exceptions.ChangeSetNotFoundException):
            self._client.delete_change_set(ChangeSetName=plan.id, StackName=plan.stack)
        found = self.find(plan.stack)
        if found is not None and not found.exists:
            with asked(f"removing {plan.stack}"):
                self._client.delete_stack(StackName=found.id)

    def create(self, name: str, template: str) -> None:
        """Make a small stack at once, and stay until it is made. Raises `DeploymentFailed`."""
        with asked(f"making {name}"):
            identifier = self._client.create_stack(StackName=name, TemplateBody=template, **self._role)["StackId"]
        failures: list[Happening] = []
        done = self._follow(Found(name, identifier, "CREATE_IN_PROGRESS"), "", failures)
        if done is None or done.status not in GOOD:
            raise failure(name, done, failures)

    def carry_out(self, plan: Plan) -> Found:
        """Execute a change set, and stay until it is done. Raises `DeploymentFailed` with the first cause."""
        found = self.find(plan.stack)
        assert found is not None, "planning made it"
        before = self._newest(found.id)
        with asked(f"deploying {plan.stack}"):
            self._client.execute_change_set(ChangeSetName=plan.id, StackName=plan.stack)
        failures: list[Happening] = []
        done = self._follow(found, before, failures)
        if done is None or done.status not in GOOD:
            raise failure(plan.stack, done, failures)
        return done

    def delete(self, found: Found) -> None:
        """Delete a stack, and stay until it is gone. Raises `DeploymentFailed`."""
        before = self._newest(found.id)
        with asked(f"deleting {found.name}"):
            self._client.delete_stack(StackName=found.id, **self._role)
        failures: list[Happening] = []
        done = self._follow(found, before, failures)
        if done is not None and done.status != "DELETE_COMPLETE":
            raise failure(found.name, done, failures)

    def protect(self, name: str, *, on: bool) -> None:
        """Whether the stack can be deleted."""
        with asked(f"changing the termination protection of {name}"):
            self._client.update_termination_protection(StackName=name, EnableTerminationProtection=on)

    def guard_data(self, name: str, *, on: bool) -> None:
        """Make CloudFormation itself refuse updates that replace or delete what holds data; or allow them again.

        A change set cannot always tell whether a change will replace a resource; a stack policy is looked at when it
        does (docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/protect-stack-resources.html).
        """
        statements: list[dict[str, Any]] = [
            {"Effect": "Allow", "Action": "Update:*", "Principal": "*", "Resource": "*"}
        ]
        if on:
            statements.append(
                {
                    "Effect": "Deny",
                    "Action": ["Update:Replace", "Update:Delete"],
                    "Principal": "*",
                    "Resource": "*",
                    "Condition": {"StringEquals": {"ResourceType": sorted(HOLD_DATA)}},
                }
            )
        with asked(f"setting the stack policy of {name}"):
            self._client.set_stack_policy(StackName=name, StackPolicyBody=json.dumps({"Statement": statements}))

    # -- watching -----------------------------------------------------------------------------------------------

    def _follow(self, found: Found, before: str | None, failures: list[Happening] | None = None) -> Found | None:
        """Tell what happens until nothing is under way; the stack as it is then, None if it is gone."""
        last = before if before is not None else self._newest(found.id)
        while True:
            now = self.find(found.id)
            last, news = self._since(found, last)
            for one in news:
                self._tell(one)
                if failures is not None and one.failed:
                    failures.append(one)
            if now is None or not now.busy:
                return now
            self._wait(EVERY)

    def _newest(self, stack: str) -> str:
        with asked("reading the stack's events"), suppress(ClientError):
            events = self._client.describe_stack_events(StackName=stack)["StackEvents"]
            return events[0]["EventId"] if events else ""
        return ""

    def _since(self, found: Found, last: str) -> tuple[str, Sequence[Happening]]:
        """What happened after the event `last`, oldest first, and the newest event; events come newest first."""
        news: list[Happening] = []
        newest = last
        try:
            for page in self._client.get_paginator("describe_stack_events").paginate(StackName=found.id):
                for event in page["StackEvents"]:
                    if event["EventId"] == last:
                        return newest, news[::-1]
                    newest = event["EventId"] if newest == last else newest
                    news.append(happening(found.name, event))
        except ClientError as error:
            if error_code(error) != "ValidationError":  # which means that it is gone
                raise CloudError(f"reading the events of {found.name}: {error}", code=error_code(error)) from error
        return newest, news[::-1]
