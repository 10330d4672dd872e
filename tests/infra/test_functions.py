"""The functions: what runs them, what invokes them, what they are told."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from flowrunner.settings import load_settings

from tests.infra.assembly import FUNCTIONS, Assembly, on_aws, text

ROOT = Path(__file__).resolve().parents[2]


def test_there_are_seven(dev: Assembly, full: Assembly) -> None:
    """Each function of the plan; without a slow queue nobody serves it."""
    assert set(dev.functions()) == set(FUNCTIONS)
    assert set(full.functions()) == set(FUNCTIONS) - {"executor-slow"}


def test_what_runs_them(dev: Assembly, full: Assembly) -> None:
    """Python 3.13 on arm64 unless the context says otherwise, which the layers are then for, too."""
    for assembly, runtime, machine in ((dev, "python3.13", "arm64"), (full, "python3.12", "x86_64")):
        for name, function in assembly.functions().items():
            assert (function["Runtime"], function["Architectures"]) == (runtime, [machine]), name
            assert function["Handler"] == "handler.handler"
        for layer in assembly.resources("AWS::Lambda::LayerVersion").values():
            assert layer["Properties"]["CompatibleRuntimes"] == [runtime]
            assert layer["Properties"]["CompatibleArchitectures"] == [machine]


def test_layers(dev: Assembly, full: Assembly) -> None:
    """What only the API imports burdens nobody else, and what talks to models only the lane of such steps."""
    more = {"api": {"Api"}, "executor-slow": {"Ai"}}
    for name, function in dev.functions().items():
        layers = {re.sub(r"Layer\w+>$", "", text(layer))[1:] for layer in function["Layers"]}
        assert layers == {"Flowrunner", "Core"} | more.get(name, set()), name
    everything = {name: [text(layer) for layer in one["Layers"]] for name, one in full.functions().items()}
    assert len(everything["executor"]) == 5, "one lane for everything needs everything"
    assert any("ExtraMcpWasm" in layer for layer in everything["executor"]), "and its extras are one layer"
    assert len(everything["stream"]) == 2


def test_plugins_are_a_layer_of_what_loads_flows(dev: Assembly, full: Assembly) -> None:
    """Of no other function, and of none without plugins."""

    def having(assembly: Assembly) -> set[str]:
        return {
            name
            for name, one in assembly.functions().items()
            if any("PluginsLayer" in text(layer) for layer in one["Layers"])
        }

    assert having(dev) == set()
    assert having(full) == {"api", "executor", "dead-letter", "scheduler"}
    assert max(len(one["Layers"]) for one in full.functions().values()) <= 5, "Lambda takes no more"


def test_only_executors_may_go_round(dev: Assembly, full: Assembly) -> None:
    """Lambda stops a chain of some 16 invocations through SQS unless that is allowed; a run is such a chain."""
    for assembly in (dev, full):
        allowed = {name for name, function in assembly.functions().items() if function["RecursiveLoop"] == "Allow"}
        assert allowed == {name for name in assembly.functions() if name.startswith("executor")}


def test_each_has_a_log_that_ends(dev: Assembly, prod: Assembly) -> None:
    """A log group of its own, encrypted, kept for some days; Lambda's own lines only when something is wrong."""
    for assembly, days in ((dev, 14), (prod, 90)):
        groups = assembly.resources("AWS::Logs::LogGroup")
        assert len(groups) == len(FUNCTIONS) + 1, "and that of the API's requests"
        for group in groups.values():
            assert group["Properties"]["RetentionInDays"] == days
            assert "KmsKeyId" in group["Properties"]
        own = {text(function["LoggingConfig"]["LogGroup"]) for function in assembly.functions().values()}
        assert len(own) == len(FUNCTIONS)
        for function in assembly.functions().values():
            assert function["LoggingConfig"]["SystemLogLevel"] == "WARN"


def test_environments_are_settings_that_flowrunner_takes(dev: Assembly, full: Assembly) -> None:
    """Each variable of ours is a setting, its value one that can be used, and the two lanes know which they are."""
    for assembly in (dev, full):
        for name, function in assembly.functions().items():
            values = function["Environment"]["Variables"]
            known = {key: on_aws(value) for key, value in values.items() if key.startswith("FLOWRUNNER_")}
            settings = load_settings(known).settings
            assert settings.store.url.startswith("dynamodb://")
            assert settings.vault.kms_key
            assert settings.accounts.signup == "closed"
            assert settings.log.format == "json"
            assert settings.public_url
            if name == "api":
                assert settings.api.max_wait <= 25_000
                assert settings.hooks.max_wait <= 25_000
    lanes = {
        name: one["Environment"]["Variables"].get("FLOWRUNNER_WORKER__LANE") for name, one in dev.functions().items()
    }
    assert {name: lane for name, lane in lanes.items() if lane} == {"executor": "fast", "executor-slow": "slow"}
    assert full.functions()["executor"]["Environment"]["Variables"]["FLOWRUNNER_WORKER__LANE"] == "all"
    assert full.functions()["api"]["Environment"]["Variables"]["FLOWRUNNER_QUOTAS__FLOWS"] == "5"


def test_no_environment_holds_a_secret(full: Assembly) -> None:
    """Neither by its name nor by its look."""
    for function in full.functions().values():
        for name, value in function["Environment"]["Variables"].items():
            assert not re.search("SECRET|PASSWORD|TOKEN|CREDENTIAL", name), name
            assert not re.fullmatch(r"[A-Za-z0-9+/=_-]{32,}", text(value)), name


def test_queues_invoke_executors_with_care(dev: Assembly, prod: Assembly) -> None:
    """One step per invocation, failures one by one, and never more at once than what is set aside for them."""
    for assembly in (dev, prod):
        for name in ("Executor", "ExecutorSlow", "DeadLetter"):
            source = assembly.sources()[name]
            assert source["BatchSize"] == 1
            assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
            assert source["ScalingConfig"]["MaximumConcurrency"] >= 2
            assert source["Enabled"] is True
    for name, construct in (("executor", "Executor"), ("executor-slow", "ExecutorSlow")):
        most = prod.sources()[construct]["ScalingConfig"]["MaximumConcurrency"]
        assert prod.functions()[name]["ReservedConcurrentExecutions"] > most
        assert "ReservedConcurrentExecutions" not in dev.functions()[name], "a new account has nothing to set aside"


def test_timeouts_fit(dev: Assembly, full: Assembly) -> None:
    """A message stays hidden for six times the timeout of the function that takes it; the API ends before its gateway."""
    for assembly in (dev, full):
        for name, construct, queue in (
            ("executor", "Executor", "Fast"),
            ("executor-slow", "ExecutorSlow", "Slow"),
            ("dead-letter", "DeadLetter", "DeadLetters"),
        ):
            if construct in assembly.sources():
                hidden = assembly.one("AWS::SQS::Queue", queue)["VisibilityTimeout"]
                assert hidden >= 6 * assembly.functions()[name]["Timeout"]
        assert assembly.functions()["api"]["Timeout"] < 30


def test_the_kill_switch(full: Assembly) -> None:
    """With `paused` the queues keep what they have, and no tick comes; the API goes on to answer."""
    for name in ("Executor", "DeadLetter"):
        assert full.sources()[name]["Enabled"] is False
    assert full.sources()["Stream"].get("Enabled", True), "what it tells of is not kept for long"
    assert full.one("AWS::Scheduler::Schedule")["State"] == "DISABLED"
    ids = text(full.outputs("engine")["EventSourceIds"])
    assert ids.count("<") == 2
    assert "Stream" not in ids


@pytest.mark.parametrize(
    ("record", "wanted"),
    [
        ({"eventName": "MODIFY", "dynamodb": {"Keys": {"sk": {"S": "0H"}}}}, True),
        ({"eventName": "INSERT", "dynamodb": {"Keys": {"sk": {"S": "0H"}}}}, True),
        ({"eventName": "REMOVE", "dynamodb": {"Keys": {"sk": {"S": "0H"}}}}, False),
        ({"eventName": "INSERT", "dynamodb": {"Keys": {"sk": {"S": "0F"}}}}, False),
        ({"eventName": "MODIFY", "dynamodb": {"Keys": {"sk": {"S": "S#1"}}, "NewImage": {"st": {"S": "r"}}}}, True),
        ({"eventName": "MODIFY", "dynamodb": {"Keys": {"sk": {"S": "S#1"}}, "NewImage": {"st": {"S": "s"}}}}, False),
        ({"eventName": "INSERT", "dynamodb": {"Keys": {"sk": {"S": "S#1"}}, "NewImage": {"st": {"S": "r"}}}}, False),
    ],
)
def test_the_stream_invokes_only_for_what_is_told(dev: Assembly, record: dict[str, object], wanted: bool) -> None:
    """Of a step one record counts: its head's. Rows count while their step says something."""
    patterns = [json.loads(one["Pattern"]) for one in dev.sources()["Stream"]["FilterCriteria"]["Filters"]]
    assert any(matches(pattern, record) for pattern in patterns) is wanted


def test_the_stream_is_not_blocked_by_what_it_cannot_handle(dev: Assembly) -> None:
    """A batch is halved, tried ten times, for an hour at most, and then put aside."""
    source = dev.sources()["Stream"]
    assert source["BisectBatchOnFunctionError"] is True
    assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert source["MaximumRetryAttempts"] == 10
    assert source["MaximumRecordAgeInSeconds"] == 3600
    assert source["StartingPosition"] == "TRIM_HORIZON"
    assert source["MaximumBatchingWindowInSeconds"] == 1
    assert "FailedEvents" in text(source["DestinationConfig"]["OnFailure"]["Destination"])


def test_the_tick(dev: Assembly) -> None:
    """At the beginning of each minute, once; what fails is made up for by the next, and put aside to be seen."""
    schedule = dev.one("AWS::Scheduler::Schedule")
    assert schedule["ScheduleExpression"] == "cron(* * * * ? *)"
    assert schedule["FlexibleTimeWindow"] == {"Mode": "OFF"}
    assert schedule["State"] == "ENABLED"
    assert schedule["Target"]["RetryPolicy"]["MaximumRetryAttempts"] == 0
    assert "FailedEvents" in text(schedule["Target"]["DeadLetterConfig"]["Arn"])
    tries = dev.one("AWS::Lambda::EventInvokeConfig")
    assert tries["MaximumRetryAttempts"] == 0
    assert "FailedEvents" in text(tries["DestinationConfig"]["OnFailure"]["Destination"])


def test_tracing_is_asked_for(dev: Assembly, full: Assembly) -> None:
    """X-Ray costs more than a step may, so it is off unless somebody wants it."""
    assert all("TracingConfig" not in function for function in dev.functions().values())
    for function in full.functions().values():
        assert function["TracingConfig"] == {"Mode": "Active"}
        assert function["Environment"]["Variables"]["FLOWRUNNER_TELEMETRY__XRAY"] == "true"


def test_handlers_are_where_the_functions_look(dev: Assembly) -> None:
    """Each function's asset is a folder of functions/, with its handler and nothing that was left there."""
    folders = {path.name for path in (ROOT / "functions").iterdir() if (path / "handler.py").is_file()}
    assert folders == {name.replace("-", "_") for name in FUNCTIONS} - {"executor_slow"}
    assets = [path for path in dev.folder.glob("asset.*") if (path / "handler.py").is_file()]
    assert len(assets) == len(folders)
    assert {file.name for path in assets for file in path.rglob("*")} == {"handler.py"}


def matches(pattern: dict[str, object], record: dict[str, object]) -> bool:
    """As Lambda's event filters: every part of the pattern is met (lambda/latest/dg/invocation-eventfiltering.html)."""
    for name, wanted in pattern.items():
        if name not in record:
            return False
        found = record[name]
        if isinstance(wanted, dict):
            assert isinstance(found, dict)
            if not matches(wanted, found):
                return False
        else:
            assert isinstance(wanted, list)
            if not any(
                str(found).startswith(one["prefix"]) if isinstance(one, dict) else found == one for one in wanted
            ):
                return False
    return True
