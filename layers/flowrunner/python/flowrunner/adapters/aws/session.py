"""A session of botocore that starts quickly: a function pays for this each time that Lambda starts a process.

botocore describes services in JSON files. It reads them with the standard library and looks through all 400 folders of
services to find out which there are; here they are read by orjson, and the services are those that this package calls.
Measured on Python 3.13: a client of DynamoDB takes 13 ms in place of 55 ms.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

import orjson
from botocore.loaders import JSONFileLoader, Loader
from botocore.session import Session

SERVICES = (
    *("apigatewaymanagementapi", "cloudformation", "dynamodb", "kms", "lambda"),
    *("s3", "scheduler", "sqs", "ssm", "sts"),
)


class _Files(JSONFileLoader):
    """As its base, but for how the text is read."""

    def load_file(self, file_path: str) -> Any:
        """The content of a file that is named without its ending; None if there is none."""
        plain, packed = Path(f"{file_path}.json"), Path(f"{file_path}.json.gz")
        if plain.is_file():
            return orjson.loads(plain.read_bytes())
        return orjson.loads(gzip.decompress(packed.read_bytes())) if packed.is_file() else None


class _Models(Loader):
    def list_available_services(self, type_name: str) -> list[str]:
        return list(SERVICES)


def new_session() -> Session:
    """A session of its own, as the environment configures it."""
    session = Session()
    session.register_component("data_loader", _Models(file_loader=_Files()))
    return session


class LazyClient:
    """A client that is made when it is first used."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._made: Any = None
        self._lock = Lock()

    def __getattr__(self, name: str) -> Any:
        with self._lock:
            if self._made is None:
                self._made = self._make()
        return getattr(self._made, name)

    def close(self) -> None:
        """Close the client if there is one."""
        if self._made is not None:
            self._made.close()
