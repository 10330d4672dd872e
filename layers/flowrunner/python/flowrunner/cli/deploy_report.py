"""What a deployment would change, cost and does, for people at a terminal."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape as plain

from flowrunner.cli.exits import escape
from flowrunner.ports.installer import Change, Happening, Preview, Verb
from flowrunner.services.cloud_costs import CHECKED, REGION, Line, total

SIGNS = {Verb.ADD: "+", Verb.MODIFY: "~", Verb.MAYBE_REPLACE: "~", Verb.REPLACE: "!", Verb.REMOVE: "-"}
STYLES = {Verb.ADD: "green", Verb.MODIFY: "yellow", Verb.MAYBE_REPLACE: "yellow"}
SHOWN_CAUSES = 4
ENDINGS = ("_COMPLETE", "_FAILED")


def console() -> Console:
    """Standard error, in colours where it is a terminal."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def show_previews(previews: Sequence[Preview], out: Console) -> None:
    """Every stack: what is new in one line by type, what changes resource by resource, losses in red."""
    for preview in previews:
        if preview.new:
            out.print(f"[green]+ {preview.stack}[/]: new, {_by_type(preview.changes)}")
        elif preview.changes:
            out.print(f"[yellow]~ {preview.stack}[/]: {len(preview.changes)} changes")
            for change in preview.changes:
                out.print(f"    {_line(change)}")
        else:
            out.print(f"  {preview.stack}: no changes")
        if preview.note:
            out.print(f"    {plain(preview.note)}")
        if preview.changes and not preview.exact:
            out.print("    (from the templates: which of these replace a resource is known, and checked, on the way)")


def _by_type(changes: Sequence[Change]) -> str:
    """`4 Lambda::Function, 2 SQS::Queue`: the commonest first."""
    counts = Counter(change.type.removeprefix("AWS::") for change in changes)
    listed = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    return f"{len(changes)} resources: " + ", ".join(f"{count} {plain(kind)}" for kind, count in listed)


def _line(change: Change) -> str:
    style = STYLES.get(change.verb, "bold red" if change.loses_data else "red")
    causes = ", ".join(change.causes[:SHOWN_CAUSES]) + (", ..." if len(change.causes) > SHOWN_CAUSES else "")
    notes = f" ({plain(causes)})" if causes else ""
    if change.keeps:
        notes += "; what it was stays in the account"
    if change.loses_data:
        notes += "  [bold red]HOLDS DATA[/]"
    what = f"{SIGNS[change.verb]} {change.verb:<11} {change.type.removeprefix('AWS::')} {change.resource}"
    return f"[{style}]{plain(what)}[/]{notes}"


def show_costs(lines: Sequence[Line], load: str, out: Console) -> None:
    """A month's bill, item by item."""
    out.print(f"Estimated month{f' with {plain(load)}' if load else ', idle'}: [bold]${total(lines):,.2f}[/]")
    for line in lines:
        if line.dollars >= 0.005:
            out.print(f"    {line.dollars:>10,.2f}  {plain(line.what)}")
    out.print(f"    (list prices of {REGION}, {CHECKED}, without the free tier: docs/aws-costs.md)")


def show_happening(happening: Happening, out: Console) -> None:
    """One line for whatever ended or failed; what merely began is not worth one."""
    ended = happening.status.endswith(ENDINGS)
    waiting = happening.stack == happening.resource and not happening.type
    if not ended and not waiting:
        return
    style = "red" if happening.failed else "dim"
    reason = f"  {plain(escape(happening.reason))}" if happening.reason and (happening.failed or waiting) else ""
    kind = happening.type.removeprefix("AWS::")
    out.print(f"  [{style}]{happening.status:<28}[/] {plain(f'{kind} {happening.resource}')}{reason}")


def say(text: str) -> None:
    """One line of progress."""
    print(escape(text), file=sys.stderr)
