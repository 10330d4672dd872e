"""Who reaches whom, and the order in which joins are looked at."""

from __future__ import annotations

import pytest
from flowrunner.core.flow import Flow
from flowrunner.core.graph import build_graph
from flowrunner.core.ids import NodeId
from hypothesis import given

from tests.builders import chain, flow
from tests.core.model import Model
from tests.core.profiles import share
from tests.core.strategies import Kind, flows


@share(20)
@given(flows(Kind(nodes=8, joins=50, edges=4)))
def test_reachability_is_what_a_search_finds(subject: Flow) -> None:
    """The bit sets hold exactly what a plain search from each node finds, itself included."""
    graph, model = build_graph(subject), Model(subject)
    for node in subject.nodes:
        assert set(graph.members(graph.reachable([node]))) == model.reachable({node})


@share(20)
@given(flows(Kind(nodes=8, joins=60)))
def test_joins_that_lead_to_others_come_first(subject: Flow) -> None:
    """No join stands behind one that it leads to, unless both lead to each other."""
    graph, model = build_graph(subject), Model(subject)
    for position, join in enumerate(graph.joins):
        for earlier in graph.joins[:position]:
            assert earlier not in model.reachable({join}) or join in model.reachable({earlier})


@pytest.mark.parametrize(
    ("clauses", "node", "reached"),
    [
        ("a -> b; b -> c", "a", {"a", "b", "c"}),
        ("a -> b; b -> c", "c", {"c"}),
        ("a -error-> b; a -x-> c", "a", {"a", "b", "c"}),
        ("a -> b; b -> a; c -> a", "a", {"a", "b"}),
        ("a; b; j needs a, b", "a", {"a", "j"}),
        ("a; j needs a; j -> c; k needs c", "a", {"a", "j", "c", "k"}),
    ],
)
def test_edges_of_both_kinds_count(clauses: str, node: str, reached: set[str]) -> None:
    """`next` of any action and `needs` lead on."""
    graph = build_graph(flow(clauses))
    assert set(graph.members(graph.reachable([NodeId(node)]))) == reached


def test_unknown_nodes_are_left_out() -> None:
    """A state may name a node that the flow does not have (the step that settles a run)."""
    graph = build_graph(flow("a"))
    assert graph.reachable([NodeId("settle")]) == 0
    assert graph.mask([NodeId("settle"), NodeId("a")]) == 1


def test_a_long_chain_and_a_long_loop() -> None:
    """Thousands of nodes neither overflow the stack nor take quadratic passes."""
    graph = build_graph(chain(5_000))
    assert graph.reachable([NodeId("n0")]).bit_count() == 5_000
    looped = build_graph(flow(f"{'; '.join(f'n{i} -> n{(i + 1) % 2_000}' for i in range(2_000))}"))
    assert looped.reachable([NodeId("n1234")]).bit_count() == 2_000


@pytest.mark.parametrize(
    ("clauses", "joins"),
    [
        ("a; late; z; early; late needs a, early; late -> z; early needs a", ("early", "late")),
        ("a; k; z; y; j; k needs a; k -> z; z -> y; j needs a; j -> b; l needs b", ("j", "k", "l")),
        ("a; second needs a; first needs a", ("second", "first")),
    ],
)
def test_the_order_of_joins_is_that_of_who_leads_to_whom(clauses: str, joins: tuple[str, ...]) -> None:
    """R5: how many joins it leads to counts, not how many nodes; the document's order decides between equals."""
    assert build_graph(flow(clauses)).joins == joins
