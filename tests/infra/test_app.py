"""The app as a whole: which stacks there are, how they hang together, and that its checks are on."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.infra.assembly import Assembly
from tests.infra.conftest import ROOT, empty_build

ORDER = ("data", "api", "engine", "console", "observability")


def test_stacks_and_their_order(full: Assembly, dev: Assembly) -> None:
    """Each takes only from those before it, so that they are deployed one after the other, and deleted backwards."""
    assert set(full.templates) == set(ORDER)
    assert set(dev.templates) == {"data", "api", "engine", "observability"}
    for part, template in full.templates.items():
        taken = set(re.findall(r'ImportValue": "flowrunner-dev-(\w+):', json.dumps(template)))
        assert taken <= set(ORDER[: ORDER.index(part)]), part


def test_no_layer_is_taken_from_another_stack(full: Assembly) -> None:
    """An export that changes with each deployment cannot be changed while it is in use."""
    for template in full.templates.values():
        assert "Layer" not in json.dumps([one.get("Export") for one in template.get("Outputs", {}).values()])


def test_names_and_tags(prod: Assembly) -> None:
    """Stacks are found by their tags, and need nothing of a bootstrapped account but its bucket."""
    for name, one in prod.manifest.items():
        part = name.rpartition("-")[2]
        assert name == f"flowrunner-live-{part}"
        assert one["properties"]["tags"] == {"flowrunner:part": part, "flowrunner:stage": "live"}
        assert "assumeRoleArn" not in one["properties"]


def test_no_resource_is_a_program(full: Assembly, console: Assembly) -> None:
    """Custom resources run Node and can hang a deployment; all that is deployed is declared."""
    for assembly in (full, console):
        types = {
            resource["Type"] for template in assembly.templates.values() for resource in template["Resources"].values()
        }
        assert not [type for type in types if type.startswith(("Custom::", "AWS::CloudFormation::CustomResource"))]


def test_the_cdk_warns_of_nothing(assemblies: dict[str, Assembly]) -> None:
    """What it has to say about a deployment is heard."""
    for assembly in assemblies.values():
        for path in assembly.folder.glob("*.metadata.json"):
            said = [one for entries in json.loads(path.read_text()).values() for one in entries]
            assert not [one["data"] for one in said if one["type"] == "aws:cdk:warning"], path


def test_infra_knows_nothing_of_flowrunner() -> None:
    """Its folder and those of the handlers meet only on AWS."""
    for path in (ROOT / "infra").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names.append(node.module or "")
            assert not [name for name in names if name.split(".")[0] in ("flowrunner", "functions", "tests")], path


def test_a_wrong_context_is_one_line(assemblies: object, tmp_path: Path) -> None:
    """`python infra/app.py` says what is wrong and what to do, without a stack, and fails."""
    done = run_app({"layers": "/nowhere"}, tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: context 'layers': there is no /nowhere/")
    assert "run scripts/build-layers --python 3.13 --arch arm64" in done.stderr
    assert "Traceback" not in done.stderr


def test_findings_of_cdk_nag_end_the_synthesis(assemblies: object, tmp_path: Path) -> None:
    """A queue that takes anything from anybody is not deployed."""
    program = tmp_path / "careless.py"
    program.write_text(
        "from infra import app\n"
        "from aws_cdk import Stack, aws_sqs\n"
        "made = app.make_app()\n"
        "aws_sqs.Queue(Stack(made, 'careless'), 'Queue')\n"
        "made.synth()\n"
    )
    done = run_app(empty_build(tmp_path) | {"console": "", "dashboard": "false"}, tmp_path, str(program))
    assert done.returncode != 0
    assert "AwsSolutions-SQS4" in done.stdout + done.stderr


def run_app(context: dict[str, str], folder: Path, program: str = "infra/app.py") -> subprocess.CompletedProcess[str]:
    """Run the app, or another program in its place, as the CDK's CLI does."""
    environment = {"CDK_CONTEXT_JSON": json.dumps(context), "CDK_OUTDIR": str(folder / "out"), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, program],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
