"""The random tests can fail: each of these defects, planted into the core, is caught by the comparison.

The games are the same at every run (`derandomize`), so a defect that is caught is caught always.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from flowrunner.core import advance, decide, ending, foreach, redrive, turn
from flowrunner.core.commands import CancelChild
from flowrunner.core.flow import DEFAULT, Flow, Foreach, Node, OnError
from flowrunner.core.graph import Graph, build_graph
from flowrunner.core.ids import NodeId, StepId
from flowrunner.core.progress import progress_of
from flowrunner.core.retry import retry_delay, will_retry
from flowrunner.core.state import Entry, Phase, State
from flowrunner.core.status import StepStatus
from flowrunner.core.turn import Rejected, Turn
from hypothesis import HealthCheck, given, settings
from hypothesis import Phase as Stage

from tests.builders import flow, retry
from tests.core import harness
from tests.core.player import Player
from tests.core.strategies import Game, Kind, games
from tests.core.test_random_runs import KINDS

Patch = pytest.MonkeyPatch


def joins_fire_early(patch: Patch) -> None:
    patch.setattr(Graph, "reachable", Graph.mask)


def joins_in_reverse_order(patch: Patch) -> None:
    def reverse(flow: Flow) -> Graph:
        graph = build_graph(flow)
        return replace(graph, joins=graph.joins[::-1])

    patch.setattr(harness, "build_graph", reverse)


def arrivals_are_counted(patch: Patch) -> None:
    def count(turn_: Turn, join: NodeId, node: NodeId, status: StepStatus, *, handled: bool) -> None:
        number = len(turn_.joins[join].arrived) if join in turn_.joins else 0
        original(turn_, join, NodeId(f"{node}#{number}"), status, handled=handled)

    original = advance.arrive_at
    patch.setattr(advance, "arrive_at", count)


def first_arrival_wins(patch: Patch) -> None:
    def keep(turn_: Turn, join: NodeId, node: NodeId, status: StepStatus, *, handled: bool) -> None:
        if join not in turn_.joins or node not in turn_.joins[join].arrived:
            original(turn_, join, node, status, handled=handled)

    original = advance.arrive_at
    patch.setattr(advance, "arrive_at", keep)


def unhandled_failures_arrive_as_handled(patch: Patch) -> None:
    def handle(turn_: Turn, join: NodeId, node: NodeId, status: StepStatus, *, handled: bool) -> None:
        original(turn_, join, node, status, handled=True)

    original = advance.arrive_at
    patch.setattr(advance, "arrive_at", handle)


def any_fires_for_every_success(patch: Patch) -> None:
    def forget(turn_: Turn, node: NodeId, *rest: Any) -> None:
        original(turn_, node, *rest)
        turn_.joins.pop(node, None)

    original = advance.activate
    patch.setattr(advance, "activate", forget)


def joins_tolerate_no_failure(patch: Patch) -> None:
    patch.setattr(advance, "tolerated_by_join", lambda graph, node: False)


def every_join_tolerates_failures(patch: Patch) -> None:
    patch.setattr(advance, "tolerated_by_join", lambda graph, node: node in graph.needed_by)


def error_edges_are_not_followed(patch: Patch) -> None:
    def handling(flow: Flow, node: Node) -> str | None:
        return DEFAULT if OnError.CONTINUE in (node.on_error, flow.on_error) else None

    patch.setattr(advance, "handling_action", handling)


def skipped_steps_follow_default(patch: Patch) -> None:
    patch.setattr(decide, "SKIPPED", DEFAULT)


def edges_are_followed_twice(patch: Patch) -> None:
    def twice(*arguments: Any) -> None:
        original(*arguments)
        original(*arguments)

    original = advance.follow
    patch.setattr(advance, "follow", twice)


def one_try_too_many(patch: Patch) -> None:
    original = will_retry
    patch.setattr(decide, "will_retry", lambda node, error, tries: original(node, error, tries - 1))


def at_most_once_is_retried(patch: Patch) -> None:
    original = will_retry
    patch.setattr(decide, "will_retry", lambda node, *rest: original(replace(node, at_most_once=False), *rest))


def retry_after_is_ignored(patch: Patch) -> None:
    original = retry_delay
    patch.setattr(decide, "retry_delay", lambda policy, tries, draw, _: original(policy, tries, draw))


def delays_grow_too_soon(patch: Patch) -> None:
    original = retry_delay
    patch.setattr(decide, "retry_delay", lambda policy, tries, *rest: original(policy, tries + 1, *rest))


def stale_attempts_are_accepted(patch: Patch) -> None:
    def entry(self: Turn, step: StepId, attempt: int) -> Entry:
        if step not in self.frontier:
            raise Rejected(step)
        return self.frontier[step]

    patch.setattr(Turn, "entry", entry)


def any_phase_is_executable(patch: Patch) -> None:
    patch.setattr(decide, "_require_executable", lambda entry: None)


def the_old_state_is_changed(patch: Patch) -> None:
    def init(self: Turn, graph: Graph, state: State, *rest: Any) -> None:
        original(self, graph, state, *rest)
        self.frontier = state.frontier  # type: ignore[assignment]  # the defect: no copy

    original = Turn.__init__
    patch.setattr(Turn, "__init__", init)


def new_steps_overtake_held_ones(patch: Patch) -> None:
    def schedule(self: Turn, step: StepId, entry: Entry) -> None:
        self.steps += 1
        full = self.busy() >= self.flow.limits.max_parallel
        self.put(step, replace(entry, phase=Phase.HELD) if full else entry)

    patch.setattr(Turn, "schedule", schedule)


def max_parallel_is_ignored(patch: Patch) -> None:
    patch.setattr(Turn, "busy", lambda self: 0)


def numbers_ignore_what_is_scheduled(patch: Patch) -> None:
    patch.setattr(Turn, "activation", lambda self, node: self.nodes[node].n + 1 if node in self.nodes else 1)


def progress_goes_back(patch: Patch) -> None:
    original = progress_of
    patch.setattr(turn, "progress_of", lambda graph, before, *rest: original(graph, 0, *rest))


def one_failed_item_too_many(patch: Patch) -> None:
    original = Foreach.tolerated
    patch.setattr(Foreach, "tolerated", lambda self, count: original(self, count) + 1)


def the_window_is_one_wider(patch: Patch) -> None:
    def wider(turn_: Turn, step: StepId) -> Foreach:
        found = original(turn_, step)
        return replace(found, max_concurrency=found.max_concurrency + 1)

    original = foreach._foreach
    patch.setattr(foreach, "_foreach", wider)


def items_in_flight_are_not_dropped(patch: Patch) -> None:
    patch.setattr(decide, "drop_items", lambda turn_, parent: {})


def a_redrive_has_no_fresh_budget(patch: Patch) -> None:
    def keep(entry: Entry, **changes: Any) -> Entry:
        changes.pop("spent", None)
        return replace(entry, **changes)

    patch.setattr(decide, "replace", keep)


def a_redrive_forgets_the_other_branches(patch: Patch) -> None:
    patch.setattr(redrive, "arrive_at", lambda *arguments, **rest: None)


def a_restart_keeps_the_vars(patch: Patch) -> None:
    def restart(turn_: Turn, delay: int) -> None:
        before = turn_.vars
        original(turn_, delay)
        turn_.vars = before

    original = ending.restart
    patch.setattr(ending, "restart", restart)


def child_runs_are_left_alone(patch: Patch) -> None:
    def park(self: Turn) -> None:
        original(self)
        self.commands = [command for command in self.commands if not isinstance(command, CancelChild)]

    original = Turn.park
    patch.setattr(Turn, "park", park)


MIXED, JOINS, FOREACH, POLICIES = (KINDS[name] for name in ("mixed", "joins", "foreach", "policies"))

RESTARTS = Kind(flow=flow("a -> b", on_error=OnError.RETRY_RUN, retry_run=retry(3)))
BRANCHES = Kind(flow=flow("a -> b; c -> d; j needs b, d"))

DEFECTS: list[tuple[Callable[[Patch], None], Kind]] = [
    (joins_fire_early, JOINS),
    (joins_in_reverse_order, JOINS),
    (arrivals_are_counted, JOINS),
    (first_arrival_wins, JOINS),
    (unhandled_failures_arrive_as_handled, JOINS),
    (any_fires_for_every_success, JOINS),
    (joins_tolerate_no_failure, JOINS),
    (every_join_tolerates_failures, JOINS),
    (error_edges_are_not_followed, MIXED),
    (skipped_steps_follow_default, MIXED),
    (edges_are_followed_twice, MIXED),
    (one_try_too_many, POLICIES),
    (at_most_once_is_retried, POLICIES),
    (retry_after_is_ignored, POLICIES),
    (delays_grow_too_soon, POLICIES),
    (stale_attempts_are_accepted, POLICIES),
    (any_phase_is_executable, MIXED),
    (the_old_state_is_changed, MIXED),
    (new_steps_overtake_held_ones, POLICIES),
    (max_parallel_is_ignored, POLICIES),
    (numbers_ignore_what_is_scheduled, MIXED),
    (progress_goes_back, MIXED),
    (one_failed_item_too_many, FOREACH),
    (the_window_is_one_wider, FOREACH),
    (items_in_flight_are_not_dropped, FOREACH),
    (a_redrive_has_no_fresh_budget, POLICIES),
    (a_redrive_forgets_the_other_branches, BRANCHES),
    (a_restart_keeps_the_vars, RESTARTS),
    (child_runs_are_left_alone, RESTARTS),
]


@pytest.mark.parametrize(("plant", "kind"), DEFECTS, ids=[plant.__name__ for plant, _ in DEFECTS])
def test_a_planted_defect_is_caught(
    plant: Callable[[Patch], None], kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the defect in place some game fails; without it all do well (test_random_runs)."""
    plant(monkeypatch)

    @settings(
        max_examples=20_000,  # it ends at the first that fails; which that is depends on the modules that are loaded
        phases=[Stage.generate],
        derandomize=True,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(games(kind))
    def agree(game: Game) -> None:
        Player(game).play()

    with pytest.raises((AssertionError, KeyError)):
        agree()
