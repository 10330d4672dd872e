"""Putting an assembly into an account: what would change, in which order, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flowrunner.adapters.aws.assets import Publisher
from flowrunner.adapters.aws.cloud import Cloud as Operator
from flowrunner.adapters.aws.deployment import Deployment
from flowrunner.adapters.aws.stacks import Stacks
from flowrunner.errors import DeploymentFailed
from flowrunner.ports.installer import Happening, Verb

from tests.assemblies import ACCOUNT, BUCKET, QUEUE, Made, assembly, table
from tests.aws import cloud
from tests.cloudformation import ChangeSet, FakeCloudFormation

ENGINE = Made("engine", {"Topic": {"Type": "AWS::SNS::Topic"}}, needs=["data"])
DATA = Made(
    "data",
    {**QUEUE, "Table": table()},
    outputs={"TableName": {"Value": {"Ref": "Table"}}},
    tags={"flowrunner:stage": "dev"},
)


@pytest.fixture
def aws() -> Iterator[Operator]:
    with cloud() as made:
        made.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        yield Operator("eu-west-1")


class Scene:
    """A deployment of some stacks, again and again, and what was said."""

    def __init__(self, aws: Operator, folder: Path, client: Any, wait: Any = None) -> None:
        self.operator = aws
        self.s3 = aws.s3()
        self.dynamodb = aws.dynamodb()
        self.folder = folder
        self.said: list[str] = []
        self.told: list[Happening] = []
        self.stacks = Stacks(client, self.told.append, wait)
        self._count = 0

    def of(self, *made: Made) -> Deployment:
        self._count += 1
        read = assembly(self.folder / str(self._count), *made)
        publisher = Publisher(self.s3, ACCOUNT)
        return Deployment(read, self.stacks, self.operator, publisher, f"label-{self._count}", self.said.append)

    def deploy(self, *made: Made, allow_losses: bool = False) -> dict[str, Any]:
        return {**self.of(*made).deploy(allow_losses=allow_losses)}


@pytest.fixture
def scene(aws: Operator, tmp_path: Path) -> Scene:
    """Over moto, which makes real stacks at once."""
    return Scene(aws, tmp_path, aws.cloudformation())


@pytest.fixture
def fake() -> FakeCloudFormation:
    return FakeCloudFormation()


@pytest.fixture
def slow(aws: Operator, tmp_path: Path, fake: FakeCloudFormation) -> Scene:
    """Over a CloudFormation that takes its time."""
    return Scene(aws, tmp_path, fake, fake.wait)


def test_everything_is_made_in_order(scene: Scene) -> None:
    """With tags."""
    assert list(scene.deploy(ENGINE, DATA)) == ["data", "engine"]
    assert len(scene.dynamodb.list_tables()["TableNames"]) == 1
    found = scene.stacks.find("data")
    assert found is not None
    assert (found.status, found.tags) == ("CREATE_COMPLETE", {"flowrunner:stage": "dev"})


def test_the_second_time_nothing_changes(scene: Scene) -> None:
    """The same outputs, and no plan is made."""
    first = scene.deploy(ENGINE, DATA)
    scene.said.clear()
    assert scene.deploy(ENGINE, DATA) == first
    assert scene.said == ["data: nothing to change", "engine: nothing to change"]
    assert [(one.new, one.changes) for one in scene.of(ENGINE, DATA).preview()] == [(False, ()), (False, ())]


def test_a_preview_changes_nothing(scene: Scene) -> None:
    """Of stacks that are not there, and of those that are."""
    previews = scene.of(ENGINE, DATA).preview()
    assert [(one.stack, one.new, len(one.changes)) for one in previews] == [("data", True, 2), ("engine", True, 1)]
    assert scene.stacks.find("data") is None
    scene.deploy(ENGINE, DATA)
    more = Made("data", {**DATA.resources, "More": {"Type": "AWS::SQS::Queue"}}, tags=DATA.tags)
    preview = scene.of(more).preview()[0]
    assert [(one.resource, one.verb) for one in preview.changes] == [("More", Verb.ADD)]
    assert preview.exact
    assert "More" not in {logical for logical, _, _ in scene.stacks.resources("data")}


def test_taking_a_table_out_is_refused(scene: Scene) -> None:
    """Unless it is wanted; the stacks before it are deployed, it is left as it was."""
    scene.deploy(DATA)
    less = Made("data", QUEUE, tags=DATA.tags)
    with pytest.raises(DeploymentFailed, match=r"Table \(AWS::DynamoDB::Table, remove\)"):
        scene.deploy(less)
    assert len(scene.dynamodb.list_tables()["TableNames"]) == 1
    scene.deploy(less, allow_losses=True)
    assert scene.dynamodb.list_tables()["TableNames"] == []


def test_replacing_a_table_is_refused(slow: Scene, fake: FakeCloudFormation) -> None:
    """The change set says so, and goes."""
    fake.add("data", "CREATE_COMPLETE")
    replaced = {"Action": "Modify", "Replacement": "True", "LogicalResourceId": "Table"}
    fake.next_change_set = ChangeSet("", pages=[[{**replaced, "ResourceType": "AWS::DynamoDB::Table"}]])
    with pytest.raises(DeploymentFailed, match="--allow-replacement"):
        slow.deploy(DATA)
    assert fake.calls == ["plan data UPDATE", "discard data"]


def test_what_holds_data_is_guarded_but_for_a_wanted_replacement(slow: Scene, fake: FakeCloudFormation) -> None:
    """The guard is lifted for one deployment, and stands again after it, also after a rollback."""
    slow.deploy(DATA)
    assert len(fake.stacks["data"].policy["Statement"]) == 2
    policies: list[int] = []

    def watch(**given: Any) -> Any:
        policies.append(len(fake.stacks["data"].policy["Statement"]))
        return original(**given)

    original: Any = fake.execute_change_set
    fake.execute_change_set = watch  # type: ignore[assignment,method-assign]  # to look at the moment of it
    changed = Made("data", {**DATA.resources, "More": QUEUE["Queue"]}, tags=DATA.tags)
    slow.deploy(changed)
    slow.deploy(changed, allow_losses=True)
    fake.next_ahead = [("UPDATE_ROLLBACK_COMPLETE", ())]
    with pytest.raises(DeploymentFailed):
        slow.deploy(changed, allow_losses=True)
    assert policies == [2, 1, 1]
    assert len(fake.stacks["data"].policy["Statement"]) == 2


def test_outputs_are_known_whether_a_stack_changed_or_not(slow: Scene, fake: FakeCloudFormation) -> None:
    """The last thing that a deployment tells."""
    fake.add("data", "CREATE_COMPLETE", outputs={"TableName": "runs"}, tags=dict(DATA.tags))
    assert slow.deploy(DATA) == {"data": {"TableName": "runs"}}
    fake.stacks["data"].template = assembly(slow.folder / "same", DATA).stacks[0].template()
    assert slow.deploy(DATA) == {"data": {"TableName": "runs"}}
    assert fake.calls == ["plan data UPDATE", "execute data"]


def test_a_stack_without_data_needs_no_guard(slow: Scene, fake: FakeCloudFormation) -> None:
    """Its functions may be replaced at will."""
    slow.deploy(Made("engine", QUEUE))
    assert fake.stacks["engine"].policy is None


def test_after_an_interruption_it_goes_on(slow: Scene, fake: FakeCloudFormation) -> None:
    """The stack that was under way is waited for, then comes the rest."""
    made = fake.add("data", "CREATE_IN_PROGRESS", [("CREATE_COMPLETE", ())], tags=dict(DATA.tags))
    made.template = assembly(slow.folder / "same", DATA).stacks[0].template()
    slow.deploy(DATA, ENGINE)
    assert fake.calls == ["plan engine CREATE", "execute engine"]
    assert slow.said == ["data: nothing to change", "engine: 0 changes"]


def test_previews_say_what_is_in_the_way(slow: Scene, fake: FakeCloudFormation) -> None:
    """A failed creation, and something that is under way."""
    fake.add("data", "ROLLBACK_COMPLETE")
    fake.add("engine", "UPDATE_IN_PROGRESS", template={"Resources": {"Old": {"Type": "T"}}})
    failed, busy = slow.of(DATA, ENGINE).preview()
    assert (failed.new, failed.note) == (True, "its creation ended as ROLLBACK_COMPLETE: it is deleted first")
    assert (busy.exact, busy.note) == (False, "it is UPDATE_IN_PROGRESS: that is finished first")
    assert {(one.resource, one.verb) for one in busy.changes} == {("Topic", Verb.ADD), ("Old", Verb.REMOVE)}
    assert fake.calls == []


def test_a_preview_of_what_needs_a_new_export_compares_templates(slow: Scene, fake: FakeCloudFormation) -> None:
    """CloudFormation cannot plan it before the other stack is there."""
    fake.add("engine", "CREATE_COMPLETE", template={"Resources": {}})
    fake.next_change_set = ChangeSet("", "FAILED", "No export named data:Queue found")
    preview = slow.of(ENGINE).preview()[0]
    assert (preview.exact, [one.verb for one in preview.changes]) == (False, [Verb.ADD])


def test_a_difference_that_is_none_is_no_change(slow: Scene, fake: FakeCloudFormation) -> None:
    """CloudFormation may find that a template that reads differently means the same."""
    for deploy in (False, True):
        fake.add("engine", "CREATE_COMPLETE")
        fake.next_change_set = ChangeSet("", "FAILED", "No updates are to be performed.")
        if deploy:
            slow.deploy(ENGINE)
            assert slow.said == ["engine: nothing to change"]
        else:
            assert slow.of(ENGINE).preview()[0].changes == ()
    assert "execute engine" not in fake.calls


def test_termination_protection_is_set_where_it_is_wanted(slow: Scene, fake: FakeCloudFormation) -> None:
    """Also when nothing else changes, as somebody may have lifted it."""
    kept = Made("data", QUEUE, protected=True)
    slow.deploy(kept, Made("engine", QUEUE))
    assert {name: one.protected for name, one in fake.stacks.items()} == {"data": True, "engine": False}
    fake.stacks["data"].protected = False
    fake.stacks["data"].template = assembly(slow.folder / "same", kept).stacks[0].template()
    slow.deploy(kept)
    assert fake.stacks["data"].protected
    assert slow.said[-1] == "data: nothing to change"
