"""Express mode: several steps in one invocation, each committed, with the results of the standard mode."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import Any
from zlib import crc32

import pytest
from flowrunner.core.flow import Flow, Json
from flowrunner.core.ids import FlowId, RunId
from flowrunner.core.state import parent_of_item
from flowrunner.core.status import TERMINAL
from flowrunner.engine.records import Attempt
from flowrunner.engine.starter import StartRequest
from flowrunner.errors import StepError
from flowrunner.nodes.base import Context, NodeType, Params, Result
from flowrunner.nodes.registry import Registry
from flowrunner.ports.flows import FlowRow
from flowrunner.ports.runs import RowStatus
from hypothesis import given
from hypothesis import strategies as st

from tests.core.profiles import share
from tests.core.strategies import Kind, flows
from tests.engine.cloud import FAST, Cloud, cloud
from tests.engine.harness import ACCOUNT, bench, flow
from tests.engine.test_invocation import first, hanging
from tests.servers import RecordingServer

EXPRESS = "mode: express"


def chain(length: int, node: str) -> str:
    lines = [f"n{number}: {{{node}, next: n{number + 1}}}" for number in range(length - 1)]
    return flow("\n".join([*lines, f"n{length - 1}: {{{node}}}"]), EXPRESS)


def test_a_chain_is_one_message_and_one_invocation() -> None:
    """Ten steps, ten commits, one reading of the run."""
    with cloud() as c:
        run = c.start(chain(10, "type: transform, params: {value: 1}"))
        c.work()
        assert c.result(run).status == "completed"
        assert len(c.path(run)) == 10
        assert (c.invocations, c.queue.sends) == (1, 1)
        assert Counter(c.faults.calls)["runs.commit"] == 10
        assert len({one.rev for one in c.steps(run)}) == 10, "each step is checkpointed by itself"


def test_steps_with_effects_need_no_claim_once_they_are_handed_off() -> None:
    """The first came as a message and is claimed; the others are leased by the commits that made them."""
    with RecordingServer() as server, cloud(allow=["127.0.0.1"]) as c:
        run = c.start(chain(5, 'type: http.request, params: {url: "${input}"}'), server.url)
        c.queue.sent[0].receives = 0
        c.work()
        assert c.result(run).status == "completed"
        assert len(server.requests) == 5
        assert (c.invocations, Counter(c.faults.calls)["runs.claim"]) == (1, 1)


def test_an_at_most_once_step_is_claimed_in_express_mode_too() -> None:
    """Its promise rests on the claim."""
    with cloud() as c:
        result = c.run(chain(3, "type: store, at_most_once: true, params: {op: set, key: k, value: 1}"))
        assert result.status == "completed"
        assert Counter(c.faults.calls)["runs.claim"] == 3


def test_of_a_fan_out_one_branch_is_kept_and_the_others_are_sent() -> None:
    """They are executed beside each other, and the join by whoever comes last."""
    with cloud() as c:
        nodes = "s: {type: transform, params: {value: 1}, next: [a, b, c]}\n"
        nodes += "\n".join(f"{name}: {{type: transform, params: {{value: 1}}}}" for name in "abc")
        result = c.run(flow(f"{nodes}\nj: {{type: log, needs: [a, b, c]}}", EXPRESS))
        assert result.status == "completed"
        assert c.queue.sends == 3
        assert c.invocations == 3


def test_a_wide_foreach_keeps_its_window_going() -> None:
    """Of 50 items 5 run at once; each invocation goes on with the item that its commit lets begin."""
    with cloud() as c:
        each = 'foreach: {items: "${[...Array(50).keys()]}", max_concurrency: 5}'
        result = c.run(flow(f"a: {{type: transform, {each}, params: {{value: '${{item}}'}}}}", EXPRESS))
        assert result.output == {"a": list(range(50))}
        assert c.invocations < 10


def test_waits_go_through_the_queue() -> None:
    """A delay and the pause before a retry hold no invocation."""
    nodes = """
a: {type: transform, params: {value: 1}, next: w}
w: {type: delay, params: {for: 5s}, next: b}
b: {type: script, retry: {max_attempts: 2, delay: 2s, jitter: none, on: [SCRIPT_ERROR]}, on_error: continue, hooks: {exec: "throw new Error('no')"}}"""
    with cloud() as c:
        started = c.clock.now()
        result = c.run(flow(nodes, EXPRESS))
        assert result.status == "completed"
        assert c.clock.now() == started + 7_000
        assert c.invocations == 3


def test_a_successor_that_may_take_longer_than_what_is_left_is_sent() -> None:
    """It is never begun here: its message finds an invocation that has the time."""
    nodes = "a: {type: transform, params: {value: 1}, next: b}\nb: {type: hangs, timeout: 40s, next: c}\nc: {type: log}"
    with hanging() as (c, hangs):
        hangs.go.set()
        run = c.start(flow(nodes, EXPRESS))
        assert c.fast.handle([first(c)], c.clock.now() + 44_000) == []
        assert c.path(run) == ["a"]
        c.queue.sent.pop(0)
        assert [one.message.receipt.step for one in c.queue.sent] == ["2.0"]
        c.work()
        assert c.path(run) == ["a", "b", "c"]
        assert c.invocations == 1, "and in that one the rest is done, too"


def test_slow_successors_go_to_the_slow_lane_and_stay_there() -> None:
    """What follows a slow step is executed where it ended: there is time."""
    nodes = "a: {type: transform, params: {value: 1}, next: b}\nb: {type: hangs, timeout: 2m, next: c}\nc: {type: log}"
    with hanging(lanes=True) as (c, hangs):
        hangs.go.set()
        run = c.start(flow(nodes, EXPRESS))
        c.work()
        assert c.path(run) == ["a", "b", "c"]
        assert c.invocations == 2
        assert hangs.patience == 120


def test_the_end_of_a_run_is_told_by_a_message_of_its_own() -> None:
    """A parent that waits is told by a message that says how often it was tried."""
    child = {"metadata": {"name": "child"}, "mode": "express", "nodes": {"x": {"type": "log"}}}
    with cloud() as c:
        result = c.run(flow(f"a: {{type: flow.run, params: {{inline: {child}}}, next: b}}\nb: {{type: log}}", EXPRESS))
        assert result.status == "completed"


def test_what_was_handed_off_comes_again_when_its_process_dies() -> None:
    """The message that led to it is still with the queue; when that comes again, the rest is sent."""
    with cloud() as c:
        run = c.start(chain(5, "type: store, params: {op: set, key: k, value: 1}"))
        c.faults.plan = lambda _, name: (
            "dies" if name == "runs.commit" and len(c.path(run)) == 2 and not c.deaths else None
        )
        c.work()
        assert c.deaths == 1
        assert c.result(run).status == "completed"
        assert len(c.path(run)) == 5
        assert c.clock.now() < c.result(run).started_at + 400_000


def test_trouble_on_the_way_sends_what_was_handed_off() -> None:
    """The run goes on in some seconds, not when its first message comes again."""
    with cloud() as c:
        run = c.start(chain(5, "type: store, params: {op: set, key: k, value: 1}"))
        c.faults.plan = lambda _, name: "fails" if name == "values.set" and not c.trouble and c.path(run) else None
        c.work()
        assert len(c.trouble) == 1
        assert len(c.path(run)) == 5
        assert c.clock.now() <= c.result(run).started_at + 5_000
        assert c.invocations == 2


def test_a_successor_that_was_handed_off_unknown_to_us_is_sent() -> None:
    """The commit was taken and its answer lost: what led to it comes again and makes up for it."""
    with cloud() as c:
        run = c.start(chain(4, "type: transform, params: {value: 1}"))
        c.faults.plan = lambda _, name: "lost" if name == "runs.commit" and c.path(run) == ["n0"] else None
        c.work()
        assert c.path(run) == ["n0", "n1", "n2", "n3"]
        assert c.clock.now() <= c.result(run).started_at + FAST + 11_000, "when the lease is over, at the latest"


def test_if_that_cannot_be_sent_the_first_message_comes_again() -> None:
    """The queue does not answer either: then what led to the step is what could not be done."""
    with cloud() as c:
        run = c.start(chain(3, "type: store, params: {op: set, key: k, value: 1}"))

        def plan(_number: int, name: str) -> str | None:
            bad = name in ("values.set", "queue.release") and c.path(run) == ["n0"] and c.invocations == 1
            return "fails" if bad else None

        c.faults.plan = plan
        receipt = first(c).receipt
        c.invoke()
        assert [one.message.receipt for one in c.queue.sent] == [receipt]
        c.work()
        assert c.path(run) == ["n0", "n1", "n2"]


def test_a_long_step_is_claimed_late_to_be_seen() -> None:
    """It was handed off and not claimed; after two seconds its row says that it runs, and what it says."""
    with hanging() as (c, hangs):
        hangs.says = 1
        run = c.start(flow("a: {type: log}\nb: {type: hangs, needs: [a]}", EXPRESS))
        seen: list[Attempt] = []
        report = c.engine.parts.backend.runs.report

        def look(*given: Any) -> None:
            report(*given)
            seen.extend(one for one in c.steps(run) if one.node == "b")
            hangs.go.set()

        c.engine.parts.backend.runs.report = look  # type: ignore[method-assign,assignment]  # looks at what is written
        c.work()
        assert [(one.status, len(one.logs)) for one in seen] == [(RowStatus.RUNNING, 1)]
        assert c.result(run).status == "completed"


def test_a_cancel_between_two_steps_stops_the_rest() -> None:
    """The commit that finds out is refused, and nothing is begun after it."""
    with cloud() as c:
        run = c.start(chain(5, "type: store, params: {op: set, key: k, value: 1}"))

        def plan(_number: int, name: str) -> str | None:
            if name == "runs.commit" and len(c.path(run)) == 1 and not c.faults.off:
                c.faults.off = True
                c.engine.control.cancel(ACCOUNT, run)
                c.faults.off = False
                c.faults.plan = lambda _number, _name: None
            return None

        c.faults.plan = plan
        c.work()
        assert c.result(run).status == "cancelled"
        assert [one.label for one in c.steps(run)] == ["n0", "n1"]


def test_dead_letters_execute_nothing_in_express_mode() -> None:
    """The function that sees to them has no time for steps."""
    with cloud() as c:
        run = c.start(
            flow("a: {type: store, params: {op: set, key: k, value: 1}, next: {error: b}}\nb: {type: log}", EXPRESS)
        )
        receipt = first(c).receipt
        delivery = first(c)
        for _ in range(3):
            c.letters.handle([delivery])
        assert c.path(run) == ["a"]
        assert c.queue.sent[-1].message.receipt.step != receipt.step
        assert c.invocations == 0


# -- random flows -------------------------------------------------------------------------------------------------


class LuckParams(Params):
    """None."""


class Luck(NodeType[LuckParams]):
    """Ends as a number says that is made of the node, its activation and its item."""

    name = "luck"
    params = LuckParams
    quick = True
    actions = None
    outcomes: tuple[int, ...] = (0,)

    def __init__(self) -> None:
        self.effects: Counter[tuple[str, str, int]] = Counter()
        self._lock = threading.Lock()

    def execute(self, ctx: Context[LuckParams]) -> Result:
        with self._lock:
            self.effects[ctx.run.id, ctx.step, ctx.attempt] += 1
        luck = self.outcomes[crc32(f"{ctx.node}/{ctx.attempt}".encode()) % len(self.outcomes)]
        if luck in (8, 9):
            raise StepError("no luck", code="E", retryable=luck == 8)
        return Result(luck, "x" if luck == 6 else "default")


class WithLuck(Registry):
    """The registry with it."""

    def __init__(self, outcomes: tuple[int, ...]) -> None:
        super().__init__()
        self.luck = Luck()
        self.luck.outcomes = outcomes

    def get(self, name: str) -> NodeType[Any]:
        return self.luck if name == "luck" else super().get(name)


def playing(made: Flow, mode: Any, _document: str) -> Flow:
    """A flow of the core's random tests with nodes that can be executed."""
    nodes = {
        name: replace(
            node, type="luck", foreach=replace(node.foreach, items=[1, 2, 3]) if node.foreach else None, timeout=1_000
        )
        for name, node in made.nodes.items()
    }
    return replace(made, nodes=nodes, mode=mode)


def saved(engine: Any) -> FlowRow:
    row: FlowRow = engine.parts.backend.flows.save(FlowRow(ACCOUNT, FlowId("f"), "game", 1, "{}", "digest", 0))
    return row


def told(engine: Any, run: RunId) -> tuple[str, Json, list[tuple[str, str]]]:
    """How a run ended, in words that do not depend on the order of its branches."""
    result = engine.run(ACCOUNT, run)
    steps = engine.steps(ACCOUNT, run) if result.status == "completed" else []  # else it ends amid of others
    return result.status, result.output, sorted((one.label, str(one.status)) for one in steps)


def check(c: Cloud, run: RunId) -> None:
    """What must hold of any run, whatever its order."""
    assert c.result(run).status in TERMINAL
    steps = c.steps(run)
    taken = Counter((one.step, one.attempt) for one in steps if one.rev)
    assert set(taken.values()) <= {1}, "an outcome was committed twice"
    if c.result(run).status == "completed":
        left = [one for one in steps if not one.status.final]
        if c.deaths or c.trouble:  # an item whose invocation died stays open if its foreach has failed meanwhile
            left = [one for one in left if not parent_of_item(one.step)]
        assert not left, "a step was left open"
    assert not c.queue.sent
    assert not c.queue.handed
    assert not c.queue.dead


def test_a_commit_of_which_no_answer_came_is_told_by_the_message_that_led_to_it() -> None:
    """What it handed off is known to nobody then, and is sent when that message comes again; without any sweep."""
    with cloud() as c:
        run = c.start(chain(5, "type: transform, params: {value: 1}"))
        calls: Counter[str] = Counter()

        def fate(_number: int, name: str) -> str | None:
            calls[name] += 1
            if name == "runs.commit":
                return "lost" if calls[name] == 2 else None
            unlucky = name == "runs.load" and calls["runs.commit"] == 2 and calls["failed"] < 2
            calls["failed"] += unlucky
            return "fails" if unlucky else None

        c.faults.plan = fate
        c.work()
        assert calls["failed"] == 2
        assert c.result(run).status == "completed"
        check(c, run)


SUCCESSES = st.lists(st.sampled_from([0, 1, 6]), min_size=1, max_size=6).map(tuple)
OUTCOMES = st.lists(st.sampled_from([0, 0, 6, 8, 9]), min_size=1, max_size=8).map(tuple)


def test_express_gives_what_standard_and_a_worker_give() -> None:
    """For random flows whose result does not depend on the order of their branches: no joins, nothing that fails."""

    @share(8)
    @given(flows(Kind(joins=0, policies=0)), SUCCESSES)
    def agree(made: Flow, outcomes: tuple[int, ...]) -> None:
        results = []
        with bench(registry=WithLuck(outcomes), compile=partial(playing, made, "standard")) as b:
            row = saved(b.engine)
            run = b.engine.start(StartRequest(ACCOUNT, row.id, 1, run=RunId("r")))
            b.work()
            results.append(told(b.engine, run))
        for mode in ("standard", "express"):
            with cloud(registry=WithLuck(outcomes), compile=partial(playing, made, mode)) as c:
                row = saved(c.engine)
                run = c.engine.start(StartRequest(ACCOUNT, row.id, 1, run=RunId("r")))
                c.work()
                results.append(told(c.engine, run))
        assert results[0] == results[1] == results[2]

    agree()


@pytest.mark.parametrize("mode", ["standard", "express"])
def test_random_flows_end_whatever_the_queue_does(mode: str) -> None:
    """Duplicates, any order, batches: each outcome is committed once, and nothing is left over."""

    @share(8)
    @given(flows(Kind()), OUTCOMES, st.lists(st.integers(0, 99), max_size=60), st.integers(1, 4))
    def end(made: Flow, outcomes: tuple[int, ...], moves: list[int], batch: int) -> None:
        registry = WithLuck(outcomes)
        with cloud(registry=registry, compile=partial(playing, made, mode)) as c:
            row = saved(c.engine)
            run = c.engine.start(StartRequest(ACCOUNT, row.id, 1))
            c.batch, left = batch, list(moves)
            c.pick = lambda count: (left.pop() if left else 0) % count
            while left and c.invoke():
                if c.queue.sent and left and left.pop() % 3 == 0:
                    c.queue.send([c.queue.sent[-1].message])
            c.work()
            check(c, run)
            assert set(registry.luck.effects.values()) <= {1}, "a step was executed twice"

    end()


@pytest.mark.parametrize("mode", ["standard", "express"])
def test_random_flows_end_whatever_fails(mode: str) -> None:
    """The process dies, or the store fails, at any call: the run ends, and no committed step is executed again."""

    @share(8)
    @given(
        flows(Kind(nodes=5)), OUTCOMES, st.dictionaries(st.integers(1, 60), st.sampled_from(["dies", "fails", "lost"]))
    )
    def end(made: Flow, outcomes: tuple[int, ...], plan: dict[int, str]) -> None:
        registry = WithLuck(outcomes)
        with cloud(registry=registry, compile=partial(playing, made, mode)) as c:
            row = saved(c.engine)
            run = c.engine.start(StartRequest(ACCOUNT, row.id, 1))
            c.faults.calls.clear()
            c.faults.plan = lambda number, _name: plan.get(number)
            c.work()
            c.faults.off = True
            check(c, run)

    end()
