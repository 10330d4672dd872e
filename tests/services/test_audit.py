"""The audit log: what is recorded, and that no later change to the store passes `verify`."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import replace

import orjson
import pytest
from flowrunner.adapters.memory.backend import MemoryBackend
from flowrunner.core.ids import AccountId
from flowrunner.errors import Forbidden, StoreError
from flowrunner.ports.entities import Entity
from flowrunner.services.audit import Action, Audit, Mark, Record
from flowrunner.services.audit_chain import MAX_TEXT, canonical, decode, record_id
from flowrunner.services.identity import PERMISSIONS, Actor, Role
from flowrunner.testing import START, TurnedClock

from tests.attacks import attacks

OURS, THEIRS = AccountId("ours"), AccountId("theirs")
OWNER = Actor(OURS, "ann", PERMISSIONS[Role.OWNER], user="u1", address="192.0.2.7", correlation="c-1")
VIEWER = Actor(OURS, "vic", PERMISSIONS[Role.VIEWER])
STRANGER = Actor(THEIRS, "sue", PERMISSIONS[Role.OWNER])


class Log:
    """An audit log on a store that a test can reach into."""

    def __init__(self, records: int = 0) -> None:
        self.clock = TurnedClock()
        self.store = MemoryBackend().entities
        self.audit = Audit(self.store, self.clock)
        for number in range(1, records + 1):
            self.clock.turn_to(START + number * 1000)
            self.audit.record(OWNER, Action.FLOW_SAVED, f"flow {number}", revision=number)

    def entity(self, seq: int, kind: str = "audit") -> Entity:
        found = self.store.get(OURS, kind, record_id(seq) if seq else "head", START)
        assert found is not None
        return found

    def write(self, seq: int, body: bytes, id: str | None = None) -> None:
        self.store.put(Entity(OURS, "audit", id or record_id(seq), body), START)

    def head(self, count: int, digest: str) -> None:
        self.store.put(Entity(OURS, "audit.head", "head", orjson.dumps({"count": count, "hash": digest})), START)

    def rehashed(self, seq: int, **changes: object) -> None:
        """Change a record and give it the hash that fits the change."""
        record = replace(decode(self.entity(seq).body), **changes)  # type: ignore[arg-type]  # names of its fields
        self.write(seq, replace(record, hash=record.digest()).encode())


def test_records_say_who_did_what_from_where() -> None:
    """Every field of the actor that matters is kept, with the time, and the newest record comes first."""
    log = Log(1)
    log.clock.turn_to(START + 5000)
    log.audit.record_for(OURS, "bob", Action.LOGIN_FAILED, address="198.51.100.1", reason="password")
    failed, saved = log.audit.list(OWNER).records
    assert (failed.who, failed.action, failed.user, failed.address) == ("bob", "login.failed", None, "198.51.100.1")
    assert failed.details == {"reason": "password"}
    assert (saved.who, saved.user, saved.address, saved.correlation) == ("ann", "u1", "192.0.2.7", "c-1")
    assert (saved.seq, saved.at, saved.target, saved.details) == (1, START + 1000, "flow 1", {"revision": 1})


def test_accounts_have_logs_of_their_own() -> None:
    """Each starts with number 1 and sees nothing of another."""
    log = Log(3)
    log.audit.record(STRANGER, Action.LOGIN)
    assert [record.seq for record in log.audit.list(STRANGER).records] == [1]
    assert log.audit.verify(STRANGER).records == 1
    assert log.audit.verify(OWNER).records == 3


def test_reading_needs_the_permission() -> None:
    """A viewer may neither list nor verify."""
    log = Log(1)
    with pytest.raises(Forbidden):
        log.audit.list(VIEWER)
    with pytest.raises(Forbidden):
        log.audit.verify(VIEWER)


def test_pages_follow_each_other_in_both_directions() -> None:
    """Every record is on exactly one page."""
    log = Log(7)
    seen: list[int] = []
    before: int | None = None
    while True:
        page = log.audit.list(OWNER, before=before, limit=3)
        seen += [record.seq for record in page.records]
        before = page.next
        if before is None:
            break
    assert seen == [7, 6, 5, 4, 3, 2, 1]
    upwards = log.audit.list(OWNER, after=2, limit=3)
    assert [record.seq for record in upwards.records] == [3, 4, 5]
    assert upwards.next == 5


def test_filters_choose_by_action_group_and_actor() -> None:
    """`secret` is every act on a secret, `login` the failed ones too, and `log` nothing at all."""
    log = Log()
    for action in (Action.LOGIN, Action.LOGIN_FAILED, Action.SECRET_WRITTEN, Action.SECRET_READ):
        log.audit.record(OWNER, action)
    log.audit.record(STRANGER, Action.LOGIN)
    log.audit.record_for(OURS, "run:1", Action.SECRET_READ, "key")

    def actions(action: str, who: str | None = None) -> list[str]:
        return [record.action for record in log.audit.list(OWNER, action=action, who=who).records]

    assert actions("login") == ["login.failed", "login"]
    assert actions("secret") == ["secret.read", "secret.read", "secret.written"]
    assert actions("secret.read", "run:1") == ["secret.read"]
    assert actions("log") == []


def test_a_filter_that_fits_nothing_gives_up_for_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call looks at so many records and says where to go on."""
    monkeypatch.setattr("flowrunner.services.audit.PAGE", 2)
    monkeypatch.setattr("flowrunner.services.audit.MOST_SCANNED", 4)
    log = Log(7)
    page = log.audit.list(OWNER, action="login")
    assert (page.records, page.next) == ([], 4)
    assert log.audit.list(OWNER, action="login", before=page.next).next is None


def test_what_is_recorded_is_limited() -> None:
    """Texts are cut, too many details counted, and what is no JSON becomes text."""
    log = Log()
    log.audit.record(
        OWNER,
        Action.FLOW_SAVED,
        "x" * 10_000,
        **{f"d{number}": number for number in range(30)},
    )
    log.audit.record(OWNER, Action.FLOW_SAVED, "\ud800", many=["a"] * 99, big=2**80, gone=None, on=True, tags={"t"})
    odd, long = log.audit.list(OWNER).records
    assert len(long.target) == MAX_TEXT
    assert len(long.details) == 21
    assert long.details["omitted"] == 10
    assert odd.target == "?"
    assert odd.details == {"many": ["a"] * 20, "big": str(2**80), "on": True, "tags": ["t"]}
    assert log.audit.verify(OWNER).ok


def test_a_record_is_one_line() -> None:
    """Line ends in what tenants write are escaped in what is stored."""
    log = Log()
    log.audit.record(OWNER, Action.FLOW_SAVED, "a\r\nb\x1b[31m\u2028", note="c\nd")
    assert len(log.entity(1).body.splitlines()) == 1
    assert b"\x1b" not in log.entity(1).body


def test_something_is_recorded_once() -> None:
    """A second act of the same key leaves no record; another account's does."""
    log = Log()
    assert log.audit.record_once(OURS, "run:1", Action.SECRET_READ, "db", key="1/db", run="1")
    assert not log.audit.record_once(OURS, "run:1", Action.SECRET_READ, "db", key="1/db", run="1")
    assert log.audit.record_once(OURS, "run:1", Action.SECRET_READ, "mail", key="1/mail", run="1")
    assert log.audit.record_once(THEIRS, "run:1", Action.SECRET_READ, "db", key="1/db", run="1")
    assert [record.target for record in log.audit.list(OWNER).records] == ["mail", "db"]


def test_an_untouched_chain_is_whole() -> None:
    """Also the empty one; the verdict's head is what to note down elsewhere."""
    assert Log().audit.verify(OWNER).ok
    log = Log(5)
    verdict = log.audit.verify(OWNER)
    assert (verdict.ok, verdict.records, verdict.first_bad) == (True, 5, None)
    assert verdict.head == Mark(5, decode(log.entity(5).body).hash)
    assert log.audit.verify(OWNER, anchor=verdict.head).ok


def _change(log: Log) -> None:
    log.write(3, log.entity(3).body.replace(b"flow 3", b"flow X"))


def _swap(log: Log) -> None:
    third, fourth = log.entity(3).body, log.entity(4).body
    log.write(3, fourth)
    log.write(4, third)


def _swap_renumbered(log: Log) -> None:
    third, fourth = decode(log.entity(3).body), decode(log.entity(4).body)
    log.write(3, replace(fourth, seq=3, prev=third.prev, hash=third.hash).encode())
    log.write(4, replace(third, seq=4, prev=fourth.prev, hash=fourth.hash).encode())


def _insert(log: Log) -> None:
    """A copy of the third record moves the rest up by one."""
    bodies = [log.entity(seq).body for seq in (3, 4, 5)]
    for seq, body in zip((4, 5, 6), bodies, strict=True):
        log.write(seq, body)


def _foreign(log: Log) -> None:
    """The record of another account, in its place."""
    log.rehashed(3, account=THEIRS)


def _damage_last(log: Log) -> None:
    log.rehashed(5, who="nobody")


def _expire(log: Log) -> None:
    log.store.put(replace(log.entity(3), expires_at=START), START)


def _no_number(log: Log) -> None:
    log.write(3, log.entity(3).body.replace(b'"seq":3', b'"seq":"3"'))


TAMPERING: dict[str, tuple[Callable[[Log], object], int, str]] = {
    "changed": (_change, 3, "changed"),
    "changed, but for its meaning": (lambda log: log.write(3, log.entity(3).body + b" "), 3, "changed"),
    "made unreadable": (lambda log: log.write(3, b"[]"), 3, "cannot be read"),
    "no number any more": (_no_number, 3, "cannot be read"),
    "changed, with its hash": (lambda log: log.rehashed(3, who="nobody"), 3, "replaced"),
    "changed at the end, with its hash": (_damage_last, 5, "replaced"),
    "removed at the beginning": (lambda log: log.store.delete(OURS, "audit", record_id(1)), 1, "missing"),
    "removed in the middle": (lambda log: log.store.delete(OURS, "audit", record_id(3)), 3, "missing"),
    "removed at the end": (lambda log: log.store.delete(OURS, "audit", record_id(5)), 5, "missing"),
    "all removed": (lambda log: [log.store.delete(OURS, "audit", record_id(n)) for n in range(6)], 1, "missing"),
    "made to expire": (_expire, 3, "missing"),
    "two swapped": (_swap, 3, "moved"),
    "two swapped and renumbered": (_swap_renumbered, 3, "changed"),
    "inserted": (_insert, 4, "moved"),
    "inserted under an odd id": (lambda log: log.write(3, b"{}", record_id(2) + "a"), 3, "does not belong"),
    "moved from another account": (_foreign, 3, "moved"),
    "head set back": (lambda log: log.head(2, decode(log.entity(2).body).hash), 3, "set back"),
    "head removed": (lambda log: log.store.delete(OURS, "audit.head", "head"), 1, "set back"),
    "head damaged": (lambda log: log.store.put(Entity(OURS, "audit.head", "head", b"?"), START), 1, "set back"),
    "head of another chain": (lambda log: log.head(5, "f" * 64), 5, "replaced"),
}


@pytest.mark.parametrize(("tamper", "first_bad", "reason"), TAMPERING.values(), ids=list(TAMPERING))
@pytest.mark.parametrize("later", [0, 3])
def test_whatever_is_changed_is_found(tamper: Callable[[Log], object], first_bad: int, reason: str, later: int) -> None:
    """`verify` names the first bad record, at once as well as after more has been recorded behind it."""
    log = Log(5)
    tamper(log)
    for number in range(later):
        log.audit.record(OWNER, Action.LOGIN, f"later {number}")
    verdict = log.audit.verify(OWNER)
    assert not verdict.ok
    assert verdict.first_bad == first_bad
    assert reason in verdict.reason
    assert verdict.records == first_bad - 1


def test_a_crash_between_record_and_head_is_no_tampering() -> None:
    """The chain is one longer than the head, which is good; the next record moves the head on first."""
    log = Log(2)
    log.head(1, decode(log.entity(1).body).hash)
    assert log.audit.verify(OWNER).ok
    log.audit.record(OWNER, Action.LOGIN)
    assert orjson.loads(log.entity(0, "audit.head").body)["count"] == 3
    verdict = log.audit.verify(OWNER)
    assert (verdict.ok, verdict.records) == (True, 3)


def test_a_crash_before_the_first_head_is_no_tampering() -> None:
    """One record and no head yet."""
    log = Log(1)
    log.store.delete(OURS, "audit.head", "head")
    assert log.audit.verify(OWNER).ok
    log.audit.record(OWNER, Action.LOGIN)
    assert log.audit.verify(OWNER).records == 2


def test_a_chain_made_anew_is_found_by_its_anchor() -> None:
    """Whoever computes all hashes again passes the check of the store alone, but not of what was noted elsewhere."""
    log = Log(4)
    anchor = log.audit.verify(OWNER).head
    forged = Log(4)
    forged.rehashed(2, who="nobody")
    for seq in (3, 4):
        forged.rehashed(seq, prev=decode(forged.entity(seq - 1).body).hash)
    forged.head(4, decode(forged.entity(4).body).hash)
    assert forged.audit.verify(OWNER).ok
    verdict = forged.audit.verify(OWNER, anchor=anchor)
    assert (verdict.ok, verdict.first_bad) == (False, 4)
    assert not Log(3).audit.verify(OWNER, anchor=anchor).ok


def test_an_unreadable_record_is_listed_as_that() -> None:
    """Looking at the log still works, and says where it cannot be read."""
    log = Log(2)
    log.write(2, b"nonsense")
    assert [record.action for record in log.audit.list(OWNER).records] == ["unreadable", "flow.saved"]


def test_writers_that_race_leave_one_chain() -> None:
    """Every record of several threads is there once, and the chain is whole."""
    log = Log()

    def write(name: str) -> None:
        for number in range(20):
            log.audit.record_for(OURS, name, Action.LOGIN, str(number))

    threads = [threading.Thread(target=write, args=(f"writer {number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    verdict = log.audit.verify(OWNER)
    assert (verdict.ok, verdict.records) == (True, 80)
    records = log.audit.list(OWNER, limit=100).records
    assert len({(record.who, record.target) for record in records}) == 80
    assert orjson.loads(log.entity(0, "audit.head").body)["count"] == 80


def test_a_store_in_which_nothing_can_be_inserted_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """An act that cannot be recorded fails instead of passing unseen."""
    log = Log(1)
    monkeypatch.setattr(log.store, "put", lambda *_: None)
    with pytest.raises(StoreError):
        log.audit.record(OWNER, Action.LOGIN)


def test_the_hash_is_the_documented_one() -> None:
    """SHA-256 over the hash before and the canonical JSON, so that others can verify an export."""
    log = Log(2)
    first, second = (decode(log.entity(seq).body) for seq in (1, 2))
    assert first.prev == "0" * 64
    assert second.hash == hashlib.sha256(first.hash.encode() + canonical(second.entry())).hexdigest()
    assert isinstance(second, Record)


CORPUS = {
    "log-07": ["changed"],
    "auth-37": ["changed", "removed in the middle", "two swapped"],
}
"""Which kinds of tampering an entry is about."""


@pytest.mark.parametrize(
    "entry",
    [
        one
        for one in [*attacks("corpus.json", "log"), *attacks("webhooks_and_auth.json", "audit")]
        if one["id"] in CORPUS
    ],
    ids=lambda entry: str(entry["id"]),
)
def test_attacks_on_the_log(entry: dict[str, str]) -> None:
    """Each entry of the corpus about the audit log: the chain check names the first broken record."""
    for kind in CORPUS[entry["id"]]:
        tamper, first_bad, _ = TAMPERING[kind]
        log = Log(5)
        tamper(log)
        assert log.audit.verify(OWNER).first_bad == first_bad
