"""The child process in which scripts run. Started as a plain file; it imports next to nothing, and nothing of ours.

It reads requests from standard input and writes answers to standard output, each a length (4 bytes, big endian) and
JSON. Every request gets a fresh engine. The limits inside are for good manners; the boundary is the process: resource
limits, no environment, no files, and a parent that kills it by the clock.
"""

import json
import os
import resource
import struct
import sys


def main() -> None:
    """Load the engine and the preludes, drop what is not needed any more, and serve until the input ends."""
    sys.path.append(sys.argv[1])
    import _quickjs  # type: ignore[import-not-found]  # the engine itself, without the package's thread pool

    preludes = {}
    for name in ("main", "time", "text", "jsonpath"):
        with open(os.path.join(sys.argv[2], name + ".js"), encoding="utf-8") as file:  # noqa: PTH123, PTH118 - pathlib costs 5 ms of start-up
            preludes[name] = file.read()
    confine()
    stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
    while True:
        head = stdin.read(4)
        if len(head) < 4:
            return
        size = struct.unpack(">I", head)[0]
        request = json.loads(stdin.read(size))
        answer = serve(_quickjs, preludes, request, size)
        data = json.dumps(answer).encode() if not isinstance(answer, bytes) else answer
        stdout.write(struct.pack(">I", len(data)) + data)
        stdout.flush()


def confine() -> None:
    """No new files, no file output, no further processes; what is open stays."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    except (ValueError, OSError):
        pass  # not every kernel lets us; the sandbox does not rest on it


def allow(cpu_seconds: float, memory: int) -> None:
    """Renew the limits for one request: CPU time counts for the life of the process, so it is moved on."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    spent = used.ru_utime + used.ru_stime
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(spent + cpu_seconds) + 2, hard))
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (memory, hard))


def serve(engine, preludes, request, size):  # type: ignore[no-untyped-def]  # typing would cost start-up time
    """Evaluate one request: a list of code steps, the last of which gives the answer as JSON text."""
    # Room for the interpreter and for the request in its several forms, beside the script's own heap.
    allow(request["cpu"], request["memory"] + 192 * 1024 * 1024 + 16 * size)
    context = engine.Context()
    context.set_memory_limit(request["memory"] + 12 * size)
    context.set_max_stack_size(request["stack"])
    context.set_time_limit(request["cpu"])
    if request["kind"] == "check":
        return {"faults": [check(engine, request, code) for code in request["codes"]]}
    try:
        for name in request["preludes"]:
            context.eval(preludes[name])
        context.set("$request", request["data"])
        context.eval("var $m = $fr($request); $request = undefined;")
        for code in request["codes"]:
            context.eval(code)
        answer = context.eval(request["call"])
    except engine.JSException as error:
        return {"thrown": str(error)}
    except MemoryError:
        return {"thrown": "InternalError: out of memory"}
    if not isinstance(answer, str):
        return {"thrown": "InternalError: the script ended without an answer"}
    data = answer.encode("utf-8", "surrogatepass")
    if len(data) > request["output"]:
        return {"too_large": len(data)}
    return data


def check(engine, request, code):  # type: ignore[no-untyped-def]  # as above
    """Compile without running; None or the engine's words."""
    context = engine.Context()
    context.set_memory_limit(request["memory"])
    context.set_max_stack_size(request["stack"])
    context.set_time_limit(request["cpu"])
    try:
        context.eval(code)
    except engine.JSException as error:
        return str(error)
    except MemoryError:
        return "InternalError: out of memory"
    return None


if __name__ == "__main__":
    main()
