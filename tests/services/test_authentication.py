"""Who asks: passwords, tokens and sessions as they come with requests, and the limits on failures."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from flowrunner.errors import Forbidden, InvalidInput, TooManyRequests, Unauthenticated
from flowrunner.services import logins as logins_module
from flowrunner.services.audit import Action
from flowrunner.services.authentication import Credentials
from flowrunner.services.identity import Actor, Permission, Role
from flowrunner.services.installation import SYSTEM
from flowrunner.services.members import Member

from tests.attacks import attacks
from tests.services.people import ORIGIN, PASSWORD, Server, basic

WRONG = "wrong horse battery"


def test_basic_authentication_names_the_user() -> None:
    """With the address and the id of the request, which go into records and logs."""
    server = Server()
    owner = server.owner()
    actor = server.authenticator.authenticate(Credentials(basic("OLGA"), address="192.0.2.3", correlation="c-1"))
    assert actor == Actor(
        owner.account, "olga", frozenset(Permission), user=owner.user, address="192.0.2.3", correlation="c-1"
    )


BAD_HEADERS = [
    "",
    "Basic",
    "Basic ",
    "Basic !!!",
    "Basic b2xnYQ==",  # without a colon
    "Basic Og==",  # nothing but a colon
    "Basic //79",  # not UTF-8
    "Basic YQ",  # cut off
    "Basic " + "QUFB" * 2500,  # 10 kB
    "Basic " + "QTpB" * 900,
    "Basic OgAA",  # NUL
    "Bearer",
    "bearer   ",
    "Bearer nothing",
    "Bearer eyJhbGciOiJub25lIn0.e30.",
    "Bearer \ud800",
    "Digest username=olga",
    "Negotiate x",
    "olga:correct horse battery",
]


@pytest.mark.parametrize("header", BAD_HEADERS)
def test_a_bad_header_is_refused_and_nothing_more(header: str) -> None:
    """Whatever it is, the answer is 401 and never a fault of ours (auth-17)."""
    server = Server()
    server.owner()
    with pytest.raises(Unauthenticated):
        server.authenticator.authenticate(Credentials(header, address="192.0.2.1"))


def test_nothing_is_nobody() -> None:
    """A request without credentials is refused."""
    with pytest.raises(Unauthenticated):
        Server().authenticator.authenticate(Credentials())


def test_a_password_may_hold_colons() -> None:
    """The name ends at the first one."""
    server = Server()
    owner = server.owner()
    server.users.create(owner, "vera", "a:b:c:d:e:f:g", Role.VIEWER)
    assert server.basic("vera", "a:b:c:d:e:f:g").name == "vera"


def test_the_header_counts_before_the_cookie() -> None:
    """A wrong header is not made good by a session."""
    server = Server()
    server.owner()
    begun = server.sessions.login("olga", PASSWORD, "192.0.2.1")
    given = Credentials("Bearer nothing", session=begun.cookie)
    with pytest.raises(Unauthenticated):
        server.authenticator.authenticate(given)


# -- unknown users --------------------------------------------------------------------------------------------------


def test_an_unknown_user_costs_what_a_known_one_does() -> None:
    """One hash and one record each, whether the user exists, is disabled or not; nothing else differs (auth-15)."""
    server = Server()
    owner = server.owner()
    vera = server.user(owner, "vera", Role.VIEWER)
    server.users.update(owner, vera.user or "", disabled=True)
    costs, said = [], []
    for index, name in enumerate(["olga", "vera", "nobody", "no\0body", "x" * 3000, "\u202e", "e\u0301"]):
        verified, records = server.hasher.verified, len(server.audit.list(_system()).records)
        mine = len(server.audit.list(owner).records)
        with pytest.raises(Unauthenticated) as caught:
            server.basic(name, WRONG, address=f"192.0.2.{index}")
        said.append(str(caught.value))
        records = len(server.audit.list(_system()).records) - records + len(server.audit.list(owner).records) - mine
        costs.append((server.hasher.verified - verified, records))
    assert costs == [(1, 1)] * 7
    assert len(set(said)) == 1


def _system() -> Actor:
    return Actor(SYSTEM, "operator", frozenset(Permission))


def test_failed_logins_are_recorded() -> None:
    """In the account with the address; of an unknown user without the name, which may be a password."""
    server = Server()
    owner = server.owner()
    for name in ("olga", "my secret phrase"):
        with pytest.raises(Unauthenticated):
            server.sessions.login(name, WRONG, "192.0.2.7", "c-7")
    record = server.audit.list(owner).records[0]
    assert (record.action, record.who, record.address, record.correlation) == (
        Action.LOGIN_FAILED,
        "olga",
        "192.0.2.7",
        "c-7",
    )
    unknown = server.audit.list(_system()).records[0]
    assert (unknown.action, unknown.who) == (Action.LOGIN_FAILED, "unknown user")
    assert "secret phrase" not in repr(unknown)


# -- limits ---------------------------------------------------------------------------------------------------------


def test_too_many_failures_from_an_address() -> None:
    """After 20 in a minute even the right password is refused from there, without hashing; elsewhere it is not."""
    server = Server()
    owner = server.owner()
    server.user(owner, "vera", Role.VIEWER)
    server.basic("vera")
    for index in range(20):
        with pytest.raises(Unauthenticated):
            server.basic(f"name{index}", WRONG)
    hashed = server.hasher.verified
    for name in ("olga", "vera", "nobody"):
        with pytest.raises(TooManyRequests) as caught:
            server.basic(name)
        assert caught.value.retry_after == 60
        with pytest.raises(TooManyRequests):
            server.sessions.login(name, PASSWORD, "192.0.2.1")
    assert server.hasher.verified == hashed
    assert server.basic("olga", address="198.51.100.1").name == "olga"
    server.later(60)
    assert server.basic("olga").name == "olga"


def test_a_customer_with_many_networks_does_not_guess_from_each() -> None:
    """IPv6: whoever has a /48 has 65,536 of the networks that count as one address; a neighbour has another one."""
    server = Server()
    server.owner()
    for index in range(logins_module.PER_NETWORK):
        with pytest.raises(Unauthenticated):
            server.basic(f"name{index}", WRONG, address=f"2001:db8:1:{index:x}::1")
    hashed = server.hasher.verified
    with pytest.raises(TooManyRequests):
        server.basic("olga", address="2001:db8:1:ffff::1")
    assert server.hasher.verified == hashed
    assert server.basic("olga", address="2001:db8:2::1").name == "olga"
    assert server.basic("olga", address="192.0.2.9").name == "olga"


def test_right_passwords_are_limited_as_well() -> None:
    """By account: who knows one password must not keep the server hashing. Sessions and tokens go on."""
    server = Server()
    owner = server.owner()
    server.owner("other")
    for index in range(logins_module.RIGHT_PER_ACCOUNT):
        begun = server.sessions.login("olga", PASSWORD, f"192.0.2.{index}")
    hashed = server.hasher.verified
    with pytest.raises(TooManyRequests) as caught:
        server.sessions.login("olga", PASSWORD, "198.51.100.1")
    assert (caught.value.retry_after, server.hasher.verified) == (60, hashed)
    assert server.sessions.identify(begun.cookie, "").account == owner.account
    server.sessions.login("other", PASSWORD, "198.51.100.1")
    server.later(60)
    server.sessions.login("olga", PASSWORD, "198.51.100.1")


def test_too_many_failures_for_a_name() -> None:
    """After 10 for one name from an address that name is refused from there, in any spelling; others are not."""
    server = Server()
    owner = server.owner()
    server.user(owner, "vera", Role.VIEWER)
    for name in ("olga", "OLGA", "\uff4flga", "Olga", "olga") * 2:
        with pytest.raises(Unauthenticated):
            server.basic(name, WRONG)
    with pytest.raises(TooManyRequests):
        server.basic("olga")
    assert server.basic("vera").name == "vera"
    assert server.basic("olga", address="198.51.100.1").name == "olga"


def test_an_ipv6_customer_is_one_client() -> None:
    """Changing the lower half of the address does not help."""
    server = Server()
    server.owner()
    for index in range(20):
        with pytest.raises(Unauthenticated):
            server.basic(f"name{index}", WRONG, address=f"2001:db8:0:1::{index:x}")
    with pytest.raises(TooManyRequests):
        server.basic("olga", address="2001:db8:0:1:ffff::1")
    server.basic("olga", address="2001:db8:0:2::1")


def test_right_passwords_do_not_count() -> None:
    """However often somebody logs in."""
    server = Server()
    server.owner()
    for _ in range(50):
        server.sessions.login("olga", PASSWORD, "192.0.2.1")


def test_a_store_that_fails_is_nobodys_guess() -> None:
    """An attempt that could not be decided does not count."""
    server = Server()
    server.owner()
    verify, server.hasher.verify = server.hasher.verify, _broken  # type: ignore[method-assign]  # one fault for the test
    for _ in range(30):
        with pytest.raises(OSError, match="broken"):
            server.basic("olga")
    server.hasher.verify = verify  # type: ignore[method-assign]  # as it was
    assert server.basic("olga").name == "olga"


def _broken(stored: str, password: str, /) -> bool:
    raise OSError("broken")


def test_guessing_the_old_password_is_limited_too() -> None:
    """A stolen session does not give unlimited guesses."""
    server = Server()
    owner = server.owner()
    for _ in range(10):
        with pytest.raises(Forbidden):
            server.users.change_password(owner, owner.user or "", "another long phrase", WRONG)
    with pytest.raises(TooManyRequests):
        server.users.change_password(owner, owner.user or "", "another long phrase", PASSWORD)


# -- what is remembered of right passwords --------------------------------------------------------------------------


def test_basic_authentication_costs_a_hash_a_minute() -> None:
    """The same name and password are not hashed again for 60 seconds; others are."""
    server = Server()
    server.owner()
    for _ in range(10):
        server.basic("olga")
    assert server.hasher.verified == 1
    server.later(60)
    server.basic("olga")
    assert server.hasher.verified == 2
    with pytest.raises(Unauthenticated):
        server.basic("olga", WRONG)
    assert server.hasher.verified == 3


def test_what_is_remembered_ends_with_the_password() -> None:
    """Also when another process changes it; and a disabled user is out."""
    server = Server()
    other = Server(server.backend, server.clock)
    owner = server.owner()
    vera = server.user(owner, "vera", Role.VIEWER)
    server.basic("vera")
    other.users.change_password(owner, vera.user or "", "another long phrase")
    with pytest.raises(Unauthenticated):
        server.basic("vera")
    server.basic("vera", "another long phrase")
    other.users.update(owner, vera.user or "", disabled=True)
    with pytest.raises(Unauthenticated):
        server.basic("vera", "another long phrase")


def test_many_connections_cost_one_hash() -> None:
    """Requests that arrive together with the same password wait for the first, and none is taken for a guess."""
    server = Server()
    server.owner()
    logins = server.people.logins
    recall, verify = logins._recall, server.hasher.verify
    arrived = threading.Semaphore(0)
    release = threading.Event()

    def counted(digest: bytes) -> Member | None:
        found = recall(digest)
        arrived.release()
        return found

    def slow(stored: str, password: str, /) -> bool:
        release.wait(120)
        return verify(stored, password)

    logins._recall = counted  # type: ignore[method-assign]  # to know when all have looked and found nothing
    server.hasher.verify = slow  # type: ignore[method-assign]  # until then nobody is done
    names: list[str] = []
    threads = [threading.Thread(target=lambda: names.append(server.basic("olga").name)) for _ in range(40)]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert arrived.acquire(timeout=120)
    release.set()
    for thread in threads:
        thread.join()
    assert names == ["olga"] * 40
    assert server.hasher.verified == 1


def test_an_outdated_hash_is_renewed_at_login() -> None:
    """With today's parameters; sessions and what else hangs on the password go on."""
    server = Server()
    owner = server.owner()
    begun = server.sessions.login("olga", PASSWORD, "192.0.2.1")
    server.hasher.version = 2
    server.sessions.login("olga", PASSWORD, "192.0.2.1")
    assert server.member(owner).user.password.startswith("quick:2:")
    server.sessions.identify(begun.cookie, "")
    hashed = server.hasher.hashed
    server.basic("olga")
    assert server.hasher.hashed == hashed


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name that was used longest ago is hashed again."""
    monkeypatch.setattr(logins_module, "CACHE_SIZE", 1)
    server = Server()
    server.user(server.owner(), "vera", Role.VIEWER)
    for name in ("olga", "vera", "vera", "olga"):
        server.basic(name)
    assert server.hasher.verified == 3


def test_half_a_surrogate_pair_is_nobodys_name() -> None:
    """What JSON lets through and no store holds is an unknown user."""
    with pytest.raises(Unauthenticated):
        Server().sessions.login("\ud800", PASSWORD, "192.0.2.1")


def test_a_user_who_goes_while_logging_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """The new hash has nowhere to go, and that is all."""
    server = Server()
    owner = server.owner()
    server.hasher.version = 2
    member = server.member(owner)
    server.members.remove_user(owner.account, owner.user or "")
    assert server.people.logins._rehashed(member, PASSWORD) is member


def test_a_wrong_password_renews_nothing() -> None:
    """Only who has the password gets a new hash."""
    server = Server()
    owner = server.owner()
    server.hasher.version = 2
    with pytest.raises(Unauthenticated):
        server.basic("olga", WRONG)
    assert server.member(owner).user.password.startswith("quick:1:")


# -- sessions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("origin", "csrf", "host", "allowed"),
    [
        (ORIGIN, "right", "", True),
        (ORIGIN.upper(), "right", "", True),
        ("http://127.0.0.1:8080", "right", "127.0.0.1:8080", True),
        (ORIGIN, None, "", False),
        (ORIGIN, "wrong", "", False),
        (ORIGIN, "\ud800", "", False),
        (None, "right", "", False),
        ("null", "right", "null.example", False),
        ("https://evil.example", "right", "", False),
        ("https://evil.example", "right", "flows.example.org", False),
        ("https://flows.example.org.evil.example", "right", "", False),
        ("", "right", "", False),
        ("https://evil.example", None, "", False),
    ],
)
def test_a_change_by_session_needs_both_signs(origin: str | None, csrf: str | None, host: str, allowed: bool) -> None:
    """The CSRF token and the console's own origin: another page has neither (auth-26)."""
    server = Server()
    server.owner()
    begun = server.sessions.login("olga", PASSWORD, "192.0.2.1")
    token = begun.csrf if csrf == "right" else csrf
    change = Credentials(session=begun.cookie, csrf=token, origin=origin, host=host, reads=False)
    if allowed:
        assert server.authenticator.authenticate(change).session == begun.actor.session
    else:
        with pytest.raises(Forbidden):
            server.authenticator.authenticate(change)


def test_reading_by_session_needs_only_the_cookie() -> None:
    """A page that is opened sends no CSRF token."""
    server = Server()
    server.owner()
    begun = server.sessions.login("olga", PASSWORD, "192.0.2.1")
    assert server.authenticator.authenticate(Credentials(session=begun.cookie)).name == "olga"


def test_another_sessions_csrf_token_is_none() -> None:
    """It hangs on the cookie it came with."""
    server = Server()
    server.owner()
    one, two = (server.sessions.login("olga", PASSWORD, "192.0.2.1") for _ in range(2))
    with pytest.raises(Forbidden, match="X-CSRF-Token"):
        server.authenticator.authenticate(Credentials(session=one.cookie, csrf=two.csrf, origin=ORIGIN, reads=False))


def test_credentials_do_not_show_in_a_repr() -> None:
    """What ends in a log by accident holds no secret."""
    given = Credentials(basic("olga"), session="the cookie", csrf="the token")
    assert basic("olga") not in repr(given)
    assert "the cookie" not in repr(given)
    assert "the token" not in repr(given)


# -- the corpora ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "entry", [e for e in attacks("corpus.json", "auth") if "headers" in e["input"] and "path" not in e["input"]]
)
def test_headers_of_the_corpus(entry: dict[str, Any]) -> None:
    """Each is refused as its entry says."""
    headers = entry["input"]["headers"]
    assert "Authorization" in headers or entry["id"] == "auth-28"
    if "Authorization" in headers:
        assert entry["expect"] == "401"
        with pytest.raises(Unauthenticated):
            Server().authenticator.authenticate(Credentials(headers["Authorization"], address="192.0.2.1"))


@pytest.mark.parametrize("entry", [e for e in attacks("corpus.json", "auth") if e["id"] == "auth-27"])
def test_login_attempts_of_the_corpus(entry: dict[str, Any]) -> None:
    """The eleventh try for one account from one address is answered with a wait."""
    server = Server()
    server.owner()
    for _ in range(entry["input"]["login_attempts"] - 1):
        with pytest.raises(Unauthenticated):
            server.sessions.login("olga", WRONG, "192.0.2.1")
    with pytest.raises(TooManyRequests) as caught:
        server.sessions.login("olga", WRONG, "192.0.2.1")
    assert caught.value.retry_after > 0


def test_a_long_password_by_basic_is_not_hashed() -> None:
    """It is refused like a wrong one."""
    server = Server()
    server.owner()
    with pytest.raises(Unauthenticated):
        server.basic("olga", "a" * 257)
    with pytest.raises(InvalidInput):
        server.sessions.login("olga", "a" * 257, "192.0.2.1")
    assert server.hasher.verified == 0
