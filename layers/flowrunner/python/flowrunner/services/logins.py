"""Logging in with a name and a password: limited, recorded, and as slow for users that do not exist."""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections import OrderedDict
from dataclasses import dataclass, replace

from flowrunner.core.ids import AccountId
from flowrunner.errors import NotFound, StoreError, TooManyRequests, Unauthenticated
from flowrunner.ports.clock import Clock, Draws
from flowrunner.services.audit import Action, Audit
from flowrunner.services.installation import SYSTEM
from flowrunner.services.members import Member, Members
from flowrunner.services.names import same_name
from flowrunner.services.passwords import Passwords, within_limits
from flowrunner.services.throttle import Attempts, address_key, network_key

PER_ADDRESS = 20
PER_NAME = 10
"""Failed logins in a minute from one address: in all, and for one name."""
PER_NETWORK = 200
"""... and from an IPv6 network of 48 bits, of which one customer may have all 65,536 that count as addresses here."""
RIGHT_PER_ACCOUNT = 120
"""Right passwords in a minute of all users of an account: each costs as much as a hundred other requests."""

REMEMBERED = 60.0
CACHE_SIZE = 1_000
STRIPES = 64


_Keys = tuple[str, str, str | None]
"""What the failures of a login are counted by: the address, the name from there, and the network."""


@dataclass(frozen=True, slots=True)
class _Proof:
    """That some name and password were right: for which user, with which hash, until when."""

    account: AccountId
    user: str
    hash: str
    until: float


class Logins:
    """Decides whether a name and a password are somebody's.

    The counts of failed logins are those of this process. They hang on the address, never on the name alone: else
    anybody could lock out anybody.
    """

    def __init__(self, members: Members, passwords: Passwords, audit: Audit, clock: Clock, draws: Draws) -> None:
        self._members = members
        self._passwords = passwords
        self._audit = audit
        self._clock = clock
        self._by_address = Attempts(clock, PER_ADDRESS)
        self._by_name = Attempts(clock, PER_NAME)
        self._by_network = Attempts(clock, PER_NETWORK)
        self._right = Attempts(clock, RIGHT_PER_ACCOUNT)
        self._key = draws.token().encode()
        self._proofs: OrderedDict[bytes, _Proof] = OrderedDict()
        self._lock = threading.Lock()
        self._stripes = [threading.Lock() for _ in range(STRIPES)]

    def verify(self, username: str, password: str, address: str, correlation: str = "") -> Member:
        """Whose name and password these are.

        Raises `Unauthenticated`, `TooManyRequests` after too many failures from the address (also for the right
        password), and `InvalidInput` for a password that is too long for anybody's.
        """
        found = self._members.find(username)
        if not self._check(found, _keys(username, address), password, address, correlation):
            raise Unauthenticated("the user name or the password is wrong")
        assert found is not None, "nobody's password is never right"
        return self._rehashed(found, password)

    def confirm(self, member: Member, password: str, address: str, correlation: str = "") -> bool:
        """Whether this is the member's password, under the same limits. Raises as `verify`."""
        return self._check(member, _keys(member.user.name, address), password, address, correlation)

    def _check(self, found: Member | None, keys: _Keys, password: str, address: str, correlation: str) -> bool:
        within_limits(password)
        if found is not None and (wait := self._right.wait(found.account.id)):
            told = "the account's users log in too often: keep the session, or use a token"
            raise TooManyRequests(told, retry_after=wait)
        self._begin(keys)
        right = None
        try:
            hash_matches = self._passwords.verify(found.user.password if found else None, password)
            right = hash_matches and found is not None and found.active
            if not right:
                self._record_failure(found, address, correlation)
            elif found is not None:
                self._right.begin(found.account.id)
        finally:
            if right is not False:  # it was right, or the store could not say
                self._take_back(keys)
        return right

    def remembered(self, username: str, password: str, address: str, correlation: str = "") -> Member:
        """As `verify`, for HTTP Basic, which sends the password with every request: a hash a minute is enough.

        What is remembered is no more than a keyed digest, and holds while the user's hash in the store is the same.
        """
        within_limits(password)
        digest = self._digest(username, password)
        self._refuse_if_limited(_keys(username, address))
        if member := self._recall(digest):
            return member
        # One at a time for the same credentials: a client with many connections costs one hash, not one each.
        with self._stripes[digest[0] % STRIPES]:
            if member := self._recall(digest):
                return member
            member = self.verify(username, password, address, correlation)
            self._remember(digest, member)
            return member

    # -- limits -------------------------------------------------------------------------------------------------

    def _begin(self, keys: _Keys) -> None:
        begun: list[tuple[Attempts, str]] = []
        for attempts, key in self._limits(keys):
            wait = attempts.begin(key)
            if wait:
                for before, other in begun:
                    before.take_back(other)
                _refuse(wait)
            begun.append((attempts, key))

    def _refuse_if_limited(self, keys: _Keys) -> None:
        _refuse(max(attempts.wait(key) for attempts, key in self._limits(keys)))

    def _take_back(self, keys: _Keys) -> None:
        for attempts, key in self._limits(keys):
            attempts.take_back(key)

    def _limits(self, keys: _Keys) -> list[tuple[Attempts, str]]:
        address, name, network = keys
        limits = [(self._by_address, address), (self._by_name, name)]
        return limits if network is None else [*limits, (self._by_network, network)]

    # -- what follows -------------------------------------------------------------------------------------------

    def _record_failure(self, found: Member | None, address: str, correlation: str) -> None:
        # Users that do not exist are recorded as well, and without the name that was tried: recording takes time too,
        # and people type passwords into the field for names.
        account = found.account.id if found and not found.account.deleting else SYSTEM
        name = found.user.name if found else "unknown user"
        self._audit.record_for(account, name, Action.LOGIN_FAILED, name, address=address, correlation=correlation)

    def _rehashed(self, member: Member, password: str) -> Member:
        """The member; with a hash of today's parameters when there was an older one."""
        if not self._passwords.outdated(member.user.password):
            return member
        fresh = self._passwords.hash(password)
        old = member.user.password
        try:
            user = self._members.change_user(
                member.account.id,
                member.user.id,
                lambda now: replace(now, password=fresh) if now.password == old else now,
            )
        except (NotFound, StoreError):
            return member
        return replace(member, user=user)

    # -- the memory for Basic -----------------------------------------------------------------------------------

    def _digest(self, username: str, password: str) -> bytes:
        text = f"{username}\0{password}".encode("utf-8", "surrogatepass")
        return hmac.new(self._key, text, hashlib.sha256).digest()

    def _recall(self, digest: bytes) -> Member | None:
        with self._lock:
            proof = self._proofs.get(digest)
        if proof is None:
            return None
        member = self._members.member(proof.account, proof.user)
        if (
            member is None
            or not member.active
            or member.user.password != proof.hash
            or proof.until <= self._clock.monotonic()
        ):
            with self._lock:
                self._proofs.pop(digest, None)
            return None
        return member

    def _remember(self, digest: bytes, member: Member) -> None:
        until = self._clock.monotonic() + REMEMBERED
        with self._lock:
            self._proofs[digest] = _Proof(member.account.id, member.user.id, member.user.password, until)
            self._proofs.move_to_end(digest)
            while len(self._proofs) > CACHE_SIZE:
                self._proofs.popitem(last=False)


def _keys(username: str, address: str) -> _Keys:
    client = address_key(address)
    return client, f"{client} {same_name(username[:256])}", network_key(address)


def _refuse(wait: int) -> None:
    if wait:
        raise TooManyRequests("too many failed logins from this address; wait before the next", retry_after=wait)
