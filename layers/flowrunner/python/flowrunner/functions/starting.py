"""A start that takes no longer than it must: Lambda starts a process for each request that finds none free."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quick_start() -> Iterator[None]:
    """Around all that a function does before its first invocation.

    Nothing of that is garbage, so looking for some takes time only, now and in each later collection.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def models_built_late() -> Iterator[None]:
    """Let pydantic build the models that are defined meanwhile when they are first used.

    FastAPI brings fifty of them that describe OpenAPI, which take as long as the rest of it, and few processes need.
    """
    from pydantic import BaseModel

    BaseModel.model_config["defer_build"] = True
    try:
        yield
    finally:
        del BaseModel.model_config["defer_build"]
