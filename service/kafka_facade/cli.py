"""The ``kafka-facade`` command."""

from __future__ import annotations

import json
import sys
from enum import Enum
from importlib.resources import files
from pathlib import Path

import click

from kafka_facade.core import facade as _core  # noqa: F401  # imports the core methods that implement operations
from kafka_facade.core.catalogue import EXTENSIONS, GRPC_PACKAGE, OPERATIONS, Operation

_COLUMNS = ("operation", "edition", "REST", "gRPC", "GraphQL", "implemented")


class OutputFormat(str, Enum):
    """How ``operations`` prints."""

    JSON = "json"
    TABLE = "table"
    MARKDOWN = "markdown"


@click.group()
@click.version_option(package_name="kafka-facade", message="%(prog)s %(version)s")
def main() -> None:
    """One gateway in front of Apache Kafka: REST, gRPC and GraphQL."""


@main.command()
@click.option(
    "--config", type=click.Path(path_type=Path), help="A properties file with the names of kafka-rest.properties."
)
@click.option(
    "-p", "--property", "properties", metavar="KEY=VALUE", multiple=True, help="A setting; overrides the rest."
)
def serve(config: Path | None, properties: tuple[str, ...]) -> None:
    """Run the gateway. Settings come from -p, then KAFKA_REST_* environment variables, then the file."""
    from kafka_facade.runtime.ending import exit_now
    from kafka_facade.runtime.serve import ListenError, serve
    from kafka_facade.runtime.settings import SettingsError, load

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
    help="How to print them.",
)
def operations(format: OutputFormat) -> None:
    """Print the operation catalogue: every operation and its place on each face."""
    found = OPERATIONS + EXTENSIONS
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


@main.command(short_help="Print the settings as a Markdown table.")
def settings() -> None:
    """Print the settings of the gateway as a Markdown table: key, default, meaning."""
    from kafka_facade.runtime.settings_reference import markdown

    click.echo(markdown(), nl=False)


@main.command(short_help="Print the include path for protoc's -I.")
def protos() -> None:
    """Print the include path for protoc's -I: its kafka_facade/v1 has the protos of the gRPC services."""
    package = Path(str(files("kafka_facade")))
    # An installation has them beside the package's own files, a checkout in a folder of their own.
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
        "implemented": operation.implemented,
    }


def _cells(operation: Operation) -> list[str]:
    return [
        operation.identifier,
        operation.edition,
        f"{operation.method} {operation.path}" if operation.path else "-",
        f"{operation.grpc_service}/{operation.grpc_method}",
        f"{operation.graphql_type} {operation.graphql_field}",
        "yes" if operation.implemented else "no",
    ]


try:
    from kafka_facade.devstack.command import dev
except ModuleNotFoundError as missing:
    if missing.name is None or missing.name.partition(".")[0] == "kafka_facade":
        raise
    _missing = missing.name

    @main.command(name="dev", context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
    def dev_without_extra() -> None:
        """Start real Kafka and the gateway on this machine (needs the extra "devstack")."""
        advice = "install the extra: pip install 'kafka-facade[devstack]'"
        click.echo(f"kafka-facade: {_missing} is missing; {advice}", err=True)
        raise SystemExit(1) from None

else:
    main.add_command(dev)
