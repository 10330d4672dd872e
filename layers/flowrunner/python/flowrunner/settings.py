"""The configuration: defaults < `flowrunner.yaml` < environment < flags, each value with its source.

Environment variables are `FLOWRUNNER_` and the path in upper case, its parts joined by two underscores:
`FLOWRUNNER_STORE__URL`. An unknown key or a bad value stops the start with the key, its source and what is allowed.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from flowrunner.core.addresses import parse_address, parse_origin
from flowrunner.core.durations import parse_duration
from flowrunner.core.sizes import parse_size
from flowrunner.errors import ConfigurationError

PREFIX = "FLOWRUNNER_"
FILE = "flowrunner.yaml"
NOT_SETTINGS = (
    "FLOWRUNNER_SHARED",
    "FLOWRUNNER_SECRET_",
    "FLOWRUNNER_SERVER",
    "FLOWRUNNER_TOKEN",
    "FLOWRUNNER_PROFILE",
    "FLOWRUNNER_INSECURE_HTTP",
)
"""Variables of that prefix with another purpose: where the tests find their data, secrets by name, and the server that
the command line talks to (`cli.remote.profiles`)."""

FLAGS = {"store.url": "store", "egress.allow": "allow", "secrets.file": "secrets-file"}
"""Flags that are not called as the last part of their setting."""

LISTS = ("egress.allow", "api.cors_origins", "api.trusted_proxies")
"""Settings that are lists; in the environment their entries are separated by commas."""


Size = Annotated[int, BeforeValidator(parse_size)]
"""Written like `64MiB` or `100KiB`, or in bytes."""

Duration = Annotated[int, BeforeValidator(parse_duration)]
"""Written like `30s` or `5m`, or as seconds; kept in milliseconds."""

Origin = Annotated[str, AfterValidator(parse_origin)]
"""A web page's origin."""


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class StoreSettings(Section):
    url: str = Field(
        "sqlite:///.flowrunner/flowrunner.db",
        pattern=r"^(memory:|sqlite:///.+|postgres(ql)?://.+|dynamodb://[A-Za-z0-9_.-]+\?.+)$",
        description="memory:, sqlite:///path/to/file, postgresql://user@host/database or dynamodb://table?bucket=name",
    )
    synchronous: Literal["full", "normal"] = Field(
        "full", description="SQLite: full survives a power cut, normal only the death of the process"
    )
    pool_size: int = Field(4, ge=1, le=100, description="PostgreSQL: connections per process")
    retention: Duration | None = Field(None, description="Runs that ended longer ago are removed; none: kept for ever")


class WorkerSection(Section):
    processes: int = Field(1, ge=1, le=256, description="Worker processes (PostgreSQL only beyond 1)")
    threads: int = Field(32, ge=1, le=1000, description="Nodes that block, run at once per process")
    in_flight: int = Field(256, ge=1, le=10_000, description="Messages held at once per process")
    lease: Duration = Field(30_000, ge=1_000, description="How long the work of a dead worker stays hidden")
    step_timeout: Duration = Field(3_600_000, description="For nodes that have no timeout of their own")
    grace: Duration = Field(30_000, description="Time for steps in flight when the worker is stopped")
    pause: Duration = Field(
        5_000,
        ge=1,
        description="On AWS: a message that met trouble comes again after that, then 4, 12 and 36 times as long; a "
        "dead letter 12, then 180 times as long",
    )
    lane: Literal["all", "fast", "slow"] = Field(
        "all", description="On AWS: the queue that an executor serves; fast hands slow steps on to the other one"
    )


class SandboxSettings(Section):
    processes: int = Field(2, ge=1, le=64, description="Warm JavaScript processes kept")
    cpu: Duration = Field(1_000, description="CPU time of one hook or expression")
    wall: Duration = Field(2_500, description="Wall-clock time, after which the process is killed")
    memory: Size = Field(64 * 1024 * 1024, description="JavaScript heap")
    output: Size = Field(256 * 1024, description="JSON text that a hook or expression may give")


class ValueSettings(Section):
    inline: Size = Field(100 * 1024, description="Larger values are kept as blobs")
    largest: Size = Field(32 * 1024 * 1024, description="The limit on one value")


class EgressSettings(Section):
    allow: list[str] = Field(
        default_factory=list,
        description="Hosts (*.example.com), addresses or CIDRs, with :port if wanted, that flows may reach although "
        "they are private",
    )
    programs: bool = Field(False, description="Whether steps may start programs here (MCP servers with `command`)")


class SecretSettings(Section):
    file: str | None = Field(None, description="A dotenv file of secrets, beside FLOWRUNNER_SECRET_<KEY>")


class ApiSettings(Section):
    host: str = Field("127.0.0.1", description="Address that `serve` and `dev` listen on")
    port: int = Field(8080, ge=0, le=65_535, description="Port that `serve` and `dev` listen on; 0: any free one")
    trusted_proxies: list[str] = Field(
        default_factory=list, description="Addresses of proxies whose X-Forwarded-For and -Proto headers are believed"
    )
    max_body: Size = Field(4 * 1024 * 1024, description="Bytes of a request body")
    body_timeout: Duration = Field(30_000, description="Time for a request body to arrive")
    requests_per_account: int = Field(6_000, ge=0, description="Requests a minute of one account; 0: no limit")
    requests_per_address: int = Field(3_000, ge=0, description="Requests a minute from one address; 0: no limit")
    max_wait: Duration = Field(60_000, description="The longest `?wait=` for a run's end")
    cors_origins: list[Origin] = Field(
        default_factory=list,
        description="Origins of other web pages that may call the API, exactly as browsers send them",
    )


class LiveSettings(Section):
    readers: int = Field(5_000, ge=1, description="Live event streams and WebSocket subscriptions per process")
    readers_per_account: int = Field(2_000, ge=1, description="The same of one account in one process")
    heartbeat: Duration = Field(15_000, ge=1_000, description="A silent event stream gets a comment so often")
    delivery: Literal["stream", "poll"] = Field(
        "stream", description="poll: a stream of events is answered in pieces, where a server cannot stream (Lambda)"
    )
    wait: Duration = Field(20_000, ge=0, le=25_000, description="poll: how long a request for events waits for one")
    public_socket_url: str | None = Field(
        None, pattern=r"^wss?://.+$", description="Where clients open WebSockets, if not at /v1/ws of the API"
    )
    socket_url: str | None = Field(
        None, pattern=r"^https?://.+$", description="AWS: where messages to WebSocket connections are sent"
    )


class PluginSettings(Section):
    folder: str | None = Field(
        None,
        description="A folder of plugins, looked at again while the process runs; whoever may write there runs code",
    )


class McpSettings(Section):
    wait: Duration = Field(
        45_000, ge=0, description="How long a call of a flow as a tool waits for its run's end, at most api.max_wait"
    )


class UsageSettings(Section):
    by: Literal["process", "stream"] = Field(
        "process", description="stream: usage is counted from the table's stream, as on AWS, and not by each process"
    )


class AccountSettings(Section):
    signup: Literal["open", "closed"] = Field(
        "closed", description="open: anybody who reaches the server may make an account; closed: only the command line"
    )
    session_idle: Duration = Field(
        12 * 3_600_000, ge=60_000, description="A session of the console ends when it was idle for so long"
    )
    session_age: Duration = Field(7 * 86_400_000, ge=60_000, description="... and at this age at the latest")


class QuotaSettings(Section):
    """What one account may use; 0 is no limit."""

    runs_per_minute: int = Field(1_000, ge=0, description="Runs that an account may start in a minute; 0: no limit")
    steps_per_day: int = Field(
        1_000_000, ge=0, description="Steps of an account in a day (UTC), after which no run is started; 0: no limit"
    )
    concurrent_runs: int = Field(1_000, ge=0, description="Live runs of an account; 0: no limit")
    flows: int = Field(1_000, ge=0, description="Flows of an account; 0: no limit")
    schedules: int = Field(200, ge=0, description="Schedules of an account; 0: no limit")
    secrets: int = Field(500, ge=0, description="Secrets of an account; 0: no limit")
    webhooks: int = Field(100, ge=0, description="Outbound webhooks of an account; 0: no limit")
    tokens: int = Field(200, ge=0, description="Tokens of an account; 0: no limit")
    users: int = Field(100, ge=0, description="Users of an account; 0: no limit")


class WebhookSettings(Section):
    threads: int = Field(16, ge=1, le=256, description="Outbound webhooks: sent at once per process")
    per_second: int = Field(
        10, ge=1, le=1000, description="Outbound webhooks: sent by an account to a host in a second per process"
    )
    in_flight: int = Field(4, ge=1, le=64, description="Outbound webhooks: sent to one endpoint at once per process")
    keep: Duration = Field(7 * 86_400_000, ge=2 * 86_400_000, description="How long deliveries are shown, at least 2d")


class HookSettings(Section):
    max_body: Size = Field(1024 * 1024, description="Bytes of a request to an inbound webhook")
    max_wait: Duration = Field(25_000, description="How long a hook with `respond: sync` waits for its run's end")
    per_minute: int = Field(600, ge=0, description="Requests a minute to one hook from one address; 0: no limit")


class VaultSettings(Section):
    key_file: str = Field(
        ".flowrunner/keys.json",
        description="The keys that encrypt secrets, one file for all processes; made at the first start. Back it up",
    )
    kms_key: str = Field(
        "", description="A key of AWS KMS (ARN, id or alias) that encrypts secrets in the place of key_file"
    )
    min_key_age: Duration = Field(
        86_400_000, ge=0, description="A rotation adds no new key while the present one is younger"
    )


class LogSettings(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


class MetricsSettings(Section):
    enabled: bool = Field(False, description="Serve GET /metrics for Prometheus; to all who reach it, so mind who can")
    host: str = Field("127.0.0.1", description="Where `flowrunner worker` serves its metrics")
    port: int = Field(
        9464, ge=1, le=65_535, description="... and on which port; further processes of one command take the next ones"
    )


class TelemetrySettings(Section):
    otlp_endpoint: str | None = Field(
        None,
        pattern=r"^https?://.+$",
        description="An OpenTelemetry collector that takes OTLP over HTTP, http://localhost:4318; none: no traces",
    )
    service_name: str = Field("flowrunner", min_length=1, description="What traces call this service")
    xray: bool = Field(False, description="On AWS: the functions send traces of their invocations to X-Ray")


class Settings(Section):
    """All settings of a process."""

    store: StoreSettings = StoreSettings()
    worker: WorkerSection = WorkerSection()
    sandbox: SandboxSettings = SandboxSettings()
    values: ValueSettings = ValueSettings()
    egress: EgressSettings = EgressSettings()
    secrets: SecretSettings = SecretSettings()
    vault: VaultSettings = VaultSettings()
    api: ApiSettings = ApiSettings()
    live: LiveSettings = LiveSettings()
    mcp: McpSettings = McpSettings()
    plugins: PluginSettings = PluginSettings()
    accounts: AccountSettings = AccountSettings()
    quotas: QuotaSettings = QuotaSettings()
    usage: UsageSettings = UsageSettings()
    webhooks: WebhookSettings = WebhookSettings()
    hooks: HookSettings = HookSettings()
    log: LogSettings = LogSettings()
    metrics: MetricsSettings = MetricsSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    public_url: Annotated[str, AfterValidator(parse_address)] | None = Field(
        None, description="Where this server is reached, like https://flows.example.com, for links to callbacks"
    )


class Loaded(BaseModel):
    """Settings with where each value that is no default came from."""

    settings: Settings
    sources: dict[str, str]


def load_settings(
    environ: Mapping[str, str], flags: Mapping[str, Any] | None = None, file: Path | None = None
) -> Loaded:
    """Read all sources.

    Arguments: `environ`, the environment; `flags`, values by dotted key, None for one that was not given; `file`, the
    file to read, or None for `flowrunner.yaml` in the current folder, if there is one.
    Raises `ConfigurationError` naming each bad key with its source.
    """
    merged: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for source, values in _sources(environ, flags or {}, file):
        for key, value in values.items():
            _check_key(key, source)
            _put(merged, key, value)
            sources[key] = source
    try:
        settings = Settings.model_validate(merged)
    except ValidationError as error:
        raise ConfigurationError("\n".join(_explain(error, sources))) from error
    return Loaded(settings=settings, sources=sources)


def keys() -> dict[str, str]:
    """Every key with what it means."""
    return dict(_walk(Settings, ""))


def masked(url: str) -> str:
    """A URL without its password."""
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", url)


def _sources(
    environ: Mapping[str, str], flags: Mapping[str, Any], file: Path | None
) -> Iterator[tuple[str, dict[str, Any]]]:
    path = file or Path(FILE)
    if file is not None or path.is_file():
        yield str(path), _read_file(path)
    for name, text in sorted(environ.items()):
        if name.startswith(PREFIX) and not name.startswith(NOT_SETTINGS):
            key = name.removeprefix(PREFIX).lower().replace("__", ".")
            value = [part.strip() for part in text.split(",") if part.strip()] if key in LISTS else text
            yield f"environment variable {name}", {key: value}
    for key, value in flags.items():
        if value is not None:
            yield f"flag --{FLAGS.get(key, key.rpartition('.')[2])}", {key: value}


def _read_file(path: Path) -> dict[str, Any]:
    import yaml

    try:
        document = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: is not valid YAML: {error}") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigurationError(f"{path}: must be a mapping of settings")
    return dict(_flatten(document, ""))


def _flatten(document: Mapping[Any, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in document.items():
        path = f"{prefix}{key}"
        if isinstance(value, dict) and path in _sections():
            yield from _flatten(value, f"{path}.")
        else:
            yield path, value


def _sections() -> set[str]:
    return {name for name, field in Settings.model_fields.items() if _is_section(field.annotation)}


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Section)


def _walk(model: type[Section], prefix: str) -> Iterator[tuple[str, str]]:
    for name, field in model.model_fields.items():
        if _is_section(field.annotation):
            yield from _walk(field.annotation, f"{prefix}{name}.")  # type: ignore[arg-type]  # checked above
        else:
            choices = get_args(field.annotation) if "Literal" in str(field.annotation) else ()
            yield f"{prefix}{name}", field.description or " or ".join(map(str, choices))


def _check_key(key: str, source: str) -> None:
    known = keys()
    if key in known:
        return
    near = difflib.get_close_matches(key, [*known, *_sections()], n=1)
    hint = f"did you mean {near[0]!r}?" if near else "flowrunner config show lists all that there are"
    raise ConfigurationError(f"{source}: there is no setting {key!r}; {hint}")


def _put(target: dict[str, Any], key: str, value: Any) -> None:
    *path, last = key.split(".")
    for part in path:
        target = target.setdefault(part, {})
    target[last] = value


def _explain(error: ValidationError, sources: Mapping[str, str]) -> Iterator[str]:
    meanings = keys()
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"][:2])
        meaning = f" ({meanings[key]})" if meanings.get(key) else ""
        said = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "string_pattern_mismatch":
            said = "is not one that can be used"
        yield f"{sources.get(key, 'default')}: {key}: {said}{meaning}"
