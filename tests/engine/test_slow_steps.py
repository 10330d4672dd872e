"""Which steps go to the slow lane: those that may take longer than an invocation of the fast one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from flowrunner.core.ids import NodeId, StepId
from flowrunner.core.state import Entry, Phase
from flowrunner.engine.program import Program, compile_program

from tests.engine.harness import make_engine

STEP = StepId("1.0")
ENTRY = Entry(NodeId("it"))


def program(node: str) -> Program:
    """A flow of one node, given as YAML's flow mapping, made ready to run."""
    engine, _ = make_engine()
    loaded = engine.load(f"metadata: {{name: lanes}}\nnodes:\n  it: {node}\n")
    return compile_program(loaded.flow, engine.parts.registry)


@pytest.mark.parametrize(
    ("node", "slow"),
    [
        ("{type: llm.chat, params: {model: m, prompt: p}}", True),
        ("{type: llm.chat, params: {model: m, prompt: p}, timeout: 5s}", True),
        ("{type: llm.chat, params: {model: m, prompt: p}, hooks: {exec: 'return 1'}}", False),
        ("{type: http.request, params: {url: 'https://example.com'}}", False),
        ("{type: http.request, params: {url: 'https://example.com', timeout: 50s}}", False),
        ("{type: http.request, params: {url: 'https://example.com', timeout: 51s}}", True),
        ("{type: http.request, params: {url: 'https://example.com', timeout: '${input.t}'}, timeout: 5m}", True),
        ("{type: http.request, params: {url: 'https://example.com'}, timeout: 5m}", False),
        ("{type: http.request, params: {url: 'https://example.com', timeout: 5m}, timeout: 20s}", False),
        ("{type: approval, params: {message: m, timeout: 2h}, timeout: 1h}", False),
        ("{type: transform, params: {mapping: {a: 1}}, timeout: 1h}", False),
    ],
)
def test_a_step_is_slow_by_its_type_or_its_time_limit(node: str, slow: bool) -> None:
    """A model always is; others as long as the shorter of their limits; what cannot take long never is."""
    assert program(node).slow(STEP, ENTRY) is slow


def test_a_foreach_is_quick_and_its_items_are_slow() -> None:
    """Listing and collecting items takes no model; each item does."""
    made = program("{type: llm.chat, params: {model: m, prompt: '${item}'}, foreach: {items: [1, 2]}}")
    assert not made.slow(STEP, ENTRY)
    assert made.slow(StepId("1.0[0]"), ENTRY)


def test_what_ends_a_wait_is_quick() -> None:
    """A step that waits has done its work; so has a step that is scheduled no more."""
    made = program("{type: llm.chat, params: {model: m, prompt: p}}")
    assert not made.slow(STEP, replace(ENTRY, phase=Phase.WAITING))
    assert not made.slow(STEP, None)
