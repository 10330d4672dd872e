"""`scripts/bench security`: what the goals of security bound in time, as CPU time, so that other load on the machine counts little.

Documents and expressions are those of the attack corpora (they are left out where the corpora are not) and of the fuzzer's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from statistics import median
from typing import Any

from flowrunner.errors import FlowrunnerError, StepError, Unauthenticated
from flowrunner.language.errors import InvalidFlow
from flowrunner.language.reader import read_document
from flowrunner.sandbox.errors import TemplateSyntaxError
from flowrunner.sandbox.evaluator import Sandbox, Script
from flowrunner.sandbox.paths import UNDEFINED
from flowrunner.sandbox.templates import compile_template
from flowrunner.services.accounts import Owner
from flowrunner.services.signatures import Received, verify

from tests.api.harness import service
from tests.attacks import attacks, text_of
from tests.fuzz.messages import HEADER, NOW, SECRETS, parts, signed
from tests.fuzz.targets import TARGETS
from tests.services.people import PASSWORD, Server


def main() -> None:
    corpus = [text_of(entry["input"]) for entry in attacks("corpus.json", "yaml")]
    documents: list[str | bytes] = [*corpus, *(path.read_bytes() for path in TARGETS["yaml"].corpus())]
    print(f"reading a hostile document (goal 50 ms): {slowest(_read, documents)}")
    texts = [text_of(entry["input"]) for entry in attacks("corpus.json", "expr") if isinstance(entry["input"], str)]
    texts += [path.read_text("utf-8", "replace") for path in TARGETS["expression"].corpus()]
    print(f"splitting a hostile expression (goal 100 ms): {slowest(_split, texts)}")
    scripts = [str(entry["input"]) for entry in attacks("corpus.json", "js")]
    print(f"a hostile hook, by the clock (goal 2.5 s): {hooks(scripts)}")
    print(f"verifying a message (goal 1 ms): {verifying()}")
    print(f"a wrong password and an unknown user (goal: 10 % apart): {logins()}")
    print(f"another account's run and one that is not there: {strangers()}")


def _read(document: str | bytes) -> None:
    with suppress(InvalidFlow):
        read_document(document)


def _split(text: str) -> None:
    with suppress(TemplateSyntaxError):
        compile_template(text)


def slowest(work: Callable[[Any], None], inputs: Iterable[str | bytes]) -> str:
    """The CPU time of the slowest of the inputs, each done three times."""
    taken = [(min(cpu(partial(work, one)) for _ in range(3)), one) for one in inputs]
    seconds, worst = max(taken, key=lambda pair: pair[0])
    return f"{seconds * 1000:.2f} ms at most, of {len(taken)} ({str(worst)[:40]!r})"


def cpu(work: Callable[[], object]) -> float:
    began = time.thread_time()
    work()
    return time.thread_time() - began


def hooks(bodies: list[str]) -> str:
    """The longest hook by the clock, and what they ended with."""
    sandbox, taken, deaths = Sandbox(processes=1), [0.0], 0
    try:
        for body in bodies:
            began = time.monotonic()
            with suppress(StepError):
                sandbox.evaluate(
                    "a", Script(kind="hook", name="exec", body=body), lambda _root, _key: UNDEFINED, now_ms=0, seed=""
                )
            taken.append(time.monotonic() - began)
            healthy = Script(kind="expressions", sources=("1 + 1",))
            with suppress(FlowrunnerError):
                deaths += sandbox.evaluate("a", healthy, lambda _root, _key: UNDEFINED, now_ms=0, seed="").value != [2]
    finally:
        sandbox.close()
    return f"{max(taken):.2f} s at most, of {len(bodies)}; {deaths} spoilt the next one"


def verifying() -> str:
    """One verification of each scheme, the median of many."""
    shown = []
    for (scheme, _), data in list(signed().items())[: len(SECRETS)]:
        _, headers, body = parts(data)
        received = Received(headers, body, NOW * 1000)
        times = [cpu(partial(verify, scheme, SECRETS[scheme], received, HEADER)) for _ in range(500)]
        shown.append(f"{scheme} {median(times) * 1e6:.0f} µs")
    return ", ".join(shown)


def logins(rounds: int = 25) -> str:
    """The CPU time of a log-in that fails, with the hash of production."""
    server = Server()
    server.people.logins._passwords._hasher = None  # then it makes that of production
    server.people.accounts.create("Acme", Owner("olga", PASSWORD))
    found: dict[str, list[float]] = {"olga": [], "nobody": []}
    for number in range(rounds):
        for name, times in found.items():
            times.append(cpu(partial(_failed, server, name, number)))
    known, unknown = (median(times) * 1000 for times in found.values())
    return f"{known:.1f} ms and {unknown:.1f} ms, {abs(known - unknown) / known:.1%} apart"


def strangers(rounds: int = 300) -> str:
    """The CPU time of a request for a run that is another account's, and for one that is nobody's."""
    with service({"api": {"requests_per_account": 0, "requests_per_address": 0}}) as api:
        theirs = api.start(api.flow(team="other")["id"], {"who": "x"}, team="other")
        headers = api.team().headers()
        found: dict[str, list[float]] = {theirs: [], f"{theirs[:-1]}{int(theirs[-1], 16) ^ 1:x}": []}
        for _ in range(rounds):
            for run, times in found.items():
                began = time.process_time()
                answer = api.client.get(f"/v1/runs/{run}", headers=headers)
                times.append(time.process_time() - began)
                assert answer.status_code == 404, answer.text
        one, other = (median(times) * 1000 for times in found.values())
    return f"{one:.2f} ms and {other:.2f} ms, {abs(one - other) / other:.1%} apart"


def _failed(server: Server, name: str, number: int) -> None:
    with suppress(Unauthenticated):
        server.basic(name, "wrong password", address=f"192.0.2.{number}")


if __name__ == "__main__":
    main()
