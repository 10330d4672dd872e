"""The helpers beside the JavaScript standard library, held to independent implementations."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import pytest
from flowrunner.sandbox.errors import ScriptError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

Scenes = Callable[..., Any]
NOW = 1_700_000_000_000

fixed = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@fixed
@given(text=st.text(max_size=200), key=st.text(max_size=100))
def test_hashes_and_base64(scene: Scenes, text: str, key: str) -> None:
    """SHA-256, HMAC and base64 over UTF-8 are what the standard library gives."""
    data, secret = text.encode(), key.encode()
    made = scene(input={"text": text, "key": key}).hook(
        "const b = base64.encode(input.text);"
        "return [hash.sha256(input.text), hmac.sha256(input.key, input.text), b, base64.decode(b)]"
    )
    assert made.value == [
        hashlib.sha256(data).hexdigest(),
        hmac.new(secret, data, hashlib.sha256).hexdigest(),
        base64.b64encode(data).decode(),
        text,
    ]


@pytest.mark.parametrize(
    ("text", "millis"),
    [
        ("500ms", 500),
        ("20s", 20_000),
        ("5m", 300_000),
        ("2h", 7_200_000),
        ("1d", 86_400_000),
        ("1.5s", 1500),
        (30, 30_000),
    ],
)
def test_durations(scene: Scenes, text: str | int, millis: int) -> None:
    """Durations are written as in the flow language and come out in milliseconds."""
    assert scene(input=text).hook("return duration(input)").value == millis


@pytest.mark.parametrize(
    "body", ["duration('soon')", "base64.decode('?')", "base64.decode('/w==')", "jsonpath({}, 'a')"]
)
def test_a_helper_refuses_what_it_cannot_read(scene: Scenes, body: str) -> None:
    """The error names the helper."""
    with pytest.raises(ScriptError, match=body.partition("(")[0]):
        scene().hook(f"return {body}")


def test_time_stands_still(scene: Scenes) -> None:
    """All clocks give the moment of the attempt, and no finer one can be reached."""
    body = """
      const clocks = [now(), Date.now(), new Date().getTime(), +new Date(), new Date().constructor.now(),
        Object.getPrototypeOf(new Date()).constructor.now(), Reflect.construct(Date, []).getTime()];
      return {clocks, kinds: [typeof performance, typeof Date(), new Date() instanceof Date, Date.name],
        zone: new Date(0).getHours(), given: new Date(5).getTime(), utc: Date.UTC(1970, 0, 2), parsed: Date.parse("1970-01-02")};
    """
    assert scene().hook(body).value == {
        "clocks": [NOW] * 7,
        "kinds": ["undefined", "string", True, "Date"],
        "zone": 0,
        "given": 5,
        "utc": 86_400_000,
        "parsed": 86_400_000,
    }


def test_the_engines_clock_cannot_be_reached_by_another_way(scene: Scenes) -> None:
    """A script that hides the name of what it touches gets the same clock and the same draws."""
    hidden = "const g = globalThis; return [g['Da' + 'te'].now(), g['no' + 'w'](), Math['ran' + 'dom']()]"
    plain = "return [Date.now(), now(), Math.random()]"
    assert scene().hook(hidden).value == scene().hook(plain).value


def test_draws_are_fixed_by_the_seed(scene: Scenes) -> None:
    """uuid() and Math.random() go on within an evaluation, come again in the next, and differ by seed."""
    from flowrunner.sandbox.evaluator import Script

    script = Script(kind="hook", name="exec", body="return [uuid(), uuid(), Math.random(), Math.random()]")
    at = scene()
    first, again, other = (at.evaluate(script, seed=seed).value for seed in ("a", "a", "b"))
    assert first == again
    assert first != other
    assert first[0] != first[1]
    assert first[2] != first[3]
    assert all(one[14] == "4" and one[19] in "89ab" and len(one) == 36 for one in first[:2])


STORE = {
    "book": [
        {"title": "A", "price": 8, "isbn": "1", "tags": ["x", "y"]},
        {"title": "B", "price": 12},
        {"title": "C'\"\\", "price": 9, "isbn": None},
    ],
    "a b": {"c": [0, 1, 2, 3, 4, 5]},
}
PATHS = [
    "$",
    "$.book[0].title",
    "$.book[*].title",
    "$..price",
    "$.book[-1:].title",
    "$.book[::2].price",
    "$.book[::-1].price",
    "$.book[0,2].title",
    "$['a b'].c[1:4]",
    '$["a b"]["c"][5:1:-2]',
    "$['a b'].c[0:1000000000:0]",
    "$.book[?@.isbn].title",
    "$.book[?!@.isbn].title",
    "$.book[?@.price < 10 && @.isbn].title",
    "$.book[?@.price >= 12 || @.title == 'A'].title",
    "$.book[?@.isbn == null].title",
    "$.book[?@.title == 'C\\'\"\\\\'].price",
    "$.book[?length(@.tags) == 2].title",
    "$.book[?count(@.tags[*]) > 1].title",
    "$.book[?@.missing == @.gone].title",
    "$..[0]",
    "$.nothing.at.all",
    "$.*",
    "$ .book [0] .title",
    "$.book[?@.price > $.book[0].price].title",
    "$..tags[*]",
    "$.book[?@.constructor]",
    "$.book[?@.__proto__]",
]


@pytest.mark.parametrize("path", PATHS)
def test_jsonpath_is_rfc_9535(scene: Scenes, path: str) -> None:
    """The helper gives what the library that the jsonpath node uses gives."""
    jsonpath = pytest.importorskip("jsonpath")
    expected = jsonpath.findall(path, STORE)
    assert scene(input=[STORE, path]).hook("return jsonpath(input[0], input[1])").value == json.loads(
        json.dumps(expected)
    )


@pytest.mark.parametrize(
    "path",
    [
        "",
        "book",
        "$.",
        "$[",
        "$[?",
        "$['a",
        "$.a b",
        "$[01]",
        "$[-9223372036854775809]",
        "$[?(@.constructor('x')())]",
        "$" + "[*]" * 100,
    ],
)
def test_a_bad_jsonpath_is_refused(scene: Scenes, path: str) -> None:
    """What is no path is an error that shows it, not an empty result."""
    with pytest.raises(ScriptError, match="jsonpath"):
        scene(input=path).hook("return jsonpath({}, input)")
