"""A client generated from the OpenAPI document, used against a real server."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from flowrunner.cli.server import HttpServer
from flowrunner.settings import ApiSettings

from tests.api.harness import Service, service

FLOW = {
    "metadata": {"name": "generated"},
    "nodes": {"greet": {"type": "transform", "params": {"value": "hi ${input.name}"}}},
}


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Service, str]]:
    """The service behind a socket, with a worker."""
    with service() as api:
        server = HttpServer(api.client.app, ApiSettings(port=0))
        server.start()
        worker = threading.Thread(target=api.worker.run, daemon=True)
        worker.start()
        yield api, server.url
        api.worker.stop()
        worker.join(30)
        server.stop()


@pytest.fixture(scope="module")
def generated(served: tuple[Service, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The generated package. Only what senders of inbound webhooks call is left out: any body is right there."""
    folder = tmp_path_factory.mktemp("client")
    document = served[0].client.get("/openapi.json").json()
    (folder / "openapi.json").write_text(json.dumps(document))
    (folder / "config.yaml").write_text("post_hooks: []\n")
    command = [
        str(Path(sys.executable).with_name("openapi-python-client")), "generate", "--path", str(folder / "openapi.json"),
        "--output-path", str(folder / "flowrunner_client"), "--meta", "none", "--config", str(folder / "config.yaml"),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    warned = [line for line in done.stdout.splitlines() if "WARNING parsing" in line and "/hooks/" not in line]
    assert warned == [], done.stdout
    sys.path.insert(0, str(folder))
    yield importlib.import_module("flowrunner_client")
    sys.path.remove(str(folder))


def call(package: ModuleType, operation: str, **given: Any) -> Any:
    """The parsed answer of a generated function."""
    module = importlib.import_module(f"{package.__name__}.api.{operation}")
    return module.sync(**given)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the generator's own code
def test_a_generated_client_works(served: tuple[Service, str], generated: ModuleType) -> None:
    """It stores a flow, runs it, reads steps and lists, and gets errors in their shape."""
    api, url = served
    models = importlib.import_module(f"{generated.__name__}.models")
    with generated.AuthenticatedClient(
        base_url=url, token=api.team().tokens[next(iter(api.team().tokens))]
    ) as stranger:
        refused = call(generated, "flows.create_flow", client=stranger, body=models.CreateFlowJsonBody.from_dict(FLOW))
        assert refused.error.code == "FORBIDDEN"  # the first role is the viewer's
    with generated.AuthenticatedClient(base_url=url, token=api.team().headers()["Authorization"][7:]) as client:
        flow = call(generated, "flows.create_flow", client=client, body=models.CreateFlowJsonBody.from_dict(FLOW))
        assert (flow.name, flow.revision) == ("generated", 1)
        wish = models.RunWish.from_dict({"input": {"name": "Ada"}})
        run = call(generated, "runs.start_run", client=client, flow_id=flow.id, body=wish, wait="20s")
        assert (run.status.value, run.output) == ("completed", {"greet": "hi Ada"})
        steps = call(generated, "steps.list_steps", client=client, run_id=run.id)
        assert [step.id for step in steps.items] == ["greet"]
        runs = call(generated, "runs.list_runs", client=client)
        assert [one.id for one in runs.items] == [run.id]
        missing = call(generated, "flows.get_flow", client=client, flow_id="nothing")
        assert (missing.error.code, bool(missing.error.correlation_id)) == ("NOT_FOUND", True)
