"""JSON from strangers: one meaning, or none; and no more time than its length."""

from __future__ import annotations

import pytest
from flowrunner.core.json_text import BadJson, packed, parse_json


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1, "b": 2, "a": 3}', "the name 'a' is in one object twice"),
        ('[{"x": {"a": 1, "a": 1}}]', "the name 'a' is in one object twice"),
        ("NaN", "NaN is no JSON value"),
        ("[-Infinity]", "-Infinity is no JSON value"),
        ("1e400", "beyond what a number can hold"),
        ("18446744073709551616", "^18446744073709551616 is beyond 64 bits"),
        ("-9223372036854775809", "^-9223372036854775809 is beyond 64 bits"),
        ("9" * 5_000, "^9{40} is beyond 64 bits"),
        ("1" * 5_000 + ".5", "^1{40} is beyond what a number can hold"),
        ('"\\ud800"', "half a surrogate pair"),
        ('{"\\udfff": 1}', "half a surrogate pair"),
        ('{"a": "\\ud800", "b": {}}', "half a surrogate pair"),
        ('[["\\ud800"], [1]]', "half a surrogate pair"),
        ('[{"\\ud800": 1}, {}]', "^a text holds half a surrogate pair: it is not Unicode$"),
        ("[" * 65 + "]" * 65, "nested deeper than 64"),
        ("[" * 1_000_000, "nested deeper than 64"),
        ("", r"^not JSON: Expecting value \(line 1, column 1\)$"),
        ("{\n 'a': 1}", r"^not JSON: Expecting property name enclosed in double quotes \(line 2, column 2\)$"),
        (f'{{"{"n" * 70}": 1, "{"n" * 70}": 1}}', "^the name 'n{64}' is in one object twice$"),
    ],
)
def test_what_readers_take_differently_is_refused(text: str, message: str) -> None:
    """Each with its reason."""
    with pytest.raises(BadJson, match=message):
        parse_json(text.encode())


def test_text_that_is_not_utf8_is_refused() -> None:
    """With the place."""
    with pytest.raises(BadJson, match=r"^the JSON text is not UTF-8 \(byte 1\)$"):
        parse_json(b'"\xff"')


def test_a_name_that_is_there_twice_is_found_in_one_pass() -> None:
    """Strangers send megabytes of names: compared with each other these would take most of an hour."""
    names = ",".join(f'"a{number}":1' for number in range(300_000))
    with pytest.raises(BadJson, match="the name 'a299999' is in one object twice"):
        parse_json(f'{{{names},"a299999":1}}'.encode())


def test_what_is_json_is_read() -> None:
    """With a byte order mark as well."""
    assert parse_json(b'\xef\xbb\xbf{"a": [1, 1.5, "x\\u00e9", null, true]}') == {"a": [1, 1.5, "xé", None, True]}
    assert parse_json(b"[18446744073709551615, -9223372036854775808]") == [2**64 - 1, -(2**63)]
    deepest = "[" * 64 + "]" * 64
    assert str(parse_json(deepest.encode())) == deepest
    assert parse_json(b"[[]]", max_depth=2) == [[]]


def test_how_deep_it_may_be_is_the_readers_choice() -> None:
    """And the message names it, however far beyond it the text goes."""
    for text in (b"[[[]]]", b"[" * 1_000_000):
        with pytest.raises(BadJson, match=r"^the JSON text is nested deeper than 2$"):
            parse_json(text, max_depth=2)


def test_what_is_kept_is_packed() -> None:
    """The shortest text, as bytes of their own; what JSON cannot say goes through `default` or is refused."""
    assert packed({"a": [1, None]}) == b'{"a":[1,null]}'
    assert packed({"a": {3}}, default=sorted) == b'{"a":[3]}'
    with pytest.raises(TypeError):
        packed({3})
