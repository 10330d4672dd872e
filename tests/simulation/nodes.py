"""Nodes of simulated flows: what they come to, and how long they take, is drawn from the seed; the world looks on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from zlib import crc32

from flowrunner.core.flow import Json
from flowrunner.core.ids import RunId, StepId
from flowrunner.errors import StepError
from flowrunner.nodes.base import Context, NodeType, Params, Result, Wait
from flowrunner.nodes.registry import Registry

if TYPE_CHECKING:
    from tests.simulation.world import World

FILLING = "x" * 3_000
"""Makes an output too large for its row, so that it becomes a blob."""

SLOW, VERY_SLOW = 4_000, 45_000
"""How long such steps take: longer than some timeouts, and longer than a lease that is not renewed."""


class NoParams(Params):
    """None."""


class Lucky(NodeType[NoParams]):
    """Comes to what the luck of its run says, and tells the world's witness."""

    params = NoParams
    actions = None

    def __init__(self, world: World) -> None:
        self._world = world

    def execute(self, ctx: Context[NoParams]) -> Result | Wait:
        world, run, step = self._world, RunId(ctx.run.id), StepId(ctx.step)
        seen = sorted(numbers(ctx.input))
        effect = world.witness.begins(self, ctx, seen)
        luck = world.luck(run, f"{ctx.node}/{ctx.attempt}/{step.partition('[')[2]}")
        if not self.quick and luck in (4, 15):
            world.baton.sleep(SLOW if luck == 4 else VERY_SLOW)
        output: dict[str, Json] = {"by": effect, "saw": seen}
        if luck == 5:
            output["filling"] = FILLING
        world.witness.ends(effect, output)
        match luck:
            case 8 | 9:
                raise StepError("no luck", code="E")
            case 10 | 11:
                raise StepError("no luck yet", code="R", retryable=True, retry_after=0.7 if luck == 11 else 0)
            case 12:
                return Wait(None, output, callback=ctx.callback())
            case 13:
                return Wait(ctx.now() + 500, output)
            case 14:
                return Wait(ctx.now() + 20_000, output, callback=ctx.callback())
        return Result(output, "x" if luck == 6 else "default")


class Claimed(Lucky):
    """Has effects, in a thread of its own."""

    name = "claimed"


class Quick(Lucky):
    """Has effects, in the worker's thread."""

    name = "quick"
    quick = True


class Pure(Lucky):
    """Has none."""

    name = "pure"
    quick = True
    pure = True


KINDS: tuple[type[Lucky], ...] = (Claimed, Quick, Pure)


def numbers(value: Json) -> set[int]:
    """The numbers of the effects whose outputs a value holds."""
    if isinstance(value, dict):
        own = {value["by"]} if isinstance(value.get("by"), int) else set()
        return own.union(*(numbers(one) for key, one in value.items() if key not in {"by", "saw"}))
    if isinstance(value, list):
        return set[int]().union(*(numbers(one) for one in value))
    return set()


def kind_of(node: str, seed: int) -> str:
    """Which type a node of a random flow gets."""
    return KINDS[crc32(f"{seed}/{node}".encode()) % len(KINDS)].name


class LuckyRegistry(Registry):
    """The registry with them in it; one for all simulations of a process, since making one takes its time."""

    def __init__(self) -> None:
        super().__init__()
        self.lucky: dict[str, Lucky] = {}

    def look_at(self, world: World) -> None:
        self.lucky = {kind.name: kind(world) for kind in KINDS}

    def get(self, name: str) -> NodeType[Any]:
        return self.lucky.get(name) or super().get(name)
