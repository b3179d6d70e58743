"""The ``kafka-facade`` command."""

from __future__ import annotations

import json
import sys
from enum import Enum
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path

import click

from kafka_facade.core.balancer.steps import TASK_TYPES
from kafka_facade.core.catalogue import CATALOGUE, GRPC_PACKAGE, Operation
from kafka_facade.core.core import IMPLEMENTED

_COLUMNS = ("operation", "edition", "REST", "gRPC", "GraphQL", "implemented")
_PROVIDED = "kafka_facade.commands"
_TYPES = [kind.value for kind in TASK_TYPES]


class OutputFormat(str, Enum):
    """Output format of ``operations``."""

    JSON = "json"
    TABLE = "table"
    MARKDOWN = "markdown"


class _Commands(click.Group):
    """The commands of this module and those that other distributions register as entry points."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *entry_points(group=_PROVIDED).names, "dev"})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        for provided in entry_points(group=_PROVIDED, name=cmd_name):
            try:
                command: click.Command = provided.load()
            except ImportError as error:
                return _unavailable(cmd_name, f"can't be loaded: {error}")
            return command
        if cmd_name == "dev":
            return _unavailable("dev", "needs the development stack: pip install 'kafka-facade[devstack]'")
        return None


def _unavailable(name: str, reason: str) -> click.Command:
    @click.command(name, short_help=reason, context_settings={"ignore_unknown_options": True}, add_help_option=False)
    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    def command(arguments: tuple[str, ...]) -> None:
        click.echo(f"kafka-facade: {name} {reason}", err=True)
        raise SystemExit(1)

    return command


@click.group(cls=_Commands)
@click.version_option(package_name="kafka-facade", message="%(prog)s %(version)s")
def main() -> None:
    """One gateway in front of Apache Kafka: REST, gRPC and GraphQL."""


@main.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="A properties file with the setting names of kafka-rest.properties.",
)
@click.option(
    "-p",
    "--property",
    "properties",
    metavar="KEY=VALUE",
    multiple=True,
    help="A setting; overrides environment and file.",
)
def serve(config: Path | None, properties: tuple[str, ...]) -> None:
    """Run the gateway. Settings come from -p, then KAFKA_REST_* environment variables, then the file."""
    from kafka_facade.runtime.ending import exit_now
    from kafka_facade.runtime.serve import ListenError, serve
    from kafka_facade.runtime.settings import load
    from kafka_facade.runtime.sources import SettingsError

    try:
        settings, warnings = load(config, list(properties))
        exit_now(serve(settings, warnings))
    except (SettingsError, ListenError) as error:
        click.echo(f"kafka-facade: {error}", err=True)
        raise SystemExit(1) from None


@main.command(short_help="Print the operation catalogue.")
@click.option(
    "--format",
    type=click.Choice(OutputFormat, case_sensitive=False),
    default=OutputFormat.TABLE,
    show_default=True,
    help="Output format.",
)
def operations(format: OutputFormat) -> None:
    """Print the operation catalogue: each operation with its REST route, gRPC method and GraphQL field."""
    found = CATALOGUE.all
    match format:
        case OutputFormat.JSON:
            json.dump([_describe(operation) for operation in found], sys.stdout, indent=2)
            click.echo()
        case OutputFormat.MARKDOWN:
            click.echo(f"| {' | '.join(_COLUMNS)} |\n{'|---' * len(_COLUMNS)}|")
            for operation in found:
                click.echo(f"| {' | '.join(_cells(operation))} |")
        case OutputFormat.TABLE:
            cells = [list(_COLUMNS), *(_cells(operation) for operation in found)]
            widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
            for row in cells:
                click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@main.command(short_help="List the tasks of brokers, or follow one.")
@click.option(
    "--gateway",
    metavar="HOST:PORT",
    default="localhost:50051",
    show_default=True,
    envvar="KAFKA_FACADE_GATEWAY",
    show_envvar=True,
    help="Where a gateway serves gRPC.",
)
@click.option(
    "--cluster", metavar="ID", default="", help="The id of the Kafka cluster; default: the gateway's cluster."
)
@click.option("--type", "task_type", type=click.Choice(_TYPES), help="Only tasks of this type.")
@click.option("--follow", metavar="BROKER", type=click.IntRange(0), help="Show the task of this broker until it ends.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; with --follow an object a line.")
@click.option(
    "--timeout", type=click.FloatRange(0.1), default=10.0, show_default=True, help="How long (s) to wait for the list."
)
def tasks(gateway: str, cluster: str, task_type: str | None, follow: int | None, as_json: bool, timeout: float) -> None:
    """List the tasks that remove and add brokers, or follow one with a progress bar.

    The exit code is 1 if the task that was followed has failed, if there is none, or if no gateway can be reached.
    """
    from kafka_facade.terminal.gateway import TaskGateway
    from kafka_facade.terminal.tasks import follow_task, list_tasks

    with TaskGateway(gateway, cluster, timeout) as found:
        if follow is None:
            list_tasks(found, task_type, as_json=as_json)
        elif not follow_task(found, follow, task_type, as_json=as_json):
            raise SystemExit(1)


@main.command(short_help="Print the settings as a Markdown table.")
def settings() -> None:
    """Print the settings of the gateway as a Markdown table: key, default, description."""
    from kafka_facade.runtime.settings_reference import markdown

    click.echo(markdown(), nl=False)


@main.command(short_help="Print the include path for protoc's -I.")
def protos() -> None:
    """Print the include path for protoc's -I. Its folder kafka_facade/v1 has the protos of the gRPC services."""
    package = Path(str(files("kafka_facade")))
    # An installed package contains the protos; a checkout has them in proto/.
    found = package.parent if (package / "v1").is_dir() else package.parents[1] / "proto"
    if not (found / "kafka_facade" / "v1").is_dir():
        raise click.ClickException("the protos are not part of this installation")
    click.echo(found)


def _describe(operation: Operation) -> dict[str, object]:
    return {
        "identifier": operation.identifier,
        "edition": operation.edition,
        "rest": {"method": operation.method, "path": operation.path},
        "grpc": {"service": f"{GRPC_PACKAGE}.{operation.grpc_service}", "method": operation.grpc_method},
        "graphql": {"type": operation.graphql_type, "field": operation.graphql_field},
        "implemented": operation.identifier in IMPLEMENTED,
    }


def _cells(operation: Operation) -> list[str]:
    return [
        operation.identifier,
        operation.edition,
        f"{operation.method} {operation.path}" if operation.path else "-",
        f"{operation.grpc_service}/{operation.grpc_method}",
        f"{operation.graphql_type} {operation.graphql_field}",
        "yes" if operation.identifier in IMPLEMENTED else "no",
    ]
