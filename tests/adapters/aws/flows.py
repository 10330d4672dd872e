"""Small flows that take every way through an executor, each with a step that has effects outside."""

from __future__ import annotations

from collections.abc import Mapping


def _document(nodes: str) -> str:
    return "nodes:\n" + "\n".join(f"  {line}" for line in nodes.strip().splitlines()) + "\n"


FLOWS: Mapping[str, str] = {
    "linear": _document("""
a: {type: touch, params: {give: 1}, next: b}
b: {type: transform, params: {mapping: {x: "${prev}"}}, next: c}
c: {type: touch, params: {give: "${prev.x}"}}"""),
    "join": _document("""
a: {type: transform, params: {value: 1}, next: [b, c]}
b: {type: touch, params: {give: 2}}
c: {type: touch, params: {give: 3}}
d: {type: transform, needs: [b, c], params: {mapping: {b: "${nodes.b.output}", c: "${nodes.c.output}"}}}"""),
    "foreach": _document("""
a: {type: touch, foreach: {items: [1, 2, 3], max_concurrency: 2}, params: {give: "${item}"}, next: b}
b: {type: transform, params: {mapping: {all: "${prev}"}}}"""),
    "waits": _document("""
a: {type: delay, params: {for: 5s}, next: b}
b: {type: delay, params: {for: 2h}, next: c}
c: {type: touch, params: {give: 1}}"""),
    "callback": _document("""
a: {type: wait.callback, next: b}
b: {type: touch, params: {give: "${prev}"}}"""),
    "retry": _document("""
a: {type: touch, params: {give: 1, fails: 1}, retry: {max_attempts: 3, delay: 3s, jitter: none}, next: b}
b: {type: transform, params: {value: 1}}"""),
    "large": _document("""
a: {type: touch, params: {give: 1, size: 3000}, next: b}
b: {type: touch, params: {give: "${prev.give}", size: 420000}, next: c}
c: {type: transform, params: {mapping: {give: "${prev.give}"}}}"""),
    "once": _document("""
a: {type: touch, at_most_once: true, params: {give: 1}, next: b}
b: {type: touch, params: {give: 2}}"""),
    "child": _document("""
a: {type: flow.run, params: {inline: {metadata: {name: inner}, nodes: {z: {type: touch, params: {give: 7}}}}}, next: b}
b: {type: transform, params: {mapping: {given: "${prev}"}}}"""),
    "failing": _document("""
a: {type: touch, params: {give: 1, fails: 9}, next: {default: b, error: c}}
b: {type: touch, params: {give: 2}}
c: {type: touch, params: {give: 3}}"""),
}


def document(name: str, *, express: bool = False) -> str:
    """A flow of that name."""
    mode = "express" if express else "standard"
    return f"metadata: {{name: {name}-{mode}}}\nmode: {mode}\n{FLOWS[name]}"
