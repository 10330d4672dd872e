"""The child process in which scripts run. Started as a plain file; it imports next to nothing, and nothing of
ours.

It reads requests from standard input and writes answers to standard output: a length (4 bytes, big endian),
then for a request a marshalled tuple (the parent is trusted, and `marshal` costs no import), for an answer
one letter and text (the child is not trusted, so the parent parses and checks it).

Every request gets a fresh engine: the next one is made ready while the parent is busy with the last answer.
The limits inside are for good manners; the boundary is the process: resource limits, no environment, no
files, an alarm clock, and a parent that kills it. The alarm ends a child whose parent died; PR_SET_PDEATHSIG
would also do so when merely the thread that started it ends.
"""

import _signal  # type: ignore[import-not-found]  # the module signal imports enum
import marshal
import resource
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would cost more than the rest of the start-up
    from typing import Any

READY, ANSWER, THROWN, FAULTS = b"R", b"A", b"T", b"C"
CPU_OF_A_LIFE = 300
"""CPU seconds after which the kernel ends the process; the parent replaces it long before."""
OWN_MEMORY = 192 * 1024 * 1024
"""Address space of the interpreter beside the script's heap."""


def main() -> None:
    """Load the engine and the preludes, drop what is not needed any more, and serve until the input ends."""
    sys.path.append(sys.argv[1])
    import _quickjs  # type: ignore[import-not-found]  # the engine itself, without the package's thread pool

    preludes = {}
    for name in sys.argv[3].split(","):
        with open(f"{sys.argv[2]}/{name}.js", encoding="utf-8") as file:  # noqa: PTH123 - pathlib takes 5 ms
            preludes[name] = file.read()
    confine()
    stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
    engine = Engine(_quickjs, preludes)
    answer, kind = "", READY
    while True:
        data = kind + answer.encode("utf-8", "replace")
        stdout.write(len(data).to_bytes(4, "big") + data)
        stdout.flush()
        engine.prepare()
        head = stdin.read(4)
        if len(head) < 4:
            return
        size = int.from_bytes(head, "big")
        request = marshal.loads(stdin.read(size))  # noqa: S302 - the parent is trusted
        kind, answer = engine.serve(request, size)


def confine() -> None:
    """No new files, no file output, no further processes; what is open stays."""
    for limit, value in (("FSIZE", 0), ("NOFILE", 3), ("CORE", 0), ("NPROC", 0), ("CPU", CPU_OF_A_LIFE)):
        try:  # noqa: SIM105 - contextlib is an import more
            resource.setrlimit(getattr(resource, f"RLIMIT_{limit}"), (value, value))
        except (ValueError, OSError):
            pass  # a kernel without such a limit; the parent's clock and the empty environment hold


class Engine:
    """Serves requests, each in a context of its own."""

    def __init__(self, module: "Any", preludes: "dict[str, str]") -> None:
        self.module = module
        self.preludes = preludes
        self.context: Any = None
        self.start: Any = None

    def prepare(self) -> None:
        """Have a fresh context with the prelude ready for the next request."""
        self.context = self.module.Context()
        self.start = self.context.eval(self.preludes["main"])

    def serve(self, request: "tuple[Any, ...]", size: int) -> "tuple[bytes, str]":
        """One request: `(kind, cpu s, wall s, parsing s, memory, stack, ...)`.

        `parsing` is what reading the request's data may take beside the script's own time.
        """
        kind, cpu, wall, parsing, memory, stack, *rest = request
        memory += 12 * size
        allow(cpu + parsing, memory + OWN_MEMORY + 4 * size)
        context, start = self.context, self.start
        self.context = self.start = None
        context.set_memory_limit(memory)
        context.set_max_stack_size(stack)
        context.set_time_limit(cpu + parsing)
        _signal.setitimer(_signal.ITIMER_REAL, wall + parsing + 1)
        try:
            if kind == "check":
                return FAULTS, "\0".join([compiled(context, source) for source in rest[0]])
            return ANSWER, self.run(context, start, cpu, *rest)
        except Exception as error:  # noqa: BLE001 - whatever the engine says, the parent judges
            return THROWN, str(error)
        finally:
            _signal.setitimer(_signal.ITIMER_REAL, 0)

    def run(self, context: "Any", start: "Any", cpu: float, *content: "Any") -> str:
        """Evaluate; `content` is the parts of the prelude, the data, the codes, and those of helpers."""
        parts, data, codes, helpers = content
        try:
            run = start(data, *[context.eval(self.preludes[name]) for name in parts])
        except Exception as error:  # nothing of the script has run yet: it is the data that does not fit
            stopped = str(error).startswith("InternalError: interrupted")
            raise error if stopped else MemoryError("InternalError: out of memory") from error
        context.set_time_limit(cpu)
        for helper in helpers:
            context.eval(helper)
        answer = run(*[context.eval(code) for code in codes])
        if not isinstance(answer, str):
            raise TypeError("the script ended without an answer")
        return answer


def allow(cpu: float, memory: int) -> None:
    """Renew the limits for one request: CPU time counts for the life of the process, so it is moved on."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime + cpu) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (min(seconds, CPU_OF_A_LIFE), CPU_OF_A_LIFE))
    resource.setrlimit(resource.RLIMIT_AS, (memory, resource.RLIM_INFINITY))


def compiled(context: "Any", source: str) -> str:
    """Compile without running: the whole source is parsed before its first statement, which throws."""
    try:
        context.eval("throw ''; " + source)
    except Exception as error:  # noqa: BLE001 - as in serve
        text = str(error)
        return text.replace("\0", "") if text.startswith(("SyntaxError", "RangeError", "InternalError")) else ""
    return ""


if __name__ == "__main__":
    main()
