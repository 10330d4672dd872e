"""The egress guard: what a flow may connect to.

A name is resolved once, *every* address is checked, and the connection goes to a checked address; so a name that
answers differently the second time (DNS rebinding) gains nothing. The lists are our own: Python's `ipaddress` calls
100.64.0.0/10 not private, and NAT64 and 6to4 forms of the metadata address global. For IPv6 only 2000::/3 without its
tunnels counts as public (IANA IPv6 Special-Purpose Address Registry).
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as LookupTimeout
from dataclasses import dataclass
from urllib.parse import urlsplit

from flowrunner.errors import EgressDenied, StepError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolver = Callable[[str, int], Sequence[str]]
"""Host name and port → addresses as text. Raises `OSError` when there are none."""

PORTS = frozenset({80, 443, 8080, 8443})
"""Ports that flows may reach on public hosts; the setting opens others."""

LOOKUP_SECONDS = 5.0

_DENIED_V4 = tuple(
    ipaddress.IPv4Network(block)
    for block in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
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
    ipaddress.IPv6Network(block) for block in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
)

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMERIC = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)(?:\.(?:0x[0-9a-f]*|[0-9]+))*\.?")


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that may be asked for: its parts, the host in canonical form."""

    scheme: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class _Opening:
    """An entry of the allow-list setting: hosts by pattern, or addresses by network; one port or all."""

    pattern: str | None
    network: Network | None
    port: int | None

    def opens_host(self, host: str, port: int) -> bool:
        return self.pattern is not None and self._port(port) and host_matches(self.pattern, host)

    def opens_address(self, address: Address, port: int) -> bool:
        return self.network is not None and self._port(port) and address in self.network

    def _port(self, port: int) -> bool:
        return self.port is None or self.port == port


class Guard:
    """Decides what may be reached. `openings` come from the setting `egress.allow`."""

    def __init__(self, openings: Sequence[str] = (), resolver: Resolver | None = None) -> None:
        self._openings = [_opening(entry) for entry in openings]
        self._resolver = resolver or system_resolver()

    def check_url(self, url: str, allow: Sequence[Sequence[str]] = ()) -> Target:
        """Look at a URL without resolving anything. Raises `EgressDenied`.

        `allow` holds the allow-lists of flow and node; the host must match each of them.
        """
        target = _parse(url)
        self._check_allow(target, allow)
        self.check_port(target.host, target.port)
        literal = _literal(target.host)
        if literal is not None:
            self._check_address(target.host, literal, target.port)
        return target

    def check_port(self, host: str, port: int) -> None:
        """Raises `EgressDenied` for a port that is not open for `host`."""
        literal = _literal(host)
        opened = any(
            opening.opens_host(host, port) or (literal is not None and opening.opens_address(literal, port))
            for opening in self._openings
        )
        # A name may resolve to an opened network; that is looked at when the addresses are known.
        maybe = literal is None and any(opening.network is not None and opening.port in (None, port) for opening in self._openings)
        if port not in PORTS and not opened and not maybe:
            raise _denied(host, f"port {port} is not one of {', '.join(map(str, sorted(PORTS)))}")

    def addresses(self, host: str, port: int) -> list[str]:
        """The checked addresses of a host, for connecting to. Raises `EgressDenied` if any of them is forbidden."""
        host = _canonical_host(host)
        literal = _literal(host)
        if literal is not None:
            self._check_address(host, literal, port)
            return [str(literal)]
        try:
            found = list(self._resolver(host, port))
        except (OSError, LookupTimeout) as error:
            raise StepError(f"the name {host} cannot be resolved", code="HttpConnect", retryable=True) from error
        if not found:
            raise StepError(f"the name {host} has no address", code="HttpConnect", retryable=True)
        for text in found:
            self._check_address(host, ipaddress.ip_address(text.partition("%")[0]), port)
        return found

    def check_host(self, host: str, port: int) -> list[str]:
        """For connections that are not HTTP: the checked addresses of `host`, whatever the port of a public one."""
        if "/" in host or host.startswith("@"):
            raise _denied(host, "it is a Unix socket")
        return self.addresses(host, port)

    def _check_allow(self, target: Target, allow: Sequence[Sequence[str]]) -> None:
        for patterns in allow:
            if not any(_allows(pattern, target) for pattern in patterns):
                raise _denied(target.host, f"the flow's egress.allow lists only {', '.join(patterns) or 'nothing'}")

    def _check_address(self, host: str, address: Address, port: int) -> None:
        if any(opening.opens_host(host, port) or opening.opens_address(address, port) for opening in self._openings):
            return
        if not is_public(address):
            raise _denied(host, f"{address} is not a public address")
        if port not in PORTS:
            # The port was let through because a network is opened; this address is not in it.
            if any(opening.network is not None for opening in self._openings):
                raise _denied(host, f"port {port} is not open")


def is_public(address: Address) -> bool:
    """Whether an address belongs to the public internet."""
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in block for block in _DENIED_V4)
    return address in _PUBLIC_V6 and not any(address in block for block in _DENIED_V6)


def host_matches(pattern: str, host: str) -> bool:
    """Whether a host is meant by `api.example.com` or `*.example.com` (which does not mean `example.com`)."""
    pattern = pattern.lower().rstrip(".")
    if pattern.startswith("*."):
        return host.endswith(pattern[1:]) and host != pattern[2:]
    return host == pattern


def system_resolver(timeout: float = LOOKUP_SECONDS) -> Resolver:
    """The system's resolver, given up after `timeout` seconds."""
    pool = ThreadPoolExecutor(8, thread_name_prefix="dns")

    def resolve(host: str, port: int) -> Sequence[str]:
        lookup = pool.submit(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(entry[4][0]) for entry in lookup.result(timeout)))

    return resolve


def _parse(url: str) -> Target:
    if not url.isascii() or re.search(r"[\x00-\x20\\\x7f]", url):
        raise _denied(url[:100], "a URL has only visible ASCII characters, and no backslash; encode others (%20, xn--…)")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise _denied(url[:100], f"it is no URL: {error}") from None
    scheme = parts.scheme.lower()
    if scheme not in ("http", "https"):
        raise _denied(url[:100], "only http and https can be reached")
    if "@" in parts.netloc:
        raise _denied(parts.netloc[:100], "a URL has no user and password; use the parameter `auth`")
    if not parts.hostname:
        raise _denied(url[:100], "the URL has no host")
    if port == 0:
        raise _denied(url[:100], "port 0 cannot be reached")
    return Target(scheme, _canonical_host(parts.hostname), port or (443 if scheme == "https" else 80))


def _canonical_host(host: str) -> str:
    """The host in lower case without a final dot. Raises `EgressDenied` for what is no host name and no address."""
    host = host.lower()
    if ":" in host or host.startswith("["):
        try:
            return str(ipaddress.IPv6Address(host.strip("[]")))
        except ValueError:
            raise _denied(host[:100], "it is no IPv6 address") from None
    host = host.removesuffix(".")
    if _NUMERIC.fullmatch(host):
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            raise _denied(host[:100], "write an IPv4 address as four decimal numbers") from None
    labels = host.split(".")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise _denied(host[:100], "it is no host name")
    return host


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _opening(entry: str) -> _Opening:
    """An entry: `host`, `*.host`, an address or a CIDR, each with `:port` if wanted."""
    text, port = entry.strip(), None
    match = re.fullmatch(r"(\[[^\]]+\]|[^:]+):(\d+)", text)
    if match is not None:
        text, port = match[1], int(match[2])
    try:
        return _Opening(None, ipaddress.ip_network(text.strip("[]"), strict=False), port)
    except ValueError:
        return _Opening(text.lower(), None, port)


def _allows(pattern: str, target: Target) -> bool:
    host, colon, port = pattern.rpartition(":")
    if colon and port.isdigit() and not pattern.startswith("["):
        return int(port) == target.port and host_matches(host, target.host)
    return host_matches(pattern.strip("[]"), target.host)


def _denied(host: str, why: str) -> EgressDenied:
    return EgressDenied(f"{host!r} may not be reached: {why}", hint="see docs/security.md, egress", host=host)
