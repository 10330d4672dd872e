"""The APIs: what they let through, and what they write down."""

from __future__ import annotations

import json

from flowrunner.api import app

from tests.infra.assembly import Assembly, text


def test_one_function_answers_everything(dev: Assembly) -> None:
    """$default, in the newer format of events."""
    assert dev.one("AWS::ApiGatewayV2::Route", "Everything")["RouteKey"] == "$default"
    integration = dev.one("AWS::ApiGatewayV2::Integration", "Everything")
    assert integration["PayloadFormatVersion"] == "2.0"
    assert integration["TimeoutInMillis"] == 29_000


def test_requests_are_throttled_and_written_down(dev: Assembly) -> None:
    """By rate and burst; a line per request, without its path: that of a callback is its token."""
    stage = dev.one("AWS::ApiGatewayV2::Stage", "Stage")
    assert stage["DefaultRouteSettings"] == {"ThrottlingBurstLimit": 400, "ThrottlingRateLimit": 200}
    line = json.loads(stage["AccessLogSettings"]["Format"])
    assert {"requestId", "ip", "status"} <= set(line)
    assert not [value for value in line.values() if "path" in value.lower() or "query" in value.lower()]
    group = dev.one("AWS::Logs::LogGroup", "AccessLog")
    assert text(group["LogGroupName"]).startswith("/aws/vendedlogs/flowrunner-dev/api-")


def test_other_pages_may_call_only_when_they_are_named(dev: Assembly, full: Assembly) -> None:
    """The gateway allows what the application allows, for the pages of the context and for the console."""
    assert "CorsConfiguration" not in dev.one("AWS::ApiGatewayV2::Api", "Http")
    cors = full.one("AWS::ApiGatewayV2::Api", "Http")["CorsConfiguration"]
    assert cors["AllowOrigins"] == ["https://pages.example.com", "https://console.example.com"]
    assert cors["AllowHeaders"] == app.TAKEN
    assert cors["ExposeHeaders"] == app.EXPOSED
    assert cors["AllowCredentials"] is True
    known = full.functions()["api"]["Environment"]["Variables"]["FLOWRUNNER_API__CORS_ORIGINS"]
    assert known == "https://pages.example.com,https://console.example.com"


def test_the_websocket_api(dev: Assembly) -> None:
    """Three routes to one function, throttled, and the address at which connections are written to."""
    routes = {route["Properties"]["RouteKey"] for route in dev.resources("AWS::ApiGatewayV2::Route").values()}
    assert routes == {"$default", "$connect", "$disconnect"}
    assert dev.one("AWS::ApiGatewayV2::Stage", "SocketStage")["DefaultRouteSettings"]["ThrottlingRateLimit"] == 200
    assert text(dev.outputs("api")["WebSocketUrl"]).endswith("/live")
    told = dev.functions()["api"]["Environment"]["Variables"]["FLOWRUNNER_LIVE__PUBLIC_SOCKET_URL"]
    assert text(told) == text(dev.outputs("api")["WebSocketUrl"])
    for name in ("websocket", "stream", "scheduler"):
        url = text(dev.functions()[name]["Environment"]["Variables"]["FLOWRUNNER_LIVE__SOCKET_URL"])
        assert url.startswith("https://<")
        assert url.endswith(".execute-api.<AWS::Region>.<AWS::URLSuffix>/live")


def test_domains_of_ones_own(full: Assembly) -> None:
    """The functions know the name under which they are reached, and an output says where its record must point."""
    assert full.outputs("api")["ApiUrl"] == "https://flows.example.com"
    assert full.outputs("api")["WebSocketUrl"] == "wss://live.example.com"
    assert {"DomainTarget", "SocketDomainTarget"} <= set(full.outputs("api"))
    for function in full.functions().values():
        assert function["Environment"]["Variables"]["FLOWRUNNER_PUBLIC_URL"] == "https://flows.example.com"
    for domain in full.resources("AWS::ApiGatewayV2::DomainName").values():
        (configuration,) = domain["Properties"]["DomainNameConfigurations"]
        assert configuration["SecurityPolicy"] == "TLS_1_2"
