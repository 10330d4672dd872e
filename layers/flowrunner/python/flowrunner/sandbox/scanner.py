"""Just enough of JavaScript's lexical grammar to find where an expression ends and what it mentions.

Strings, template literals (with expressions inside), comments and regular expressions are told from code, so that a
brace in a string does not end an expression and a word in a comment is not a reference (ECMA-262, clause 12).
"""

from __future__ import annotations

import re

_SKIP = re.compile(r"[^'\"`/{}\n]+")
_LINE_COMMENT = re.compile(r"//[^\n]*")
_BLOCK_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)
_STRING = {quote: re.compile(rf"{quote}(?:\\.|[^\\{quote}\n])*{quote}?", re.DOTALL) for quote in "'\""}
_REGEX = re.compile(r"/(?![*/])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^\\/\[\n])+/[a-z]*")
_BEFORE_REGEX = re.compile(r"(?:^|[(,=:\[!&|?{};+\-*%<>~^]|\b(?:return|typeof|case|in|of|delete|void|throw|new|else))\s*\Z")
_TEMPLATE_PART = re.compile(r"(?:\\.|(?!\$\{)[^\\`])*", re.DOTALL)


def end_of_expression(text: str, start: int) -> int:
    """Where the `}` is that ends the expression beginning at `start`; -1 if there is none."""
    code = [" "] * len(text)
    return _scan(text, start, code, until_brace=True)


def code_only(source: str) -> str:
    """The source with strings, comments and regular expressions blanked, every other character in its place."""
    code = [" "] * len(source)
    _scan(source, 0, code, until_brace=False)
    return "".join(code)


def _scan(text: str, start: int, code: list[str], *, until_brace: bool) -> int:
    """Copy code into `code`. Answers the place of the closing brace, or the end (-1 when a brace was wanted)."""
    depth = 0
    at = start
    while at < len(text):
        char = text[at]
        if char in "'\"":
            at = _end(_STRING[char], text, at)
        elif char == "`":
            at = _template(text, at, code)
        elif char == "/":
            at = _slash(text, start, at, code)
        elif char == "{":
            depth += 1
            code[at] = char
            at += 1
        elif char == "}":
            if depth == 0 and until_brace:
                return at
            depth -= 1
            code[at] = char
            at += 1
        else:
            match = _SKIP.match(text, at)
            end = match.end() if match else at + 1
            code[at:end] = text[at:end]
            at = end
    return -1 if until_brace else at


def _template(text: str, at: int, code: list[str]) -> int:
    """Past a template literal; the code of its expressions is copied."""
    at += 1
    while at < len(text):
        at = _end(_TEMPLATE_PART, text, at)
        if text.startswith("${", at):
            end = _scan(text, at + 2, code, until_brace=True)
            if end < 0:
                return len(text)
            at = end + 1
        else:
            return at + 1
    return at


def _slash(text: str, start: int, at: int, code: list[str]) -> int:
    for pattern in (_LINE_COMMENT, _BLOCK_COMMENT):
        match = pattern.match(text, at)
        if match:
            return match.end()
    if _BEFORE_REGEX.search(text, start, at):
        match = _REGEX.match(text, at)
        if match:
            return match.end()
    code[at] = "/"
    return at + 1


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at + 1
