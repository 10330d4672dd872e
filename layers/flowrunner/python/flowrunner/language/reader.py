"""YAML or JSON text to plain values, with the place of every one.

The reader takes PyYAML's events and builds values itself: scalars by YAML 1.2's core schema (`yes`, `012` and dates
stay text), no tags, anchors, aliases or merge keys (a 365-byte merge-key document costs PyYAML's own constructor
seconds), no duplicate keys, and limits on size, depth and count that hold before anything large is built.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
import yaml

from flowrunner.core.flow import Json
from flowrunner.core.problems import Problem
from flowrunner.language.errors import InvalidFlow

MAX_BYTES = 256 * 1024
MAX_DEPTH = 32
MAX_NODES = 20_000
MAX_KEY = 256
MAX_NUMBER = 64

RESERVED_KEYS = frozenset({"__proto__", "constructor", "prototype"})
"""Keys that mean something to JavaScript objects; as names of nodes or fields they are only ever an attack."""

Path = tuple[str | int, ...]
Place = tuple[int, int]

_LOADER: Any = getattr(yaml, "CLoader", yaml.Loader)
_INT = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_WORDS: dict[str, Json] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
"""What ends a line for libyaml, whose line numbers are used."""
_PAIR = re.compile(r"(?<!\\)((?:\\\\)*)\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")


@dataclass(slots=True)
class Document:
    """A read document. Places are (line, column) from 1, by path."""

    value: Json
    values: dict[Path, Place] = field(default_factory=dict)
    keys: dict[Path, Place] = field(default_factory=dict)
    styles: dict[Path, str] = field(default_factory=dict)
    """How each text was written: `|`, `>`, `'`, `"`, or the empty text for a plain one."""
    lines: tuple[str, ...] = ()
    prefix: Path = ()
    """Where this document lies in the one that was read (`inside`); paths count from here."""

    def inside(self, path: Path) -> Document:
        """The document at `path`. The places are shared."""
        value = self.value
        for part in path:
            value = value[part]
        return replace(self, value=value, prefix=(*self.prefix, *path))

    def place(self, path: Path, *, key: bool = False) -> Place:
        """The place of the value (or of its key) at `path`, or of the nearest one around it."""
        path = (*self.prefix, *path)
        places = self.keys if key else self.values
        while path:
            found = places.get(path) or self.values.get(path)
            if found is not None:
                return found
            path = path[:-1]
        return self.values.get((), (1, 1))

    def place_in(self, path: Path, text: str, offset: int) -> Place:
        """The place of a character of the text at `path`.

        Exact in literal blocks (`|`) and in texts on one line without escapes; else it is where the text begins.
        """
        line, column = self.place(path)
        style = self.styles.get((*self.prefix, *path))
        if style == "|":
            row = text.count("\n", 0, offset)
            return line + 1 + row, self._indent(line, text) + offset - text.rfind("\n", 0, offset)
        if style == ">":
            return line + 1, 1
        begin = column if style else column - 1
        if style is not None and "\n" not in text and self._line(line).startswith(text, begin):
            return line, begin + offset + 1
        return line, column

    def _line(self, number: int) -> str:
        return self.lines[number - 1] if number <= len(self.lines) else ""

    def _indent(self, header: int, text: str) -> int:
        """How far a block is indented, seen at its first line that is not empty."""
        for number, row in enumerate(text.split("\n"), header + 1):
            if row and self._line(number).endswith(row):
                return len(self._line(number)) - len(row)
        return 0


class _Refused(Exception):
    def __init__(self, message: str, mark: Any, path: Path = ()) -> None:
        super().__init__(message)
        self.message = message
        self.place = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
        self.path = path


def read_document(text: str | bytes) -> Document:
    """Read a document. Raises `InvalidFlow` with one problem, since nothing can be said of what cannot be read."""
    try:
        return _Reader(_checked(text)).document()
    except _Refused as refused:
        raise _invalid(refused.message, refused.place, path_text(refused.path)) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
        raise _invalid(f"not valid YAML: {error.problem or error.context}", place) from None
    except yaml.YAMLError as error:
        raise _invalid(f"not valid YAML: {str(error).partition(chr(10))[0]}", (1, 1)) from None


def path_text(path: Path) -> str:
    """A path as people read it: `nodes.fetch.next[0]`."""
    result = ""
    for part in path:
        result += f"[{part}]" if isinstance(part, int) else f".{part}" if result else part
    return result


def _invalid(message: str, place: Place, where: str = "") -> InvalidFlow:
    return InvalidFlow([Problem(where, message, *place)])


def _checked(text: str | bytes) -> str:
    size = len(text) if isinstance(text, bytes) else len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        raise _invalid(f"the document has {size:,} bytes; a flow may have {MAX_BYTES:,}", (1, 1))
    decoded = _decoded(text) if isinstance(text, bytes) else text
    decoded = decoded.removeprefix("\ufeff")
    found = _CONTROL.search(decoded)
    if found:
        line = decoded.count("\n", 0, found.start()) + 1
        column = found.start() - decoded.rfind("\n", 0, found.start())
        raise _invalid(f"the character U+{ord(found[0]):04X} is not allowed in a document", (line, column))
    return _joined_surrogates(decoded)


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        place = (data.count(b"\n", 0, error.start) + 1, error.start - data.rfind(b"\n", 0, error.start))
        raise _invalid(f"the document is not UTF-8 text (byte {error.start})", place) from None


def _joined_surrogates(text: str) -> str:
    r"""JSON with its surrogate pairs (`\ud83d\ude00`) in the one form of them that YAML knows (`\U0001F600`)."""
    if not text.lstrip().startswith("{") or not _PAIR.search(text):
        return text
    try:
        orjson.loads(text)  # in YAML that is no JSON the same characters may be plain text
    except orjson.JSONDecodeError:
        return text
    return _PAIR.sub(_joined, text)


def _joined(pair: re.Match[str]) -> str:
    char = 0x10000 + ((int(pair[2], 16) - 0xD800) << 10) + int(pair[3], 16) - 0xDC00
    return f"{pair[1]}\\U{char:08X}"


class _Reader:
    """Builds values from events. One pass, no recursion beyond the depth limit."""

    def __init__(self, text: str) -> None:
        self._events: Iterator[Any] = iter(yaml.parse(text, Loader=_LOADER))
        self._document = Document(None, lines=tuple(_BREAK.split(text)))
        self._count = 0

    def document(self) -> Document:
        next(self._events)  # stream start
        event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            raise _Refused("the document is empty", None)
        value = self._value(next(self._events), (), 0)
        next(self._events)  # document end
        event = next(self._events)
        if not isinstance(event, yaml.StreamEndEvent):
            raise _Refused("a file holds one flow; this starts a second document", event.start_mark)
        if value is None:
            raise _Refused("the document is empty", None)
        self._document.value = value
        return self._document

    def _value(self, event: Any, path: Path, depth: int) -> Json:
        mark = event.start_mark
        self._count += 1
        if self._count > MAX_NODES:
            raise _Refused(f"the document has more than {MAX_NODES:,} values", mark)
        if isinstance(event, yaml.AliasEvent):
            raise _Refused("aliases (*name) are not allowed; use `defaults` or a sub-flow to share things", mark, path)
        if event.anchor is not None:
            raise _Refused("anchors (&name) are not allowed; use `defaults` or a sub-flow to share things", mark, path)
        if event.tag is not None:
            raise _Refused(f"tags ({event.tag[:80]}) are not allowed", mark, path)
        self._document.values[path] = (mark.line + 1, mark.column + 1)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, path)
        if depth >= MAX_DEPTH:
            raise _Refused(f"the document is nested deeper than {MAX_DEPTH} levels", mark)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(path, depth)
        return self._mapping(path, depth)

    def _sequence(self, path: Path, depth: int) -> list[Json]:
        items: list[Json] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._value(event, (*path, len(items)), depth + 1))
        return items

    def _mapping(self, path: Path, depth: int) -> dict[str, Json]:
        fields: dict[str, Json] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._key(event, path)
            if key in fields:
                line = self._document.keys[(*path, key)][0]
                raise _Refused(
                    f"the key {key!r} is here twice; it was written first on line {line}",
                    event.start_mark,
                    (*path, key),
                )
            self._document.keys[(*path, key)] = (event.start_mark.line + 1, event.start_mark.column + 1)
            fields[key] = self._value(next(self._events), (*path, key), depth + 1)
        return fields

    def _key(self, event: Any, path: Path) -> str:
        mark = event.start_mark
        self._count += 1
        if isinstance(event, yaml.AliasEvent):
            raise _Refused("aliases (*name) are not allowed", mark, path)
        if not isinstance(event, yaml.ScalarEvent):
            raise _Refused("a key must be a text", mark, path)
        if event.anchor is not None or event.tag is not None:
            raise _Refused("anchors and tags are not allowed on keys", mark, path)
        key: str = event.value
        if key == "<<" and event.implicit[0]:
            raise _Refused("merge keys (<<) are not allowed; use `defaults` or a sub-flow to share things", mark, path)
        if len(key) > MAX_KEY:
            raise _Refused(f"a key has more than {MAX_KEY} characters", mark, path)
        if key in RESERVED_KEYS:
            raise _Refused(f"the key {key!r} is reserved", mark, path)
        _check_text(key, mark, path)
        return key

    def _scalar(self, event: Any, path: Path) -> Json:
        text: str = event.value
        self._document.styles[path] = event.style or ""
        if event.style or not event.implicit[0]:
            _check_text(text, event.start_mark, path)
            return text
        return _plain(text, event.start_mark, path)


def _check_text(text: str, mark: Any, path: Path) -> None:
    found = _CONTROL.search(text)
    if found:
        raise _Refused(f"a text holds the character U+{ord(found[0]):04X}, which is not allowed", mark, path)


def _plain(text: str, mark: Any, path: Path) -> Json:
    """A plain scalar by the core schema (YAML 1.2.2, 10.3.2)."""
    if text in _WORDS:
        return _WORDS[text]
    first = text[0]
    if not (first.isdigit() or first in "+-."):
        _check_text(text, mark, path)
        return text
    if _NOT_FINITE.fullmatch(text):
        raise _Refused(f"{text} is no finite number; put it into quotes if it is a text", mark, path)
    number = _INT.fullmatch(text) or _FLOAT.fullmatch(text) or _OCTAL.fullmatch(text) or _HEX.fullmatch(text)
    if number is None:
        return text
    if len(text) > MAX_NUMBER:
        raise _Refused(
            f"a number has more than {MAX_NUMBER} characters; put it into quotes if it is a text", mark, path
        )
    if _OCTAL.fullmatch(text):
        return _fitting(int(text, 0), mark, path)
    if _HEX.fullmatch(text):
        return _fitting(int(text, 0), mark, path)
    if _INT.fullmatch(text):
        # A leading zero is decimal in the core schema but octal to many readers, so it stays text.
        digits = text.lstrip("+-")
        return text if len(digits) > 1 and digits[0] == "0" else _fitting(int(text), mark, path)
    value = float(text)
    if not math.isfinite(value):
        raise _Refused(f"{text} is no finite number; put it into quotes if it is a text", mark, path)
    return value


def _fitting(value: int, mark: Any, path: Path) -> int:
    """JSON writers and stores take 64 bits."""
    if not -(2**63) <= value < 2**63:
        raise _Refused("a whole number has more than 64 bits; put it into quotes if it is a text", mark, path)
    return value
