"""The egress guard: what is public, what is opened, and what a URL means."""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Sequence
from urllib.parse import urlsplit

import pytest
from flowrunner.adapters.egress import Guard, host_matches, is_public, system_resolver
from flowrunner.errors import ConfigurationError, EgressDenied, StepError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

PUBLIC = "93.184.216.34"

DENIED_ADDRESSES = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.100.100.200",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.0.1",
    "169.254.169.254",
    "169.254.170.2",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.31.196.1",
    "192.52.193.1",
    "192.88.99.1",
    "192.168.0.1",
    "192.175.48.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:a9fe:a9fe",
    "::ffff:93.184.216.34",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a9fe:a9fe",
    "100::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:20::1",
    "2001:db8::1",
    "2002:a9fe:a9fe::1",
    "2620:4f:8000::1",
    "3ffe::1",
    "3fff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
]

PUBLIC_ADDRESSES = [
    "1.1.1.1",
    "9.255.255.255",
    "11.0.0.0",
    "93.184.216.34",
    "100.63.255.255",
    "100.128.0.0",
    "128.0.0.0",
    "168.63.129.15",
    "169.253.255.255",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2001:4860:4860::8888",
    "2606:2800:220:1:248:1893:25c8:1946",
    "2a00:1450:4001::1",
]


def resolver(table: dict[str, Sequence[str]] | None = None) -> Guard:
    """A guard whose names come from `table`; every other name is public."""
    return Guard(resolver=lambda host, _port, _seconds: (table or {}).get(host, [PUBLIC]))


def opened(*openings: str, **names: str) -> Guard:
    """A guard with openings; a name given as `db_example=...` is `db.example`."""
    table = {name.replace("_", "."): [address] for name, address in names.items()}
    return Guard(openings, lambda host, _port, _seconds: table.get(host, [PUBLIC]))


def literal(address: str) -> str:
    return f"http://[{address}]/" if ":" in address else f"http://{address}/"


@pytest.mark.parametrize("address", DENIED_ADDRESSES)
def test_denies_every_address_that_is_not_public(address: str) -> None:
    """Written as a literal or answered for a name, an address in a special-purpose block is denied."""
    with pytest.raises(EgressDenied):
        Guard().check(literal(address))
    with pytest.raises(EgressDenied):
        resolver({"name.example": [address]}).check("https://name.example/")
    with pytest.raises(EgressDenied):
        resolver({"name.example": [PUBLIC, address]}).check_host("name.example", 587)


@pytest.mark.parametrize("address", PUBLIC_ADDRESSES)
def test_admits_public_addresses(address: str) -> None:
    """The neighbours of the denied blocks are public, so that refusing everything would be noticed."""
    assert Guard().check(literal(address)).addresses == (address,)
    assert resolver({"name.example": [address]}).check("https://name.example/").addresses == (address,)


def test_every_denied_address_is_denied_by_the_list_alone() -> None:
    """`is_public` agrees with the guard, since other parts may ask it directly."""
    assert not [text for text in DENIED_ADDRESSES if is_public(ipaddress.ip_address(text))]
    assert not [text for text in PUBLIC_ADDRESSES if not is_public(ipaddress.ip_address(text))]


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://2130706433/", "plain form"),
        ("http://0x7f000001/", "plain form"),
        ("http://0177.0.0.1/", "plain form"),
        ("http://127.1/", "plain form"),
        ("http://0/", "plain form"),
        ("http://0x/", "plain form"),
        ("http://1.2.3.4.5/", "plain form"),
        ("http://name.1/", "plain form"),
        ("http://127.0.0.1./", "not public"),
        ("http://①②⑦.0.0.1/", "position 8"),
        ("http://169。254。169。254/", "position 11"),
        ("http://example.com\\@127.0.0.1/", "position 19"),
        ("http://example.com/a b", "position 21"),
        ("http://example.com/\n", "position 20"),
        ("\thttp://example.com/", "position 1"),
        ("http://user@example.com/", "user or password"),
        ("http://user:hunter2@example.com/", "user or password"),
        ("http://127.0.0.1#@example.com/", "not public"),
        ("http://example.com%00.evil.example/", "no host name"),
        ("http://[::1]evil.example/", "host"),
        ("http://[::1%25eth0]/", "host"),
        ("http://[fe80::1%eth0]/", "host"),
        ("http://[1.2.3.4]/", "host"),
        ("http://[::g]/", "host"),
        ("http://[::1/", "host"),
        ("http://:80/", "no host name"),
        ("http:///path", "no host"),
        ("https://", "no host"),
        ("http:example.com", "no host"),
        ("//example.com/", "scheme ''"),
        ("example.com", "scheme ''"),
        ("file:///etc/passwd", "scheme 'file'"),
        ("gopher://example.com/", "scheme 'gopher'"),
        ("ws://example.com/", "scheme 'ws'"),
        ("http://example..com/", "no host name"),
        ("http://.example.com/", "no host name"),
        ("http://-a.example/", "no host name"),
        ("http://a-.example/", "no host name"),
        (f"http://{'a' * 64}.example/", "no host name"),
        (f"http://{'a.' * 127}example/", "no host name"),
        ("http://example.com:0/", "no port 0"),
        ("http://example.com:65536/", "no port 65536"),
        ("http://example.com:123456/", "no host name"),
        ("http://example.com:-1/", "no host name"),
        ("http://example.com:8 0/", "position 21"),
        ("http://example.com:22/", "port 22 is not one of 80, 443, 8080, 8443"),
        ("http://intranet/", "full host name"),
    ],
)
def test_refuses_urls_that_can_be_read_in_two_ways(url: str, says: str) -> None:
    """Each odd form is refused with words that say which part is wrong."""
    with pytest.raises(EgressDenied) as caught:
        resolver().check(url)
    assert says in caught.value.message
    assert caught.value.hint


def test_error_texts_show_neither_password_nor_path() -> None:
    """What may be secret in a URL (userinfo, path, query) is in no error text or detail."""
    for url in (
        "http://user:hunter2@example.com/",
        "http://127.0.0.1/services/hunter2",
        "http://example.com/hunter2 x",
        "ftp://example.com/?key=hunter2",
        "http://example.com:99/?key=hunter2",
        "http://[bad/hunter2",
    ):
        with pytest.raises(EgressDenied) as caught:
            resolver().check(url)
        assert "hunter2" not in f"{caught.value}{caught.value.details}"


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("HTTPS://Example.COM", "https://example.com/"),
        ("https://example.com.:443/a/../b?x=1&y#part", "https://example.com/a/../b?x=1&y"),
        ("http://example.com:8080?q", "http://example.com:8080/?q"),
        ("http://example.com:/x", "http://example.com/x"),
        ("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/"),
        (
            "http://[2606:2800:0220:1:248:1893:25C8:1946]:8080/",
            "http://[2606:2800:220:1:248:1893:25c8:1946]:8080/",
        ),
        ("https://my_service.example.com/", "https://my_service.example.com/"),
    ],
)
def test_gives_the_canonical_url(url: str, canonical: str) -> None:
    """The URL that is asked for is put together from what was checked."""
    assert resolver().check(url).url == canonical


@pytest.mark.parametrize(
    ("openings", "url", "address"),
    [
        (["localhost"], "http://localhost:5000/", "127.0.0.1"),
        (["127.0.0.0/8"], "http://localhost:5000/", "127.0.0.1"),
        (["127.0.0.1"], "http://127.0.0.1:5000/", ""),
        (["::1"], "http://[::1]:5000/", ""),
        (["[::1]:5000"], "http://[::1]:5000/", ""),
        (["fd12::/16"], "http://[fd12::9]/", ""),
        (["10.0.0.0/8:9200"], "http://10.1.2.3:9200/", ""),
        (["db.internal"], "http://db.internal:5432/", "10.0.0.5"),
        (["*.internal:8000"], "http://a.b.internal:8000/", "192.168.1.1"),
        (["DB.Internal."], "http://db.internal/", "10.0.0.5"),
        (["api.example:9000"], "http://api.example:9000/", PUBLIC),
        (["169.254.169.254"], "http://169.254.169.254/", ""),
    ],
)
def test_openings_open(openings: list[str], url: str, address: str) -> None:
    """Hosts, patterns, addresses and networks of the setting can be reached, on every port unless one is named."""
    assert Guard(openings, lambda *_: [address]).check(url).addresses


@pytest.mark.parametrize(
    ("openings", "url", "address"),
    [
        (["127.0.0.1:5000"], "http://127.0.0.1:5001/", ""),
        (["127.0.0.1"], "http://127.0.0.2/", ""),
        (["10.0.0.0/8"], "http://name.example:9200/", PUBLIC),
        (["10.0.0.0/8"], "http://[::ffff:10.0.0.1]/", ""),
        (["internal"], "http://db.internal/", "10.0.0.5"),
        (["*.internal"], "http://internal/", "10.0.0.5"),
        (["*.internal"], "http://xinternal/", "10.0.0.5"),
        (["db.internal:5432"], "http://db.internal/", "10.0.0.5"),
        (["db.internal"], "http://db.internal/", "169.254.169.254"),
        (["db.internal"], "http://db.internal/", "fd00:ec2::254"),
        (["db.internal"], "http://db.internal/", "::ffff:10.0.0.5"),
        (["db.internal"], "http://db.internal/", "0.0.0.0"),
        (["db.internal"], "http://db.internal/", "100.100.100.200"),
    ],
)
def test_openings_open_no_more_than_they_say(openings: list[str], url: str, address: str) -> None:
    """Another port, a neighbour, or a metadata address behind an opened name stays closed."""
    with pytest.raises(EgressDenied):
        Guard(openings, lambda *_: [address]).check(url)


@pytest.mark.parametrize(
    "entry", ["http://a.example", "10.0.0.0/33", "*", "a b", "", "*.*.example", "10.0.0", "a:b:c:x"]
)
def test_a_bad_opening_stops_the_start(entry: str) -> None:
    """An entry that opens nothing is a typing mistake, found when the process starts."""
    with pytest.raises(ConfigurationError, match=r"egress\.allow: .*is no entry"):
        Guard([entry])


@pytest.mark.parametrize(
    ("allow", "url", "admitted"),
    [
        ([], "https://api.example.com/", True),
        ([["api.example.com"]], "https://api.example.com/", True),
        ([["API.example.com"]], "https://api.EXAMPLE.com/", True),
        ([["api.example.com:443"]], "https://api.example.com/", True),
        ([["api.example.com:8443"]], "https://api.example.com/", False),
        ([["*.example.com"]], "https://api.example.com/", True),
        ([["*.example.com"]], "https://example.com/", False),
        ([["*.example.com"]], "https://evilexample.com/", False),
        ([["example.com"]], "https://api.example.com/", False),
        ([["*.example.com"], ["api.example.com"]], "https://api.example.com/", True),
        ([["*.example.com"], ["www.example.com"]], "https://api.example.com/", False),
        ([["*.example.com"], []], "https://api.example.com/", False),
        ([["93.184.216.34"]], "https://93.184.216.34/", True),
        ([["93.184.216.0/24"]], "https://93.184.216.34/", True),
        ([["93.184.216.34"]], "https://api.example.com/", False),
        ([["127.0.0.1"]], "http://127.0.0.1/", False),
        ([["*"]], "https://api.example.com/", False),
    ],
)
def test_a_flow_narrows_what_it_may_reach(allow: list[list[str]], url: str, admitted: bool) -> None:
    """The host must match every level's list, and no list opens what the guard denies."""
    if admitted:
        assert resolver().check(url, allow).host
    else:
        with pytest.raises(EgressDenied, match=r"egress\.allow|not public"):
            resolver().check(url, allow)


def test_a_denied_port_or_host_is_not_even_looked_up() -> None:
    """What the text alone forbids causes no DNS packet."""
    asked: list[str] = []

    def resolve(host: str, _port: int, _seconds: float) -> list[str]:
        asked.append(host)
        return [PUBLIC]

    guard = Guard(resolver=resolve)
    for url, allow in (
        ("http://a.example:22/", []),
        ("http://a.example/", [["b.example"]]),
        ("ftp://a.example/", []),
    ):
        with pytest.raises(EgressDenied):
            guard.check(url, allow)
    assert asked == []
    guard.check("http://a.example/")
    assert asked == ["a.example"]


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (socket.gaierror(-2, "unknown"), "does not resolve to an address"),
        (TimeoutError(), "does not resolve in time"),
        (UnicodeError(), "does not resolve"),
    ],
)
def test_a_name_that_does_not_resolve_may_be_tried_again(error: Exception, says: str) -> None:
    """A failed lookup is a connection error that a retry policy may repeat."""

    def fail(_host: str, _port: int, _seconds: float) -> list[str]:
        raise error

    with pytest.raises(StepError, match=says) as caught:
        Guard(resolver=fail).check("https://name.example/")
    assert (caught.value.code, caught.value.retryable) == ("HttpConnect", True)


def test_a_name_without_addresses_and_with_rubbish() -> None:
    """No address is a connection error; text that is no address is denied."""
    with pytest.raises(StepError, match="has no address"):
        resolver({"name.example": []}).check("https://name.example/")
    with pytest.raises(EgressDenied, match="no address"):
        resolver({"name.example": ["/var/run/x.sock"]}).check("https://name.example/")


@pytest.mark.parametrize(
    ("host", "port"),
    [
        ("127.0.0.1", 25),
        ("localhost", 143),
        ("::1", 5432),
        ("[::1]", 5432),
        ("/var/run/postgresql", 5432),
        ("@socket", 5432),
        ("", 5432),
        ("a.example,127.0.0.1", 5432),
        ("a.example host=127.0.0.1", 5432),
        ("bücher.example", 25),
        ("2130706433", 5432),
    ],
)
def test_other_protocols_are_guarded_too(host: str, port: int) -> None:
    """SMTP, IMAP and PostgreSQL hosts: no private address, no Unix socket, nothing that names two hosts."""
    with pytest.raises(EgressDenied):
        resolver({"localhost": ["127.0.0.1"]}).check_host(host, port)


def test_other_protocols_name_their_own_port() -> None:
    """The list of ports is HTTP's; openings and allow-lists hold for every protocol."""
    assert resolver().check_host("smtp.example.com", 587).addresses == (PUBLIC,)
    assert opened("10.0.0.0/8").check_host("smtp.example.com", 587).addresses == (PUBLIC,)
    assert opened("db.internal", db_internal="10.0.0.5").check_host("DB.internal", 5432).addresses == ("10.0.0.5",)
    with pytest.raises(EgressDenied, match="full host name"):
        resolver().check_host("mailhost", 25)
    with pytest.raises(EgressDenied, match=r"egress\.allow"):
        resolver().check_host("smtp.example.com", 587, [["imap.example.com"]])


def test_a_bad_allow_list_of_a_flow_is_denied_by_name() -> None:
    """A flow's own list with an entry that means nothing admits nothing, and the text says which entry."""
    with pytest.raises(EgressDenied, match="is no entry"):
        resolver().check("https://a.example/", [["http://a.example"]])


def test_host_patterns() -> None:
    """A star stands for one or more whole labels in front."""
    assert host_matches("*.example.com", "a.b.example.com")
    assert not host_matches("*.example.com", "example.com")
    assert not host_matches("*.example.com", "a.example.com.evil.example")


def test_the_system_resolver_resolves_and_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A literal resolves without a network, and a lookup that takes longer than its time raises `TimeoutError`."""
    resolve, answer = system_resolver(), threading.Event()
    assert list(resolve("127.0.0.1", 80, 120.0)) == ["127.0.0.1"]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answer.wait(120))
    with pytest.raises(TimeoutError):
        resolve("slow.example", 80, 0.01)
    answer.set()


def test_addresses_lose_their_scope_and_repetitions() -> None:
    """What is connected to is each address once."""
    guard = resolver({"name.example": ["2606:2800::1%eth0", PUBLIC, PUBLIC]})
    assert guard.check("https://name.example/").addresses == ("2606:2800::1", PUBLIC)


URLS = st.builds(
    lambda scheme, user, host, port, rest: f"{scheme}{user}{host}{port}{rest}",
    st.sampled_from(["http://", "https://", "HTTP:////", "http:", "http:\\\\", "//", "ftp://", "http://["]),
    st.sampled_from(["", "", "", "user@", "example.com:80@", "%40", "a\\@", "#@", "?@"]),
    st.one_of(
        st.sampled_from(
            [*DENIED_ADDRESSES, *PUBLIC_ADDRESSES, "localhost", "a.example", "127.1", "0x7f.1", "017700000001"]
        ),
        st.ip_addresses().map(str),
        st.ip_addresses(v=6).map(lambda address: f"[{address}]"),
        st.integers(0, 2**32 - 1).map(str),
        st.text("0123456789abcdefxX.-_:[]%@/\\?#①。 \t\n\0é", max_size=20),
        st.text(max_size=10),
    ),
    st.sampled_from(["", "", ":80", ":443", ":22", ":0", ":", ":+80", ":\uff18\uff10", ":99999", "]", "]:80"]),
    st.text(max_size=8),
)
"""Text that is nearly a URL."""


@given(url=URLS, answer=st.lists(st.ip_addresses(), min_size=1, max_size=3))
@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_nothing_that_looks_like_a_url_gets_past_the_guard(
    url: str, answer: list[ipaddress.IPv4Address | ipaddress.IPv6Address]
) -> None:
    """Whatever the text and the resolver's answer: it is refused, or every address to connect to is public, the port
    is one of four, and the standard library reads the same host out of the URL that is asked for.
    """
    guard = Guard(resolver=lambda *_: [str(address) for address in answer])
    try:
        target = guard.check(url)
    except EgressDenied:
        return
    assert all(is_public(ipaddress.ip_address(address)) for address in target.addresses)
    assert target.port in {80, 443, 8080, 8443}
    again = urlsplit(target.url)
    assert (again.scheme, again.hostname) == (target.scheme, target.host)
    assert again.port in (target.port, None)
    assert target.url.isascii()
    assert guard.check(target.url) == target
