"""What each function may do: a list to be changed on purpose."""

from __future__ import annotations

import json

import pytest

from tests.infra.assembly import FUNCTIONS, Assembly, listed, text

LOGS = {"logs:CreateLogStream", "logs:PutLogEvents"}
ITEMS = {
    "dynamodb:BatchGetItem",
    "dynamodb:BatchWriteItem",
    "dynamodb:DeleteItem",
    "dynamodb:GetItem",
    "dynamodb:PutItem",
    "dynamodb:Query",
    "dynamodb:UpdateItem",
}
READ_OBJECTS = {"s3:GetObject", "s3:ListBucket"}
OBJECTS = READ_OBJECTS | {"s3:DeleteObject", "s3:PutObject"}
KEY = {
    "kms:Decrypt",
    "kms:DescribeKey",
    "kms:Encrypt",
    "kms:GenerateDataKey",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
}
SEND = {"sqs:SendMessage"}
MEASURE = {"sqs:GetQueueAttributes"}
TAKE = {"sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"}
PUSH = {"execute-api:ManageConnections"}
STREAM = {
    "dynamodb:DescribeStream",
    "dynamodb:GetRecords",
    "dynamodb:GetShardIterator",
    "dynamodb:ListStreams",
}
STORE = LOGS | ITEMS | KEY

ALLOWED = {
    "api": STORE | OBJECTS | SEND | MEASURE,
    "websocket": STORE | READ_OBJECTS | PUSH,
    "executor": STORE | OBJECTS | SEND | TAKE,
    "executor-slow": STORE | OBJECTS | SEND | TAKE,
    "dead-letter": STORE | OBJECTS | SEND | TAKE,
    "stream": STORE | OBJECTS | STREAM | SEND | PUSH,
    "scheduler": STORE | OBJECTS | SEND | MEASURE | PUSH,
}

ANYTHING = {
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
    "dynamodb:ListStreams",
}
"""Actions for which AWS knows no resources."""

PARTLY = ("/*", "/@connections/*")
"""Endings of resources that stand for several: objects of our bucket, connections of our API."""


@pytest.mark.parametrize("function", FUNCTIONS)
def test_functions_may_do_what_they_need_and_no_more(prod: Assembly, function: str) -> None:
    """The actions of each role are exactly those listed here."""
    assert {action for one in prod.statements(function) for action in listed(one["Action"])} == ALLOWED[function]


def test_no_role_has_wildcards(full: Assembly, prod: Assembly, console: Assembly) -> None:
    """No action has a `*`; a resource is `*` only where AWS knows none, and has one at its end only where it must."""
    for assembly in (full, prod, console):
        for id, role in assembly.resources("AWS::IAM::Role").items():
            assert "ManagedPolicyArns" not in role["Properties"], id
            for policy in role["Properties"]["Policies"]:
                for one in policy["PolicyDocument"]["Statement"]:
                    assert one["Effect"] == "Allow"
                    actions = set(listed(one["Action"]))
                    assert not [action for action in actions if "*" in action], id
                    for resource in map(text, listed(one["Resource"])):
                        assert actions <= ANYTHING if resource == "*" else star_free(resource), (id, resource)
        assert not assembly.resources("AWS::IAM::Policy"), "policies stand in their roles"


def test_what_a_vpc_and_x_ray_need_is_there_only_with_them(full: Assembly, prod: Assembly) -> None:
    """Executors in a VPC may have network interfaces; nobody else, and nobody without one."""
    wide = {"executor", "api"}
    for function in wide:
        actions = {action for one in full.statements(function) for action in listed(one["Action"])}
        assert "xray:PutTraceSegments" in actions
        assert ("ec2:CreateNetworkInterface" in actions) == (function == "executor")
    assert "xray" not in json.dumps([list(prod.statements(function)) for function in FUNCTIONS])
    network = full.functions()["executor"]["VpcConfig"]
    assert network == {"SecurityGroupIds": ["sg-12345678"], "SubnetIds": ["subnet-12345678", "subnet-12345679"]}
    assert "VpcConfig" not in full.functions()["api"]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_key_is_used_under_conditions(prod: Assembly, function: str) -> None:
    """Through the services that keep data under it, or for secrets with a context that says whose they are."""
    for one in prod.statements(function):
        if not any(action.startswith("kms:") for action in listed(one["Action"])):
            continue
        (condition,) = one["Condition"].values()
        if "kms:ViaService" in condition:
            services = [text(service) for service in condition["kms:ViaService"]]
            assert services == [f"{name}.<AWS::Region>.<AWS::URLSuffix>" for name in ("dynamodb", "s3", "sqs")]
        else:
            names = {"account", "purpose", "secret"}
            assert condition == {f"kms:EncryptionContext:{name}": "false" for name in names}
            assert function != "websocket", "it opens no secrets"


@pytest.mark.parametrize(
    ("function", "sends", "takes"),
    [
        ("executor", {"Fast", "Slow"}, {"Fast"}),
        ("executor-slow", {"Fast", "Slow"}, {"Slow"}),
        ("dead-letter", {"Fast", "Slow"}, {"DeadLetters"}),
        ("api", {"Fast", "Slow"}, set()),
        ("stream", {"FailedEvents"}, set()),
        ("scheduler", {"Fast", "Slow", "FailedEvents"}, set()),
        ("websocket", set(), set()),
    ],
)
def test_functions_use_their_own_queues(prod: Assembly, function: str, sends: set[str], takes: set[str]) -> None:
    """Everybody sends to the lanes; each takes only what it is there for."""
    for action, wanted in (("sqs:SendMessage", sends), ("sqs:ReceiveMessage", takes)):
        found = {
            text(resource)
            for one in prod.statements(function)
            if action in listed(one["Action"])
            for resource in listed(one["Resource"])
        }
        assert len(found) == len(wanted)
        assert all(any(f"GetAtt{queue}" in one for one in found) for queue in wanted), found


def test_roles_are_assumed_by_lambda_and_the_tick_by_the_scheduler(prod: Assembly) -> None:
    """The scheduler's role is only for schedules of this account, and starts one function."""
    for id, role in prod.resources("AWS::IAM::Role").items():
        (statement,) = role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        if "TickRole" in id:
            assert statement["Principal"] == {"Service": "scheduler.amazonaws.com"}
            assert {key: text(value) for key, value in statement["Condition"]["StringEquals"].items()} == {
                "aws:SourceAccount": "<AWS::AccountId>",
                # AWS asks for the group's; a schedule's own ARN would keep the scheduler out.
                "aws:SourceArn": "arn:<AWS::Partition>:scheduler:<AWS::Region>:<AWS::AccountId>:schedule-group/default",
            }
        else:
            assert statement["Principal"] == {"Service": "lambda.amazonaws.com"}


def star_free(resource: str) -> bool:
    """Whether a resource has no `*`, or ends with one where there is no other way."""
    return "*" not in resource or (resource.endswith(PARTLY) and resource.count("*") == 1)
