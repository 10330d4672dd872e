"""`scripts/bench cold-start`: how long Lambda takes to start each function, and how large it is.

Each is started several times in Lambda's runtime on this machine, from built layers with their bytecode, without AWS
(nothing is asked of it before the first event). `INIT REPORT` is what the runtime says; the processor's time is what a
machine without neighbours would need. `--imports NAME` lists a function's slowest modules.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from statistics import median

from tests.functions.runtime import LAYERS, ROOT, Function, Runtime, runtime

TARGETS = {"executor": 500, "api": 900}
"""Milliseconds of INIT REPORT."""

SIZES = {"executor": 80, "executor-slow": 80, "api": 120}
"""Megabytes, unzipped, without boto3."""

QUEUE = "https://sqs.eu-central-1.amazonaws.com/123456789012"
ENVIRONMENT = {
    "FLOWRUNNER_STORE__URL": f"dynamodb://flowrunner?bucket=blobs&queue={QUEUE}/fast&slow={QUEUE}/slow",
    "FLOWRUNNER_VAULT__KMS_KEY": "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
    "FLOWRUNNER_PUBLIC_URL": "https://flows.example.com",
    "FLOWRUNNER_USAGE__BY": "stream",
    "FLOWRUNNER_LIVE__SOCKET_URL": "https://a1b2c3.execute-api.eu-central-1.amazonaws.com/live",
    "FLOWRUNNER_LOG__FORMAT": "json",
}
EVENTS: Mapping[str, object] = {
    "api": {
        "version": "2.0",
        "rawPath": "/healthz",
        "rawQueryString": "",
        "headers": {"host": "flows.example.com"},
        "requestContext": {
            "http": {"method": "GET", "path": "/healthz", "sourceIp": "192.0.2.7", "protocol": "HTTP/1.1"}
        },
        "isBase64Encoded": False,
    }
}
"""What asks nothing of AWS. The scheduler's every event does, and fails at it; it has started before."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench cold-start", description=__doc__)
    parser.add_argument("--starts", type=int, default=7, help="starts of each function (7)")
    parser.add_argument("--functions", default=",".join(LAYERS), help="which, separated by commas")
    parser.add_argument("--imports", metavar="NAME", help="list the slowest modules of this function instead")
    given = parser.parse_args()
    real = runtime()
    if given.imports:
        slowest_imports(given.imports, real)
        return
    print(f"Python {real.version}, {os.cpu_count()} CPUs, {given.starts} starts each; ms, MB\n")
    print("| function | INIT REPORT median | least | target | CPU least | MB unzipped | target |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in given.functions.split(","):
        reports = [started(name, real) for _ in range(given.starts)]
        least = min(processor_time(name, real) for _ in range(given.starts))
        figures = [f"{median(reports):.0f}", f"{min(reports):.0f}", TARGETS.get(name, ""), f"{least:.0f}"]
        print(f"| {name} | {' | '.join(map(str, figures))} | {megabytes(name, real):.1f} | {SIZES.get(name, '')} |")


def started(name: str, real: Runtime) -> float:
    """The INIT REPORT of one start, in ms."""
    with Function(name, real, {**ENVIRONMENT, "AWS_MAX_ATTEMPTS": "1"}, timeout=3) as function:
        function.invoke(EVENTS.get(name, {}))
        return function.init_ms


def processor_time(name: str, real: Runtime) -> float:
    """User and system time of the runtime's process until it would ask for its first event, in ms."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    imported(name, real)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def imported(name: str, real: Runtime, *options: str) -> str:
    """Import a handler as the runtime does; what Python said about it."""
    folder = ROOT / "functions" / name.removesuffix("-slow")
    environment = {
        "PYTHONPATH": os.pathsep.join(map(str, [folder, *real.paths(name)])),
        "PYTHONDONTWRITEBYTECODE": "1",
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        **ENVIRONMENT,
    }
    code = "import awslambdaric.bootstrap, awslambdaric.lambda_runtime_client, handler"
    command = [real.python, "-S", *options, "-c", code]
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=True).stderr


def slowest_imports(name: str, real: Runtime) -> None:
    """Print the time of packages and of modules without what they import, the least of five."""
    best: dict[str, float] = {}
    for _ in range(5):
        for line in imported(name, real, "-X", "importtime").splitlines():
            own, bar, rest = line.removeprefix("import time:").partition("|")
            if bar and own.strip().isdigit():
                module = rest.partition("|")[2].strip()
                best[module] = min(best.get(module, 1e9), int(own) / 1000)
    packages: Counter[str] = Counter()
    for module, ms in best.items():
        packages[module.partition(".")[0]] += ms  # type: ignore[assignment]  # its type is for whole numbers
    print(f"{len(best)} modules, {sum(best.values()):.0f} ms with what measuring costs\n")
    for title, found in (("packages", packages), ("modules", Counter(best))):
        print(f"{title}: " + ", ".join(f"{one} {ms:.1f}" for one, ms in found.most_common(25)) + "\n")


def megabytes(name: str, real: Runtime) -> float:
    """The function's code and layers as Lambda unpacks them."""
    folders = [ROOT / "functions" / name.removesuffix("-slow"), *(real.layers / layer for layer in LAYERS[name])]
    return sum(size(folder) for folder in folders) / 1e6


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    main()
