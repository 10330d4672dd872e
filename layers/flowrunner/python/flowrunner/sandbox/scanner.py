"""Just enough of JavaScript's lexical grammar to find where an expression ends and what a script mentions.

Strings, template literals (with expressions inside), comments and regular expressions are told from code, so
that a brace in a string does not end an expression and a word in a comment is not a reference (ECMA-262,
clause 12). The one thing that takes a parser is what a slash means; here the token before it decides, and
after `}` a regular expression is tried first. The worst that a wrong guess can do is a message about a syntax
error, or a value loaded a little later.

One pass over a text that may be hostile: no recursion, and nothing is looked at more than twice.
"""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<comment>//[^\n]*|/\*.*?\*/|/\*.*\Z)
      | (?P<word>[^\W\d][\w$]*|\$(?!\{)[\w$]*)
      | (?P<number>\.?\d[\w.]*)
      | (?P<string>"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?)
      | (?P<tick>`)
      | (?P<slash>/)
      | (?P<twice>\+\+|--)
      | (?P<mark>.)""",
    re.DOTALL | re.VERBOSE,
)
_TEMPLATE_TEXT = re.compile(r"(?:\\.|\$(?!\{)|[^\\`$])*", re.DOTALL)
_REGEX = re.compile(r"/(?:\\[^\n]|\[(?:\\[^\n]|[^\]\\\n])*\]|[^\\/\[\n])+/[A-Za-z]*")
_LINE_END = re.compile(r"\n|\Z")

_BEFORE_OPERAND = frozenset(
    [
        "return",
        "typeof",
        "case",
        "in",
        "of",
        "delete",
        "void",
        "throw",
        "new",
        "else",
        "do",
        "instanceof",
        "await",
        "yield",
        "extends",
        "default",
    ]
)
"""Words after which an operand comes, so that a slash begins a regular expression."""
_BEFORE_CONDITION = frozenset({"if", "while", "for", "with"})
"""Words whose closing parenthesis is followed by a statement, not by an operator."""


def end_of_expression(text: str, start: int) -> int:
    """Where the `}` is that ends the expression beginning at `start`; -1 if there is none."""
    scan = _Scan(text, start)
    scan.run(until_brace=True)
    return scan.end


def code_only(source: str) -> str:
    """The source with strings, comments and regular expressions blanked, every other character in its
    place.
    """
    scan = _Scan(source, 0)
    scan.run(until_brace=False)
    pieces = []
    at = 0
    for start, end in scan.code:
        pieces.append(" " * (start - at))
        pieces.append(source[start:end])
        at = end
    pieces.append(" " * (len(source) - at))
    return "".join(pieces)


class _Scan:
    """One pass. `code` gets the spans that are code, `end` the place of the closing brace."""

    __slots__ = (
        "_after_dot",
        "_braces",
        "_no_regex_before",
        "_operand",
        "_parens",
        "_word",
        "at",
        "code",
        "end",
        "text",
    )

    def __init__(self, text: str, start: int) -> None:
        self.text = text
        self.at = start
        self.end = -1
        self.code: list[tuple[int, int]] = []
        self._braces: list[bool] = []
        """Open braces; True for the `${` of a template literal."""
        self._parens: list[bool] = []
        """Open parentheses; True for the condition of an `if` and its like."""
        self._operand = False
        """Whether the token before ends an operand, so that a slash divides."""
        self._after_dot = False
        self._word = ""
        self._no_regex_before = 0

    def run(self, *, until_brace: bool) -> None:
        while self.at < len(self.text):
            match = _TOKEN.match(self.text, self.at)
            kind, start = (match.lastgroup, self.at) if match else ("", self.at)
            self.at = match.end() if match else start + 1
            if kind in ("space", "comment"):
                continue
            if kind == "mark" and self._mark(self.text[start], start, until_brace):
                return
            if kind == "tick":
                self._template()
            elif kind == "slash":
                self._slash(start)
            elif kind != "mark":
                self._other(kind, start)

    def _other(self, kind: str | None, start: int) -> None:
        """A word, a number, a string, `++` or `--`."""
        if kind == "string":
            self._operand, self._word = True, ""
            return
        self.code.append((start, self.at))
        if kind == "twice":
            return  # after an operand it belongs to that one, before one it does not: what held still holds
        self._word = self.text[start : self.at] if kind == "word" and not self._after_dot else ""
        self._operand = self._word not in _BEFORE_OPERAND
        self._after_dot = False

    def _mark(self, char: str, start: int, until_brace: bool) -> bool:
        """A single character; True when it is the brace that was looked for."""
        if char == "}":
            if not self._braces:
                if until_brace:
                    self.end = start
                    return True
            elif self._braces.pop():
                self._template()
                return False
            self._operand = False
        elif char == "{":
            self._braces.append(False)
            self._operand = False
        elif char == "(":
            self._parens.append(self._word in _BEFORE_CONDITION)
            self._operand = False
        elif char == ")":
            self._operand = not (self._parens and self._parens.pop())
        else:
            self._operand = char == "]"
        self.code.append((start, start + 1))
        self._word = ""
        self._after_dot = char == "."
        return False

    def _template(self) -> None:
        """The text of a template literal, up to its end or its next expression."""
        match = _TEMPLATE_TEXT.match(self.text, self.at)
        self.at = match.end() if match else self.at
        if self.text.startswith("${", self.at):
            self.at += 2
            self._braces.append(True)
            self._operand = False
        else:
            self.at += 1
            self._operand = True
        self._word = ""

    def _slash(self, start: int) -> None:
        if not self._operand and start >= self._no_regex_before:
            match = _REGEX.match(self.text, start)
            if match:
                self.at = match.end()
                self._operand = True
                return
            # It had to end on this line and did not; asking again for each slash of the line would be
            # quadratic.
            end = _LINE_END.search(self.text, start)
            self._no_regex_before = end.end() if end else len(self.text)
        self.code.append((start, self.at))
        self._operand = False
