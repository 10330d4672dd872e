"""The nodes that call AWS, against moto's server and a server that plays Lambda; all through the guarded client."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterator
from typing import Any

import botocore.session
import orjson
import pytest
from flowrunner.adapters.egress import Guard
from flowrunner.adapters.http import GuardedClient
from flowrunner.core.flow import Json
from flowrunner.errors import EgressDenied, NodeTimeout, ParamsInvalid, StepError
from flowrunner.nodes.base import Output
from flowrunner.nodes.registry import Registry
from moto.server import ThreadedMotoServer
from pydantic import ValidationError

from tests.nodes.context import RUN, context
from tests.servers import RecordingServer, Reply

REGISTRY = Registry(plugins=())
KEYS: dict[str, Json] = {"access_key_id": "AKIDGIVEN", "secret_access_key": "given"}
HTTP = GuardedClient(Guard(["127.0.0.1"]))


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    """The URL of an empty AWS."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def there(url: str, service: str) -> Any:
    """A client of the test's own."""
    session = botocore.session.Session()
    return session.create_client(
        service, region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="b", endpoint_url=url
    )


def call(url: str | None, name: str, input: Json = None, **given: Any) -> Any:
    outside = {key: given.pop(key) for key in ("egress", "is_cancelled", "http", "left") if key in given}
    node = REGISTRY.get(name)
    base: dict[str, Json] = {"region": "eu-west-1", "credentials": KEYS, "endpoint_url": url}
    result = node.execute(context(node, {**base, **given}, input=input, **{"http": HTTP, **outside}))
    return result.model_dump() if isinstance(result, Output) else getattr(result, "output", None)


def refused(url: str | None, name: str, **given: Any) -> StepError:
    with pytest.raises(StepError) as caught:
        call(url, name, **given)
    return caught.value


def answering(status: int = 200, body: Any = b"", **headers: str) -> RecordingServer:
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return RecordingServer(lambda _: Reply(status, content, named))


# -- S3 ---------------------------------------------------------------------------------------------------------------

NAME = "a b/ü+%?#.json"


def test_objects_are_put_read_copied_and_deleted(aws: str) -> None:
    """What was put is read, whatever its name; the content type decides how."""
    there(aws, "s3").create_bucket(Bucket="shop", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    put = call(aws, "aws.s3", op="put", bucket="shop", key=NAME, input={"n": 1}, metadata={"by": "flow"})
    got = call(aws, "aws.s3", op="get", bucket="shop", key=NAME)
    assert got == {
        "body": {"n": 1},
        "size": 7,
        "content_type": "application/json",
        "metadata": {"by": "flow"},
        "etag": put["etag"],
        "version": None,
    }
    assert call(aws, "aws.s3", op="get", bucket="shop", key=NAME, format="bytes")["body"] == {"$bytes": "eyJuIjoxfQ=="}
    call(aws, "aws.s3", op="copy", bucket="shop", key="copy", source={"key": NAME})
    call(aws, "aws.s3", op="put", bucket="shop", key="text", body="grüß", cache_control="no-store")
    call(aws, "aws.s3", op="put", bucket="shop", key="raw", body={"$bytes": "AP8="})
    assert call(aws, "aws.s3", op="get", bucket="shop", key="text")["body"] == "grüß"
    assert call(aws, "aws.s3", op="get", bucket="shop", key="raw")["body"] == {"$bytes": "AP8="}
    listed = call(aws, "aws.s3", op="list", bucket="shop", delimiter="/", limit=2)
    assert ([one["key"] for one in listed["objects"]], listed["prefixes"], listed["more"]) == (["copy"], ["a b/"], True)
    assert [one["key"] for one in call(aws, "aws.s3", op="list", bucket="shop", after="copy")["objects"]] == [
        "raw",
        "text",
    ]
    assert call(aws, "aws.s3", op="delete", bucket="shop", key="raw") == {"key": "raw"}
    assert call(aws, "aws.s3", op="head", bucket="shop", key="raw") == {"exists": False}
    head = call(aws, "aws.s3", op="head", bucket="shop", key="copy")
    assert (head["exists"], head["size"], head["content_type"]) == (True, 7, "application/json")
    assert refused(aws, "aws.s3", op="get", bucket="shop", key="raw").code == "Aws:NoSuchKey"
    assert (
        refused(aws, "aws.s3", op="put", bucket="shop", key="copy", only_if_absent=True).code
        == "Aws:PreconditionFailed"
    )
    error = refused(aws, "aws.s3", op="list", bucket="nobody")
    assert (error.code, error.retryable, error.details["status"]) == ("Aws:NoSuchBucket", False, 404)


def test_links_name_the_region(aws: str) -> None:
    """A link is signed without a request, and goes to the region's own address."""
    made = call(None, "aws.s3", op="presign", bucket="shop", key="a b", expires="10m")
    assert made["url"].startswith("https://shop.s3.eu-west-1.amazonaws.com/a%20b?X-Amz-Algorithm=AWS4-HMAC-SHA256")
    assert "X-Amz-Expires=600" in made["url"]
    assert made["expires_at"] == 1_700_000_600_000


# -- messages and events ----------------------------------------------------------------------------------------------


def test_messages_are_sent_received_and_deleted(aws: str) -> None:
    """One or many; attributes keep their kind, and a deleted message does not come again."""
    queue = there(aws, "sqs").create_queue(QueueName="orders", Attributes={"VisibilityTimeout": "0"})["QueueUrl"]
    sent = call(
        aws, "aws.sqs", queue_url=queue, input={"a": 1}, attributes={"n": 1.5, "b": {"$bytes": "AP8="}, "t": True}
    )
    [got] = call(aws, "aws.sqs", op="receive", queue_url=queue)["messages"]
    assert (got["id"], got["body"], got["received"]) == (sent["message_id"], '{"a":1}', 1)
    assert got["attributes"] == {"n": "1.5", "b": {"$bytes": "AP8="}, "t": "true"}
    assert call(aws, "aws.sqs", op="delete", queue_url=queue, receipts=[got["receipt"]]) == {"deleted": 1}
    assert call(aws, "aws.sqs", op="receive", queue_url=queue) == {"messages": []}
    many = call(aws, "aws.sqs", queue_url=queue, messages=[{"body": f"m{index}"} for index in range(12)])
    assert len(set(many["message_ids"])) == 12
    taken = [
        one["body"]
        for _ in range(2)
        for one in call(aws, "aws.sqs", op="receive", queue_url=queue, limit=10, delete=True)["messages"]
    ]
    assert sorted(taken) == sorted(f"m{index}" for index in range(12))


def test_a_fifo_queue_takes_a_steps_message_once(aws: str) -> None:
    """A step that is executed again, after a crash, has the same ids."""
    queue = there(aws, "sqs").create_queue(QueueName="o.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    for _ in range(2):
        call(aws, "aws.sqs", queue_url=queue, body="x", group="g")
        call(aws, "aws.sqs", queue_url=queue, messages=[{"body": "x", "group": "g"}, {"body": "y", "group": "g"}])
    got = call(aws, "aws.sqs", op="receive", queue_url=queue, limit=10)["messages"]
    assert [(one["body"], one["group"]) for one in got] == [("x", "g"), ("y", "g")]
    assert refused(aws, "aws.sqs", queue_url=queue, body="x").code == "Aws:MissingParameter"


def test_a_batch_that_is_taken_in_part_fails() -> None:
    """The error says which were not, and whether trying again helps."""
    answer = {
        "Successful": [{"Id": "0", "MessageId": "m", "MD5OfMessageBody": "x"}],
        "Failed": [{"Id": "1", "Code": "InternalError", "SenderFault": False, "Message": "later"}],
    }
    with answering(body=answer) as server:
        error = refused(
            server.url, "aws.sqs", queue_url="https://sqs.example/1/q", messages=[{"body": "a"}, {"body": "b"}]
        )
    assert (error.code, error.retryable, error.details) == ("Aws:InternalError", True, {"failed": [1], "done": 1})
    with answering(body={"Entries": [{"EventId": "1"}, {"ErrorCode": "NoSuch", "ErrorMessage": "no"}]}) as server:
        events = [{"source": "s", "detail_type": "t"}] * 2
        error = refused(server.url, "aws.eventbridge", events=events)
    assert (error.code, error.retryable, error.details) == ("Aws:NoSuch", False, {"failed": [1]})


def test_topics_and_buses(aws: str) -> None:
    """A message reaches those who subscribed; events are numbered."""
    queue = there(aws, "sqs").create_queue(QueueName="fan")["QueueUrl"]
    sns = there(aws, "sns")
    topic = sns.create_topic(Name="t")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint="arn:aws:sqs:eu-west-1:123456789012:fan")
    sent = call(aws, "aws.sns", topic_arn=topic, input={"a": 1}, subject="S", attributes={"l": ["x"], "n": 1})
    call(aws, "aws.sns", topic_arn=topic, message="for all", per_protocol={"sqs": "for queues"})
    bodies = [
        orjson.loads(one["body"]) for one in call(aws, "aws.sqs", op="receive", queue_url=queue, limit=10)["messages"]
    ]
    assert (bodies[0]["Message"], bodies[0]["MessageId"], bodies[0]["Subject"]) == ('{"a":1}', sent["message_id"], "S")
    assert bodies[0]["MessageAttributes"]["l"] == {"Type": "String.Array", "Value": '["x"]'}
    assert bodies[1]["Message"] == "for queues"
    fifo = sns.create_topic(Name="t.fifo", Attributes={"FifoTopic": "true"})["TopicArn"]
    assert call(aws, "aws.sns", topic_arn=fifo, message="x", group="g")["message_id"]
    event = {"source": "com.example", "detail_type": "paid", "detail": {"n": 1}}
    assert len(call(aws, "aws.eventbridge", events=[event] * 11)["event_ids"]) == 11
    assert len(call(aws, "aws.eventbridge", source="com.example", detail_type="paid", input={"n": 1})["event_ids"]) == 1
    assert refused(aws, "aws.eventbridge", source="s", detail_type="t", input=[1]).code == "INPUT_INVALID"
    assert refused(aws, "aws.eventbridge", **event, bus="nobody").code == "Aws:ResourceNotFoundException"


# -- Lambda -----------------------------------------------------------------------------------------------------------


def test_a_function_is_given_the_payload_and_answers() -> None:
    """Its answer is the payload that travels along the edge; an event has none."""
    with answering(body={"width": 640}, X_Amz_Executed_Version="7") as server:
        given = {"function": "resize", "qualifier": "live", "client_context": {"a": 1}}
        output = call(server.url, "aws.lambda", input={"n": "ü"}, **given)
    assert output == {"payload": {"width": 640}, "status": 200, "version": "7"}
    [request] = server.requests
    assert request.target == "/2015-03-31/functions/resize/invocations?Qualifier=live"
    assert orjson.loads(request.body) == {"n": "ü"}
    assert request.headers["x-amz-log-type"] == "Tail"
    assert orjson.loads(base64.b64decode(request.headers["x-amz-client-context"])) == {"a": 1}
    with answering(202) as server:
        assert call(server.url, "aws.lambda", function="f", payload=1, invocation="event") == {
            "payload": None,
            "status": 202,
            "version": None,
        }
    assert server.requests[0].headers["x-amz-invocation-type"] == "Event"


def test_a_function_that_fails_fails_the_step() -> None:
    """With what it said, and the end of its log."""
    log = base64.b64encode(b"line 1\nboom").decode()
    body = {"errorType": "ValueError", "errorMessage": "no width"}
    with answering(body=body, X_Amz_Function_Error="Unhandled", X_Amz_Log_Result=log) as server:
        error = refused(server.url, "aws.lambda", function="f")
    assert (error.code, error.message) == ("FunctionError", "the function failed: ValueError: no width")
    assert error.details == {"type": "ValueError", "function_message": "no width", "log": "line 1\nboom"}
    with answering(body=b"<html>", X_Amz_Function_Error="Unhandled", X_Amz_Log_Result="?") as server:
        assert refused(server.url, "aws.lambda", function="f").code == "InvalidResponse"


# -- credentials, limits, errors --------------------------------------------------------------------------------------


def test_nothing_is_taken_from_the_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Neither keys nor endpoints nor proxies nor files of whoever runs the server; and nothing is told of it."""
    (tmp_path / "config").write_text("[default]\naws_access_key_id=FILE\nendpoint_url=http://127.0.0.1:9\n")
    for name, value in {
        "AWS_ACCESS_KEY_ID": "OWN",
        "AWS_SECRET_ACCESS_KEY": "OWN",
        "AWS_SESSION_TOKEN": "OWN",
        "AWS_PROFILE": "nobody",
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_USE_FIPS_ENDPOINT": "true",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "AWS_LAMBDA_FUNCTION_NAME": "executor",
        "_X_AMZN_TRACE_ID": "Root=1-5759e988-bd862e3fe1be46a994272793",
    }.items():
        monkeypatch.setenv(name, value)
    with answering() as server:
        call(server.url, "aws.lambda", function="f")
    [request] = server.requests
    assert "Credential=AKIDGIVEN/" in request.headers["authorization"]
    assert "OWN" not in str(request.headers)
    assert "x-amzn-trace-id" not in request.headers
    link = call(None, "aws.s3", op="presign", bucket="shop", key="k")["url"]
    assert link.startswith("https://shop.s3.eu-west-1.amazonaws.com/k?")
    assert "Security-Token" not in link


ASSUMED = b"""<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
<AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>r</SecretAccessKey><SessionToken>tok</SessionToken>
<Expiration>2030-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"""


def test_a_role_is_assumed_with_the_keys() -> None:
    """The call is then made as the role, whose session names the run."""
    role = {"role_arn": "arn:aws:iam::123456789012:role/team/flows", "external_id": "abc"}
    with RecordingServer(lambda request: Reply(body=ASSUMED if request.path == "/" else b"1")) as server:
        assert call(server.url, "aws.lambda", function="f", credentials={**KEYS, **role})["payload"] == 1
    first, second = server.requests
    assert b"ExternalId=abc" in first.body
    assert RUN.id.encode() not in first.body
    assert "Credential=AKIDGIVEN/" in first.headers["authorization"]
    assert "Credential=ASIAROLE/" in second.headers["authorization"]
    assert second.headers["x-amz-security-token"] == "tok"


@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [(400, "AccessDeniedException", False), (400, "ThrottlingException", True), (429, "X", True), (503, "Y", True)],
)
def test_what_aws_refuses(status: int, code: str, retryable: bool) -> None:
    """One request, one code; the flow decides about trying again."""
    with answering(status, {"__type": code, "message": "no"}, X_Amzn_RequestId="r-1", Retry_After="7") as server:
        error = refused(server.url, "aws.sqs", queue_url="https://sqs.example/1/q", body="x")
    assert (error.code, error.message, error.retryable) == (f"Aws:{code}", "AWS: no", retryable)
    assert (error.retry_after, error.details) == (7.0, {"status": status, "request_id": "r-1"})
    assert len(server.requests) == 1


def test_an_answer_that_is_none_is_an_error_of_the_step() -> None:
    """Whatever a server says that only claims to be AWS."""
    for body in (b"<html>", b"<a/>", b"{}", b"[1]", b'{"Entries": 1}', b"\xff"):
        with answering(200, body, Content_Type="text/html") as server:
            assert refused(server.url, "aws.sns", topic_arn="arn:aws:sns:eu-west-1:1:t").code == "InvalidResponse"
            event = {"source": "s", "detail_type": "t", "detail": {}}
            assert refused(server.url, "aws.eventbridge", **event).code == "InvalidResponse"


@pytest.mark.parametrize("given", [{"timeout": "200ms"}, {"is_cancelled": True}, {"left": 0.2}])
def test_a_call_is_given_up(given: dict[str, Any]) -> None:
    """After its time, or when the run is cancelled."""
    with RecordingServer() as server:

        def silent(_: Any) -> Reply:
            server.stopping.wait(60)
            return Reply()

        server.route = silent
        with pytest.raises(NodeTimeout):
            call(server.url, "aws.lambda", function="f", **given)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9",
        "http://169.254.169.254",
        "http://[fd00:ec2::254]",
        "http://localhost:4566",
        "https://metadata.google.internal",
        "http://0x7f.1",
        "ftp://example.com",
        "https://user@example.com",
        "not a url",
    ],
)
def test_the_guard_is_asked(url: str) -> None:
    """An endpoint is a URL like any other, for the assumed role, too."""
    guarded = GuardedClient(Guard([], lambda _host, _port, _seconds: ["10.0.0.1"]))
    with pytest.raises((EgressDenied, ParamsInvalid)):
        call(url, "aws.sqs", queue_url="https://sqs.example/1/q", body="x", http=guarded)
    role = {"role_arn": "arn:aws:iam::123456789012:role/r"}
    with pytest.raises((EgressDenied, ParamsInvalid)):
        call(url, "aws.sqs", queue_url="https://sqs.example/1/q", body="x", http=guarded, credentials={**KEYS, **role})


def test_the_flows_own_list_holds() -> None:
    """A host that the flow's `egress.allow` does not have is not called."""
    with pytest.raises(EgressDenied):
        call(None, "aws.s3", op="list", bucket="shop", egress=[["api.example.com"]])


BAD: list[tuple[str, dict[str, Any]]] = [
    ("aws.s3", {"op": "get", "bucket": "shop"}),
    ("aws.s3", {"op": "list", "bucket": "shop", "key": "k"}),
    ("aws.s3", {"op": "copy", "bucket": "shop", "key": "k"}),
    ("aws.s3", {"op": "put", "bucket": "shop", "key": "k", "content_type": "a\r\nX: y"}),
    ("aws.s3", {"op": "list", "bucket": "shop", "region": "eu-west-1.evil.example/"}),
    ("aws.s3", {"op": "list", "bucket": "shop", "region": "eu-west-1\n"}),
    ("aws.s3", {"op": "list", "bucket": "shop", "credentials": {}}),
    ("aws.s3", {"op": "list", "bucket": "shop", "credentials": {**KEYS, "external_id": "abc"}}),
    ("aws.s3", {"op": "list", "bucket": "shop", "credentials": {**KEYS, "role_arn": "role"}}),
    ("aws.sqs", {"queue_url": "https://q", "messages": [{"body": 1}], "body": 2}),
    ("aws.sqs", {"queue_url": "https://q", "op": "delete"}),
    ("aws.sqs", {"queue_url": "https://q", "op": "receive", "body": 1}),
    ("aws.sqs", {"queue_url": "https://q", "delay": "16m"}),
    ("aws.sns", {"message": "x"}),
    ("aws.sns", {"topic_arn": "t", "phone_number": "+4912345"}),
    ("aws.sns", {"topic_arn": "t", "deduplication_id": "d"}),
    ("aws.eventbridge", {"source": "s"}),
    ("aws.eventbridge", {"source": "s", "detail_type": "t", "events": [{"source": "s", "detail_type": "t"}]}),
    ("aws.lambda", {"function": ""}),
    ("aws.lambda", {"function": "../../2015-03-31/functions/x?y"}),
]


@pytest.mark.parametrize(("name", "given"), BAD)
def test_params_that_do_not_fit(name: str, given: dict[str, Any]) -> None:
    """They are refused when the flow is saved."""
    with pytest.raises(ValidationError):
        call("http://127.0.0.1:9", name, **given)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("aws.s3", {"op": "list", "bucket": "../../etc"}),
        ("aws.s3", {"op": "list", "bucket": "shop?x=1"}),
        ("aws.s3", {"op": "list", "bucket": "evil.example#"}),
        ("aws.s3", {"op": "put", "bucket": "shop", "key": "k", "body": {"$bytes": "?"}}),
        ("aws.s3", {"op": "put", "bucket": "shop", "key": "k", "metadata": {"a": "b\r\nX-Y: z"}, "body": ""}),
        ("aws.sqs", {"queue_url": "https://q", "body": "x", "attributes": {"a": None}}),
        ("aws.sqs", {"queue_url": "https://q", "body": "x", "attributes": {"a": {"$bytes": "?"}}}),
    ],
)
def test_hostile_names_send_nothing(name: str, given: dict[str, Any]) -> None:
    """What would change the request's address or headers is refused before anything is sent."""
    with answering() as server, pytest.raises(StepError):
        call(server.url, name, **given)
    assert server.requests == []
