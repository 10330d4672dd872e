"""A node type that says things and stops between them until a test lets it go on."""

from __future__ import annotations

import threading
from importlib.metadata import EntryPoint

from flowrunner.core.flow import Json
from flowrunner.nodes.base import Context, NodeType, Params, Result
from flowrunner.nodes.registry import Registry

PATIENCE = 120.0


class TalkParams(Params):
    lines: tuple[str, ...] = ()
    secret: str = ""
    """Said last; a test gives it as an expression."""
    data: Json = None
    count: int = 0
    """So many more lines are said at once at the end."""


class Talk(NodeType[TalkParams]):
    """Says its lines, one for each time that `go` is released."""

    name = "talk"
    params = TalkParams

    def __init__(self) -> None:
        self.go = threading.Semaphore(0)
        self.said = threading.Semaphore(0)
        """Released after each line."""

    def execute(self, ctx: Context[TalkParams]) -> Result:
        for index, line in enumerate(ctx.params.lines):
            ctx.log(line, data=ctx.params.data)
            ctx.emit("token", {"index": index})
            self.said.release()
            assert self.go.acquire(timeout=PATIENCE), "the test has forgotten a talking node"
        if ctx.params.secret:
            ctx.log(f"my secret is {ctx.params.secret}", "debug")
            ctx.emit("leak", {ctx.params.secret: [ctx.params.secret]})
        for index in range(ctx.params.count):
            ctx.log(f"{index} " + "x" * 1_000)
        return Result({"lines": len(ctx.params.lines)})


class QuickTalk(Talk):
    """The same without effects outside the run, so that no row is written when it begins."""

    name = "quicktalk"
    pure = True


class TalkRegistry(Registry):
    """The registry with both as plugins."""

    def __init__(self) -> None:
        names = (("talk", "Talk"), ("quicktalk", "QuickTalk"))
        super().__init__([EntryPoint(name, f"{__name__}:{kind}", "flowrunner.nodes") for name, kind in names])

    @property
    def talk(self) -> Talk:
        return self._talk("talk")

    @property
    def quick(self) -> Talk:
        return self._talk("quicktalk")

    def _talk(self, name: str) -> Talk:
        found = self.get(name)
        assert isinstance(found, Talk)
        return found
