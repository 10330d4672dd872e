"""Schema migrations: numbered .sql files that are applied in order, each once.

A backend asks for the scripts above the version it finds, and applies them in one transaction under its own
lock.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from flowrunner.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Migration:
    """`0003_callbacks.sql` is version 3."""

    version: int
    name: str
    sql: str


@cache
def migrations(package: str) -> tuple[Migration, ...]:
    """The .sql files in the folder `migrations` of a package, by version."""
    found = [
        Migration(int(file.name.partition("_")[0]), file.name, file.read_text(encoding="utf-8"))
        for file in files(package).joinpath("migrations").iterdir()
        if file.name.endswith(".sql")
    ]
    return tuple(sorted(found, key=lambda migration: migration.version))


def missing(package: str, version: int, where: str) -> tuple[Migration, ...]:
    """What has to be applied to a schema of `version` (0: none yet).

    Raises `ConfigurationError` when the schema is newer than this program; `where` names it.
    """
    known = migrations(package)
    newest = known[-1].version
    if version > newest:
        raise ConfigurationError(
            f"{where} has schema version {version}, but this flowrunner knows versions up to {newest}",
            hint="a newer flowrunner has used it: update this one, or give it a store of its own",
        )
    return tuple(migration for migration in known if migration.version > version)
