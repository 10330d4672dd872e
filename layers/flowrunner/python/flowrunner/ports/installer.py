"""What puts the service into a cloud account, shows before what that would change, and takes it away again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from flowrunner.errors import DeploymentFailed

STAGE_TAG = "flowrunner:stage"
PART_TAG = "flowrunner:part"
"""Tags of every stack: which deployment it is of, and which part."""
DATA = "data"
"""The part that holds what people would miss."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a deployment goes."""

    account: str
    region: str
    partition: str = "aws"

    def fill(self, text: str) -> str:
        """A text with the CloudFormation placeholders of this place filled in."""
        for name, value in (("AccountId", self.account), ("Region", self.region), ("Partition", self.partition)):
            text = text.replace(f"${{AWS::{name}}}", value)
        return text


class Verb(StrEnum):
    """What happens to a resource."""

    ADD = "add"
    MODIFY = "change"
    MAYBE_REPLACE = "may replace"
    REPLACE = "replace"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one resource; `causes` are the properties that differ."""

    stack: str
    resource: str
    type: str
    verb: Verb
    causes: tuple[str, ...] = ()
    keeps: bool = False
    """What is replaced or removed stays in the account, no longer part of the stack."""
    loses_data: bool = False
    """It takes a table, a key or a bucket away from what runs."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What deploying a stack would do; `exact` is False where only templates could be compared."""

    stack: str
    new: bool
    changes: tuple[Change, ...] = ()
    exact: bool = True
    note: str = ""


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
        return self.status != "REVIEW_IN_PROGRESS"

    @property
    def busy(self) -> bool:
        return self.status.endswith("_IN_PROGRESS") and self.exists


@dataclass(frozen=True, slots=True)
class Concurrency:
    """How many functions may run at once: in the account, of these so many for reservations, and what is wanted."""

    limit: int
    reservable: int
    wanted: int


Outputs = Mapping[str, Mapping[str, str]]
"""What stacks tell, by stack and name."""


class Undertaking(Protocol):
    """The stacks of one folder that `cdk synth` wrote, for one place."""

    @property
    def alarms(self) -> int:
        """How many metrics their alarms watch."""
        ...

    def concurrency(self) -> Concurrency | None:
        """None if they reserve none. Raises `StoreError` when it may not be asked for."""
        ...

    def preview(self) -> list[Preview]:
        """What would change. Nothing does, but for files that are uploaded, and plans that are made and removed."""
        ...

    def deploy(self, *, allow_losses: bool) -> Outputs:
        """Deploy every stack; the outputs of each. Raises `DeploymentFailed`, having deployed those before it.

        Interrupted anywhere, it can be called again. A change that loses data is only made if `allow_losses`.
        """
        ...


class Installer(Protocol):
    """One account and region, with the operator's credentials. What cannot be done raises `StoreError`."""

    @property
    def identity(self) -> str:
        """Who the operator is there."""
        ...

    @property
    def place(self) -> Place: ...

    def prepared(self) -> bool:
        """Whether the region is ready to be deployed to. Raises `ConfigurationError` when it is too old for it."""
        ...

    def prepare(self) -> None:
        """Make it ready. Raises `DeploymentFailed`."""
        ...

    def open(self, folder: Path) -> Undertaking:
        """What was synthesized. Raises `ConfigurationError` when it is nothing of that kind."""
        ...

    def deployed(self, name: str, stage: str) -> Sequence[Found]:
        """The stacks of a stage, in the order in which they can be deleted."""
        ...

    def publish(self, folder: Path, bucket: str, distribution: str, docs: Path | None = None) -> None:
        """Upload the console, with the documents in `docs`. Raises `ConfigurationError` if the folder holds none."""
        ...

    def destroy(self, stacks: Sequence[Found], *, with_data: bool) -> None:
        """Delete these stacks in this order. Raises `DeploymentFailed`; calling it again goes on."""
        ...


def losses(changes: Sequence[Change]) -> list[Change]:
    """Those that take data away from what runs."""
    return [change for change in changes if change.loses_data]


def refused(lost: Sequence[Change]) -> DeploymentFailed:
    """The error that a deployment which loses data is refused with."""
    names = ", ".join(f"{one.resource} ({one.type}, {one.verb})" for one in lost)
    return DeploymentFailed(
        f"this would take away what holds data: {names}",
        hint="to do it all the same, say --allow-replacement; what it holds is then no longer used, or gone",
    )
