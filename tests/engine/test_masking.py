"""Masking: what a redactor recognises, what is sealed beside it, and what happens when the secrets cannot be had."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote, quote_plus

import orjson
import pytest
from flowrunner.adapters.local.secrets import LocalSecrets
from flowrunner.adapters.memory.backend import MemoryBackend
from flowrunner.adapters.memory.cipher import MemorySealer
from flowrunner.core.ids import AccountId, RunId
from flowrunner.engine.redaction import MASK, SHORTEST, Redactor
from flowrunner.engine.run_secrets import RunSecrets
from flowrunner.engine.seals import SEALED, SHOWN, Opened, Seals
from flowrunner.engine.values import ValueLimits, Values
from flowrunner.errors import SecretMissing, StepError, StoreError, Unreadable
from hypothesis import given
from hypothesis import strategies as st

from tests.engine.harness import ACCOUNT, Bench, bench

A, RUN = AccountId("a"), RunId("r")
SECRET = 'hunter2/+?"\\ü'

FORMS = {
    "plain": SECRET,
    "upper": SECRET.upper(),
    "lower": SECRET.lower(),
    "json": json.dumps(SECRET)[1:-1],
    "json utf-8": json.dumps(SECRET, ensure_ascii=False)[1:-1],
    "repr": repr(SECRET)[1:-1],
    "url": quote(SECRET, safe=""),
    "url, lower escapes": quote(SECRET, safe="").replace("%2F", "%2f").replace("%2B", "%2b").replace("%3F", "%3f").replace("%C3%BC", "%c3%bc").replace("%5C", "%5c"),
    "url path": quote(SECRET),
    "encodeURI": quote(SECRET, safe=";,/?:@&=+$#-_.!~*'()"),
    "encodeURIComponent": quote(SECRET, safe="-_.!~*'()"),
    "form": quote_plus(SECRET),
    "hex": SECRET.encode().hex(),
    "HEX": SECRET.encode().hex().upper(),
    "html": SECRET.replace('"', "&quot;"),
    "base64": base64.b64encode(SECRET.encode()).decode(),
    "base64url": base64.urlsafe_b64encode(SECRET.encode()).decode(),
}  # fmt: skip  # a table


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_is_masked(form: str) -> None:
    """In the middle of a text, as a key, in lists and objects."""
    redactor = Redactor([SECRET])
    value = {f"<{form}>": [f"a {form} b", {"k": (form, 1, None, True)}]}
    masked = redactor.value(value)
    assert form not in repr(masked)
    assert masked[f"<{MASK}>"][0] == f"a {MASK} b"
    assert redactor.found(value) == {SECRET}


@given(st.binary(max_size=9), st.text(min_size=8, max_size=40), st.binary(max_size=9))
def test_base64_is_recognised_at_every_position(before: bytes, secret: str, after: bytes) -> None:
    """Whatever stands before and after it: of the characters that are the secret's alone none is left."""
    try:
        raw = secret.encode()
    except UnicodeEncodeError:
        return
    text = base64.b64encode(before + raw + after).decode()
    masked = Redactor([secret]).text(text)
    start, end = (8 * len(before) + 5) // 6, 8 * (len(before) + len(raw)) // 6
    assert text[start:end] not in masked


def test_numbers_show_secrets_too() -> None:
    """Exactly, as a part, as a fraction; others stay numbers."""
    redactor = Redactor(["84120963"])
    assert redactor.value([84120963, 184120963.5, 7, 1.5, True, None]) == [MASK, MASK, 7, 1.5, True, None]
    assert redactor.found(84120963) == {"84120963"}
    assert redactor.found([7, True, None]) == frozenset()


def test_a_secret_inside_another_is_masked_whole() -> None:
    """The longest first."""
    assert Redactor(["abcdefgh", "abcdefghijkl"]).text("x abcdefghijkl y abcdefgh") == f"x {MASK} y {MASK}"


def test_lines_of_a_secret_are_secrets() -> None:
    """A key is logged line by line."""
    redactor = Redactor(["first line of it\nx\nsecond line of it"])
    assert redactor.text("> second line of it <") == f"> {MASK} <"
    assert redactor.text("x") == "x"


def test_two_keys_in_one_secret_are_two_secrets() -> None:
    """While one takes the other's place; words of a passphrase stay words."""
    redactor = Redactor(["whsec_first0123456789 whsec_second123456789", "a passphrase of words"])
    assert redactor.text("> whsec_second123456789 <") == f"> {MASK} <"
    assert redactor.text("passphrase of") == "passphrase of"


def test_what_is_almost_a_secret_costs_no_more_than_its_length() -> None:
    """Whoever sets the secret writes the text as well: compared from each of its places anew this would take hours."""
    redactor = Redactor(["a" * 65_536, *("b" * length for length in range(4, 200))])
    text = ("a" * 60_000 + "b") * 100
    assert redactor.text(text) == text
    assert redactor.found(text) == frozenset()
    assert redactor.text("x" + "a" * 65_536 + "bbbb") == f"x{MASK}{MASK}"


def test_too_short_values_are_left_alone() -> None:
    """Masking them would tear holes into everything; the vault does not take them."""
    assert not Redactor(["x" * (SHORTEST - 1)])
    assert Redactor(["abcd"]).text("abcd YWJjZA== 61626364") == f"{MASK} {MASK} {MASK}"


def test_an_empty_redactor_gives_back_what_it_gets() -> None:
    """The same objects, at no cost."""
    redactor = Redactor(())
    value, error = {"a": [1]}, StepError("x")
    assert redactor.value(value) is value
    assert redactor.error(error) is error
    assert redactor.text("x") == "x"
    assert redactor.found(value) == frozenset()


def test_an_error_keeps_all_but_the_words() -> None:
    """Its code, whether to try again, and when."""
    error = StepError(f"bad {SECRET}", code=f"E{SECRET}", retryable=True, retry_after=3, hint=SECRET, key=[SECRET])
    masked = Redactor([SECRET]).error(error)
    assert (masked.message, masked.code, masked.retryable, masked.retry_after) == (f"bad {MASK}", f"E{MASK}", True, 3)
    assert (masked.hint, masked.details) == (MASK, {"key": [MASK]})


# -- sealing ----------------------------------------------------------------------------------------------------------


def _values(sealer: bool = True, inline: int = 100_000) -> tuple[Values, Any]:
    blobs = MemoryBackend().blobs
    return Values(blobs, ValueLimits(inline=inline), Seals(MemorySealer() if sealer else None)), blobs


def _stored(values: Values, value: Any, known: frozenset[tuple[str, str]]) -> Any:
    return orjson.loads(orjson.dumps(values.store(A, RUN, "key", value, "it", known)))


KNOWN = frozenset({("K", SECRET), ("OTHER", "another-secret")})


@pytest.mark.parametrize("inline", [100_000, 10])
def test_a_value_with_a_secret_is_stored_masked_and_opens_whole(inline: int) -> None:
    """In the row or in blobs, with the secrets that it holds and no others."""
    values, blobs = _values(inline=inline)
    value = {"auth": f"Bearer {SECRET}", "n": [1, None]}
    stored = _stored(values, value, KNOWN)
    assert values.load(A, RUN, stored) == {"auth": f"Bearer {MASK}", "n": [1, None]}
    assert values.open(A, RUN, stored) == Opened(value, frozenset({("K", SECRET)}))
    everything = repr(stored) + repr(blobs.__dict__) + repr(blobs._data.__dict__)
    assert not Redactor([SECRET]).found(everything)
    assert SECRET not in repr(values.open(A, RUN, stored))


def test_a_value_without_a_secret_is_stored_as_it_is() -> None:
    """Also when the run has read some."""
    assert _stored(_values()[0], {"a": 1}, KNOWN) == {"i": {"a": 1}}


def test_without_a_sealer_a_value_is_masked_for_good() -> None:
    """There is nothing to open."""
    values, _ = _values(sealer=False)
    assert _stored(values, SECRET, KNOWN) == {"i": MASK, "k": "key"}
    with pytest.raises(Unreadable, match="no key"):
        values.open(A, RUN, {"i": MASK, "k": "key", "x": "AAAA"})


def test_a_sealed_value_opens_at_its_place_only() -> None:
    """Not for another run, another key, another account, and not when it was changed."""
    values, _ = _values()
    stored = _stored(values, SECRET, KNOWN)
    for account, run, form in (
        (AccountId("b"), RUN, stored),
        (A, RunId("other"), stored),
        (A, RUN, stored | {"k": "another"}),
        (A, RUN, stored | {"x": "*"}),
        (A, RUN, stored | {"x": base64.b64encode(b"x" * 60).decode()}),
    ):
        with pytest.raises(Unreadable):
            values.open(account, run, form)
    with pytest.raises(StoreError, match="is missing"):
        values.open(A, RUN, {"i": MASK, "k": "key", "y": "gone"})


def test_a_value_that_looks_sealed_and_is_not_stays_what_it_is() -> None:
    """Somebody may store or send an object of our shape; it opens nothing."""
    seals = Seals(MemorySealer())
    for value in ({SEALED: "AAAA", SHOWN: 1}, {SEALED: 5, SHOWN: 1}, {SEALED: "AAAA"}, {SEALED: "*", SHOWN: {}}, [1]):
        assert seals.unwrap(A, "place", value) == Opened(value)
    text = orjson.dumps(SECRET)
    wrapped = seals.wrap(A, "place", SECRET, text, KNOWN, Redactor([SECRET]))
    assert wrapped[SHOWN] == MASK
    assert seals.unwrap(A, "place", wrapped) == Opened(SECRET, frozenset({("K", SECRET)}))
    assert seals.unwrap(A, "elsewhere", wrapped) == Opened(wrapped)
    assert seals.wrap(A, "place", [1], b"[1]", KNOWN, Redactor([SECRET])) == [1]
    assert Seals(None).wrap(A, "place", SECRET, text, KNOWN, Redactor([SECRET])) == MASK


def test_a_wrapped_value_waits_for_its_key() -> None:
    """When only the key is missing here, nobody gets the wrapping instead of the value."""

    class Away(MemorySealer):
        def open(self, account: AccountId, sealed: bytes, place: str) -> bytes:
            raise Unreadable(retryable=True)

    wrapped = Seals(MemorySealer()).wrap(A, "p", SECRET, orjson.dumps(SECRET), KNOWN, Redactor([SECRET]))
    with pytest.raises(Unreadable):
        Seals(Away()).unwrap(A, "p", wrapped)


# -- the secrets of a run ---------------------------------------------------------------------------------------------


class Vault:
    """Secrets that a test changes. See `ports.secrets.Secrets`."""

    def __init__(self, **values: Any) -> None:
        self.values = values

    def read(self, account: AccountId, name: str) -> str:
        value = self.values.get(name)
        if value is None:
            raise SecretMissing(f"there is no secret {name!r}")
        if isinstance(value, Exception):
            raise value
        return str(value)

    def names(self, account: AccountId) -> list[str]:
        return sorted(self.values)


def test_a_run_knows_what_it_has_read_also_when_it_was_changed() -> None:
    """In this process; another one asks for today's values."""
    vault = Vault(K="old value", L="other")
    here, there = RunSecrets(vault), RunSecrets(vault)
    assert here.read(A, RUN, "K", first=True) == "old value"
    vault.values["K"] = "new value"
    assert here.known(A, RUN, ["K"]) == {("K", "old value")}
    assert there.known(A, RUN, ["K"]) == {("K", "new value")}
    here.read(A, RUN, "K", first=False)
    assert here.known(A, RUN, ["K", "L"]) == {("K", "old value"), ("K", "new value"), ("L", "other")}
    assert here.known(A, RunId("other"), []) == frozenset()


def test_what_cannot_be_known_any_more_is_left_out() -> None:
    """A deleted secret, and one that is damaged; but a key that cannot be had stops everything."""
    vault = Vault(K="value", BROKEN=Unreadable())
    assert RunSecrets(vault).known(A, RUN, ["K", "GONE", "BROKEN"]) == {("K", "value")}
    for away in (Unreadable(retryable=True), StoreError()):
        vault.values["BROKEN"] = away
        with pytest.raises(type(away)):
            RunSecrets(vault).known(A, RUN, ["K", "BROKEN"])


def test_the_first_read_is_told_before_the_value_is_given() -> None:
    """What cannot be told is not given."""
    told: list[str] = []
    secrets = RunSecrets(Vault(K="value"), lambda account, run, name: told.append(f"{account}/{run}/{name}"))
    secrets.read(A, RUN, "K", first=True)
    secrets.read(A, RUN, "K", first=False)
    assert told == ["a/r/K"]

    def fail(*_: str) -> None:
        raise StoreError

    with pytest.raises(StoreError):
        RunSecrets(Vault(K="value"), fail).read(A, RUN, "K", first=True)


# -- in runs ----------------------------------------------------------------------------------------------------------


def flow(nodes: str) -> str:
    return f"metadata: {{name: masking}}\nnodes:\n{nodes}\n"


def test_a_step_that_cannot_be_masked_does_not_begin() -> None:
    """While the key of what the run has read cannot be had; nothing fails for that."""
    vault = Vault(K="hunter2hunter2")
    document = flow("""
  a: {type: script, hooks: {exec: "return secrets.K"}, next: b}
  b: {type: delay, params: {for: 10s}, next: c}
  c: {type: store, params: {op: set, key: k, value: "hunter2hunter2"}}""")
    backend = MemoryBackend()
    sealer = MemorySealer()
    with bench(backend, sealer=sealer) as first, bench(backend, sealer=sealer) as second:
        first.engine.services.run_secrets._secrets = vault
        run = first.start(document)
        first.work(until=first.clock.now() + 5_000)
        away = Vault(K=Unreadable("there is no key", retryable=True))
        second.engine.services.run_secrets._secrets = away
        second.clock.turn_to(second.clock.now() + 120_000)
        assert second.worker.drain() == second.clock.now() + 10_000
        assert [(one.label, one.status.value) for one in second.steps(run)] == [("a", "succeeded"), ("b", "waiting")]
        away.values["K"] = "hunter2hunter2"
        second.work()
        assert second.result(run).error is None
        assert second.result(run).status == "completed"
        assert second.output(run, "c") == {"key": "k", "value": MASK}


def without_vault(b: Bench, times: int) -> None:
    """Let the vault be away so often when it is asked what is to be masked, in the middle of a step."""
    secrets = b.engine.services.run_secrets
    secrets._secrets = Vault(K="hunter2hunter2")
    known, calls = secrets.known, []

    def lost(*args: Any) -> Any:
        calls.append(args)
        if len(calls) <= times:
            raise StoreError("the vault is away")
        return known(*args)

    secrets.known = lost  # type: ignore[assignment,method-assign]  # the vault goes away in the middle of a step


SAYS_ITS_SECRET = flow("""
  a:
    type: script
    at_most_once: ONCE
    hooks: {exec: "log('before'); const k = secrets.K; log('k is ' + k); return k"}""")


def test_a_step_whose_secrets_are_lost_on_the_way_comes_again() -> None:
    """It says nothing before it can be masked."""
    with bench() as b:
        without_vault(b, 2)
        run = b.start(SAYS_ITS_SECRET.replace("ONCE", "false"))
        b.work()
        [step] = b.steps(run)
        assert [entry["message"] for entry in step.logs] == ["before", f"k is {MASK}"]
        assert b.result(run).output == {"a": MASK}


def test_a_step_whose_secrets_are_lost_on_the_way_stores_nothing_of_what_it_said() -> None:
    """If it may not be executed again, it fails without a word."""
    with bench() as b:
        without_vault(b, 2)
        run = b.start(SAYS_ITS_SECRET.replace("ONCE", "true"))
        b.work()
        [step] = b.steps(run)
        assert step.error == {
            "code": "SECRET_UNREADABLE",
            "message": "the secrets that the run has read could not be had, to mask them",
            "node": "a",
            "details": {},
        }
        assert (step.retryable, step.logs, step.output) == (True, (), None)


def test_a_run_carries_secrets_through_everything() -> None:
    """The step that uses a value names the secrets that it holds, as if it had read them itself."""
    document = flow("""
  a: {type: transform, params: {value: "Bearer ${secrets.K}"}, next: b}
  b: {type: transform, foreach: {items: "${[nodes.a.output]}"}, params: {value: "${item}"}, next: c}
  c: {type: approval, params: {message: "ok?"}, next: {approved: d}}
  d: {type: script, hooks: {exec: "return nodes.b.output[0].length"}}""")
    with bench(secrets={"K": "hunter2hunter2"}) as b:
        run = b.start(document)
        b.work()
        b.engine.control.signal(ACCOUNT, run, "c", {"approved": True})
        b.work()
        assert b.output(run, "d") == len("Bearer hunter2hunter2")
        read = {one.label: tuple(one.secrets) for one in b.steps(run) if one.status.final}
        assert {name: read[name] for name in ("a", "b", "b[0]", "d")} == dict.fromkeys(("a", "b", "b[0]", "d"), ("K",))
        assert b.engine.control.view(ACCOUNT, run).state.secrets == ("K",)


def test_a_waiting_step_that_reads_a_secret_when_it_goes_on_tells_so() -> None:
    """By a signal, by its timer, and by a child that ended: later steps mask it."""
    for name, node, answer in (
        ("signal", "{type: approval, params: {message: ok}, next: {approved: z}, HOOK}", {"approved": True}),
        ("timer", "{type: delay, params: {for: 5s}, next: z, HOOK}", None),
        (
            "child",
            "{type: flow.run, params: {inline: {metadata: {name: i}, nodes: {x: {type: log, params: {message: m}}}}}, next: z, HOOK}",
            None,
        ),
    ):
        hook = 'hooks: {post: "return {output: [secrets.K]}"}'
        document = flow(f"  y: {node.replace('HOOK', hook)}\n  z: {{type: log, params: {{message: hunter2hunter2}}}}")
        with bench(secrets={"K": "hunter2hunter2"}) as b:
            run = b.start(document)
            b.work(until=b.clock.now() + 1_000)
            if answer is not None:
                b.engine.control.signal(ACCOUNT, run, "y", answer)
            b.work()
            logs = [entry for one in b.steps(run) if one.label == "z" for entry in one.logs]
            assert [entry["message"] for entry in logs] == [MASK], name


def test_local_secrets_are_enough_for_a_run() -> None:
    """Without a vault, without keys: a value that holds one is masked for good."""
    document = flow("""
  a: {type: transform, params: {value: "${secrets.K}"}, next: b}
  b: {type: transform, params: {value: "${nodes.a.output.length}"}}""")
    local = LocalSecrets({"FLOWRUNNER_SECRET_K": "hunter2hunter2"})
    with bench(sealer=None, secrets=None) as b:
        b.engine.services.run_secrets._secrets = local
        assert b.run(document).output == {"b": len(MASK)}
