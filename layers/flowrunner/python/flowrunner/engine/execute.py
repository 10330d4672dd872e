"""Executing one attempt of a step: from the message's job to an outcome. It writes no run state.

The order is: `when`, the items of a `foreach`, ports, `prep`, params, cache, the node's work (or `exec`), `post`. A
failure that the policy will not repeat is given the node's `fallback` first, then its `post` hook.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any

from flowrunner.core.events import (
    ErrorFacts,
    Event,
    SignalReceived,
    StepExpanded,
    StepFailed,
    StepSkipped,
    StepSucceeded,
    StepWaiting,
    TimerFired,
)
from flowrunner.core.flow import DEFAULT, Json
from flowrunner.core.foreach import collecting
from flowrunner.core.ids import Millis
from flowrunner.core.retry import will_retry
from flowrunner.core.state import parent_of_item
from flowrunner.engine.children import returned
from flowrunner.engine.context import StepContext
from flowrunner.engine.entries import Entries
from flowrunner.engine.evaluate import evaluate
from flowrunner.engine.foreach_items import checked_items, collected, stored_pages
from flowrunner.engine.giving_up import GivenUp
from flowrunner.engine.hooks import HookRunner, merge_input, merge_params, split_context
from flowrunner.engine.outcome import Job, Outcome, attempt_of, crashed, facts_of
from flowrunner.engine.records import Attempt, WaitFacts
from flowrunner.engine.redaction import Redactor
from flowrunner.engine.run_info import run_info
from flowrunner.engine.scope import Scope
from flowrunner.engine.sealed_values import SealedValues, check_name
from flowrunner.engine.seals import callback_place, names_of
from flowrunner.engine.services import Services
from flowrunner.engine.step_cache import StepCache
from flowrunner.engine.values import to_json
from flowrunner.errors import NodeCrashed, NodeTimeout, StepError, StoreError, Unreadable
from flowrunner.nodes.base import Output, Result, Wait
from flowrunner.nodes.fields import truthy
from flowrunner.ports.runs import RowStatus


class Execution:
    """One attempt under way. Made for one job and used once, in one thread."""

    def __init__(self, services: Services, job: Job, executor: str) -> None:
        self._services = services
        self.job = job
        self.node = job.node
        self.executor = executor
        row, facts = job.view.row, job.view.facts
        self.info = run_info(row, facts, job.state, job.step)
        self.scope = Scope(
            services.reader,
            services.run_secrets,
            row.account,
            row.id,
            self.info,
            facts,
            job.view.program,
            job.state,
            job.step,
            job.entry,
            job.node,
        )
        seed = f"{row.id}/{job.step}/{job.entry.attempt}"
        self.entries = Entries(services.clock.now, self.scope.redactor)
        self.hooks = HookRunner(services.sandbox, self.scope, self.entries, job.started_at, seed)
        self.seed = seed
        self.kept = SealedValues(services.backend.values, services.seals, self.scope)
        self.input: Json = None
        self.params: dict[str, Json] = {}
        self.cached = False
        self.fallback = False
        self._worked = False
        """Whether the node's own work has begun, with whatever effects it has."""
        self._waited: Attempt | None = None
        """The row of the wait that this execution ends."""

    @property
    def services(self) -> Services:
        """What the execution works with. Raises `GivenUp` in a thread that was too late."""
        if self.job.given_up is not None and self.job.given_up == threading.get_ident():
            raise GivenUp
        return self._services

    def run(self) -> Outcome:
        """Execute to the end. Every failure of the tenant's making is an outcome; nothing is raised for it.

        A patient job raises `StoreError` and `Unreadable` for what may be had later, unless it has done what may not
        be done twice.
        """
        try:
            return self._ended(self._attempt())
        except (StepError, StoreError) as error:
            if self._comes_again(error):
                raise
            return self.failed(error if isinstance(error, StepError) else crashed(error))
        except RecursionError:
            return self.failed(StepError("a value is nested too deeply", code="VALUE_TOO_DEEP"))
        except Exception as error:  # noqa: BLE001 - whatever a node raises is that step's failure, never the worker's
            return self.failed(crashed(error))

    def _comes_again(self, error: StepError | StoreError) -> bool:
        passing = isinstance(error, StoreError) or (isinstance(error, Unreadable) and error.retryable)
        return passing and self.job.patient and not (self._worked and self.node.node.at_most_once)

    def failed(self, error: StepError) -> Outcome:
        """The outcome of a failure: a last word for `fallback` and `post` if the policy will not try again."""
        try:
            return self._failed(error)
        except (StoreError, Unreadable) as later:
            if self._comes_again(later):
                raise
            return self._unmasked()

    def _failed(self, error: StepError) -> Outcome:
        facts = facts_of(error)
        tries = self.job.entry.attempt - self.job.entry.spent
        if will_retry(self.node.node, facts, tries):
            return self._failure(facts)
        try:
            if self.node.fallback is not None:
                self.fallback = True
                self.scope.given["error"] = facts.record(self.node.node.id)
                return self._ended(self._post(Result(self._evaluate(self.node.fallback, "fallback"))))
            return self._post_on_error(facts)
        except StepError as later:
            self.fallback = False
            return self._failure(facts_of(later))

    def timed_out(self) -> Outcome:
        """The outcome of an attempt that did not come back in time; called from the worker's thread."""
        self.job.patient = False  # it would be late again
        seconds = (self.job.deadline - self.job.started_at) / 1000
        return self.failed(NodeTimeout(f"the node did not end within {seconds:g} s", hint=self.job.limit or None))

    def under_way(self) -> Attempt:
        """The attempt as far as it has come, for whoever watches. Safe while it is executed in another thread."""
        return self._facts(RowStatus.RUNNING, list(self.entries.logs), list(self.entries.events))

    # -- the way through ----------------------------------------------------------------------------------------

    def _attempt(self) -> Result | Wait | Outcome:
        if self.job.answer is not None:
            return self._resume()
        if parent_of_item(self.job.step) is None:
            if self.node.foreach and collecting(self.job.state, self.job.step):
                return self._collect()
            if self.node.when is not None and not truthy(self._evaluate(self.node.when, "when")):
                return self._skipped()
            if self.node.items is not None:
                return self._expand()
        return self._post(self._work())

    def _work(self) -> Result | Wait:
        node_type = self.node.type.name
        if not self.services.may_execute(self.scope.account, node_type):
            raise StepError(f"the plugin {node_type} is disabled in this account", code="PLUGIN_DISABLED")
        if self.node.ports is not None:
            self.scope.given["ports"] = self._evaluate(self.node.ports, "inputs")
        self.input = self.scope.start_input()
        overlay: dict[str, Json] = {}
        prep = self.node.node.hooks.get("prep")
        if prep is not None:
            context = self.hooks.prep(prep, self.input)
            self.scope.given["context"] = context
            overlay, fields = split_context(context, self.services.registry.field_names(self.node.node.type))
            self.input = merge_input(self.input, fields)
        params = self._evaluate(self.node.params, "params")
        self.params = {**self.node.deferred, **merge_params(params, overlay)}
        cache = self._cache()
        hit = cache.get(self.services.clock.now()) if cache is not None else None
        if hit is not None:
            self.cached = True
            return hit
        result = self._execute()
        if cache is not None and isinstance(result, Result):
            cache.put(result, self.services.clock.now())
        return result

    def _execute(self) -> Result | Wait:
        model = self.services.registry.validate(self.node.node.type, self.params)
        self._worked = True
        exec_hook = self.node.node.hooks.get("exec")
        if exec_hook is not None:
            return Result(self.hooks.exec(exec_hook, self.node.type.exec_input(model, self.input), self.params))
        context = StepContext(self, model)
        result: Any = self.node.type.execute(context)
        if inspect.iscoroutine(result):
            result = _complete(result)
        if isinstance(result, Output):
            return Result(result.model_dump(mode="json"))
        if isinstance(result, Result | Wait):
            return result
        kind = type(result).__name__
        raise NodeCrashed(f"node type {self.node.node.type} returned a {kind} instead of an Output, Result or Wait")

    def _post(self, result: Result | Wait) -> Result | Wait:
        hook = self.node.node.hooks.get("post")
        if hook is None or isinstance(result, Wait):
            return result
        post = self.hooks.post(hook, self.input, self.params, {"output": result.output})
        output = post.output if post.changes_output else result.output
        return Result(output, post.action or result.action)

    def _resume(self) -> Result | Outcome:
        """What ended the wait becomes the output; `post` runs now, since only now there is one."""
        answer = self.job.answer or {}
        row = self.job.view.row
        self._waited = self.services.reader.attempt(row.account, row.id, self.job.step, self.job.entry.attempt)
        wait = (self._waited.wait if self._waited else None) or WaitFacts()
        open_, scope = self.services.seals.unwrap, self.scope
        if "timer" in answer:
            result = Result(scope.opened(open_(row.account, self._wait_place(), wait.output)), wait.action)
        elif "child" in answer:
            children = self.services.children
            result = returned(self.node.type, children, row.account, str(answer["child"]), scope.opened)
        else:
            payload = open_(row.account, callback_place(row.id, self.job.step), answer.get("payload"))
            result = self.node.type.answered(scope.opened(payload))
        done = self._post(result)
        assert isinstance(done, Result), "a wait does not end in a wait"
        return done

    # -- foreach ------------------------------------------------------------------------------------------------

    def _expand(self) -> Result | Outcome:
        assert self.node.items is not None, "only a foreach expands"
        items = checked_items(self._evaluate(self.node.items, "foreach.items"))
        if not items:
            return self._post(Result([]))  # type: ignore[return-value]  # a Result stays a Result
        row = replace(self._row(RowStatus.RUNNING), items=stored_pages(items, self._store), ended_at=0)
        return Outcome(StepExpanded(self.job.step, self.job.entry.attempt, len(items), tuple(row.secrets)), row)

    def _collect(self) -> Result:
        row = self.job.view.row
        attempts = self.services.reader.items(row.account, row.id, self.job.step)
        return Result(collected(attempts, self.job.state.maps[self.job.step].count, self.scope.stored))

    # -- outcomes -----------------------------------------------------------------------------------------------

    def _ended(self, result: Result | Wait | Outcome) -> Outcome:
        if isinstance(result, Outcome):
            return result
        if isinstance(result, Wait):
            return self._waiting(result)
        written = {
            key: self._store(value, f"vars-{key}", f"the value of vars.{key}")
            for key, value in self.scope.written.items()
        }
        removed = tuple(sorted(self.scope.removed))
        check_name(self.scope, "the name of a var", *written, *removed)
        result = Result(result.output, self.scope.redactor().text(result.action))
        output = self._store(self._shown(result.output), "output", f"the output of node {self.node.node.id}")
        row = replace(
            self._row(RowStatus.SUCCEEDED),
            action=result.action,
            output=output,
            vars=written,
            removed=removed,
            cached=self.cached,
            fallback=self.fallback,
        )
        step, attempt = self.job.step, self.job.entry.attempt
        event: Event
        if self.job.answer is None:
            event = StepSucceeded(step, attempt, result.action, tuple(written), removed, tuple(row.secrets))
        elif "timer" in self.job.answer:
            event = TimerFired(step, attempt, result.action, tuple(row.secrets))
        else:
            event = SignalReceived(step, attempt, result.action, secrets=tuple(row.secrets))
        return Outcome(event, row)

    def _waiting(self, wait: Wait) -> Outcome:
        until = wait.until or 0
        row, redactor = self._row(RowStatus.WAITING), self.scope.redactor()
        output = wait.output
        if redactor:
            text = to_json(output, "the output of the wait")
            output = self.services.seals.wrap(
                self.scope.account, self._wait_place(), output, text, self.scope.known(), redactor
            )
        facts = WaitFacts(
            until,
            redactor.text(wait.action),
            output,
            redactor.value(wait.data),
            wait.child,
            row.ended_at,
            len(row.logs),
            len(row.events),
        )
        row = replace(row, wait=facts, ended_at=0)
        event = StepWaiting(self.job.step, self.job.entry.attempt, until, wait.child, tuple(row.secrets))
        return Outcome(event, row)

    def _skipped(self) -> Outcome:
        return Outcome(StepSkipped(self.job.step, self.job.entry.attempt), self._row(RowStatus.SKIPPED))

    def _post_on_error(self, facts: ErrorFacts) -> Outcome:
        hook = self.node.node.hooks.get("post")
        if hook is None:
            return self._failure(facts)
        given = {"error": facts.record(self.node.node.id)}
        post = self.hooks.post(hook, self.input, self.params, given)
        if not post.changes_output:
            return self._failure(facts)
        return self._ended(Result(post.output, post.action or DEFAULT))

    def _failure(self, facts: ErrorFacts) -> Outcome:
        redactor = self.scope.redactor()
        masked = replace(
            facts,
            code=redactor.text(facts.code),
            message=redactor.text(facts.message),
            details=redactor.value(facts.details),
        )
        row = replace(
            self._row(RowStatus.FAILED),
            error=masked.record(self.node.node.id),
            retryable=masked.retryable,
            retry_after=masked.retry_after,
        )
        step, attempt = self.job.step, self.job.entry.attempt
        if self.job.answer is not None:
            return Outcome(SignalReceived(step, attempt, error=masked, secrets=tuple(row.secrets)), row)
        return Outcome(StepFailed(step, attempt, masked, tuple(row.secrets)), row)

    def _unmasked(self) -> Outcome:
        """The outcome when the run's secrets cannot be had: nothing that the step said or gave may be stored."""
        self.entries.clear()
        facts = ErrorFacts(
            Unreadable.code, "the secrets that the run has read could not be had, to mask them", retryable=True
        )
        row = self._facts(RowStatus.FAILED, [], [], self.services.clock.now(), tuple(sorted(self.scope.read_secrets)))
        row = replace(row, error=facts.record(self.node.node.id), retryable=True)
        step, attempt = self.job.step, self.job.entry.attempt
        if self.job.answer is not None:
            return Outcome(SignalReceived(step, attempt, error=facts, secrets=tuple(row.secrets)), row)
        return Outcome(StepFailed(step, attempt, facts, tuple(row.secrets)), row)

    def _row(self, status: RowStatus) -> Attempt:
        """The attempt as it is kept: masked with every secret read until now."""
        self.entries.close()
        redactor = self.scope.redactor() if self.entries else Redactor(())
        before = self._waited.secrets if self._waited else ()
        secrets = tuple(sorted({*self.scope.read_secrets, *names_of(self.scope.carried), *before}))
        logs, events = redactor.value(self.entries.logs), redactor.value(self.entries.events)
        return self._facts(status, logs, events, self.services.clock.now(), secrets)

    def _facts(
        self, status: RowStatus, logs: list[Any], events: list[Any], ended_at: Millis = 0, secrets: Sequence[str] = ()
    ) -> Attempt:
        return attempt_of(self.job, self._waited, status, (logs, events), ended_at, secrets)

    # -- small helpers ------------------------------------------------------------------------------------------

    def _evaluate(self, template: Any, field: str) -> Any:
        return evaluate(
            self.services.sandbox, template, self.scope, field, now=self.job.started_at, seed=f"{self.seed}/{field}"
        )

    def _store(self, value: Any, key: str, where: str) -> Json:
        row = self.job.view.row
        # Drawn, as no moment is unique: the same executor may begin anew in the very millisecond in which it began.
        blob_key = f"{self.job.step}/{self.job.entry.attempt}/{self.executor}/{self.services.draws.new_id()}/{key}"
        known, redactor = self.scope.known(), self.scope.redactor()
        return self.services.values.store(row.account, row.id, blob_key, value, where, known, redactor)

    def _wait_place(self) -> str:
        return f"wait/{self.job.view.row.id}/{self.job.step}/{self.job.entry.attempt}"

    def _shown(self, output: Json) -> Json:
        """The output as kept: that of `log` is there to be looked at, so secrets are masked in it."""
        return self.scope.redactor().value(output) if self.node.node.type == "log" else output

    def _cache(self) -> StepCache | None:
        cache = self.node.node.cache
        if cache is None or self.node.cache_key is None:
            return None
        key = self._evaluate(self.node.cache_key, "cache.key")
        return StepCache(self.kept, self.scope, self.job.view.row.flow, self.node.node.id, cache, key)


def _complete(coroutine: Coroutine[Any, Any, Any]) -> Any:
    import asyncio

    return asyncio.run(coroutine)
