"""The functions in Lambda's real runtime, from built layers: what is imported there is in a layer, or it fails here."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from urllib.request import Request, urlopen

import pytest
from flowrunner.adapters.aws.backend import DynamoBackend
from flowrunner.adapters.aws.clients import Clients
from flowrunner.adapters.local.clock import SystemClock, SystemDraws
from moto.server import ThreadedMotoServer

from tests.aws import CREDENTIALS, ELSEWHERE
from tests.functions.installation import BUCKET, REGION, Installation, http_event, install
from tests.functions.runtime import Function, Runtime, Unavailable, runtime
from tests.functions.test_handlers import FLOW

pytestmark = pytest.mark.slow
OWNER = {"name": "acme", "username": "ada@example.org", "password": "correct horse battery"}
BASIC = "Basic " + b64encode(b"ada@example.org:correct horse battery").decode()


@pytest.fixture(scope="module")
def real() -> Runtime:
    """The runtime, fetched and built when it is not there yet."""
    try:
        return runtime()
    except Unavailable as reason:
        pytest.skip(f"Lambda's runtime cannot be had: {reason}")


@pytest.fixture(scope="module")
def installed() -> Iterator[Installation]:
    """An installation on moto, behind a port that other processes reach."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    with pytest.MonkeyPatch.context() as patch:
        for name in ELSEWHERE:
            patch.delenv(name, raising=False)
        for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": url}.items():
            patch.setenv(name, value)
        clients = Clients(REGION)
        clients.s3().create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        made = install(clients)
        backend = DynamoBackend.open(made.environment["FLOWRUNNER_STORE__URL"], SystemClock(), SystemDraws())
        backend.migrate()
        made.environment |= {"AWS_ENDPOINT_URL": url, "AWS_REGION": REGION}
        yield made
        backend.close()
        urlopen(Request(f"{url}/moto-api/reset", method="POST")).close()
    server.stop()


def answer_of(function: Function, method: str, path: str, body: str | None = None, kind: str = "json") -> object:
    """The JSON that the API answers."""
    headers = {"content-type": f"application/{kind}", "authorization": BASIC}
    answer = function.invoke(http_event(method, path, body, headers))
    assert answer.get("statusCode", 500) < 300, (answer, function.text)
    return json.loads(b64decode(answer["body"]) if answer["isBase64Encoded"] else answer["body"])


def test_a_step_in_the_real_runtime(real: Runtime, installed: Installation) -> None:
    """A run is started by the API and executed by the executor, each in a process that has its own layers only."""
    with Function("api", real, installed.environment) as api:
        api.invoke(http_event("POST", "/v1/accounts", json.dumps(OWNER), {"content-type": "application/json"}))
        answer_of(api, "PUT", "/v1/secrets/TOKEN", json.dumps({"value": "hush, hush"}))
        flow = answer_of(api, "POST", "/v1/flows", FLOW, "yaml")
        assert isinstance(flow, dict)
        run = answer_of(api, "POST", f"/v1/flows/{flow['id']}/runs", json.dumps({"input": {"name": "Ada"}}))
        assert isinstance(run, dict)
        with Function("executor", real, installed.environment) as executor:
            while records := installed.messages():
                assert executor.invoke({"Records": records}) == {"batchItemFailures": []}, executor.text
                installed.done("fast", records)
            assert executor.init_ms > 0
        shown = answer_of(api, "GET", f"/v1/runs/{run['id']}")
        assert isinstance(shown, dict)
        assert (shown["status"], shown["output"]) == ("completed", {"said": "hi Ada"}), executor.text


@pytest.mark.parametrize("name", ["scheduler", "dead_letter", "executor-slow", "stream", "websocket"])
def test_a_function_starts(real: Runtime, installed: Installation, name: str) -> None:
    """Each function is imported and wired from its layers, and answers an event that asks for nothing."""
    socket = {"FLOWRUNNER_LIVE__SOCKET_URL": "https://a1b2c3.execute-api.eu-west-1.amazonaws.com/live"}
    event = {"requestContext": {"routeKey": "$disconnect", "connectionId": "gone="}} if name == "websocket" else {}
    with Function(name, real, {**installed.environment, **socket}) as function:
        answer = function.invoke(event)
        assert "errorType" not in (answer or {}), function.text
        assert function.init_ms > 0


def test_traces(real: Runtime, installed: Installation) -> None:
    """With X-Ray wanted a function answers as before, and a call to AWS from within is part of its trace."""
    traced = {**installed.environment, "FLOWRUNNER_TELEMETRY__XRAY": "true", "POWERTOOLS_TRACE_DISABLED": "false"}
    with Function("executor", real, traced) as function:
        record = {"messageId": "m1", "body": "junk", "attributes": {}, "receiptHandle": "h", "eventSourceARN": ""}
        assert function.invoke({"Records": [record]}) == {"batchItemFailures": [{"itemIdentifier": "m1"}]}
        function.said("a message cannot be read")
