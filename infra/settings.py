"""What a deployment can be told through the CDK's context: `-c key=value`, or the context of cdk.json.

A preset gives the defaults: `dev` is cheap and goes without a trace, `prod` keeps what it has and tells when something
is wrong. Every key that is given is checked here, and one that nobody reads is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from infra.reading import BadContext, Reader, check_known, choice, mapping, number, own_keys, switch, text, texts

CONCURRENCY_MOST = 1000
"""Of a queue's event source (docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html)."""

RETENTIONS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653)
"""Days that CloudWatch Logs takes (PutRetentionPolicy)."""

PARTS_OF_ORIGIN = r"https?://[a-z0-9.-]+(:[0-9]{1,5})?"

_name = text(r"[a-z][a-z0-9-]{0,18}[a-z0-9]", "a name of 2 to 20 lower case letters, digits and hyphens")
_origin = text(PARTS_OF_ORIGIN, "an origin like https://console.example.com")
_domain = text(r"([a-z0-9-]+\.)+[a-z]{2,}", "a domain name in lower case")
_certificate = text(r"arn:aws[a-z-]*:acm:[a-z0-9-]+:[0-9]{12}:certificate/[\w-]+", "the ARN of a certificate of ACM")
_folder = text(r".+", "a folder")
_memory = number(128, 10_240)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One deployment. The comments say what a key is for; `READERS` what it may be."""

    # -- names
    name: str = "flowrunner"  # the first part of every stack's name
    stage: str = "dev"  # the second: several deployments live in one account
    preset: str = "dev"

    # -- code
    python: str = "3.13"
    architecture: str = "arm64"  # or x86_64
    layers: str = ""  # where the layers are; default: build/layers/py313-arm64
    build: str = "auto"  # auto: scripts/build-layers runs before each synth; never: they are there
    plugins: str = ""  # a folder whose python/ holds plugins as packages; see docs/plugins.md
    console: str = ""  # the folder of a built console; without it there is no console stack
    extras: tuple[str, ...] = ()  # mcp, postgres, wasm: what only some flows need, in a layer of its own

    # -- functions
    executor_memory: int = 512
    executor_timeout: int = 60  # of the fast queue: a step gets 5 s less
    slow_timeout: int = 900
    api_memory: int = 1024
    helper_memory: int = 512  # dead_letter, scheduler, stream, websocket
    batch_size: int = 1  # messages per invocation of an executor
    max_concurrency: int = 50  # steps at once from the fast queue
    slow_max_concurrency: int = 20
    reserved_concurrency: int = 0  # of the fast executor; 0: none is set aside
    slow_reserved_concurrency: int = 0
    slow_queue: bool = True  # off: slow steps go through the fast queue, and end after `executor_timeout`
    paused: bool = False  # the kill switch: the queues are kept, and nothing takes from them
    tracing: bool = False  # X-Ray; $5 for a million traces
    log_level: str = "INFO"
    log_retention: int = 14  # days
    environment: Mapping[str, str] = field(default_factory=dict)  # more settings of flowrunner for every function

    # -- what it may do
    signup: str = "closed"
    retention: str = ""  # how long runs that ended are kept, like 30d
    throttle_rate: int = 200  # requests a second, of all callers together
    throttle_burst: int = 400
    cors_origins: tuple[str, ...] = ()  # pages that may call the API
    egress_allow: tuple[str, ...] = ()  # private hosts that flows may reach, with a VPC

    # -- where it is
    domain: str = ""  # of the API, with its certificate in the same region
    certificate_arn: str = ""
    socket_domain: str = ""  # of the WebSocket API, under the same certificate
    public_url: str = ""  # where the API is reached, if neither its own URL nor `domain` is right
    console_url: str = ""  # where the console is reached: known after its first deployment, or its domain
    console_domain: str = ""
    console_certificate_arn: str = ""  # in us-east-1, as CloudFront wants it
    web_acl_arn: str = ""  # of WAF, for the console's distribution (scope CLOUDFRONT)
    vpc_id: str = ""  # the executors run in it
    vpc_subnets: tuple[str, ...] = ()  # private ones with a way out, and to DynamoDB, SQS, S3 and KMS
    vpc_security_groups: tuple[str, ...] = ()

    # -- data
    keep_data: bool = False  # table, bucket and key outlive their stack; the table is protected
    backup_days: int = 7  # back to which second the table, and which objects of the bucket, can be restored
    restored_table: str = ""  # a table restored from a backup, to be used instead of the stack's own
    restored_stream_arn: str = ""  # its stream's, which a restored table has only when it is switched on
    access_logs: bool = False  # of the buckets and the console's distribution
    alarms: bool = False
    alarm_email: str = ""
    dashboard: bool = True  # three of an account are free, then $3 a month each

    @property
    def prefix(self) -> str:
        return f"{self.name}-{self.stage}"

    def for_api(self) -> str:
        """The URL that the context names for the API; empty if it is API Gateway's own."""
        return self.public_url or (f"https://{self.domain}" if self.domain else "")


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "dev": {},
    "prod": {
        "keep_data": True,
        "backup_days": 35,
        "access_logs": True,
        "alarms": True,
        "log_retention": 90,
        "max_concurrency": 100,
        "reserved_concurrency": 150,
        "slow_max_concurrency": 40,
        "slow_reserved_concurrency": 50,
    },
}

READERS: Mapping[str, Reader] = {
    "name": _name,
    "stage": _name,
    "preset": choice(*PRESETS),
    "python": choice("3.11", "3.12", "3.13", "3.14"),
    "architecture": choice("arm64", "x86_64"),
    "layers": _folder,
    "build": choice("auto", "never"),
    "plugins": _folder,
    "console": _folder,
    "extras": texts(choice("mcp", "postgres", "wasm")),
    "executor_memory": _memory,
    "executor_timeout": number(15, 900),
    "slow_timeout": number(60, 900),
    "api_memory": _memory,
    "helper_memory": _memory,
    "batch_size": number(1, 10),
    "max_concurrency": number(2, CONCURRENCY_MOST),
    "slow_max_concurrency": number(2, CONCURRENCY_MOST),
    "reserved_concurrency": number(0, 100_000),
    "slow_reserved_concurrency": number(0, 100_000),
    "slow_queue": switch,
    "paused": switch,
    "tracing": switch,
    "log_level": choice("DEBUG", "INFO", "WARN", "ERROR"),
    "log_retention": lambda key, value: int(choice(*map(str, RETENTIONS))(key, value)),
    "environment": mapping(
        r"FLOWRUNNER_[A-Z_]+",
        "a setting of flowrunner, like FLOWRUNNER_QUOTAS__FLOWS",
        sealed="SECRET|PASSWORD|TOKEN|PRIVATE|CREDENTIAL",
    ),
    "signup": choice("open", "closed"),
    "retention": text(r"[0-9]{1,5}[smhdw]", "a duration like 30d"),
    "throttle_rate": number(1, 10_000),
    "throttle_burst": number(1, 5_000),
    "cors_origins": texts(_origin),
    "egress_allow": texts(text(r"[\w.*:/\[\]-]+", "a host or CIDR")),
    "domain": _domain,
    "certificate_arn": _certificate,
    "socket_domain": _domain,
    "public_url": text(PARTS_OF_ORIGIN + r"(/[\w.~$/-]*)?", "a URL like https://flows.example.com"),
    "console_url": _origin,
    "console_domain": _domain,
    "console_certificate_arn": text(
        r"arn:aws[a-z-]*:acm:us-east-1:[0-9]{12}:certificate/[\w-]+", "the ARN of a certificate in us-east-1"
    ),
    "web_acl_arn": text(
        r"arn:aws[a-z-]*:wafv2:us-east-1:[0-9]{12}:global/webacl/[\w/-]+", "the ARN of a web ACL of scope CLOUDFRONT"
    ),
    "vpc_id": text(r"vpc-([0-9a-f]{8}|[0-9a-f]{17})", "the id of a VPC"),
    "vpc_subnets": texts(text(r"subnet-([0-9a-f]{8}|[0-9a-f]{17})", "the id of a subnet")),
    "vpc_security_groups": texts(text(r"sg-([0-9a-f]{8}|[0-9a-f]{17})", "the id of a security group")),
    "keep_data": switch,
    "backup_days": number(1, 35),
    "restored_table": text(r"[A-Za-z0-9_.-]{3,255}", "the name of a table"),
    "restored_stream_arn": text(
        r"arn:aws[a-z-]*:dynamodb:[a-z0-9-]+:[0-9]{12}:table/[A-Za-z0-9_.-]+/stream/[0-9T:.-]+",
        "the ARN of a table's stream",
    ),
    "access_logs": switch,
    "alarms": switch,
    "alarm_email": text(r"[^@\s]+@[^@\s]+\.[^@\s]+", "an e-mail address"),
    "dashboard": switch,
}

assert tuple(READERS) == tuple(one.name for one in fields(Settings)), "each setting has a reader"


def read_settings(context: Mapping[str, Any]) -> Settings:
    """The settings that a context gives. Raises `BadContext`."""
    given = own_keys(context)
    check_known(given, tuple(READERS))
    read = {key: READERS[key](key, value) for key, value in given.items() if value != ""}
    settings = Settings(**{**PRESETS[read.get("preset", "dev")], **read})
    _agree(settings)
    return settings


def _agree(settings: Settings) -> None:
    """What only makes sense together."""
    for reserved, most in (
        ("reserved_concurrency", "max_concurrency"),
        ("slow_reserved_concurrency", "slow_max_concurrency"),
    ):
        # Lambda's pollers know nothing of the reserved concurrency: what they take beyond it is throttled, and reaches
        # the dead letters without having been tried (reliability.md, failure 27).
        if 0 < getattr(settings, reserved) <= getattr(settings, most):
            raise BadContext(reserved, f"must be more than {most}, which is {getattr(settings, most)}")
    for key, needs in (
        ("domain", "certificate_arn"),
        ("socket_domain", "certificate_arn"),
        ("console_domain", "console_certificate_arn"),
        ("console_domain", "console"),
        ("web_acl_arn", "console"),
        ("vpc_id", "vpc_subnets"),
        ("vpc_id", "vpc_security_groups"),
        ("vpc_subnets", "vpc_id"),
        ("vpc_security_groups", "vpc_id"),
        ("restored_table", "restored_stream_arn"),
        ("restored_stream_arn", "restored_table"),
        ("alarm_email", "alarms"),
    ):
        if getattr(settings, key) and not getattr(settings, needs):
            raise BadContext(key, f"needs {needs}, too")
    if settings.slow_timeout < settings.executor_timeout:
        raise BadContext("slow_timeout", f"must not be less than executor_timeout, {settings.executor_timeout}")
