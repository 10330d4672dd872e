"""Stacks that take their time, fail, or were left half-way by somebody."""

from __future__ import annotations

from typing import Any

import pytest
from flowrunner.adapters.aws.cloud import CloudError
from flowrunner.adapters.aws.stacks import NotYet, Stacks
from flowrunner.adapters.aws.toolkit import bootstrap
from flowrunner.errors import DeploymentFailed
from flowrunner.ports.installer import Happening, Verb

from tests.cloudformation import ChangeSet, FakeCloudFormation, refused


class Scene:
    """A fake CloudFormation, the stacks over it, and what they told."""

    def __init__(self) -> None:
        self.aws = FakeCloudFormation()
        self.told: list[Happening] = []
        client: Any = self.aws
        self.stacks = Stacks(client, self.told.append, self.aws.wait)

    def statuses(self) -> list[tuple[str, str]]:
        return [(one.resource, one.status) for one in self.told]


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_stack_that_is_not_there_is_none(scene: Scene) -> None:
    """By name; and it has no template."""
    assert scene.stacks.find("data") is None
    assert scene.stacks.template("data") == {}


def test_another_refusal_is_no_absence(scene: Scene) -> None:
    """A name that is not valid is an error."""

    def describe(StackName: str) -> Any:  # noqa: N803 - the client's names
        raise refused("1 validation error detected", "DescribeStacks")

    scene.aws.describe_stacks = describe  # type: ignore[method-assign]  # what AWS says to a bad name
    with pytest.raises(CloudError, match="1 validation error"):
        scene.stacks.find("*")


def test_stacks_are_found_by_their_tags(scene: Scene) -> None:
    """All tags have to be there; one that has ended does not count."""
    scene.aws.add("a", "CREATE_COMPLETE", tags={"stage": "dev", "part": "data"})
    scene.aws.add("b", "CREATE_COMPLETE", tags={"stage": "prod"})
    scene.aws.add("c", "DELETE_COMPLETE", tags={"stage": "dev"})
    assert [one.name for one in scene.stacks.tagged({"stage": "dev"})] == ["a"]


# -- settling -----------------------------------------------------------------------------------------------------


def test_what_is_under_way_is_waited_for(scene: Scene) -> None:
    """Somebody else's deployment, or our own before it was interrupted; what happens meanwhile is told."""
    scene.aws.add("data", "UPDATE_IN_PROGRESS", [("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", ()), ("UPDATE_COMPLETE", ())])
    settled = scene.stacks.settle("data")
    assert settled is not None
    assert settled.status == "UPDATE_COMPLETE"
    assert scene.told[0].reason == "waiting for what is under way"
    assert scene.statuses()[1:] == [("data", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"), ("data", "UPDATE_COMPLETE")]


def test_what_is_being_deleted_is_waited_for(scene: Scene) -> None:
    """After that there is nothing."""
    scene.aws.add("data", "DELETE_IN_PROGRESS", [("DELETE_COMPLETE", ())])
    assert scene.stacks.settle("data") is None


@pytest.mark.parametrize("status", ["ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"])
def test_what_was_never_whole_is_deleted(status: str, scene: Scene) -> None:
    """CloudFormation does nothing else with it."""
    scene.aws.add("data", status)
    assert scene.stacks.settle("data") is None
    assert scene.aws.calls == ["delete data"]
    assert scene.told[0].reason.startswith("it was never made whole")


def test_a_creation_under_way_that_fails_is_deleted(scene: Scene) -> None:
    """Interrupted, called again, and meanwhile rolled back."""
    scene.aws.add("data", "CREATE_IN_PROGRESS", [("ROLLBACK_IN_PROGRESS", ()), ("ROLLBACK_COMPLETE", ())])
    assert scene.stacks.settle("data") is None
    assert scene.aws.calls == ["delete data"]


def test_an_empty_stack_is_made_anew(scene: Scene) -> None:
    """One that only has a plan: nothing was ever made."""
    scene.aws.add("data", "REVIEW_IN_PROGRESS")
    assert scene.stacks.settle("data") is None
    assert scene.stacks.plan("data", "url", {}, "label") is not None
    assert scene.aws.calls == ["plan data CREATE"]


def test_a_rollback_that_failed_goes_on(scene: Scene) -> None:
    """It may work the second time."""
    scene.aws.add("data", "UPDATE_ROLLBACK_FAILED")
    settled = scene.stacks.settle("data")
    assert settled is not None
    assert settled.status == "UPDATE_ROLLBACK_COMPLETE"


def test_a_rollback_that_fails_again_is_for_people(scene: Scene) -> None:
    """Nothing is deleted to get out of it."""
    scene.aws.add("data", "UPDATE_ROLLBACK_FAILED")
    scene.aws.next_ahead = [("UPDATE_ROLLBACK_FAILED", ())]
    with pytest.raises(DeploymentFailed, match="the rollback of data fails again"):
        scene.stacks.settle("data")
    assert scene.aws.calls == ["continue data"]


# -- planning -----------------------------------------------------------------------------------------------------


def test_a_plan_has_all_pages(scene: Scene) -> None:
    """Once it is ready."""
    scene.aws.add("data", "CREATE_COMPLETE")
    first = {"Action": "Add", "LogicalResourceId": "A", "ResourceType": "T"}
    second = {"Action": "Modify", "Replacement": "True", "LogicalResourceId": "B", "ResourceType": "T"}
    scene.aws.next_change_set = ChangeSet("", pages=[[first], [second]], pending=2)
    plan = scene.stacks.plan("data", "url", {}, "label")
    assert plan is not None
    assert [(one.resource, one.verb) for one in plan.changes] == [("A", Verb.ADD), ("B", Verb.REPLACE)]
    assert scene.aws.waits == 2


@pytest.mark.parametrize(
    "reason",
    [
        "The submitted information didn't contain changes. Submit different information to create a change set.",
        "No updates are to be performed.",
    ],
)
def test_no_changes_are_no_plan(reason: str, scene: Scene) -> None:
    """And the empty change set does not stay behind."""
    scene.aws.add("data", "CREATE_COMPLETE")
    scene.aws.next_change_set = ChangeSet("", "FAILED", reason)
    assert scene.stacks.plan("data", "url", {}, "label") is None
    assert scene.aws.change_sets == {}


def test_a_stack_that_needs_another_is_not_planned_yet(scene: Scene) -> None:
    """Whether CloudFormation says so at once or later."""
    scene.aws.add("api", "CREATE_COMPLETE")
    scene.aws.next_change_set = ChangeSet("", "FAILED", "No export named data:Queue found")
    with pytest.raises(NotYet):
        scene.stacks.plan("api", "url", {}, "label")
    scene.aws.next_change_set = refused("No export named data:Queue found. Rollback requested", "CreateChangeSet")
    with pytest.raises(NotYet):
        scene.stacks.plan("api", "url", {}, "label")


def test_a_plan_that_fails_says_why(scene: Scene) -> None:
    """And leaves neither a change set nor an empty stack."""
    scene.aws.next_change_set = ChangeSet("", "FAILED", "Template format error")
    with pytest.raises(DeploymentFailed, match="api cannot be planned: Template format error"):
        scene.stacks.plan("api", "url", {}, "label")
    assert (scene.aws.change_sets, scene.aws.stacks) == ({}, {})
    scene.aws.next_change_set = refused("denied", "CreateChangeSet", "AccessDenied")
    with pytest.raises(CloudError, match="lack a permission"):
        scene.stacks.plan("api", "url", {}, "label")


def test_a_plan_can_be_discarded_twice(scene: Scene) -> None:
    """Somebody else may have been quicker."""
    scene.aws.add("data", "CREATE_COMPLETE")
    plan = scene.stacks.plan("data", "url", {}, "label")
    assert plan is not None
    scene.stacks.discard(plan)
    scene.stacks.discard(plan)
    assert "data" in scene.aws.stacks


# -- carrying out -------------------------------------------------------------------------------------------------


def test_what_happens_is_told_in_order_and_once(scene: Scene) -> None:
    """Not what had happened before."""
    stack = scene.aws.add("data", "CREATE_COMPLETE", [("UPDATE_COMPLETE", [("Old", "UPDATE_COMPLETE", "")])])
    scene.aws.wait(1)
    plan = scene.stacks.plan("data", "url", {}, "label")
    assert plan is not None
    scene.aws.next_ahead = [
        ("UPDATE_IN_PROGRESS", [("Queue", "UPDATE_IN_PROGRESS", ""), ("Queue", "UPDATE_COMPLETE", "")]),
        ("UPDATE_COMPLETE", [("Key", "UPDATE_COMPLETE", "")]),
    ]
    stack.outputs["Url"] = "https://example.com"
    done = scene.stacks.carry_out(plan)
    assert done.outputs == {"Url": "https://example.com"}
    assert scene.statuses() == [
        ("Queue", "UPDATE_IN_PROGRESS"),
        ("Queue", "UPDATE_COMPLETE"),
        ("data", "UPDATE_IN_PROGRESS"),
        ("Key", "UPDATE_COMPLETE"),
        ("data", "UPDATE_COMPLETE"),
    ]


def test_a_failure_names_the_first_cause(scene: Scene) -> None:
    """Not what was cancelled because of it."""
    scene.aws.add("data", "CREATE_COMPLETE")
    plan = scene.stacks.plan("data", "url", {}, "label")
    assert plan is not None
    scene.aws.next_ahead = [
        (
            "UPDATE_ROLLBACK_COMPLETE",
            [
                ("Key", "UPDATE_FAILED", "Resource update cancelled"),
                ("Function", "UPDATE_FAILED", "ReservedConcurrentExecutions is too high"),
            ],
        )
    ]
    with pytest.raises(DeploymentFailed, match=r"UPDATE_ROLLBACK_COMPLETE: Function .*: Reserved") as caught:
        scene.stacks.carry_out(plan)
    assert caught.value.details["status"] == "UPDATE_ROLLBACK_COMPLETE"


def test_a_failure_without_events_has_its_status(scene: Scene) -> None:
    """Better than nothing."""
    scene.aws.add("data", "CREATE_COMPLETE")
    plan = scene.stacks.plan("data", "url", {}, "label")
    assert plan is not None
    scene.aws.next_ahead = [("UPDATE_ROLLBACK_FAILED", ())]
    with pytest.raises(DeploymentFailed, match="UPDATE_ROLLBACK_FAILED: no reason is given"):
        scene.stacks.carry_out(plan)


def test_a_deletion_that_fails_is_told(scene: Scene) -> None:
    """With its cause; and called again it goes on."""
    scene.aws.add("data", "CREATE_COMPLETE")
    found = scene.stacks.find("data")
    assert found is not None
    scene.aws.next_ahead = [("DELETE_FAILED", [("Bucket", "DELETE_FAILED", "The bucket is not empty")])]
    with pytest.raises(DeploymentFailed, match=r"Bucket .*: The bucket is not empty"):
        scene.stacks.delete(found)
    scene.stacks.delete(found)
    assert scene.aws.stacks["data"].status == "DELETE_COMPLETE"


def test_data_is_guarded_by_cloudformation_itself(scene: Scene) -> None:
    """It refuses to replace or delete what holds data, whoever asks; until it is allowed again."""
    stack = scene.aws.add("data", "CREATE_COMPLETE")
    scene.stacks.guard_data("data", on=True)
    allow, deny = stack.policy["Statement"]
    assert (allow["Effect"], allow["Action"]) == ("Allow", "Update:*")
    assert (deny["Effect"], deny["Action"]) == ("Deny", ["Update:Replace", "Update:Delete"])
    assert "AWS::DynamoDB::Table" in deny["Condition"]["StringEquals"]["ResourceType"]
    scene.stacks.guard_data("data", on=False)
    assert [one["Effect"] for one in stack.policy["Statement"]] == ["Allow"]


# -- the bootstrap ------------------------------------------------------------------------------------------------


def test_the_bootstrap_is_made_once(scene: Scene) -> None:
    """A stack under the CDK's own name, whose bucket outlives it."""
    bootstrap(scene.stacks)
    made = scene.aws.stacks["CDKToolkit"]
    assert (made.status, made.template["Resources"]["StagingBucket"]["DeletionPolicy"]) == ("CREATE_COMPLETE", "Retain")
    with pytest.raises(DeploymentFailed, match="no parameter"):
        bootstrap(scene.stacks)


def test_a_bootstrap_that_failed_is_made_anew(scene: Scene) -> None:
    """And one that fails says why."""
    scene.aws.add("CDKToolkit", "ROLLBACK_COMPLETE")
    scene.aws.next_ahead = None
    bootstrap(scene.stacks)
    assert scene.aws.calls == ["delete CDKToolkit", "create CDKToolkit"]
    del scene.aws.stacks["CDKToolkit"]
    scene.aws.next_ahead = [("ROLLBACK_COMPLETE", [("StagingBucket", "CREATE_FAILED", "it exists already")])]
    with pytest.raises(DeploymentFailed, match="it exists already"):
        bootstrap(scene.stacks)
