"""Key-value items (`ports.kv.KeyValues`)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flowrunner.errors import Conflict, InvalidInput
from flowrunner.ports.backend import Backend
from flowrunner.ports.kv import Item

from tests.contracts.suites.build import ACCOUNT, NASTY, NOW, OTHER

VALUES: list[Any] = [None, True, 0, -1, 2**53, 0.5, "", "☃\0'", [], {}, {"a": [1, {"b": None}]}]
UNSTORABLE = ["a\0b", "half \ud83d"]
"""NUL and half a surrogate pair: PostgreSQL has no text with the one, UTF-8 none with the other."""


class KeyValueRules:
    """Values by account, namespace and key."""

    @pytest.mark.parametrize("value", VALUES, ids=repr)
    def test_a_value_is_read_as_it_was_set(self, backend: Backend, value: Any) -> None:
        """Any JSON value, null included."""
        backend.values.set(ACCOUNT, "n", Item("k", value))
        found = backend.values.get(ACCOUNT, "n", "k", NOW)
        assert found == Item("k", value)
        assert found is not None
        assert type(found.value) is type(value)

    def test_a_stored_value_is_nobodys_to_change(self, backend: Backend) -> None:
        """Changing what was set, or what was got, does not change what is stored."""
        value = {"a": [1]}
        backend.values.set(ACCOUNT, "n", Item("k", value))
        value["a"].append(2)
        found = backend.values.get(ACCOUNT, "n", "k", NOW)
        assert found is not None
        found.value["a"].append(3)
        assert backend.values.get(ACCOUNT, "n", "k", NOW) == Item("k", {"a": [1]})

    def test_setting_again_replaces_value_and_expiry(self, backend: Backend) -> None:
        """A value without an expiry stays although the one before had one."""
        backend.values.set(ACCOUNT, "n", Item("k", 1, NOW + 5))
        backend.values.set(ACCOUNT, "n", Item("k", 2))
        assert backend.values.get(ACCOUNT, "n", "k", NOW + 10**9) == Item("k", 2)

    def test_an_expired_value_is_absent_at_once(self, backend: Backend) -> None:
        """For reading, listing and counting alike, from the very moment on."""
        backend.values.set(ACCOUNT, "n", Item("k", 5, NOW))
        assert backend.values.get(ACCOUNT, "n", "k", NOW - 1) == Item("k", 5, NOW)
        assert backend.values.get(ACCOUNT, "n", "k", NOW) is None
        assert backend.values.list(ACCOUNT, "n", NOW) == []
        assert backend.values.increment(ACCOUNT, "n", "k", 1, NOW, None) == 1

    def test_deleting_says_whether_it_was_there(self, backend: Backend) -> None:
        """A second time it was not."""
        backend.values.set(ACCOUNT, "n", Item("k", None))
        assert [backend.values.delete(ACCOUNT, "n", "k") for _ in range(2)] == [True, False]
        assert backend.values.get(ACCOUNT, "n", "k", NOW) is None

    def test_accounts_and_namespaces_are_apart(self, backend: Backend) -> None:
        """The same key elsewhere is another value."""
        backend.values.set(ACCOUNT, "n", Item("k", "mine"))
        for account, namespace in ((OTHER, "n"), (ACCOUNT, "m")):
            assert backend.values.get(account, namespace, "k", NOW) is None
            assert backend.values.list(account, namespace, NOW) == []
            assert backend.values.delete(account, namespace, "k") is False

    def test_items_are_listed_in_key_order_by_prefix_and_page(self, backend: Backend) -> None:
        """By code points; `_` and `%` in a prefix mean themselves."""
        for key in ["b", "a_1", "a%2", "ab", "a", "é", "Z", "a\U0010ffff", "𝄞"]:
            backend.values.set(ACCOUNT, "n", Item(key, key))
        keys = [item.key for item in backend.values.list(ACCOUNT, "n", NOW)]
        assert keys == ["Z", "a", "a%2", "a_1", "ab", "a\U0010ffff", "b", "é", "𝄞"]
        for prefix, expected in (
            ("a", keys[1:6]),
            ("a_", ["a_1"]),
            ("%", []),
            ("é", ["é"]),
            ("a\U0010ffff", ["a\U0010ffff"]),
        ):
            assert [item.key for item in backend.values.list(ACCOUNT, "n", NOW, prefix=prefix)] == expected
        paged = backend.values.list(ACCOUNT, "n", NOW, prefix="a", after="a%2", limit=2)
        assert [item.key for item in paged] == ["a_1", "ab"]

    @pytest.mark.parametrize("text", NASTY)
    def test_keys_and_namespaces_are_any_text(self, backend: Backend, text: str) -> None:
        """Quotes, SQL and any script are only text."""
        backend.values.set(ACCOUNT, text, Item(text, text))
        assert backend.values.get(ACCOUNT, text, text, NOW) == Item(text, text)
        assert [item.key for item in backend.values.list(ACCOUNT, text, NOW, prefix=text)] == ([text] if text else [])

    @pytest.mark.parametrize("text", UNSTORABLE, ids=ascii)
    def test_a_key_that_not_every_store_can_hold_is_refused_by_all(self, backend: Backend, text: str) -> None:
        """A flow that runs on one backend runs on the others."""
        with pytest.raises(InvalidInput):
            backend.values.set(ACCOUNT, "n", Item(text, 1))
        with pytest.raises(InvalidInput):
            backend.values.set(ACCOUNT, text, Item("k", 1))
        with pytest.raises(InvalidInput):
            backend.values.increment(ACCOUNT, "n", text, 1, NOW, None)
        assert backend.values.list(ACCOUNT, "n", NOW) == []

    @pytest.mark.parametrize("value", ["half \ud83d", 2**80, {1, 2}], ids=ascii)
    def test_a_value_that_is_no_json_is_refused(self, backend: Backend, value: Any) -> None:
        """And what was there stays."""
        backend.values.set(ACCOUNT, "n", Item("k", "before"))
        with pytest.raises(InvalidInput):
            backend.values.set(ACCOUNT, "n", Item("k", value))
        assert backend.values.get(ACCOUNT, "n", "k", NOW) == Item("k", "before")

    def test_increments_add_up(self, backend: Backend) -> None:
        """An absent number is 0; the expiry is the last one given."""
        steps = [(1, 1), (2, 3), (-5, -2), (0.5, -1.5)]
        assert [backend.values.increment(ACCOUNT, "n", "k", by, NOW, NOW + 9) for by, _ in steps] == [
            s for _, s in steps
        ]
        assert backend.values.get(ACCOUNT, "n", "k", NOW) == Item("k", -1.5, NOW + 9)

    @pytest.mark.parametrize("value", ["1", True, None, [], {}], ids=repr)
    def test_what_is_no_number_is_not_incremented(self, backend: Backend, value: Any) -> None:
        """It is a conflict, and the value stays."""
        backend.values.set(ACCOUNT, "n", Item("k", value))
        with pytest.raises(Conflict):
            backend.values.increment(ACCOUNT, "n", "k", 1, NOW, None)
        assert backend.values.get(ACCOUNT, "n", "k", NOW) == Item("k", value)

    @pytest.mark.parametrize(("value", "by"), [(1.5e308, 1.5e308), (2**63 - 1, 1)])
    def test_a_number_does_not_leave_its_range(self, backend: Backend, value: float, by: float) -> None:
        """Else it would be stored as null, or not at all."""
        backend.values.set(ACCOUNT, "n", Item("k", value))
        with pytest.raises(Conflict):
            backend.values.increment(ACCOUNT, "n", "k", by, NOW, None)
        assert backend.values.get(ACCOUNT, "n", "k", NOW) == Item("k", value)

    def test_no_increment_is_lost_among_threads(self, backend: Backend) -> None:
        """Also while there is no number yet."""
        with ThreadPoolExecutor(8) as threads:
            seen = list(threads.map(lambda _: backend.values.increment(ACCOUNT, "n", "k", 1, NOW, None), range(64)))
        assert sorted(seen) == list(range(1, 65))

    def test_purging_removes_what_has_expired(self, backend: Backend) -> None:
        """Of all accounts, and nothing else."""
        for number, expires_at in enumerate([None, NOW - 1, NOW, NOW + 1]):
            backend.values.set(ACCOUNT, "n", Item(str(number), number, expires_at))
        backend.values.set(OTHER, "m", Item("x", 1, NOW))
        assert [backend.values.purge(NOW) for _ in range(2)] == [3, 0]
        assert [item.key for item in backend.values.list(ACCOUNT, "n", 0)] == ["0", "3"]
