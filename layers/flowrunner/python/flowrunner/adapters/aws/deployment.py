"""Putting an assembly into an account: what would change, then stack by stack, each after those that it needs.

It can be interrupted anywhere and called again: assets that are there are not sent again, stacks that are as they
should be are left alone, and one that is still busy is waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from flowrunner.adapters.aws.assembly import Assembly, Asset, Stack, all_assets
from flowrunner.adapters.aws.assets import Publisher
from flowrunner.adapters.aws.changes import HOLD_DATA, alarmed_metrics, compare, of_type, reserved_concurrency
from flowrunner.adapters.aws.cloud import Cloud
from flowrunner.adapters.aws.stack_state import DEAD, GOOD
from flowrunner.adapters.aws.stacks import NotYet, Plan, Stacks
from flowrunner.ports.installer import Concurrency, Found, Preview, losses, refused

UNRESERVED = 100
"""Lambda keeps so many concurrent executions of an account free of reservations
(docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html)."""

UPDATABLE = GOOD | {"UPDATE_ROLLBACK_COMPLETE", "IMPORT_ROLLBACK_COMPLETE"}


class Deployment:
    """See the module. `label` names its change sets: no two deployments may share one."""

    def __init__(
        self,
        assembly: Assembly,
        stacks: Stacks,
        cloud: Cloud,
        publisher: Publisher,
        label: str,
        say: Callable[[str], None],
    ) -> None:
        self._assembly = assembly
        self._stacks = stacks
        self._cloud = cloud
        self._publisher = publisher
        self._label = label
        self._say = say

    @property
    def alarms(self) -> int:
        return alarmed_metrics(stack.template() for stack in self._assembly.stacks)

    def concurrency(self) -> Concurrency | None:
        """What the stacks have reserved already counts as theirs."""
        wanted = reserved_concurrency(stack.template() for stack in self._assembly.stacks)
        if not wanted:
            return None
        limit, free = self._cloud.concurrency()
        mine = reserved_concurrency(self._stacks.template(stack.name) for stack in self._assembly.stacks)
        return Concurrency(limit, max(0, free + mine - UNRESERVED), wanted)

    def preview(self) -> list[Preview]:
        """What would change. Nothing does, but for the templates that are uploaded, and plans made and removed."""
        return [self._preview(stack) for stack in self._assembly.stacks]

    def _preview(self, stack: Stack) -> Preview:
        found = self._stacks.find(stack.name)
        if found is None or not found.exists or found.status in DEAD:
            note = f"its creation ended as {found.status}: it is deleted first" if found and found.exists else ""
            return Preview(stack.name, True, tuple(compare(stack.name, {}, stack.template())), note=note)
        before = self._stacks.template(stack.name)
        if self._is_as_wanted(stack, found, before):
            return Preview(stack.name, False)
        if found.status not in UPDATABLE:
            note = f"it is {found.status}: that is finished first"
            changes = tuple(compare(stack.name, before, stack.template()))
            return Preview(stack.name, False, changes, exact=False, note=note)
        self._publisher.publish([_template_asset(stack)])
        try:
            plan = self._plan(stack)
        except NotYet:
            # It needs what another stack will only have after its own deployment.
            return Preview(stack.name, False, tuple(compare(stack.name, before, stack.template())), exact=False)
        if plan is None:
            return Preview(stack.name, False)
        self._stacks.discard(plan)
        return Preview(stack.name, False, plan.changes)

    def deploy(self, *, allow_losses: bool) -> dict[str, Mapping[str, str]]:
        """See `ports.installer.Undertaking`."""
        self._publisher.publish(all_assets(self._assembly.stacks))
        return {stack.name: self._deploy(stack, allow_losses=allow_losses) for stack in self._assembly.stacks}

    def _deploy(self, stack: Stack, *, allow_losses: bool) -> Mapping[str, str]:
        found = self._stacks.settle(stack.name)
        if found is not None and self._is_as_wanted(stack, found, self._stacks.template(stack.name)):
            self._say(f"{stack.name}: nothing to change")
        else:
            plan = self._plan(stack)
            if plan is None:
                self._say(f"{stack.name}: nothing to change")
            else:
                found = self._carry_out(stack, plan, found, allow_losses=allow_losses)
        assert found is not None, "a stack that has nothing to change is there"
        if stack.protected and not found.protected:
            self._stacks.protect(stack.name, on=True)
        return found.outputs

    def _carry_out(self, stack: Stack, plan: Plan, before: Found | None, *, allow_losses: bool) -> Found:
        lost = losses(plan.changes)
        if lost and not allow_losses:
            self._stacks.discard(plan)
            raise refused(lost)
        holds_data = bool(of_type(stack.template(), sorted(HOLD_DATA)))
        if before is not None and allow_losses:
            self._stacks.guard_data(stack.name, on=False)
        self._say(f"{stack.name}: {len(plan.changes)} changes")
        try:
            return self._stacks.carry_out(plan)
        finally:
            if holds_data and (found := self._stacks.find(stack.name)) is not None and found.status in UPDATABLE:
                self._stacks.guard_data(stack.name, on=True)

    def _plan(self, stack: Stack) -> Plan | None:
        # Addressed by path, at the client's own endpoint: right for AWS, and for what stands in for it.
        url = f"{self._cloud.s3().meta.endpoint_url}/{stack.template_bucket}/{stack.template_key}"
        return self._stacks.plan(stack.name, url, stack.tags, self._label)

    @staticmethod
    def _is_as_wanted(stack: Stack, found: Found, template: Mapping[str, object]) -> bool:
        return found.status in UPDATABLE and dict(found.tags) == dict(stack.tags) and template == stack.template()


def _template_asset(stack: Stack) -> Asset:
    return Asset(f"the template of {stack.name}", stack.template_file, False, stack.template_bucket, stack.template_key)
