"""The egress guard: what a flow may connect to.

A name is resolved once, *every* address is checked, and the connection goes to a checked address; so a name
that answers differently the second time (DNS rebinding) gains nothing. The URL is taken apart here and put
together again from what was understood, so that no second parser can read another host into it.

The lists are our own: Python's `ipaddress` calls 100.64.0.0/10 not private, and NAT64 and 6to4 forms of the
metadata address global. For IPv6 only 2000::/3 without its tunnels counts as public (IANA IPv6
Special-Purpose Address Registry).

What is opened by the setting `egress.allow` is opened for every flow. A host that is opened by its name may
be in a private network, but never on a link-local or metadata address: whoever answers for the name would
otherwise hand out the machine's credentials. Those take an entry of their own (`169.254.169.254`).
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from flowrunner.errors import ConfigurationError, EgressDenied, StepError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolver = Callable[[str, int, float], Sequence[str]]
"""Host name, port and seconds → addresses as text. Raises `OSError` when there are none or the time is over.
"""

PORTS = frozenset({80, 443, 8080, 8443})
"""Ports that HTTP may reach on public hosts; the setting opens others."""

LOOKUP_SECONDS = 5.0

_DENIED_V4 = tuple(
    ipaddress.IPv4Network(block)
    for block in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's WireServer: a public address that is answered by the host
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
    )
)
_PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")
_DENIED_V6 = tuple(
    ipaddress.IPv6Network(block)
    for block in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3ffe::/16", "3fff::/20")
)
_PRIVATE = tuple(
    ipaddress.ip_network(block)
    for block in (
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "::1",
        "fc00::/7",
    )
)
"""What a host opened by its name may resolve to, beside public addresses."""
_METADATA = frozenset(map(ipaddress.ip_address, ("100.100.100.200", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254")))
"""Metadata and credential services of clouds that lie in private networks."""

_AUTHORITY = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(?::(?P<port>[0-9]{0,5}))?")
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PRIVATE_HINT = "if flows are meant to reach it, whoever runs this server opens it with the setting egress.allow"


@dataclass(frozen=True, slots=True)
class Target:
    """A place that may be connected to: canonical host, and addresses that were checked. `path` has the
    query.
    """

    scheme: str
    host: str
    port: int
    addresses: tuple[str, ...]
    path: str = ""

    @property
    def authority(self) -> str:
        """Host and port as in a `Host` header: a default port is left out."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == {"http": 80, "https": 443}.get(self.scheme) else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """Scheme, host and port: what error texts show, since a path or query may hold a credential."""
        return f"{self.scheme}://{self.authority}"

    @property
    def url(self) -> str:
        return self.origin + self.path


@dataclass(frozen=True, slots=True)
class _Opening:
    """An entry of an allow-list: hosts by pattern, or addresses by network; one port or all."""

    pattern: str | None
    network: Network | None
    port: int | None

    def opens_host(self, host: str, port: int) -> bool:
        return self.pattern is not None and self.port in (None, port) and host_matches(self.pattern, host)

    def opens_address(self, address: Address | None, port: int) -> bool:
        return (
            address is not None and self.network is not None and self.port in (None, port) and address in self.network
        )


class Guard:
    """Decides what may be reached; safe for use from several threads.

    Arguments: `openings`, the setting `egress.allow` (`host`, `*.host`, an address or a CIDR, each with
    `:port` if wanted); `resolver`, the system's unless given. Raises `ConfigurationError` for an entry that
    is none of these.
    """

    def __init__(self, openings: Sequence[str] = (), resolver: Resolver | None = None) -> None:
        try:
            self._openings = [_opening(entry) for entry in openings]
        except ValueError as error:
            raise ConfigurationError(f"egress.allow: {error}") from None
        self._resolver = resolver or system_resolver()

    def check(self, url: str, allow: Sequence[Sequence[str]] = (), seconds: float = LOOKUP_SECONDS) -> Target:
        """Where a request for `url` may connect to.

        Arguments: `allow`, the allow-lists of flow and node, each of which the host must match; `seconds`,
        the limit for the lookup. Raises `EgressDenied`, and a retryable `StepError` with code `HttpConnect`
        when the name does not resolve.
        """
        scheme, host, port, path = _parse(url)
        addresses = self._admit(host, port, allow, seconds, PORTS)
        return Target(scheme, host, port, addresses, path)

    def check_host(self, host: str, port: int, allow: Sequence[Sequence[str]] = ()) -> Target:
        """The same for connections that are not HTTP (SMTP, PostgreSQL), whose protocol names the port."""
        if host.startswith(("/", "@", "\0")) or not host:
            raise EgressDenied("a Unix socket may not be reached", hint="name a host")
        if not _AUTHORITY.fullmatch(host) and not _AUTHORITY.fullmatch(f"[{host}]"):
            raise _denied(host, "it is no host name", "write a name in ASCII (xn--… for others) or an address")
        host = _canonical_host(host)
        return Target("tcp", host, port, self._admit(host, port, allow, LOOKUP_SECONDS, None))

    def _admit(
        self,
        host: str,
        port: int,
        allow: Sequence[Sequence[str]],
        seconds: float,
        ports: frozenset[int] | None,
    ) -> tuple[str, ...]:
        _check_allow(host, port, allow)
        maybe_open = any(
            opening.port in (None, port) and (opening.network is not None or opening.opens_host(host, port))
            for opening in self._openings
        )
        if ports is not None and port not in ports and not maybe_open:  # asked first: it needs no lookup
            raise _denied_port(host, port, ports)
        literal = _literal(host)
        found = [literal] if literal is not None else self._resolve(host, port, seconds)
        for address in found:
            self._check_address(host, address, port, ports)
        return tuple(dict.fromkeys(map(str, found)))

    def _resolve(self, host: str, port: int, seconds: float) -> list[Address]:
        try:
            found = self._resolver(host, port, seconds)
        except (OSError, UnicodeError) as error:
            why = "in time" if isinstance(error, TimeoutError) else "to an address"
            raise StepError(f"the name {host} does not resolve {why}", code="HttpConnect", retryable=True) from error
        if not found:
            raise StepError(f"the name {host} has no address", code="HttpConnect", retryable=True)
        try:
            return [ipaddress.ip_address(text.partition("%")[0]) for text in found]  # without a scope
        except ValueError:
            raise _denied(host, "it resolves to something that is no address", "check the name") from None

    def _check_address(self, host: str, address: Address, port: int, ports: frozenset[int] | None) -> None:
        if any(opening.opens_address(address, port) for opening in self._openings):
            return
        public = is_public(address)
        if any(opening.opens_host(host, port) for opening in self._openings) and (public or _is_private(address)):
            return
        if not public:
            what = "it" if host == str(address) else f"its address {address}"
            raise _denied(host, f"{what} is not public", _PRIVATE_HINT)
        if "." not in host and _literal(host) is None:
            raise _denied(host, "it is not a full host name", f"write one like {host}.example.com, or: {_PRIVATE_HINT}")
        if ports is not None and port not in ports:
            raise _denied_port(host, port, ports)


def is_public(address: Address) -> bool:
    """Whether an address belongs to the public internet."""
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in block for block in _DENIED_V4)
    return address in _PUBLIC_V6 and not any(address in block for block in _DENIED_V6)


def host_matches(pattern: str, host: str) -> bool:
    """Whether a host is meant by `api.example.com` or `*.example.com` (which does not mean `example.com`)."""
    if pattern.startswith("*."):
        return host.endswith(pattern[1:])
    return host == pattern


def system_resolver() -> Resolver:
    """The system's resolver, given up when the time is over (`getaddrinfo` itself knows no limit)."""
    pool = ThreadPoolExecutor(32, thread_name_prefix="dns")

    def resolve(host: str, port: int, seconds: float) -> Sequence[str]:
        lookup = pool.submit(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        try:
            return [str(entry[4][0]) for entry in lookup.result(seconds)]
        finally:
            lookup.cancel()

    return resolve


def _is_private(address: Address) -> bool:
    return address not in _METADATA and any(address in block for block in _PRIVATE)


def _parse(url: str) -> tuple[str, str, int, str]:
    """Scheme, canonical host, port, and path with query. Error texts show nothing of a path: it may be
    secret.
    """
    bad = re.search(r"[^\x21-\x7e]|\\", url)
    if bad is not None:
        raise EgressDenied(
            f"the URL has the character {bad[0]!r} at position {bad.start() + 1}",
            hint="a URL is visible ASCII without backslashes; encode others (encodeURIComponent)",
        )
    try:
        parts = urlsplit(url)
    except ValueError:
        raise EgressDenied(
            "the URL cannot be read: a host in brackets is an IPv6 address", hint="write it like https://host/path"
        ) from None
    if parts.scheme not in ("http", "https"):
        raise EgressDenied(
            f"a URL of scheme {parts.scheme[:20]!r} may not be reached", hint="write http:// or https://"
        )
    if "@" in parts.netloc:
        raise EgressDenied(
            "a URL with user or password may not be reached",
            hint="take them out and use the parameter `auth`",
        )
    authority = _AUTHORITY.fullmatch(parts.netloc)
    if authority is None:
        what = "has no host" if not parts.netloc else f"has the host {parts.netloc[:100]!r}, which is no host name"
        raise EgressDenied(f"the URL {what}", hint="write it like https://host/path")
    port = int(authority["port"] or (443 if parts.scheme == "https" else 80))
    if not 0 < port < 65_536:
        raise _denied(authority["host"], f"there is no port {port}", "ports go from 1 to 65535")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return parts.scheme, _canonical_host(authority["host"]), port, path


def _canonical_host(host: str) -> str:
    """The host in lower case without a final dot. Raises `EgressDenied` for what is no host name and no
    address.

    Like browsers we take a host whose last part is a number for an IPv4 address (WHATWG URL, "ends in a
    number"), but only in its canonical form: `0177.0.0.1`, `127.1` and `2130706433` mean different things to
    different readers.
    """
    host = host.lower()
    if ":" in host:
        try:
            return str(ipaddress.IPv6Address(host.strip("[]")))
        except ValueError:
            raise _denied(host, "it is no IPv6 address", "write one like [2001:4860::1]") from None
    host = host.removesuffix(".")
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            raise _denied(host, "it is no IPv4 address in plain form", "write four decimal numbers") from None
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise _denied(host, "it is no host name", "its parts have 1 to 63 letters, digits and hyphens")
    return host


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


@lru_cache(maxsize=1024)
def _opening(entry: str) -> _Opening:
    text, port = entry.strip().lower(), None
    match = re.fullmatch(r"(\[[^\]]+\]|[^:]+):([0-9]{1,5})", text)
    if match is not None:
        text, port = match[1], int(match[2])
    text = text.removeprefix("[").removesuffix("]").removesuffix(".")
    try:
        return _Opening(None, ipaddress.ip_network(text, strict=False), port)
    except ValueError:
        labels = text.removeprefix("*.").split(".")
        if not all(_LABEL.fullmatch(label) for label in labels) or _NUMBER.fullmatch(labels[-1]):
            raise ValueError(
                f"{entry[:100]!r} is no entry; write api.example.com, *.example.com, 10.1.2.3 or 10.0.0.0/8, "
                "each with :port if wanted"
            ) from None
        return _Opening(text, None, port)


def _check_allow(host: str, port: int, allow: Sequence[Sequence[str]]) -> None:
    literal = _literal(host)
    for patterns in allow:
        try:
            entries = [_opening(pattern) for pattern in patterns]
        except ValueError as error:
            raise EgressDenied(f"egress.allow of the flow: {error}") from None
        if not any(entry.opens_host(host, port) or entry.opens_address(literal, port) for entry in entries):
            listed = ", ".join(patterns)[:200] or "nothing"
            raise _denied(host, f"the flow's egress.allow has only {listed}", "add the host there if it is meant")


def _denied_port(host: str, port: int, ports: frozenset[int]) -> EgressDenied:
    known = ", ".join(map(str, sorted(ports)))
    return _denied(
        host, f"port {port} is not one of {known}", _PRIVATE_HINT.replace("opens it", f"opens {host}:{port}")
    )


def _denied(host: str, why: str, hint: str) -> EgressDenied:
    return EgressDenied(f"{host[:100]!r} may not be reached: {why}", hint=hint, host=host[:100])
