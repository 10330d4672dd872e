"""The scripts parse, and find or install uv on every kind of machine: with it, with pip only, with next to nothing."""

from __future__ import annotations

import shutil
import stat
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = [
    "dev",
    "test",
    "bench",
    "aws-local",
    "build-console",
    "build-docs",
    "build-layers",
    "build-wheel",
    "simulate",
    "chaos",
    "fuzz",
    "lib.sh",
]
PROGRAMS = [*(f"scripts/{name}" for name in SCRIPTS), ".ci/run"]

UV = """#!/bin/sh
echo "uv {version} (a stub)"
"""

PYTHON = """#!/bin/sh
# A Python of which `-m pip` and `-m venv` do what the case wants; installing makes a uv that works.
here="$(dirname "$0")"
case "$*" in
  "-c "*) exit 0 ;;
  "-m pip --version") test -e "$here/has-pip" ;;
  "-m pip install "*)
    while [ "$1" != --target ]; do shift; done
    mkdir -p "$2/bin"
    printf '#!/bin/sh\\necho "uv 0.13.8 (installed)"\\n' > "$2/bin/uv"
    chmod +x "$2/bin/uv" ;;
  "-m venv "*)
    test -e "$here/has-venv" || exit 1
    mkdir -p "$3/bin"
    cp "$0" "$3/bin/python"
    touch "$3/bin/has-pip" ;;
  *) exit 9 ;;
esac
"""

APT = """#!/bin/sh
# `apt-get install` makes the Python beside it appear, with pip.
here="$(dirname "$0")"
if [ "$1" = install ]; then cp "$here/later-python" "$here/python3"; touch "$here/has-pip"; fi
"""

COMMANDS = ["bash", "sh", "chmod", "cp", "dirname", "mkdir", "rm", "touch"]


class Machine:
    """A machine of stubs: a PATH of its own, and a copy of the script library under a root of its own."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "project"
        self.bin = folder / "bin"
        self.home = folder / "home"
        for made in (self.root / "scripts", self.bin, self.home):
            made.mkdir(parents=True)
        shutil.copy(ROOT / "scripts/lib.sh", self.root / "scripts/lib.sh")
        for command in COMMANDS:
            found = shutil.which(command)
            assert found, command
            (self.bin / command).symlink_to(found)
        self.put("uname", "#!/bin/sh\necho Linux\n")
        self.user(0)

    def put(self, name: str, text: str) -> None:
        """Add a program."""
        path = self.bin / name
        path.write_text(text, encoding="utf-8")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def user(self, number: int) -> None:
        """Who is logged in."""
        self.put("id", f"#!/bin/sh\necho {number}\n")

    def python(self, *, pip: bool = False, venv: bool = False) -> None:
        """Add a Python that has, or lacks, pip and ensurepip."""
        self.put("python3", PYTHON)
        for name, there in (("has-pip", pip), ("has-venv", venv)):
            if there:
                (self.bin / name).touch()

    def ensure_uv(self) -> subprocess.CompletedProcess[str]:
        """Source the library and ask for uv; what it found is printed."""
        return subprocess.run(
            [
                str(self.bin / "bash"),
                "-euo",
                "pipefail",
                "-c",
                'source scripts/lib.sh; ensure_uv; echo "$UV"',
            ],
            cwd=self.root,
            env={"PATH": str(self.bin), "HOME": str(self.home)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine with nothing on it."""
    return Machine(tmp_path)


def private(machine: Machine) -> list[str]:
    """Where uv is put by the scripts themselves."""
    return [str(path) for path in machine.root.glob(".cache/uv-*/bin/uv")]


@pytest.mark.parametrize("script", PROGRAMS)
def test_scripts_parse(script: str) -> None:
    """Bash can read the script, and whoever clones the project can start it."""
    path = ROOT / script
    done = subprocess.run(["bash", "-n", str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert script.endswith("lib.sh") or path.stat().st_mode & stat.S_IXUSR


@pytest.mark.parametrize("version", ["0.5.0", "0.13.8", "1.0.0", "2.3.4+local"])
def test_uv_that_is_there_is_used(machine: Machine, version: str) -> None:
    """A uv that starts and is new enough is taken as it is, and nothing is installed."""
    machine.put("uv", UV.format(version=version))
    done = machine.ensure_uv()
    assert (done.returncode, done.stdout.strip()) == (0, str(machine.bin / "uv")), done.stderr
    assert private(machine) == []


@pytest.mark.parametrize(
    "stub",
    [
        pytest.param(UV.format(version="0.4.30"), id="too old"),
        pytest.param("#!/bin/sh\nexit 127\n", id="a shim that does not start"),
        pytest.param("#!/bin/sh\necho something else\n", id="another program of that name"),
    ],
)
def test_uv_that_does_not_do_is_replaced(machine: Machine, stub: str) -> None:
    """A uv that cannot be used is left where it is, and a private one is installed."""
    machine.put("uv", stub)
    machine.python(pip=True)
    done = machine.ensure_uv()
    assert done.returncode == 0, done.stderr
    assert [done.stdout.strip()] == private(machine)


@pytest.mark.parametrize(("pip", "venv"), [(True, False), (False, True), (True, True)])
def test_uv_is_installed_privately(machine: Machine, pip: bool, venv: bool) -> None:
    """Python with pip, or with ensurepip only, is enough; what was installed is found again by the next call."""
    machine.user(1000)
    machine.python(pip=pip, venv=venv)
    first, second = machine.ensure_uv(), machine.ensure_uv()
    assert [first.stdout.strip()] == private(machine), first.stderr
    assert (second.stdout, second.stderr) == (first.stdout, "")
    assert list(machine.home.iterdir()) == []


@pytest.mark.parametrize("python", [True, False], ids=["Python without pip", "no Python"])
def test_root_gets_pip_from_the_system(machine: Machine, python: bool) -> None:
    """On a Debian-like machine, root gets what is missing from the system's packages."""
    machine.put("apt-get", APT)
    machine.put("later-python", PYTHON)
    if python:
        machine.python()
    done = machine.ensure_uv()
    assert done.returncode == 0, done.stderr
    assert [done.stdout.strip()] == private(machine)


@pytest.mark.parametrize("apt", [True, False], ids=["apt-get, but not root", "root, but no apt-get"])
def test_what_cannot_be_installed_is_explained(machine: Machine, apt: bool) -> None:
    """Where nothing helps, the message says what to install, and the status is not 0."""
    machine.user(1000 if apt else 0)
    if apt:
        machine.put("apt-get", APT)
    done = machine.ensure_uv()
    assert done.returncode == 1
    assert "error: uv could not be installed" in done.stderr
    assert "apt install python3-pip" in done.stderr
    assert "pipx install uv" in done.stderr
