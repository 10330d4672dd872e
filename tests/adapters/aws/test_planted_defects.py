"""Every rule of the journal holds, and a defect in any of them is found: the tests of the tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from flowrunner.adapters.aws import history, queue
from flowrunner.adapters.aws.claims import Claims
from flowrunner.adapters.aws.journal import Head, Journal
from flowrunner.adapters.aws.keys import Key
from flowrunner.adapters.aws.outbox import Entry
from flowrunner.adapters.aws.rows import Rows
from flowrunner.adapters.aws.run_items import RunItems
from flowrunner.adapters.aws.runs import DynamoRuns
from flowrunner.adapters.aws.sweep import Sweeper
from flowrunner.adapters.aws.table import Item, Table, Value
from flowrunner.ports.runs import ClaimAnswer, ClaimRequest, ClaimStatus
from flowrunner.ports.sweep import Swept

from tests.adapters.aws import scenarios
from tests.adapters.aws.fake_cloud import FakeCloud
from tests.adapters.aws.faults import Faults
from tests.adapters.aws.scenarios import SCENARIOS, Scene

Patch = pytest.MonkeyPatch


@pytest.fixture
def scene() -> Scene:
    aws = FakeCloud()
    witness = aws.backend()
    witness.migrate()
    faults = Faults(aws.boto())
    return Scene(aws, faults, aws.backend(dynamodb=faults.client), witness)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.__name__)
def test_each_rule_holds(scene: Scene, scenario: Callable[[Scene], None]) -> None:
    """Whatever comes between the calls of a commit."""
    scenario(scene)


# -- defects: what a change of the code might forget -------------------------------------------------------------------


def readers_ignore_the_outbox(patch: Patch) -> None:
    patch.setattr(Journal, "owed_rows", lambda self, account, run: [])


def readers_take_the_row_for_newer(patch: Patch) -> None:
    over = history._over  # the rule itself is to be broken
    patch.setattr(history, "_over", lambda row, owed: row if row is not None else over(row, owed))


def claims_ignore_the_outbox(patch: Patch) -> None:
    patch.setattr(Journal, "settle_rows", lambda self, account, run, head, at: None)


def claims_believe_what_was_read_long_ago(patch: Patch) -> None:
    known = Journal.known
    patch.setattr(Journal, "known", lambda self, account, run, within=None: known(self, account, run))


def claims_do_not_know_their_own_lease(patch: Patch) -> None:
    answered = Claims._answer  # as above

    def answer(self: Claims, request: ClaimRequest, item: Item | None) -> ClaimAnswer | None:
        found = answered(self, request, item)
        mine = found is not None and found.status is ClaimStatus.GRANTED
        return replace(found, status=ClaimStatus.HELD) if found is not None and mine else found

    patch.setattr(Claims, "_answer", answer)


def claims_forget_at_most_once(patch: Patch) -> None:
    take = Claims._take  # as above
    answered = Claims._answer  # as above
    patch.setattr(Claims, "_take", lambda self, request: take(self, replace(request, at_most_once=False)))
    patch.setattr(Claims, "_answer", lambda self, one, item: answered(self, replace(one, at_most_once=False), item))


def leases_do_not_hold(patch: Patch) -> None:
    without_condition(patch, "l <= :now", "l > :none OR l <= :now", {":none": 0})


def a_lost_answer_is_a_lost_race(patch: Patch) -> None:
    move = RunItems.move

    def unmarked(self: RunItems, commit: Any, outbox: bytes, mark: str, *looks: Any) -> Any:
        return move(self, commit, outbox, mark[:-1], *looks)

    patch.setattr(RunItems, "move", unmarked)


def any_commit_wins(patch: Patch) -> None:
    without_condition(patch, "rv = :expected", "rv <= :expected OR rv > :expected")


def messages_are_not_carried_on(patch: Patch) -> None:
    carried = Journal.carried

    def rows_alone(self: Journal, *args: Any) -> list[Any]:
        carried(self, *args)
        return []

    patch.setattr(Journal, "carried", rows_alone)


def rows_are_not_carried_on(patch: Patch) -> None:
    patch.setattr(Rows, "make_sure", lambda self, account, run, rows: None)


def every_message_tells_that_rows_are_there(patch: Patch) -> None:
    patch.setattr(Entry, "led_to", lambda self, receipts: True)


def nobody_knows_of_a_redrive(patch: Patch) -> None:
    note = Journal.note

    def forgetful(self: Journal, *args: Any) -> Head:
        head = replace(note(self, *args), reopened=False)
        self.keep(args[0], args[1], head)
        return head

    patch.setattr(Journal, "note", forgetful)


def acknowledgements_come_first(patch: Patch) -> None:
    flush = DynamoRuns._flush  # as above

    def hasty(self: DynamoRuns, commit: Any, entry: Any) -> None:
        self._outlet.remove(commit.ack)
        flush(self, commit, entry)

    patch.setattr(DynamoRuns, "_flush", hasty)


def who_comes_again_settles_nothing(patch: Patch) -> None:
    patch.setattr(Journal, "settle_acknowledged", lambda self, receipts, bearers: None)


def the_end_clears_nothing(patch: Patch) -> None:
    patch.setattr(Journal, "_clear", lambda self, account, run, entry: None)


def rows_learn_no_revision(patch: Patch) -> None:
    patch.setattr(Rows, "_learn", lambda self, at, rev: None)


def rows_go_back_to_what_waits(patch: Patch) -> None:
    without_condition(patch, " AND r <= :r", "")


def final_rows_are_written_over(patch: Patch) -> None:
    without_condition(patch, "st IN (:running, :waiting)", "st IN (:running, :waiting) OR r >= :r OR r < :r")


def messages_go_whoever_sent_them(patch: Patch) -> None:
    patch.setattr(queue.TableQueue, "_remove", lambda self, place, before: self._table.delete(place))


def who_asks_again_begins_nothing(patch: Patch) -> None:
    patch.setattr(Journal, "settle_created", lambda self, account, run: None)


def sweeps_begin_nothing(patch: Patch) -> None:
    patch.setattr(Sweeper, "sweep", lambda self, now: Swept())


def without_condition(patch: Patch, rule: str, instead: str, more: Mapping[str, Value] | None = None) -> None:
    """Write `instead` where a condition has `rule`."""
    update = Table.update

    def careless(
        self: Table, key: Key, change: str, values: Mapping[str, Value], condition: str = "", answer: str = "NONE"
    ) -> Item:
        if rule in condition:
            condition, values = condition.replace(rule, instead), {**values, **(more or {})}
        return update(self, key, change, values, condition, answer)

    patch.setattr(Table, "update", careless)


DEFECTS: Sequence[tuple[Callable[[Patch], None], Callable[[Scene], None]]] = (
    (readers_ignore_the_outbox, scenarios.what_is_committed_is_read),
    (readers_ignore_the_outbox, scenarios.items_are_read_from_the_outbox),
    (readers_take_the_row_for_newer, scenarios.what_is_committed_is_read_over_what_was),
    (claims_ignore_the_outbox, scenarios.nothing_committed_is_claimed),
    (claims_believe_what_was_read_long_ago, scenarios.nothing_is_claimed_after_a_cancel),
    (claims_do_not_know_their_own_lease, scenarios.a_claim_whose_answer_was_lost_holds),
    (claims_forget_at_most_once, scenarios.at_most_once_is_claimed_once),
    (leases_do_not_hold, scenarios.a_lease_holds_until_it_ends),
    (a_lost_answer_is_a_lost_race, scenarios.a_commit_whose_answer_was_lost_is_known),
    (any_commit_wins, scenarios.one_of_two_commits_wins),
    (messages_are_not_carried_on, scenarios.what_a_commit_owes_is_carried_on),
    (rows_are_not_carried_on, scenarios.what_a_commit_owes_is_carried_on),
    (every_message_tells_that_rows_are_there, scenarios.what_a_commit_owes_is_carried_on),
    (nobody_knows_of_a_redrive, scenarios.an_old_message_tells_nothing_of_a_redrive),
    (acknowledgements_come_first, scenarios.who_dies_has_not_acknowledged),
    (who_comes_again_settles_nothing, scenarios.a_message_that_comes_again_settles_what_it_led_to),
    (the_end_clears_nothing, scenarios.the_end_of_a_run_takes_its_messages_along),
    (rows_learn_no_revision, scenarios.a_result_without_a_commit_learns_its_revision),
    (rows_go_back_to_what_waits, scenarios.who_is_held_up_turns_no_row_back),
    (final_rows_are_written_over, scenarios.who_is_held_up_turns_no_row_back),
    (messages_go_whoever_sent_them, scenarios.who_is_held_up_takes_no_message_away),
    (messages_go_whoever_sent_them, scenarios.who_ends_a_run_late_leaves_its_redrive_alone),
    (who_asks_again_begins_nothing, scenarios.a_run_that_is_asked_for_again_is_begun),
    (sweeps_begin_nothing, scenarios.a_run_that_nobody_asks_for_is_begun),
)


@pytest.mark.parametrize(("defect", "scenario"), DEFECTS, ids=lambda one: one.__name__ if callable(one) else str(one))
def test_each_planted_defect_is_found(
    scene: Scene, defect: Callable[[Patch], None], scenario: Callable[[Scene], None], monkeypatch: Patch
) -> None:
    """Otherwise the rule might be lost one day, and nobody would notice."""
    defect(monkeypatch)
    with pytest.raises(AssertionError):
        scenario(scene)
