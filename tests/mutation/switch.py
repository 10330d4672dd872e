"""What stands before each function of a mutated module: it calls the original, or the mutant that was switched on.

Copied beside the mutated package, whose modules import it instead of mutmut's own, which looks at the environment at
each call.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

Calls = dict[str, Callable[..., Any]]
MutantDict = dict  # the name that mutmut writes into annotations

ORIGINAL = "_mutmut_orig"
REACHED: set[str] = set()
"""The functions that were called, as in `flowrunner.core.decide._go_on`."""

_known: dict[str, Calls] = {}


def wrap_in_trampoline(mutants: Calls, *, is_classmethod: bool = False) -> Callable[[Callable[..., Any]], Any]:
    """The decorator that mutmut puts before a function; `mutants` is filled after it was called."""
    assert not is_classmethod, "the core has no class methods"

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        name = f"{function.__module__}.{function.__qualname__}"
        _known[name] = mutants

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            REACHED.add(name)
            return mutants[ORIGINAL](*args, **kwargs)

        return call

    return decorate


def activate(function: str, mutant: str) -> None:
    """From now on the mutant is called, for as long as this process lives."""
    _known[function][ORIGINAL] = _known[function][mutant]
