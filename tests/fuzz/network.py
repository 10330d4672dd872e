"""Doors to the network: the URLs and addresses of the egress guard, and what is public.

The oracle is a second reading of the IANA special-purpose registries, as numbers, beside Python's own flags: what the
guard lets through has to be public to both.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from flowrunner.adapters.egress import PORTS, Address, Guard, is_public
from flowrunner.adapters.egress import Target as Place
from flowrunner.errors import ConfigurationError, EgressDenied, StepError

from tests.fuzz.target import ACCEPTED, REFUSED, Target, told, words

PUBLIC = "93.184.216.34"

_NOT_GLOBAL_V4 = (
    *((0x00000000, 8), (0x0A000000, 8), (0x64400000, 10), (0x7F000000, 8), (0xA9FE0000, 16), (0xAC100000, 12)),
    *((0xC0000000, 24), (0xC0000200, 24), (0xC0586300, 24), (0xC0A80000, 16), (0xC6120000, 15), (0xC6336400, 24)),
    *((0xCB007100, 24), (0xE0000000, 4), (0xF0000000, 4), (0xA83F8110, 32)),
)
"""First address and length of what nobody on the internet has; the last is the host of Azure's virtual machines."""
_TUNNELS_AND_TESTS_V6 = (
    (0x2001 << 112, 23),
    (0x20010DB8 << 96, 32),
    (0x2002 << 112, 16),
    (0x3FFE << 112, 16),
    (0x3FFF << 112, 20),
)


def public(address: Address) -> bool:
    """Whether an address is on the public internet, by the oracle."""
    number = int(address)
    if isinstance(address, ipaddress.IPv4Address):
        return (
            not any(number >> 32 - length == first >> 32 - length for first, length in _NOT_GLOBAL_V4)
            and address.is_global
        )
    inside = any(number >> 128 - length == first >> 128 - length for first, length in _TUNNELS_AND_TESTS_V6)
    embeds = address.ipv4_mapped or address.sixtofour or address.teredo
    return number >> 125 == 1 and not inside and not embeds and address.is_global and not address.is_multicast


def address(data: bytes) -> str:
    """Whether an address is public: of four bytes, else of sixteen."""
    one = ipaddress.ip_address(data[:4] if len(data) < 8 else data[:16].ljust(16, b"\0")) if len(data) >= 4 else None
    if one is None:
        return REFUSED
    if not is_public(one):
        return REFUSED
    told(public(one), f"{one} counts as public")
    return ACCEPTED


def reach(data: bytes) -> str:
    """A URL in the first line; in the others what its name resolves to and, after a plus, what the setting opens."""
    url, _, rest = data.decode("utf-8", "replace").partition("\n")
    lines = rest.split("\n") if rest else []
    answers = [line for line in lines if not line.startswith("+")] or [PUBLIC]
    openings = [line[1:] for line in lines if line.startswith("+")]
    try:
        guard = Guard(openings, lambda host, port, seconds: answers)
    except ConfigurationError as refused:
        told(str(refused), "a refusal without words")
        return REFUSED
    outcomes = {_http(guard, url, openings), _other(guard, url, openings)}
    return ACCEPTED if ACCEPTED in outcomes else REFUSED


def _http(guard: Guard, url: str, openings: list[str]) -> str:
    try:
        place = guard.check(url)
    except (EgressDenied, StepError) as refused:
        told(isinstance(refused, EgressDenied) or refused.code == "HttpConnect", "a refusal of another kind")
        return REFUSED
    _only_public(place, openings)
    told(place.port in PORTS or openings, "a port that is not open")
    parts = urlsplit(place.url)
    told(
        (parts.hostname, parts.port or {"http": 80, "https": 443}[parts.scheme]) == (place.host, place.port),
        "two readings of a URL",
    )
    told(
        parts.username is None and "@" not in parts.netloc and place.url.isascii(), "a URL that others read differently"
    )
    told(guard.check(place.url) == place, "a URL that was understood is another one when it is read again")
    return ACCEPTED


def _other(guard: Guard, host: str, openings: list[str]) -> str:
    try:
        place = guard.check_host(host, 587)
    except (EgressDenied, StepError):
        return REFUSED
    _only_public(place, openings)
    return ACCEPTED


def _only_public(place: Place, openings: list[str]) -> None:
    """Every address is public, or is in a network that the setting opens, or in a private one that it opens by name."""
    networks = [network for opening in openings if (network := _network(opening))]
    told(place.addresses, "a place without an address")
    for text in place.addresses:
        one = ipaddress.ip_address(text)
        private = one.is_private and not one.is_link_local and not one.is_reserved and not one.is_unspecified
        named = len(networks) < len(openings) and private and str(one) not in ("100.100.100.200", "fd00:ec2::254")
        shared = (
            one in ipaddress.ip_network("100.64.0.0/10")
            and len(networks) < len(openings)
            and str(one) != "100.100.100.200"
        )
        told(public(one) or named or shared or any(one in network for network in networks), f"{one} is let through")


def _network(opening: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    text = opening.strip().lower()
    for candidate in (text, text.rpartition(":")[0], text.strip("[]"), text.rpartition(":")[0].strip("[]")):
        try:
            return ipaddress.ip_network(candidate.removesuffix("."), strict=False)
        except ValueError:
            continue
    return None


_URL = words(
    "http:// https:// HTTP:// ftp:// // @ : /path ?q=1 #f :80 :443 :8080 :22 :0 :65536 :00080 \\ %2e %00 [::1] [::ffff:7f00:1] [fe80::1%25lo] "
    "[64:ff9b::a9fe:a9fe] [2606:2800:220:1::] 127.0.0.1 127.1 0177.0.0.1 0x7f.1 2130706433 169.254.169.254 10.0.0.1 192.168.1.1 "
    "100.100.100.200 localhost example.com a.example . .. xn--nxasmq6b user:pw@ \u2460.\u3002 \u00df ::ffff:10.0.0.1 2002:7f00:1:: "
    "fd00:ec2::254 +10.0.0.0/8 +*.example.com +a.example:443 +169.254.169.254 +[::1]:80 +0.0.0.0/0 fe80::1%lo",
    b"\n",
    b"\n+",
    b"\n10.0.0.1",
    b"\n127.0.0.1",
    b"\n::1",
    b"\n169.254.169.254",
    b"\nfd00::1",
)

TARGETS = (Target("url", reach, _URL, pace=2), Target("address", address))
