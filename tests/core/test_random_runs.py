"""Random flows under random luck, orders and duplicates: the core does what the slow model does.

The comparison is in `harness.Run.happen` (state against model after every event, rejected events change nothing) and
`invariants.Invariants` (what must hold whatever the rules say); here is what is tried.
"""

from __future__ import annotations

import pytest
from hypothesis import given

from tests.core.player import Player
from tests.core.profiles import share
from tests.core.strategies import Game, Kind, games

KINDS = {
    "plain": Kind(joins=0, foreach=0, edges=3),
    "mixed": Kind(),
    "joins": Kind(nodes=8, joins=60, foreach=0, policies=25, edges=2, trouble=4),
    "foreach": Kind(nodes=3, joins=25, foreach=90, policies=60, edges=1),
    "policies": Kind(nodes=4, joins=30, foreach=10, policies=95, edges=2, trouble=10),
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_core_and_model_agree(kind: Kind) -> None:
    """After every event of a random run the state is what the model says, and every run ends."""

    @share(84)
    @given(games(kind))
    def agree(game: Game) -> None:
        Player(game).play()

    agree()
