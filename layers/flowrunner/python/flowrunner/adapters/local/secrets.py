"""Secrets from the environment and from a dotenv file: for the CLI and for a single team's machine."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from flowrunner.core.ids import AccountId
from flowrunner.errors import ConfigurationError, SecretMissing

PREFIX = "FLOWRUNNER_SECRET_"

_LINE = re.compile(r"\s*(?:export\s+)?(?P<key>[A-Za-z_][A-Za-z0-9_]*)\s*=\s*(?P<value>.*?)\s*")


class LocalSecrets:
    """Reads `FLOWRUNNER_SECRET_<KEY>` first, then the file. Every account of the process sees the same ones."""

    def __init__(self, environ: Mapping[str, str], file: Path | None = None) -> None:
        self._values = dict(read_dotenv(file)) if file is not None else {}
        self._values |= {name.removeprefix(PREFIX): value for name, value in environ.items() if name.startswith(PREFIX)}

    def read(self, account: AccountId, name: str) -> str:
        try:
            return self._values[name]
        except KeyError:
            raise SecretMissing(
                f"there is no secret {name!r}", hint=f"set {PREFIX}{name}, or put it into the secrets file"
            ) from None

    def names(self, account: AccountId) -> Sequence[str]:
        return sorted(self._values)


def read_dotenv(file: Path) -> Mapping[str, str]:
    """The values of a dotenv file: `KEY=value`, quotes taken off, `#` comments and empty lines left out.

    Raises `ConfigurationError` naming file and line, and never a value.
    """
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"secrets file {file} cannot be read: {type(error).__name__}") from error
    values: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise ConfigurationError(f"secrets file {file}, line {number}: expected KEY=value")
        values[match["key"]] = _unquote(match["value"])
    return values


def _unquote(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
        inner = value[1:-1]
        return inner.replace("\\n", "\n").replace('\\"', '"') if value[0] == '"' else inner
    return value.partition(" #")[0].rstrip()
