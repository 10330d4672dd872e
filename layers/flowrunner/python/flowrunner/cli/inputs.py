"""The input of a run from the command line: `@file.json`, a JSON text, or `key=value`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flowrunner.cli.exits import UsageError, read_flow_file
from flowrunner.core.flow import Json

MAX_INPUT = 64 * 1024 * 1024
"""Of a file with an input. What a run or a server takes is less, and they say so themselves."""


def read_input(parts: Sequence[str]) -> Json:
    """The input that the parts make together; objects are merged, the later ones winning. None without parts.

    In `key=value` the key may be a path (`customer.name=Ann`); a value that is JSON is that value, any other text
    itself; `key:=` is not needed. Raises `UsageError`.
    """
    if not parts:
        return None
    values = [_part(part) for part in parts]
    if len(values) == 1:
        return values[0]
    merged: dict[str, Json] = {}
    for part, value in zip(parts, values, strict=True):
        if not isinstance(value, dict):
            raise UsageError(f"--input {part[:60]}: several inputs can only be put together when each is an object")
        _merge(merged, value)
    return merged


def read_payload(text: str, comment: str | None, by: str | None = None) -> Json:
    """The answer to a waiting step: `approve`, `reject`, or a JSON text. Raises `UsageError`."""
    if text in ("approve", "reject"):
        answer = {"approved": text == "approve", "by": by, "comment": comment}
        return {key: value for key, value in answer.items() if value is not None}
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(f"the answer is approve, reject, or a JSON text: {error.msg} (column {error.colno})") from None
    except RecursionError:
        raise UsageError("the answer is nested too deeply") from None


def _part(part: str) -> Json:
    if part.startswith("@"):
        return _json(_file(part), part)
    try:
        part.encode()
    except UnicodeEncodeError:
        raise UsageError(f"--input {part[:60]}: is not UTF-8 text") from None
    stripped = part.lstrip()
    if stripped[:1] in ("{", "[", '"') or "=" not in part:
        return _json(part, part[:60])
    path, _, text = part.partition("=")
    value: Json = _scalar(text)
    for name in reversed(path.split(".")):
        if not name:
            raise UsageError(f"--input {part[:60]}: write it as key=value")
        value = {name: value}
    return value


def _file(part: str) -> str:
    content = read_flow_file(Path(part[1:]), MAX_INPUT + 1)
    if len(content) > MAX_INPUT:
        raise UsageError(f"--input {part}: the file is larger than {MAX_INPUT // 1024**2} MiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"--input {part}: the file is not UTF-8 text (byte {error.start})") from None


def _json(text: str, where: str) -> Json:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise UsageError(
            f"--input {where}: not JSON: {error.msg} ({place})", hint="write @file.json, a JSON text, or key=value"
        ) from None
    except RecursionError:
        raise UsageError(f"--input {where}: nested too deeply") from None


def _scalar(text: str) -> Json:
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        return text


def _merge(target: dict[str, Any], source: dict[str, Any]) -> None:
    for name, value in source.items():
        if isinstance(value, dict) and isinstance(target.get(name), dict):
            _merge(target[name], value)
        else:
            target[name] = value
