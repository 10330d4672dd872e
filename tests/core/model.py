"""A slow model of a run, written from the rules of docs/how-a-run-executes.md and from nothing else.

It shares no idea with the core but the flow's definition: it keeps every activation, end and arrival that ever was
in plain lists, searches the graph anew whenever it wants to know what can be reached, and counts by counting. What
it lacks in speed it has in being easy to believe. The core is right when both say the same after every event.

Activations are named by their position in `acts`, items by that and their index, so that the model never needs the
core's step ids.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from flowrunner.core.flow import Flow, JoinMode, Node, OnError, RetryPolicy
from flowrunner.core.ids import NodeId

from tests.core.records import Act, Arrival, End, Fact, Item


class Refused(Exception):
    """The event does not fit (R13)."""


@dataclass
class Model:
    """The run. Everything that ever happened stays in the lists."""

    flow: Flow
    slot: bool = False
    parent: bool = False
    status: str = "new"
    acts: list[Act] = field(default_factory=list)
    lined_up: list[Act] = field(default_factory=list)
    """Active or parked activations in the order in which they wait for a place."""
    ends: list[End] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)
    fired: set[NodeId] = field(default_factory=set)
    vars: dict[str, tuple[int, int]] = field(default_factory=dict)
    steps: int = 0
    restarts: int = 0
    attempt: int = 1
    deadline: int = 0
    settling: bool = False
    error: tuple[str, str] | None = None
    now: int = 0
    draw: float = 0.5

    # -- one event ------------------------------------------------------------------------------------------------

    def apply(self, fact: Fact, now: int, draw: float) -> None:
        """Let `fact` happen. Raises `Refused` before anything has changed."""
        self._check(fact, now)
        self.now, self.draw = now, draw
        getattr(self, "_on_" + fact.kind)(fact)
        if self.status == "running":
            self._look_at_joins()
        if self.status == "running":
            self._check_limits()
        if self.status == "running":
            self._release()

    def _check(self, fact: Fact, now: int) -> None:
        over = self.status in ("completed", "failed", "cancelled")
        parked = [act for act in self.acts if act.place == "parked"]
        fits = {
            "start": self.status == "new",
            "queue": self.status == "new",
            "grant": self.status == "queued",
            "cancel": self.status in ("queued", "running"),
            "deadline": self.status == "running" and 0 < self.deadline <= now,
            "output_failed": self.status == "running",
            "settle": self.settling,
            "redrive": over and not self.settling and (bool(parked) or fact.node is not None),
        }
        if not (fits[fact.kind] if fact.kind in fits else self._step_fits(fact, now)):
            raise Refused(fact.kind)

    def _step_fits(self, fact: Fact, now: int) -> bool:
        if self.status != "running" or not 0 <= fact.uid < len(self.acts):
            return False
        act = self.acts[fact.uid]
        if act.place != "active":
            return False
        where: Act | Item = act
        phase = act.phase
        if fact.index >= 0:
            if act.items is None or fact.index >= len(act.items):
                return False
            where = act.items[fact.index]
            phase = where.state
        if where.attempt != fact.attempt:
            return False
        if fact.kind in ("signal", "signal_error"):
            return phase == "waiting"
        if fact.kind == "timer":
            return phase == "waiting" and 0 < where.due <= now
        if fact.kind == "expand":
            is_foreach = self.flow.nodes[act.node].foreach is not None
            return phase == "ready" and is_foreach and act.items is None and fact.count > 0
        if fact.kind == "skip":
            return phase == "ready" and fact.index < 0 and act.items is None
        return phase == "ready"

    # -- the run --------------------------------------------------------------------------------------------------

    def _on_start(self, fact: Fact) -> None:
        self.status = "running"
        if self.flow.timeout:
            self.deadline = self.now + self.flow.timeout
        self._activate_start(self.now)

    def _on_queue(self, fact: Fact) -> None:
        self.status = "queued"

    def _on_grant(self, fact: Fact) -> None:
        self._on_start(fact)

    def _on_cancel(self, fact: Fact) -> None:
        self._end_run("cancelled", ("CANCELLED", ""))

    def _on_deadline(self, fact: Fact) -> None:
        """The check after every event sees it."""

    def _on_output_failed(self, fact: Fact) -> None:
        self._end_run("failed", (fact.code, ""))

    def _on_settle(self, fact: Fact) -> None:
        self.settling = False
        self.slot = False

    def _activate_start(self, due: int) -> None:
        for node in self.flow.start:
            self._activate(node, None, None, due)

    def _activate(self, node: NodeId, parent: int | None, via: str | None, due: int | None = None) -> Act:
        n = 1 + sum(1 for act in self.acts if act.node == node and not act.forgotten)
        act = Act(len(self.acts), node, n, parent, via, self.now if due is None else due)
        self.acts.append(act)
        self.lined_up.append(act)
        self.steps += 1
        return act

    def active(self) -> list[Act]:
        return [act for act in self.lined_up if act.place == "active"]

    def _check_limits(self) -> None:
        if self.steps > self.flow.limits.max_steps:
            self._end_run("failed", ("STEP_LIMIT_EXCEEDED", ""))
        elif self.deadline and self.now >= self.deadline:
            self._end_run("failed", ("RUN_TIMEOUT", ""))
        elif not self.active():
            self._end_run("completed", None)

    def _release(self) -> None:
        for act in self.active():
            busy = sum(1 for other in self.active() if other.phase in ("ready", "mapping"))
            if act.phase == "held" and busy < self.flow.limits.max_parallel:
                act.phase = "ready"
                act.due = max(act.due, self.now)

    def _end_run(self, status: str, error: tuple[str, str] | None) -> None:
        self.status = status
        self.error = error
        self.deadline = 0
        self.settling = self.slot or self.parent
        for act in self.active():
            act.place = "parked"

    # -- steps ----------------------------------------------------------------------------------------------------

    def _on_succeed(self, fact: Fact) -> None:
        self.vars = {key: at for key, at in self.vars.items() if key not in fact.removed}
        self.vars |= dict.fromkeys(fact.keys, (fact.uid, fact.index))
        self._succeed(fact)

    def _on_signal(self, fact: Fact) -> None:
        self._succeed(fact)

    def _on_timer(self, fact: Fact) -> None:
        self._succeed(fact)

    def _succeed(self, fact: Fact) -> None:
        act = self.acts[fact.uid]
        if fact.index >= 0:
            item = self._items(act)[fact.index]
            item.state, item.child = "done", False
            self._item_ended(act)
        else:
            action = "default" if act.items is not None else fact.action
            self._end_act(act, "succeeded", action, handled=True)

    def _on_skip(self, fact: Fact) -> None:
        self._end_act(self.acts[fact.uid], "skipped", "skipped", handled=True)

    def _on_wait(self, fact: Fact) -> None:
        act = self.acts[fact.uid]
        if fact.index >= 0:
            item = self._items(act)[fact.index]
            item.state, item.due, item.child = "waiting", fact.until, fact.child
        else:
            act.phase, act.due, act.child = "waiting", fact.until, fact.child

    def _on_signal_error(self, fact: Fact) -> None:
        self._on_fail(fact)

    def _on_fail(self, fact: Fact) -> None:
        act = self.acts[fact.uid]
        where: Act | Item = self._items(act)[fact.index] if fact.index >= 0 else act
        where.tries += 1
        where.child = False
        node = self.flow.nodes[act.node]
        if self._may_retry(node, fact, where.tries):
            where.attempt += 1
            where.due = self.now + wait_before(node.retry, where.tries, self.draw, fact.retry_after)
            if isinstance(where, Item):
                where.state = "ready"
            elif where.phase == "waiting":
                where.phase = "held"  # it had given up its place
        elif isinstance(where, Item):
            where.state = "bad"
            self._item_ended(act, fact)
        else:
            self._fail_act(act, fact.code, fact.retry_after)

    @staticmethod
    def _may_retry(node: Node, fact: Fact, tries: int) -> bool:
        if node.at_most_once or fact.code in ("AMBIGUOUS", "CRASH_LOOP"):
            return False
        wanted = fact.code in node.retry.on if node.retry.on else fact.retryable
        return wanted and tries < node.retry.max_attempts

    def _fail_act(self, act: Act, code: str, retry_after: int = 0) -> None:
        """R3, the failed node."""
        node = self.flow.nodes[act.node]
        action: str | None = None
        if node.on_error is OnError.CONTINUE:
            action = "default"
        elif "error" in node.next:
            action = "error"
        elif self.flow.on_error is OnError.CONTINUE:
            action = "default"
        if action is not None:
            self._end_act(act, "failed", action, handled=True)
            return
        tolerated = any(
            other.join is not None and other.join.mode is not JoinMode.ALL and act.node in other.join.needs
            for other in self.flow.nodes.values()
        )
        if tolerated:
            self._end_act(act, "failed", None, handled=False)
        else:
            self.ends.append(End(act, "failed", None, act.attempt, handled=False))
            act.place = "over"
            self._fail_run(code, act, retry_after)

    def _fail_run(self, code: str, act: Act, retry_after: int) -> None:
        """R3, the flow's part. A join that failed has nothing to repeat; everything else is parked."""
        policy = self.flow.retry_run
        if self.flow.on_error is OnError.RETRY_RUN and self.restarts + 1 < policy.max_attempts:
            self.restarts += 1
            self.attempt += 1
            self._forget(set(self.flow.nodes))
            self.lined_up, self.fired, self.vars = [], set(), {}
            self._activate_start(self.now + wait_before(policy, self.restarts, self.draw, retry_after))
            return
        self._end_run("failed", (code, act.node))
        if act not in self.lined_up:
            return
        act.place = "parked"
        self.lined_up.remove(act)
        self.lined_up.append(act)
        if act.phase == "mapping":
            act.attempt, act.tries = act.attempt + 1, 0
            return
        act.phase, act.attempt, act.tries, act.due = "ready", act.attempt + 1, 0, self.now

    def _end_act(self, act: Act, status: str, action: str | None, *, handled: bool) -> None:
        """R3 and R4: targets are activated, joins told."""
        act.place = "over"
        self.ends.append(End(act, status, action, act.attempt, handled))
        for target in self.flow.nodes[act.node].next.get(action or "", ()):
            self._activate(target, act.uid, action)
        for other in self.flow.nodes.values():
            if other.join is not None and act.node in other.join.needs:
                self.arrivals.append(Arrival(other.id, act.node, status, handled))

    # -- foreach --------------------------------------------------------------------------------------------------

    @staticmethod
    def _items(act: Act) -> list[Item]:
        assert act.items is not None
        return act.items

    def _on_expand(self, fact: Fact) -> None:
        act = self.acts[fact.uid]
        act.phase = "mapping"
        act.items = [Item(index) for index in range(fact.count)]
        self._fill(act)

    def _fill(self, act: Act) -> None:
        foreach = self.flow.nodes[act.node].foreach
        assert foreach is not None
        # Those that a redrive repeats (`attempt` above 1) come first.
        for item in sorted(self._items(act), key=lambda one: (one.attempt == 1, one.index)):
            running = sum(1 for other in self._items(act) if other.state in ("ready", "waiting"))
            if item.state == "new" and running < foreach.max_concurrency:
                item.state, item.due = "ready", self.now

    def _item_ended(self, act: Act, failure: Fact | None = None) -> None:
        items = self._items(act)
        foreach = self.flow.nodes[act.node].foreach
        assert foreach is not None
        bad = sum(1 for item in items if item.state == "bad")
        allowed = len(items) * foreach.tolerate / 100 if foreach.tolerate_percent else foreach.tolerate
        if failure is not None and bad > allowed:
            self._fail_act(act, failure.code)
        elif all(item.state in ("done", "bad") for item in items):
            act.phase, act.due = "ready", self.now
        else:
            self._fill(act)

    # -- joins ----------------------------------------------------------------------------------------------------

    def reachable(self, nodes: set[NodeId]) -> set[NodeId]:
        """By `next` of any action or by `needs`: a plain search, each time anew."""
        seen, queue = set(nodes), list(nodes)
        while queue:
            here = queue.pop()
            targets = [target for group in self.flow.nodes[here].next.values() for target in group]
            targets += [node.id for node in self.flow.nodes.values() if node.join and here in node.join.needs]
            for target in targets:
                if target not in seen:
                    seen.add(target)
                    queue.append(target)
        return seen

    def current(self, join: NodeId) -> dict[NodeId, tuple[str, bool]]:
        """The arrivals of this round; the latest of a node counts."""
        return {one.node: (one.status, one.handled) for one in self.arrivals if one.join == join and one.open}

    def _join_order(self) -> list[NodeId]:
        """Joins that lead to others first; else as written."""
        joins = [node.id for node in self.flow.nodes.values() if node.join]
        return sorted(joins, key=lambda join: -len([other for other in joins if other in self.reachable({join})]))

    def _look_at_joins(self) -> None:
        moved = True
        while moved and self.status == "running":
            moved = False
            for join in self._join_order():
                verdict = self._verdict(join)
                if verdict is not None:
                    self._carry_out(join, verdict)
                    moved = True
                    break

    def _verdict(self, join: NodeId) -> str | None:
        """R5: what becomes of a join now; None when it has to wait."""
        definition = self.flow.nodes[join].join
        assert definition is not None
        arrived = self.current(join)
        if not arrived and any(act.node == join and not act.forgotten for act in self.acts):
            return None
        statuses = [status for status, _ in arrived.values()]
        if definition.mode is JoinMode.ANY and "succeeded" in statuses and join not in self.fired:
            return "fire"
        if self.reachable({act.node for act in self.active()}) & set(definition.needs):
            return None
        if join in self.fired:
            return "close"
        if definition.mode is JoinMode.SETTLED:
            return "run"
        if definition.mode is JoinMode.ANY:
            return "fail" if "failed" in statuses else "skip"
        return "run" if "succeeded" in statuses and all(handled for _, handled in arrived.values()) else "skip"

    def _carry_out(self, join: NodeId, verdict: str) -> None:
        if verdict == "fire":
            self.fired.add(join)
            self._activate(join, None, None)
            return
        for arrival in self.arrivals:
            if arrival.join == join:
                arrival.open = False
        self.fired.discard(join)
        if verdict == "close":
            return
        act = self._activate(join, None, None)
        if verdict == "run":
            return
        self.lined_up.remove(act)
        if verdict == "skip":
            self._end_act(act, "skipped", "skipped", handled=True)
        else:
            self._fail_act(act, "JOIN_FAILED")

    # -- redrive --------------------------------------------------------------------------------------------------

    def _on_redrive(self, fact: Fact) -> None:
        self.status, self.error, self.steps = "running", None, 0
        self.attempt += 1
        self.deadline = self.now + self.flow.timeout if self.flow.timeout else 0
        if fact.node is not None:
            self._forget_behind(fact.node)
        parked = [act for act in self.lined_up if act.place == "parked"]
        self.lined_up = parked
        for act in parked:
            self._take_up(act)
        if fact.node is not None:
            self._activate(fact.node, None, None)

    def _take_up(self, act: Act) -> None:
        seen = [end for end in self.ends if end.act.node == act.node and not end.hidden]
        if seen and seen[-1].act is act and act.n == max(end.act.n for end in seen):
            for end in seen:
                end.hidden = True
        act.place = "active"
        if act.phase == "mapping":
            for item in self._items(act):
                if item.state == "bad":
                    item.state, item.attempt, item.tries = "new", item.attempt + 1, 0
                if item.child:
                    # Its child run was cancelled with this run.
                    item.state, item.attempt, item.tries = "ready", item.attempt + 1, 0
                    item.child, item.due = False, self.now
            self._fill(act)
        elif act.child:
            act.phase, act.attempt, act.tries, act.child, act.due = (
                "held",
                act.attempt + 1,
                0,
                False,
                self.now,
            )
        elif act.phase == "ready":
            act.phase = "held"

    def _forget_behind(self, node: NodeId) -> None:
        """R11: everything reachable is forgotten. A join behind keeps what came to it from elsewhere."""
        behind = self.reachable({node})
        self._forget(behind)
        self.fired -= behind
        for other in self.flow.nodes.values():
            if other.join is None or other.id == node or other.id not in behind:
                continue
            for need in other.join.needs:
                seen = [end for end in self.ends if end.act.node == need and not end.hidden]
                if seen:
                    self.arrivals.append(Arrival(other.id, need, seen[-1].status, seen[-1].handled))

    def _forget(self, nodes: set[NodeId]) -> None:
        for act in self.acts:
            if act.node in nodes:
                act.forgotten = True
                if act.place != "over":
                    act.place = "over"
        for end in self.ends:
            if end.act.node in nodes:
                end.hidden = True
        for arrival in self.arrivals:
            if arrival.join in nodes:
                arrival.open = False


def wait_before(policy: RetryPolicy, tries: int, draw: float, at_least: int) -> int:
    """R7: the delay grows with every try up to its maximum; full jitter takes a share of it."""
    delay = float(policy.delay)
    for _ in range(tries - 1):
        delay *= policy.backoff
    delay = min(delay, policy.max_delay)
    return max(int(delay * draw if policy.jitter == "full" else delay), at_least)
