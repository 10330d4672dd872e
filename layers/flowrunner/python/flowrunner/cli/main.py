"""`flowrunner`: the commands and their options. Each command's work is imported when it is called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flowrunner import __version__
from flowrunner.cli.cloud_commands import add_cloud_commands
from flowrunner.cli.exits import reported
from flowrunner.cli.remote.commands import add_commands, refuse_local
from flowrunner.cli.remote.options import Profile

app = typer.Typer(
    name="flowrunner",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: Rich would be half of the time that `flowrunner --help` takes
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Run flows written in YAML: durable, visible step by step, cheap to keep.",
)
config = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Look at the configuration.")
app.add_typer(config, name="config")
admin = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="What needs the store itself: the first account, a lost password."
)
app.add_typer(admin, name="admin")

FlowFile = Annotated[Path, typer.Argument(help="A flow in YAML or JSON; - for standard input.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Config = Annotated[Path | None, typer.Option("--config", help="The settings file; default: ./flowrunner.yaml.")]
Store = Annotated[str | None, typer.Option("--store", help="memory:, sqlite:///FILE or postgresql://…")]
Allow = Annotated[
    list[str] | None, typer.Option("--allow", help="A private host or CIDR that flows may reach; may be repeated.")
]
Host = Annotated[str | None, typer.Option(help="The address to listen on; default: api.host.")]
Port = Annotated[int | None, typer.Option(help="The port; 0: any free one; default: api.port.")]
Secrets = Annotated[Path | None, typer.Option("--secrets-file", help="A dotenv file of secrets.")]


def _version(value: bool) -> None:
    if value:
        typer.echo(f"flowrunner {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Run flows written in YAML: durable, visible step by step, cheap to keep."""


@app.command()
@reported
def run(
    flow: Annotated[str, typer.Argument(help="A flow file, or the name of a flow on a server or in --store.")],
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", "-i", help="@file.json, a JSON text, or key=value; may be repeated."),
    ] = None,
    store: Store = None,
    json: Json = False,
    timeout: Annotated[str | None, typer.Option(help="Give up waiting after this time; the run goes on.")] = None,
    allow: Allow = None,
    secrets_file: Secrets = None,
    config_file: Config = None,
    watch: Annotated[bool, typer.Option("--watch/--no-watch", help="On a server: until the run ends.")] = True,
    profile: Profile = None,
) -> None:
    """Run a flow and watch it. A file runs here, in memory or with --store, and Ctrl-C cancels it.

    Any other name is a flow on the server that you are logged in to; Ctrl-C leaves its run running.
    """
    from flowrunner.cli.remote.running import RemoteRun, run_remote, target_of

    target = target_of(flow, store=store, profile=profile)
    if target is not None:
        refuse_local(allow=allow, secrets_file=secrets_file, config=config_file)
        raise typer.Exit(run_remote(target, RemoteRun(flow, inputs or [], json, watch, timeout)))
    from flowrunner.cli.run import RunOptions, run_flow

    options = RunOptions(flow, inputs or [], store, json, timeout, allow, secrets_file, config_file)
    raise typer.Exit(run_flow(options))


@app.command()
@reported
def validate(
    flows: Annotated[list[Path], typer.Argument(help="Flow files.")],
    json: Json = False,
    secrets_file: Secrets = None,
    strict: Annotated[bool, typer.Option(help="Warnings count as errors.")] = False,
) -> None:
    """Check flows without running them: every problem with its place, and a suggestion where there is one."""
    from flowrunner.cli.validate import validate_files

    raise typer.Exit(validate_files(flows, as_json=json, secrets_file=secrets_file, strict=strict))


@app.command("test")
@reported
def run_tests(
    cases: Annotated[list[Path], typer.Argument(help="Files of flow tests (see docs/testing-flows.md).")],
    json: Json = False,
    only: Annotated[str | None, typer.Option("--only", help="Run only cases whose name contains this.")] = None,
) -> None:
    """Run flow tests: cases with an input, mocked nodes, and what is expected."""
    from flowrunner.cli.flow_tests import test_files

    raise typer.Exit(test_files(cases, as_json=json, only=only))


@app.command()
@reported
def init(
    folder: Annotated[Path, typer.Argument(help="Where; made if it is not there.")] = Path(),
    force: Annotated[bool, typer.Option(help="Write over files that are there.")] = False,
) -> None:
    """Start a folder of flows: a first flow, a test for it, a settings file, the schema for your editor."""
    from flowrunner.cli.init import init_folder

    init_folder(folder, force=force)


@app.command("import")
@reported
def import_(
    file: Annotated[Path, typer.Argument(help="A workflow of another engine; - for standard input.")],
    format_name: Annotated[str | None, typer.Option("--format", help="flowengine; default: by its look.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write to this file.")] = None,
    force: Annotated[bool, typer.Option(help="Write over a file that is there.")] = False,
) -> None:
    """Bring a workflow of another engine along, as a flow in YAML. What cannot be expressed is refused by name."""
    from flowrunner.cli.importing import import_file

    import_file(file, format_name, output, force=force)


@app.command()
@reported
def nodes(
    node_type: Annotated[str | None, typer.Argument(metavar="[TYPE]", help="Show one type in full.")] = None,
    json: Json = False,
) -> None:
    """List the node types, or show one: what it does, its parameters, its actions, an example."""
    from flowrunner.cli.nodes import show_nodes

    show_nodes(node_type, as_json=json)


@app.command()
@reported
def schema(
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write to this file.")] = None,
) -> None:
    """Print the JSON Schema of flow documents, for editors."""
    from flowrunner.cli.nodes import show_schema

    show_schema(output)


@app.command()
@reported
def graph(
    flow: FlowFile,
    drawing: Annotated[str, typer.Option("--format", help="mermaid or dot.")] = "mermaid",
) -> None:
    """Draw a flow as text, for Mermaid or Graphviz."""
    from flowrunner.cli.graph import show_graph

    show_graph(flow, drawing)


@app.command()
@reported
def worker(
    store: Store = None,
    processes: Annotated[int | None, typer.Option(help="Worker processes; more than one on PostgreSQL only.")] = None,
    allow: Allow = None,
    secrets_file: Secrets = None,
    config_file: Config = None,
) -> None:
    """Serve the queue of a store until stopped; on SIGTERM or Ctrl-C steps in flight are let finish."""
    from flowrunner.cli.worker import run_workers

    raise typer.Exit(run_workers(store, processes, allow, secrets_file, config_file))


@app.command()
@reported
def serve(
    store: Store = None,
    host: Host = None,
    port: Port = None,
    with_worker: Annotated[bool, typer.Option("--worker/--no-worker", help="Run steps in this process, too.")] = True,
    allow: Allow = None,
    config_file: Config = None,
) -> None:
    """Serve the API on a store, with a worker; on SIGTERM or Ctrl-C what is under way is let finish."""
    from flowrunner.cli.serve import run_serve

    raise typer.Exit(run_serve(store, host, port, allow, config_file, with_worker=with_worker))


@app.command()
@reported
def dev(
    store: Store = None,
    flows: Annotated[
        Path | None, typer.Option(help="A folder of flows to load; default: flows, as init makes it, else examples.")
    ] = None,
    host: Host = None,
    port: Port = None,
    secrets_file: Secrets = None,
    config_file: Config = None,
) -> None:
    """Everything on this machine: API, worker, and the flows of a folder, with live activity."""
    from flowrunner.cli.dev import run_dev

    raise typer.Exit(run_dev(store, flows, host, port, secrets_file, config_file))


@app.command()
@reported
def answer(
    run: Annotated[str, typer.Argument(help="The run's id.")],
    step: Annotated[str, typer.Argument(help="The waiting step: its name, or its id.")],
    payload: Annotated[str, typer.Argument(help="approve, reject, or a JSON text.")],
    comment: Annotated[str | None, typer.Option(help="With approve and reject.")] = None,
    store: Store = None,
    config_file: Config = None,
) -> None:
    """Answer a step that waits for an approval or a callback."""
    from flowrunner.cli.answer import answer_step

    answer_step(run, step, payload, comment, store, config_file)


@config.command("show")
@reported
def config_show(
    json: Json = False,
    store: Store = None,
    config_file: Config = None,
) -> None:
    """Print every setting with its value and where that comes from; passwords are masked."""
    from flowrunner.cli.config import show_config

    show_config(as_json=json, store=store, config_file=config_file)


@admin.command("create-account")
@reported
def admin_create_account(
    name: Annotated[str, typer.Argument(help="The account's name.")],
    owner: Annotated[str, typer.Option(help="The user name of its owner.")],
    store: Store = None,
    config_file: Config = None,
) -> None:
    """Make an account with its owner; the password comes from a prompt or standard input."""
    from flowrunner.cli.admin import create_account

    create_account(name, owner, store, config_file)


@admin.command("reset-password")
@reported
def admin_reset_password(
    username: Annotated[str, typer.Argument(help="Whose password.")],
    store: Store = None,
    config_file: Config = None,
) -> None:
    """Set a lost password, and end the user's sessions."""
    from flowrunner.cli.admin import reset_password

    reset_password(username, store, config_file)


add_cloud_commands(app)
add_commands(app)
