"""The HTTP API and the WebSocket API, with the functions behind them."""

from __future__ import annotations

import json

from aws_cdk import Aws, CfnOutput, Duration, Fn, RemovalPolicy, Stack
from aws_cdk import aws_apigatewayv2 as gateway
from aws_cdk import aws_apigatewayv2_integrations as integrations
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra import environment, grants
from infra.data import DataStack
from infra.domains import use_domain
from infra.function import Function, Layers, Shared, log_days
from infra.nag import accept, seen_from, wildcard
from infra.settings import Settings

TIMEOUT = 29
"""Seconds; API Gateway gives up after 30 (apigateway/latest/developerguide/http-api-quotas.html)."""

SOCKET_STAGE = "live"
PUSHING = ("DELETE", "POST")

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
TAKEN = (
    "Authorization",
    "Content-Type",
    "If-Match",
    "Idempotency-Key",
    "Last-Event-ID",
    "X-CSRF-Token",
    "Mcp-Protocol-Version",
    "Mcp-Session-Id",
    "Mcp-Method",
    "Mcp-Name",
)
EXPOSED = ("ETag", "Location", "Retry-After", "RateLimit", "RateLimit-Policy", "X-Correlation-Id", "Mcp-Session-Id")
"""As the application itself has them (`flowrunner.api.app`), a test compares."""

ACCESS_LINE = {
    "requestId": "$context.requestId",
    "time": "$context.requestTime",
    "ip": "$context.identity.sourceIp",
    "method": "$context.httpMethod",
    "status": "$context.status",
    "bytes": "$context.responseLength",
    "ms": "$context.responseLatency",
    "error": "$context.integrationErrorMessage",
}
"""No path: that of a callback is its token."""


class ApiStack(Stack):
    """What is reached from outside. Its URLs are known before its functions are, so these can be told."""

    def __init__(self, scope: Construct, id: str, settings: Settings, data: DataStack) -> None:
        super().__init__(scope, id, description="flowrunner: the API")
        self._settings = settings
        self._data = data
        self.http = gateway.HttpApi(
            self, "Http", api_name=settings.prefix, create_default_stage=False, cors_preflight=_cors(settings)
        )
        self.sockets = gateway.WebSocketApi(self, "Sockets", api_name=f"{settings.prefix}-live")
        self.public_url = settings.for_api() or self.http.api_endpoint
        key = data.key
        shared = Shared(
            settings,
            key,
            environment.base(settings, store_url=data.store_url, key_arn=key.key_arn, public_url=self.public_url),
            Layers(self, settings),
        )
        self.api = self._api(shared)
        self.websocket = self._websocket(shared)
        self._serve_http()
        self._serve_sockets()
        self._tell()

    @property
    def push_url(self) -> str:
        """Where functions write to connections, whatever name clients use."""
        return f"https://{self.sockets.api_id}.execute-api.{Aws.REGION}.{Aws.URL_SUFFIX}/{SOCKET_STAGE}"

    @property
    def socket_origin(self) -> str:
        """The WebSocket API as browsers name it in a policy."""
        own = f"{self.sockets.api_id}.execute-api.{Aws.REGION}.{Aws.URL_SUFFIX}"
        return f"wss://{self._settings.socket_domain or own}"

    @property
    def socket_url(self) -> str:
        """Where clients open WebSockets."""
        return f"{self.socket_origin}{'' if self._settings.socket_domain else f'/{SOCKET_STAGE}'}"

    def pushing(self, reader: Stack) -> iam.PolicyStatement:
        """Write to connections of the WebSocket API, and close them."""
        return grants.statement(
            ["execute-api:ManageConnections"],
            [
                reader.format_arn(
                    service="execute-api",
                    resource=self.sockets.api_id,
                    resource_name=f"{SOCKET_STAGE}/{method}/@connections/*",
                )
                for method in PUSHING
            ],
        )

    def accepted(self, reader: Stack) -> dict[str, str]:
        """The findings about `pushing`, in that stack's roles."""
        api = seen_from(reader, self, self.sockets, self.sockets.api_id)
        arn = "arn:<AWS::Partition>:execute-api:<AWS::Region>:<AWS::AccountId>:"
        return {
            wildcard(f"{arn}{api}/{SOCKET_STAGE}/{method}/@connections/*"): "Connections come and go."
            for method in PUSHING
        }

    def _api(self, shared: Shared) -> Function:
        return Function(
            self,
            "Api",
            shared,
            source="api",
            description="the HTTP API",
            layers=("flowrunner", "core", "api"),
            statements=[
                *self._data.storing(),
                grants.vault(self._data.key),
                grants.sending(*self._data.queues),
                grants.measuring(*self._data.queues),
            ],
            timeout=TIMEOUT,
            memory=self._settings.api_memory,
            more=environment.API | {"FLOWRUNNER_LIVE__PUBLIC_SOCKET_URL": self.socket_url},
            accepted=self._data.accepted(self),
        )

    def _websocket(self, shared: Shared) -> Function:
        return Function(
            self,
            "WebSocket",
            shared,
            source="websocket",
            description="the WebSocket API",
            layers=("flowrunner", "core"),
            statements=[
                *self._data.storing(write_objects=False),
                self.pushing(self),
            ],
            timeout=TIMEOUT,
            memory=self._settings.helper_memory,
            more={"FLOWRUNNER_LIVE__SOCKET_URL": self.push_url},
            accepted=self._data.accepted(self) | self.accepted(self),
        )

    def _serve_http(self) -> None:
        """Every request goes to one function: what there is, and for whom, is the application's business."""
        route = gateway.HttpRoute(
            self,
            "Everything",
            http_api=self.http,
            route_key=gateway.HttpRouteKey.DEFAULT,
            integration=integrations.HttpLambdaIntegration("Api", self.api.function, timeout=Duration.seconds(TIMEOUT)),
        )
        accept(
            route, "AwsSolutions-APIG4", "The application itself authenticates: tokens, sessions, signatures of hooks."
        )
        stage = gateway.HttpStage(
            self, "Stage", http_api=self.http, stage_name="$default", auto_deploy=True, throttle=self._throttle()
        )
        raw = stage.node.default_child
        assert isinstance(raw, gateway.CfnStage), "the construct is made of one resource"
        raw.access_log_settings = gateway.CfnStage.AccessLogSettingsProperty(
            destination_arn=self._access_log().log_group_arn, format=json.dumps(ACCESS_LINE)
        )
        if self._settings.domain:
            use_domain(self, "Domain", self._settings.domain, self._settings.certificate_arn, self.http, stage)

    def _serve_sockets(self) -> None:
        for name, id in (("$connect", "Connect"), ("$disconnect", "Disconnect"), ("$default", "Message")):
            route = self.sockets.add_route(
                name, integration=integrations.WebSocketLambdaIntegration(id, self.websocket.function)
            )
            accept(route, "AwsSolutions-APIG4", "The function checks the ticket, or the token of the first message.")
        stage = gateway.WebSocketStage(
            self,
            "SocketStage",
            web_socket_api=self.sockets,
            stage_name=SOCKET_STAGE,
            auto_deploy=True,
            throttle=self._throttle(),
        )
        accept(
            stage,
            "AwsSolutions-APIG1",
            "Logs of WebSocket APIs need a role that is set once for the whole AWS account, which is not ours to set; "
            "the function logs who connects.",
        )
        if self._settings.socket_domain:
            domain, certificate = self._settings.socket_domain, self._settings.certificate_arn
            use_domain(self, "SocketDomain", domain, certificate, self.sockets, stage)

    def _throttle(self) -> gateway.ThrottleSettings:
        return gateway.ThrottleSettings(
            rate_limit=self._settings.throttle_rate, burst_limit=self._settings.throttle_burst
        )

    def _access_log(self) -> logs.LogGroup:
        """Named as API Gateway asks (apigateway/latest/developerguide/http-api-logging.html).

        The name is new with each stack: one that was kept must not be in the way of the next.
        """
        unique = Fn.select(2, Fn.split("/", self.stack_id))
        keep = self._settings.keep_data
        return logs.LogGroup(
            self,
            "AccessLog",
            log_group_name=f"/aws/vendedlogs/{self._settings.prefix}/api-{unique}",
            retention=log_days(self._settings),
            encryption_key=self._data.key,
            removal_policy=RemovalPolicy.RETAIN if keep else RemovalPolicy.DESTROY,
        )

    def _tell(self) -> None:
        told = {"ApiUrl": self.public_url, "WebSocketUrl": self.socket_url}
        for name, value in told.items():
            CfnOutput(self, f"{name}Output", value=value).override_logical_id(name)


def _cors(settings: Settings) -> gateway.CorsPreflightOptions | None:
    """Also for what API Gateway answers itself: what it throttles, and what takes too long."""
    allowed = environment.origins(settings)
    if not allowed:
        return None
    return gateway.CorsPreflightOptions(
        allow_origins=allowed,
        allow_credentials=True,
        allow_methods=[gateway.CorsHttpMethod[method] for method in METHODS],
        allow_headers=list(TAKEN),
        expose_headers=list(EXPOSED),
        max_age=Duration.minutes(10),
    )
