"""The console's files behind CloudFront, and with them, under the same name, the documents and the API.

Its session is a cookie that browsers send to no other site (`__Host-`, SameSite=Lax), so the console must be able to
call the API under its own name. `flowrunner deploy` puts the files into the bucket.
"""

from __future__ import annotations

from pathlib import Path

from aws_cdk import CfnOutput, Duration, Fn, Stack
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_cloudfront_origins as origins
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.api import ApiStack
from infra.buckets import private_bucket
from infra.data import DataStack
from infra.nag import accept
from infra.reading import BadContext
from infra.settings import Settings

PAGE = "index.html"

API_PATHS = ("v1/*", "hooks/*", "mcp", "mcp/*", "openapi.json", "healthz", "readyz")
"""What is the API's; the rest are files, or views of the page."""

VIEWS = """\
// A view of the console is no file: it gets the page. Files have a dot in their last part.
function handler(event) {
  var request = event.request;
  if (request.uri === '/docs') {
    return {statusCode: 302, statusDescription: 'Found', headers: {location: {value: '/docs/'}}};
  }
  if (request.uri.startsWith('/docs/')) { // a page of the documents is a folder
    if (request.uri.endsWith('/')) request.uri += 'index.html';
    return request;
  }
  if (!request.uri.startsWith('/assets/') && !request.uri.split('/').pop().includes('.')) {
    request.uri = '/index.html';
  }
  return request;
}
"""
"""Not CloudFront's error responses: they would hide what the API does not find, too."""


class ConsoleStack(Stack):
    """Made only when the context `console` names a folder into which the console was built."""

    def __init__(self, scope: Construct, id: str, settings: Settings, data: DataStack, api: ApiStack) -> None:
        super().__init__(scope, id, description="flowrunner: the console")
        if not (Path(settings.console) / PAGE).is_file():
            raise BadContext("console", f"there is no {PAGE} in {settings.console}")
        self._settings = settings
        logs, certificate = data.access_logs, self._certificate()
        bucket = private_bucket(self, "Files", settings, access_logs=logs, prefix="console-files/", keep=False)
        self.distribution = cloudfront.Distribution(
            self,
            "Distribution",
            comment=f"{settings.prefix}: console",
            default_root_object=PAGE,
            default_behavior=self._files(bucket, api),
            additional_behaviors={path: self._api(api) for path in API_PATHS},
            domain_names=[settings.console_domain] if settings.console_domain else None,
            certificate=certificate,
            minimum_protocol_version=cloudfront.SecurityPolicyProtocol.TLS_V1_2_2021 if certificate else None,
            http_version=cloudfront.HttpVersion.HTTP2_AND_3,
            price_class=cloudfront.PriceClass.PRICE_CLASS_100,
            web_acl_id=settings.web_acl_arn or None,
            enable_logging=logs is not None,
            log_bucket=logs,
            log_file_prefix="console/" if logs else None,
        )
        self._accept(data)
        url = settings.console_domain or self.distribution.distribution_domain_name
        told = {
            "ConsoleUrl": f"https://{url}",
            "ConsoleBucket": bucket.bucket_name,
            "DistributionId": self.distribution.distribution_id,
        }
        for name, value in told.items():
            CfnOutput(self, f"{name}Output", value=value).override_logical_id(name)

    def _files(self, bucket: s3.IBucket, api: ApiStack) -> cloudfront.BehaviorOptions:
        return cloudfront.BehaviorOptions(
            origin=origins.S3BucketOrigin.with_origin_access_control(bucket),
            viewer_protocol_policy=cloudfront.ViewerProtocolPolicy.REDIRECT_TO_HTTPS,
            cache_policy=cloudfront.CachePolicy.CACHING_OPTIMIZED,  # keeps to what the files' own Cache-Control says
            response_headers_policy=self._headers(api),
            function_associations=[
                cloudfront.FunctionAssociation(
                    event_type=cloudfront.FunctionEventType.VIEWER_REQUEST,
                    function=cloudfront.Function(
                        self,
                        "Views",
                        code=cloudfront.FunctionCode.from_inline(VIEWS),
                        runtime=cloudfront.FunctionRuntime.JS_2_0,
                    ),
                )
            ],
        )

    def _api(self, api: ApiStack) -> cloudfront.BehaviorOptions:
        """Passed on as it came, except for the name it was sent to; nothing is kept."""
        return cloudfront.BehaviorOptions(
            origin=origins.HttpOrigin(
                Fn.select(2, Fn.split("/", api.http.api_endpoint)),
                protocol_policy=cloudfront.OriginProtocolPolicy.HTTPS_ONLY,
                origin_ssl_protocols=[cloudfront.OriginSslPolicy.TLS_V1_2],
                read_timeout=Duration.seconds(30),
            ),
            viewer_protocol_policy=cloudfront.ViewerProtocolPolicy.HTTPS_ONLY,
            allowed_methods=cloudfront.AllowedMethods.ALLOW_ALL,
            cache_policy=cloudfront.CachePolicy.CACHING_DISABLED,
            origin_request_policy=cloudfront.OriginRequestPolicy.ALL_VIEWER_EXCEPT_HOST_HEADER,
        )

    def _headers(self, api: ApiStack) -> cloudfront.ResponseHeadersPolicy:
        """As the API itself sends them with the console (`flowrunner.api.console`), and the way to the live events."""
        return cloudfront.ResponseHeadersPolicy(
            self,
            "Headers",
            security_headers_behavior=cloudfront.ResponseSecurityHeadersBehavior(
                content_security_policy=cloudfront.ResponseHeadersContentSecurityPolicy(
                    content_security_policy=policy(api.socket_origin), override=True
                ),
                content_type_options=cloudfront.ResponseHeadersContentTypeOptions(override=True),
                frame_options=cloudfront.ResponseHeadersFrameOptions(
                    frame_option=cloudfront.HeadersFrameOption.DENY, override=True
                ),
                referrer_policy=cloudfront.ResponseHeadersReferrerPolicy(
                    referrer_policy=cloudfront.HeadersReferrerPolicy.NO_REFERRER, override=True
                ),
                strict_transport_security=cloudfront.ResponseHeadersStrictTransportSecurity(
                    access_control_max_age=Duration.days(365), include_subdomains=True, override=True
                ),
            ),
        )

    def _certificate(self) -> acm.ICertificate | None:
        arn = self._settings.console_certificate_arn
        return acm.Certificate.from_certificate_arn(self, "Certificate", arn) if arn else None

    def _accept(self, data: DataStack) -> None:
        accept(self.distribution, "AwsSolutions-CFR1", "People anywhere may use the console; their accounts decide.")
        if not self._settings.web_acl_arn:
            accept(
                self.distribution, "AwsSolutions-CFR2", "A web ACL costs $5 a month and more; `web_acl_arn` names one."
            )
        if data.access_logs is None:
            accept(
                self.distribution, "AwsSolutions-CFR3", "Logs of access are switched on by `access_logs`, as in prod."
            )
        if not self._settings.console_domain:
            accept(
                self.distribution,
                "AwsSolutions-CFR4",
                "Under CloudFront's own name its own certificate is used, whose protocols cannot be chosen; "
                "`console_domain` ends that.",
            )


def policy(sockets: str) -> str:
    """What the page may do: load what is ours, and talk to us."""
    return "; ".join(
        [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data:",
            "font-src 'self'",
            f"connect-src 'self' {sockets}",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        ]
    )
