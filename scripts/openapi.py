"""Print the API's OpenAPI document: the console's types are made from it."""

from __future__ import annotations

import sys

import orjson
from flowrunner.api.app import create_app, openapi_document
from flowrunner.bootstrap import make_platform
from flowrunner.settings import load_settings


def main() -> None:
    """Write it to standard output."""
    platform = make_platform(load_settings({"FLOWRUNNER_STORE__URL": "memory:"}).settings, {})
    try:
        sys.stdout.buffer.write(orjson.dumps(openapi_document(create_app(platform))))
    finally:
        platform.close()


if __name__ == "__main__":
    main()
