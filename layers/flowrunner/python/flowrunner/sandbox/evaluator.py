"""The sandbox: evaluates expressions and hooks in worker processes that hold nothing worth stealing."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

from flowrunner.core.flow import Json
from flowrunner.core.ids import Millis
from flowrunner.sandbox.code import analyse, checked_codes, fault_of
from flowrunner.sandbox.errors import ScriptError
from flowrunner.sandbox.failures import limit_error
from flowrunner.sandbox.paths import Loader, parse_path
from flowrunner.sandbox.plugged import TAKEN, helper_codes
from flowrunner.sandbox.pool import WorkerPool
from flowrunner.sandbox.process import Request, WorkerLost
from flowrunner.sandbox.rounds import Rounds
from flowrunner.sandbox.script import Evaluation, Limits, LogEntry, Script, ScriptFault, ScriptKind

__all__ = ["Evaluation", "Limits", "LogEntry", "Sandbox", "Script", "ScriptFault", "ScriptKind"]

CHECKED_AT_ONCE = 200
"""Scripts that are compiled in one request, so that a long document keeps within the time limit."""
FAULTS_MOST = 4 * 1024 * 1024


class Sandbox:
    """Evaluates scripts in worker processes. Safe for several threads.

    Arguments: `limits`, per evaluation; `processes`, how many run and are kept warm (default: one per CPU).
    """

    def __init__(self, limits: Limits | None = None, processes: int | None = None) -> None:
        self.limits = limits or Limits()
        self.helpers: Callable[[str], Mapping[str, str]] = lambda account: {}
        """The helpers of plugins that scripts of an account have, by name, in JavaScript; none to begin with."""
        self._pool = WorkerPool(processes or os.cpu_count() or 1)

    def evaluate(
        self,
        account: str,
        script: Script,
        load: Loader,
        *,
        now_ms: Millis,
        seed: str,
        extra: Mapping[str, Json] | None = None,
    ) -> Evaluation:
        """Evaluate `script` with what `load` gives, and `extra` bindings as they are.

        `now_ms` and `seed` fix what `now()`, `uuid()` and `Math.random()` give. Raises `ScriptError` (a
        hook), `ExpressionError` (an expression), `ScriptLimitExceeded`, `ValueTooLarge` (what it reads),
        `SandboxUnavailable`, and whatever `load` raises for something the script touched.
        """
        helpers = self.helpers(account)
        sources = (script.body,) if script.kind == "hook" else script.sources
        codes = helper_codes(helpers, sources) if helpers else ()
        return Rounds(self._pool, self.limits, account, script, load, extra or {}, codes).result(now_ms, seed)

    def helper_fault(self, name: str, source: str) -> str | None:
        """What is wrong with a helper; None: nothing that can be told without using it."""
        if name in TAKEN:
            return "scripts have another thing of that name"
        (fault,) = self.check_syntax([("expression", source)])
        return f"{fault.message} (line {fault.line}, column {fault.column})" if fault is not None else None

    def check_syntax(
        self, scripts: Sequence[tuple[ScriptKind, str]], account: str | None = None
    ) -> list[ScriptFault | None]:
        """Compile scripts without running anything of them; None for one that is well formed.

        With an `account` its warm worker is used, otherwise a new one that is gone afterwards: a worker never
        serves two accounts. Raises `ScriptLimitExceeded` or `SandboxUnavailable`.
        """
        faults: list[ScriptFault | None] = [None] * len(scripts)
        asked = []
        for number, (kind, source) in enumerate(scripts):
            faults[number] = analyse(source).fault
            if faults[number] is None and (kind == "hook" or parse_path(source) is None):
                asked.append(number)
        for start in range(0, len(asked), CHECKED_AT_ONCE):
            numbers = asked[start : start + CHECKED_AT_ONCE]
            words = self._compile([code for number in numbers for code in checked_codes(*scripts[number])], account)
            for place, number in enumerate(numbers):
                said = words[2 * place] or words[2 * place + 1]
                faults[number] = fault_of(said, scripts[number][1]) if said else None
        return faults

    def close(self) -> None:
        """End the worker processes. An evaluation that is still running ends first."""
        self._pool.close()

    def _compile(self, codes: list[str], account: str | None) -> list[str]:
        limits = self.limits
        size = sum(map(len, codes))
        times = (limits.cpu / 1000, limits.wall / 1000)
        request = Request("check", *times, limits.memory, limits.stack, size, (codes,))

        def judge(answer: bytes) -> tuple[list[str], bool]:
            words = answer[1:].decode("utf-8", "replace").split("\0")
            if answer[:1] != b"C" or len(words) != len(codes):
                raise ScriptError("the scripts could not be checked")
            return words, True

        try:
            return self._pool.ask(account, request, FAULTS_MOST, judge)[0]
        except WorkerLost as lost:
            raise limit_error(lost.limit, limits) from lost
