"""The expressions of DynamoDB that the store uses, as functions of an item: conditions, and changes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import cache
from typing import Any

Raw = dict[str, Any]
"""An item in DynamoDB's own notation."""
Values = Mapping[str, Any]
Condition = Callable[[Raw, Values], bool]
Operand = Callable[[Raw, Values], Any]

_TOKEN = re.compile(r"\s*(:\w+|\w+|<=|>=|<>|[=<>(),+-])")
_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b,
    "<>": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


class Malformed(Exception):
    """DynamoDB would refuse it (`ValidationException`)."""


def comparable(value: Any) -> tuple[str, Any] | None:
    """A value as it sorts among those of its type."""
    if value is None:
        return None
    [(kind, content)] = value.items()
    if kind == "N":
        return kind, Decimal(content)
    return kind, content.encode() if kind == "S" else bytes(content)


@cache
def condition(text: str) -> Condition:
    """A condition. Raises `Malformed`."""
    reader = _Reader(text)
    made = reader.alternatives()
    reader.end()
    return made


@cache
def change(text: str) -> Callable[[Raw, Values], Raw]:
    """A function that answers the attributes of an item after an update expression. Raises `Malformed`."""
    reader = _Reader(text)
    made = reader.clauses()
    reader.end()
    return made


class _Reader:
    def __init__(self, text: str) -> None:
        self._tokens = _TOKEN.findall(text)
        if "".join(self._tokens) != re.sub(r"\s+", "", text):
            raise Malformed(f"cannot read {text!r}")
        self._at = 0

    def end(self) -> None:
        if self._at < len(self._tokens):
            raise Malformed(f"unexpected {self._tokens[self._at]!r}")

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _next(self, wanted: str = "") -> str:
        token = self._peek()
        if not token or (wanted and token != wanted):
            raise Malformed(f"{token!r} instead of {wanted!r}")
        self._at += 1
        return token

    def _take(self, wanted: str) -> bool:
        if self._peek() == wanted:
            self._at += 1
            return True
        return False

    # -- conditions -------------------------------------------------------------------------------------------------

    def alternatives(self) -> Condition:
        parts = [self._all()]
        while self._take("OR"):
            parts.append(self._all())
        return lambda item, values: any(part(item, values) for part in parts)

    def _all(self) -> Condition:
        parts = [self._one()]
        while self._take("AND"):
            parts.append(self._one())
        return lambda item, values: all(part(item, values) for part in parts)

    def _one(self) -> Condition:
        if self._take("NOT"):
            inner = self._one()
            return lambda item, values: not inner(item, values)
        if self._take("("):
            grouped = self.alternatives()
            self._next(")")
            return grouped
        name = self._next()
        if self._peek() == "(":
            return self._function(name)
        return self._comparison(_operand(name))

    def _function(self, name: str) -> Condition:
        self._next("(")
        attribute = self._next()
        if name == "begins_with":
            self._next(",")
            start = _operand(self._next())
            self._next(")")
            return lambda item, values: _begins(item.get(attribute), start(item, values))
        self._next(")")
        if name == "attribute_exists":
            return lambda item, values: attribute in item
        if name == "attribute_not_exists":
            return lambda item, values: attribute not in item
        raise Malformed(f"no function {name}")

    def _comparison(self, left: Operand) -> Condition:
        how = self._next()
        if how == "IN":
            self._next("(")
            among = [_operand(self._next())]
            while self._take(","):
                among.append(_operand(self._next()))
            self._next(")")
            return lambda item, values: any(_compare("=", left(item, values), one(item, values)) for one in among)
        if how == "BETWEEN":
            low = _operand(self._next())
            self._next("AND")
            high = _operand(self._next())
            return lambda item, values: (
                _compare(">=", left(item, values), low(item, values))
                & _compare("<=", left(item, values), high(item, values))
            )
        if how not in _COMPARISONS:
            raise Malformed(f"no comparison {how}")
        right = _operand(self._next())
        return lambda item, values: _compare(how, left(item, values), right(item, values))

    # -- changes ----------------------------------------------------------------------------------------------------

    def clauses(self) -> Callable[[Raw, Values], Raw]:
        sets: list[tuple[str, Operand]] = []
        gone: list[str] = []
        adds: list[tuple[str, Operand]] = []
        while self._peek():
            clause = self._next()
            while True:
                name = self._next()
                if clause == "SET":
                    self._next("=")
                    sets.append((name, _operand(self._next())))
                elif clause == "ADD":
                    adds.append((name, _operand(self._next())))
                elif clause == "REMOVE":
                    gone.append(name)
                else:
                    raise Malformed(f"no clause {clause}")
                if not self._take(","):
                    break

        def changed(item: Raw, values: Values) -> Raw:
            result = {**item, **{name: value(item, values) for name, value in sets}}
            for name, value in adds:
                before = item.get(name, {"N": "0"})
                result[name] = {"N": str(Decimal(before["N"]) + Decimal(value(item, values)["N"]))}
            for name in gone:
                result.pop(name, None)
            return result

        return changed


def _operand(token: str) -> Operand:
    if token.startswith(":"):

        def value(_item: Raw, values: Values) -> Any:
            if token not in values:
                raise Malformed(f"{token} is not given")
            return values[token]

        return value
    return lambda item, values: item.get(token)


def _compare(how: str, left: Any, right: Any) -> bool:
    a, b = comparable(left), comparable(right)
    if a is None or b is None or a[0] != b[0]:
        return how == "<>" and a is not None
    return _COMPARISONS[how](a[1], b[1])


def _begins(value: Any, start: Any) -> bool:
    return value is not None and "S" in value and value["S"].startswith(start["S"])


def names_of_values(text: str) -> set[str]:
    """The values that an expression uses."""
    return set(re.findall(r":\w+", text))
