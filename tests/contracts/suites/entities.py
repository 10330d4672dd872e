"""What people make and change (`ports.entities.Entities`)."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from flowrunner.core.ids import AccountId
from flowrunner.errors import Conflict, InvalidInput
from flowrunner.ports.backend import Backend
from flowrunner.ports.entities import ANY_REVISION, Entity

from tests.contracts.suites.build import ACCOUNT, NASTY, NOW, OTHER

KIND = "thing"
UNSTORABLE = ["a\0b", "half \ud83d"]


def entity(id: str = "e1", account: str = ACCOUNT, **changes: Any) -> Entity:
    """What is given to `put`; the revision is the store's to set."""
    values: dict[str, Any] = {"kind": KIND, "body": b'{"a":1}'}
    return Entity(account=AccountId(account), id=id, **(values | changes))


def put(backend: Backend, *wanted: Entity) -> None:
    for one in wanted:
        assert backend.entities.put(one, NOW) is not None


def get(backend: Backend, id: str = "e1", now: int = NOW) -> Entity | None:
    return backend.entities.get(ACCOUNT, KIND, id, now)


def ids(found: Iterable[Entity]) -> list[str]:
    return [one.id for one in found]


class EntityRules:
    """Reading one, by either of its names."""

    def test_an_entity_is_read_as_it_was_put(self, backend: Backend) -> None:
        """Every column comes back, any bytes as the body, and the revision counts from 1."""
        given = entity(body=bytes(range(256)), lookup="name", due=NOW + 1, expires_at=NOW + 2)
        assert backend.entities.put(given, NOW) == replace(given, rev=1)
        assert get(backend) == replace(given, rev=1)
        assert backend.entities.find(KIND, "name", NOW) == replace(given, rev=1)

    def test_an_entity_without_the_rest_is_read_as_it_was_put(self, backend: Backend) -> None:
        """No second name, no due time and no expiry are no more than that, and a body may be empty or large."""
        for number, body in enumerate((b"", b"x" * 1_000_000)):
            assert backend.entities.put(entity(str(number), body=body), NOW) is not None
            assert get(backend, str(number), NOW + 10**12) == entity(str(number), body=body, rev=1)

    def test_accounts_and_kinds_are_apart(self, backend: Backend) -> None:
        """The same id elsewhere is another entity."""
        put(backend, entity())
        assert backend.entities.get(OTHER, KIND, "e1", NOW) is None
        assert backend.entities.get(ACCOUNT, "other", "e1", NOW) is None
        put(backend, entity(account=OTHER, body=b"theirs"), entity(kind="other", body=b"other"))
        assert get(backend) == entity(rev=1)
        assert backend.entities.delete(OTHER, KIND, "e1") is True
        assert get(backend) == entity(rev=1)

    def test_a_lookup_finds_whatever_the_account(self, backend: Backend) -> None:
        """Within its kind, and only as written."""
        put(backend, entity("theirs", account=OTHER, lookup="name"), entity("mine", lookup="other"))
        found = backend.entities.find(KIND, "name", NOW)
        assert found is not None
        assert (found.account, found.id) == (OTHER, "theirs")
        for kind, lookup in (("other", "name"), (KIND, "Name"), (KIND, "nam"), (KIND, "")):
            assert backend.entities.find(kind, lookup, NOW) is None

    def test_an_expired_entity_is_absent_at_once(self, backend: Backend) -> None:
        """For every way of reading, from the very moment on."""
        put(backend, entity(lookup="name", expires_at=NOW + 5))
        for now, there in ((NOW + 4, True), (NOW + 5, False), (NOW + 6, False)):
            assert (get(backend, now=now) is not None) is there
            assert (backend.entities.find(KIND, "name", now) is not None) is there
            assert ids(backend.entities.list(ACCOUNT, KIND, now)) == (["e1"] if there else [])

    @pytest.mark.parametrize("text", NASTY)
    def test_names_are_any_text(self, backend: Backend, text: str) -> None:
        """Quotes, SQL and any script are only text, in each of the names."""
        put(backend, entity("plain"), entity(text, account=text, kind=text, lookup=text))
        stored = entity(text, account=text, kind=text, lookup=text, rev=1)
        assert backend.entities.get(AccountId(text), text, text, NOW) == stored
        assert backend.entities.find(text, text, NOW) == stored
        assert list(backend.entities.list(AccountId(text), text, NOW, prefix=text)) == [stored]
        assert backend.entities.delete(AccountId(text), text, text) is True

    @pytest.mark.parametrize("text", UNSTORABLE, ids=ascii)
    def test_text_that_not_every_store_can_hold_is_refused_by_all(self, backend: Backend, text: str) -> None:
        """In every name, for writing and reading alike: it may come from a URL."""
        bad = AccountId(text)
        for one in (entity(text), entity(account=text), entity(kind=text), entity(lookup=text)):
            with pytest.raises(InvalidInput):
                backend.entities.put(one, NOW)
        for account, kind, id in ((bad, KIND, "e1"), (ACCOUNT, text, "e1"), (ACCOUNT, KIND, text)):
            with pytest.raises(InvalidInput):
                backend.entities.get(account, kind, id, NOW)
            with pytest.raises(InvalidInput):
                backend.entities.delete(account, kind, id)
            with pytest.raises(InvalidInput):
                backend.entities.list(account, kind, NOW, prefix=id)
        for kind, lookup in ((text, "name"), (KIND, text)):
            with pytest.raises(InvalidInput):
                backend.entities.find(kind, lookup, NOW)
        with pytest.raises(InvalidInput):
            backend.entities.list(ACCOUNT, KIND, NOW, after=text)
        with pytest.raises(InvalidInput):
            backend.entities.due(text, NOW, 1)
        with pytest.raises(InvalidInput):
            backend.entities.next_due(text)
        with pytest.raises(InvalidInput):
            backend.entities.delete_account(bad)


class EntityWriteRules:
    """Conditional writes, second names and removal."""

    def test_a_write_replaces_every_column(self, backend: Backend) -> None:
        """Also those that the new one does without: the old second name is free, and nothing is due."""
        put(backend, entity(lookup="name", due=NOW, expires_at=NOW + 1))
        assert backend.entities.put(entity(body=b"new"), NOW) == entity(body=b"new", rev=2)
        assert get(backend, now=NOW + 10**9) == entity(body=b"new", rev=2)
        assert backend.entities.find(KIND, "name", NOW) is None
        assert backend.entities.next_due(KIND) is None
        assert backend.entities.purge(NOW + 10**9) == 0

    def test_a_conditional_write_needs_the_revision(self, backend: Backend) -> None:
        """0 is for what is not there; any other revision is refused and changes nothing."""
        assert backend.entities.put(entity(), NOW, 1) is None
        assert get(backend) is None
        assert backend.entities.put(entity(), NOW, 0) == entity(rev=1)
        for wrong in (0, 2, 7):
            assert backend.entities.put(entity(body=b"no"), NOW, wrong) is None
        assert backend.entities.put(entity(body=b"two"), NOW, 1) == entity(body=b"two", rev=2)
        assert backend.entities.put(entity(body=b"no"), NOW, 1) is None
        assert backend.entities.put(entity(body=b"any"), NOW, ANY_REVISION) == entity(body=b"any", rev=3)
        assert get(backend) == entity(body=b"any", rev=3)

    def test_the_revision_of_what_is_given_is_of_no_account(self, backend: Backend) -> None:
        """It is the store's to set, so that one may write back what one read."""
        assert backend.entities.put(entity(rev=9), NOW) == entity(rev=1)
        assert backend.entities.put(entity(rev=9), NOW, 1) == entity(rev=2)

    def test_an_expired_entity_counts_as_none_for_writes(self, backend: Backend) -> None:
        """It is written over as if it were not there, and its revision is worth nothing any more."""
        put(backend, entity(lookup="name", expires_at=NOW + 1), entity(lookup="name", expires_at=NOW + 1))
        later = NOW + 1
        assert backend.entities.put(entity(), NOW, 0) is None
        assert backend.entities.put(entity(body=b"no"), later, 2) is None
        assert backend.entities.put(entity(body=b"new"), later, 0) == entity(body=b"new", rev=1)
        put(backend, entity("any", expires_at=NOW + 1))
        assert backend.entities.put(entity("any"), later) == entity("any", rev=1)

    def test_a_lookup_is_unique_within_its_kind(self, backend: Backend) -> None:
        """Over all accounts; whoever wants a taken one gets a conflict that names the kind and changes nothing."""
        put(backend, entity("holder", lookup="name"), entity("second", body=b"before"))
        for wanted in (entity("second"), entity("third"), entity("holder", account=OTHER)):
            with pytest.raises(Conflict, match=KIND):
                backend.entities.put(replace(wanted, lookup="name"), NOW)
        with pytest.raises(Conflict):
            backend.entities.put(entity("second", lookup="name"), NOW, 1)
        assert get(backend, "second") == entity("second", body=b"before", rev=1)
        assert get(backend, "third") is None
        put(backend, entity("holder", kind="other", lookup="name"))

    def test_the_revision_is_looked_at_before_the_lookup(self, backend: Backend) -> None:
        """Who lost a race learns that, and not that a name is taken."""
        put(backend, entity("holder", lookup="name"), entity("second"))
        for wrong in (0, 7):
            assert backend.entities.put(entity("second", lookup="name"), NOW, wrong) is None

    def test_an_entity_keeps_its_lookup_and_may_give_it_away(self, backend: Backend) -> None:
        """Written again it is no conflict with itself; changed or deleted, the name is free for others."""
        put(backend, entity(lookup="a"), entity(lookup="a"), entity(lookup="b"), entity("second", lookup="a"))
        assert ids([one for name in "ab" if (one := backend.entities.find(KIND, name, NOW))]) == ["second", "e1"]
        assert backend.entities.delete(ACCOUNT, KIND, "second") is True
        assert backend.entities.find(KIND, "a", NOW) is None
        put(backend, entity("third", lookup="a"))

    def test_an_expired_entity_gives_its_lookup_up(self, backend: Backend) -> None:
        """To any other, in whatever account; what becomes of the old one does not touch the new one."""
        put(backend, entity("old", lookup="name", expires_at=NOW + 1))
        with pytest.raises(Conflict):
            backend.entities.put(entity("new", account=OTHER, lookup="name"), NOW)
        taken = backend.entities.put(entity("new", account=OTHER, lookup="name"), NOW + 1, 0)
        assert taken == entity("new", account=OTHER, lookup="name", rev=1)
        backend.entities.purge(NOW + 1)
        backend.entities.delete(ACCOUNT, KIND, "old")
        assert backend.entities.find(KIND, "name", NOW + 1) == taken

    def test_deleting_says_whether_it_was_there(self, backend: Backend) -> None:
        """At that revision, if one is given; expired or not."""
        put(backend, entity(), entity())
        assert [backend.entities.delete(ACCOUNT, KIND, "e1", rev) for rev in (1, 3, 0, 2, 2)] == [
            False, False, False, True, False,
        ]  # fmt: skip  # one answer for each revision
        assert get(backend) is None
        put(backend, entity(expires_at=NOW - 1))
        assert [backend.entities.delete(ACCOUNT, KIND, "e1") for _ in range(2)] == [True, False]
        assert backend.entities.put(entity(), NOW, 0) == entity(rev=1)

    @pytest.mark.parametrize("lookup", [None, "name"])
    @pytest.mark.parametrize("rev", [0, 1])
    def test_of_threads_that_write_one_revision_one_wins(self, backend: Backend, rev: int, lookup: str | None) -> None:
        """Also where there is none yet, and with a second name, which is no conflict with itself."""
        if rev:
            put(backend, entity(lookup=lookup))

        def write(number: int) -> Entity | None:
            return backend.entities.put(entity(body=str(number).encode(), lookup=lookup), NOW, rev)

        with ThreadPoolExecutor(8) as threads:
            won = [one for one in threads.map(write, range(24)) if one is not None]
        assert [one.rev for one in won] == [rev + 1]
        assert get(backend) == won[0]

    @pytest.mark.parametrize("expired", [False, True])
    def test_of_threads_that_want_one_lookup_one_gets_it(self, backend: Backend, expired: bool) -> None:
        """The others get the conflict, also when it was held by one that has expired."""
        if expired:
            put(backend, entity("old", lookup="name", expires_at=NOW - 1))

        def write(number: int) -> bool:
            try:
                return backend.entities.put(entity(str(number), lookup="name"), NOW, 0) is not None
            except Conflict:
                return False

        with ThreadPoolExecutor(8) as threads:
            won = list(threads.map(write, range(24)))
        assert won.count(True) == 1
        assert ids(backend.entities.list(ACCOUNT, KIND, NOW)) == [str(won.index(True))]

    def test_no_write_of_threads_is_lost(self, backend: Backend) -> None:
        """Without a condition each counts, with and without a second name."""
        for lookup in (None, "name"):
            wanted = entity(str(lookup), lookup=lookup)
            with ThreadPoolExecutor(8) as threads:
                stored = list(threads.map(lambda _: backend.entities.put(wanted, NOW), range(24)))  # noqa: B023  # the pool is done before the next round
            assert sorted(one.rev for one in stored if one is not None) == list(range(1, 25))

    def test_purging_removes_what_has_expired(self, backend: Backend) -> None:
        """Of all accounts and kinds, and nothing else; what was due of it is not any more."""
        for number, expires_at in enumerate([None, NOW - 1, NOW, NOW + 1]):
            put(backend, entity(str(number), expires_at=expires_at, due=number, lookup=str(number)))
        put(backend, entity("x", account=OTHER, kind="other", expires_at=NOW))
        assert [backend.entities.purge(NOW) for _ in range(2)] == [3, 0]
        assert ids(backend.entities.list(ACCOUNT, KIND, 0)) == ["0", "3"]
        assert ids(backend.entities.due(KIND, NOW, 10)) == ["0", "3"]
        assert [backend.entities.delete(ACCOUNT, KIND, str(number)) for number in (1, 2)] == [False, False]

    def test_an_account_is_removed_in_pages(self, backend: Backend) -> None:
        """Every kind of it, up to the limit at a time, until none are left; the others keep theirs."""
        for number in range(5):
            put(backend, entity(str(number), kind=f"k{number % 2}", lookup=str(number), expires_at=NOW + number))
        put(backend, entity(account=OTHER, lookup="theirs"))
        assert [backend.entities.delete_account(ACCOUNT, 2) for _ in range(4)] == [2, 2, 1, 0]
        assert backend.entities.list(ACCOUNT, "k0", 0) == backend.entities.list(ACCOUNT, "k1", 0) == []
        assert backend.entities.find("k1", "1", NOW) is None
        assert ids(backend.entities.list(AccountId(OTHER), KIND, NOW)) == ["e1"]
        assert backend.entities.delete_account(AccountId(OTHER)) == 1


class EntityListRules:
    """Lists by id, and the due index."""

    @pytest.fixture
    def listed(self, backend: Backend) -> Backend:
        """Ids that careless comparison puts into another order, some of an account and a kind beside."""
        put(backend, *(entity(id) for id in ["b", "a_1", "a%2", "ab", "a", "é", "Z", "a\U0010ffff", "𝄞", "\uffff", ""]))
        put(backend, entity("aa", account=OTHER), entity("aaa", kind="other"), entity("az", expires_at=NOW))
        return backend

    def test_entities_are_listed_in_byte_order(self, listed: Backend) -> None:
        """In both directions, whole, and nothing of other accounts and kinds."""
        expected = ["", "Z", "a", "a%2", "a_1", "ab", "a\U0010ffff", "b", "é", "\uffff", "𝄞"]
        assert expected == sorted(expected, key=str.encode)
        assert ids(listed.entities.list(ACCOUNT, KIND, NOW)) == expected
        assert ids(listed.entities.list(ACCOUNT, KIND, NOW, descending=True)) == expected[::-1]

    @pytest.mark.parametrize(
        ("prefix", "expected"),
        [
            ("a", ["a", "a%2", "a_1", "ab", "a\U0010ffff"]),
            ("a_", ["a_1"]),
            ("a%", ["a%2"]),
            ("%", []),
            ("_", []),
            ("é", ["é"]),
            ("a\U0010ffff", ["a\U0010ffff"]),
            ("\U0010ffff", []),
            ("\ud7ff", []),
            ("𝄞", ["𝄞"]),
            ("z", []),
        ],
        ids=ascii,
    )
    def test_a_prefix_means_its_own_characters(self, listed: Backend, prefix: str, expected: list[str]) -> None:
        """`_` and `%` are no wildcards, and the last of all characters has none behind it."""
        for descending in (False, True):
            found = listed.entities.list(ACCOUNT, KIND, NOW, prefix=prefix, descending=descending)
            assert ids(found) == (expected[::-1] if descending else expected)

    @pytest.mark.parametrize("descending", [False, True])
    @pytest.mark.parametrize("prefix", ["", "a"])
    @pytest.mark.parametrize("size", [1, 2, 3, 100])
    def test_pages_join_without_gap_or_repeat(self, listed: Backend, size: int, prefix: str, descending: bool) -> None:
        """In either direction, from behind the last id, the empty id included."""
        found: list[str] = []
        while page := listed.entities.list(
            ACCOUNT,
            KIND,
            NOW,
            prefix=prefix,
            after=found[-1] if found else None,
            limit=size,
            descending=descending,
        ):
            assert len(page) <= size
            found += ids(page)
        assert found == ids(listed.entities.list(ACCOUNT, KIND, NOW, prefix=prefix, descending=descending))

    def test_a_page_may_begin_behind_what_is_gone(self, listed: Backend) -> None:
        """`after` need not be there: it may have been deleted meanwhile."""
        assert ids(listed.entities.list(ACCOUNT, KIND, NOW, after="a_0", limit=2)) == ["a_1", "ab"]
        assert ids(listed.entities.list(ACCOUNT, KIND, NOW, after="a_0", limit=2, descending=True)) == ["a%2", "a"]

    def test_expired_entities_take_no_place_in_a_page(self, backend: Backend) -> None:
        """A page is as long as asked for while there is more."""
        put(backend, *(entity(str(n), expires_at=NOW if n < 5 else None) for n in range(9)))
        assert ids(backend.entities.list(ACCOUNT, KIND, NOW, limit=3)) == ["5", "6", "7"]

    def test_what_is_due_comes_by_time(self, backend: Backend) -> None:
        """Of all accounts, then by account and id, up to the moment and the limit; the expired included."""
        put(
            backend,
            entity("late", due=NOW + 9),
            entity("b", account=OTHER, due=NOW + 1),
            entity("c", due=NOW + 1),
            entity("B", due=NOW + 1, expires_at=NOW - 1),
            entity("first", account=OTHER, due=NOW),
            entity("never"),
            entity("else", kind="other", due=NOW - 5),
        )
        assert ids(backend.entities.due(KIND, NOW + 8, 10)) == ["first", "B", "c", "b"]
        assert ids(backend.entities.due(KIND, NOW + 9, 10)) == ["first", "B", "c", "b", "late"]
        assert ids(backend.entities.due(KIND, NOW + 8, 2)) == ["first", "B"]
        assert ids(backend.entities.due(KIND, NOW - 1, 10)) == []
        assert ids(backend.entities.due("none", NOW, 10)) == []

    def test_the_next_due_time_is_the_earliest(self, backend: Backend) -> None:
        """Of the kind; None when nothing is due ever, and it moves with what is written and deleted."""
        assert backend.entities.next_due(KIND) is None
        put(backend, entity("a", due=NOW + 5), entity("b", due=NOW - 3), entity("c"), entity("x", kind="other", due=1))
        assert backend.entities.next_due(KIND) == NOW - 3
        put(backend, entity("b", due=NOW + 7))
        assert backend.entities.next_due(KIND) == NOW + 5
        backend.entities.delete(ACCOUNT, KIND, "a")
        assert backend.entities.next_due(KIND) == NOW + 7
        put(backend, entity("b"))
        assert backend.entities.next_due(KIND) is None
