"""`kafka-facade dev`: starts the stack, prints its endpoints, and stops it on Ctrl-C or SIGTERM."""

import asyncio
import signal
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from kafka_facade_devstack import artifacts
from kafka_facade_devstack.data import write_json
from kafka_facade_devstack.errors import DevStackError
from kafka_facade_devstack.kafka_node import SIZES, SIZES_TEXT
from kafka_facade_devstack.overview import overview
from kafka_facade_devstack.ports import PortPlan
from kafka_facade_devstack.stack import Stack

_LISTENER_KEYS = ("listeners", "grpc.listeners", "bootstrap.servers", "schema.registry.url")

_console = Console(highlight=False, soft_wrap=True)
_errors = Console(stderr=True, highlight=False, soft_wrap=True)


@click.command(short_help="Run real Kafka and the gateway here.")
@click.option("--brokers", type=int, default=1, show_default=True, help="Kafka nodes: 1, or 3 or 4 with a rack each.")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    help="Keep the data in this folder and reuse it; default: a temporary folder.",
)
@click.option(
    "--ready-file",
    type=click.Path(path_type=Path),
    help="Write the endpoints to this file as JSON when the stack is ready; removed at the end.",
)
@click.option(
    "--port-base",
    type=int,
    metavar="N",
    help="Move all ports: N REST and GraphQL, N+1 gRPC, N+2 Schema Registry, N+10.. Kafka.",
)
@click.option("-p", "--property", "properties", metavar="KEY=VALUE", multiple=True, help="A setting of the gateway.")
@click.option(
    "--gateway/--no-gateway",
    default=True,
    show_default=True,
    help="Start the gateway in addition to Kafka and the Schema Registry.",
)
def dev(
    brokers: int,
    data_dir: Path | None,
    ready_file: Path | None,
    port_base: int | None,
    properties: tuple[str, ...],
    gateway: bool,
) -> None:
    """Run a real Kafka, a Schema Registry and the gateway on this machine."""
    if brokers not in SIZES:
        raise click.BadParameter(f"{brokers}: expected {SIZES_TEXT}", param_hint="--brokers")
    settings = _parse(properties)
    try:
        ports = PortPlan() if port_base is None else PortPlan.from_base(port_base)
    except DevStackError as error:
        raise click.BadParameter(str(error), param_hint="--port-base") from error
    try:
        with _fetch_progress() as progress:
            stack = Stack(
                brokers,
                ports=ports,
                data_dir=data_dir,
                gateway=settings if gateway else None,
                say=lambda step: _console.print(f"[dim]{escape(step)} ...[/]"),
                progress=progress,
            )
            asyncio.run(_run(stack, ready_file))
    except DevStackError as error:
        _errors.print(f"[red]error:[/] {escape(str(error))}")
        raise SystemExit(1) from error


def _parse(properties: Iterable[str]) -> dict[str, str]:
    settings = {}
    for item in properties:
        key, separator, value = item.partition("=")
        if not separator or not key.strip():
            raise click.BadParameter(f"{item}: expected KEY=VALUE", param_hint="-p")
        if key.strip() in _LISTENER_KEYS:
            raise click.BadParameter(f"{key.strip()} is set by the stack; --port-base changes it", param_hint="-p")
        settings[key.strip()] = value
    return settings


async def _run(stack: Stack, ready_file: Path | None) -> None:
    stopping = asyncio.Event()

    def on_signal() -> None:
        if stopping.is_set():
            stack.kill()
        stopping.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, on_signal)
    ready = None if ready_file is None else _prepare(ready_file)
    stopped = asyncio.create_task(stopping.wait())
    start = asyncio.create_task(stack.start())
    await asyncio.wait((start, stopped), return_when=asyncio.FIRST_COMPLETED)
    if not start.done():
        _console.print("[dim]stopping ...[/]")
        start.cancel()
        await asyncio.wait((start,))
        return
    try:
        await start
    finally:
        stopped.cancel()
    await _serve(stack, ready, stopping)


async def _serve(stack: Stack, ready: Path | None, stopping: asyncio.Event) -> None:
    stopped = asyncio.create_task(stopping.wait())
    failure = asyncio.create_task(stack.failure())
    try:
        _console.print(overview(stack))
        if ready is not None:
            stack.watchdog.guard(str(ready))
            write_json(ready, stack.endpoints())
        await asyncio.wait((stopped, failure), return_when=asyncio.FIRST_COMPLETED)
        if not stopping.is_set():
            raise await failure
        _console.print("[dim]stopping ...[/]")
    finally:
        stopped.cancel()
        failed = failure.done()
        failure.cancel()
        if ready is not None:
            _remove(ready)
        await stack.stop(keep_logs=failed and not stopping.is_set())


def _prepare(ready_file: Path) -> Path:
    path = ready_file.absolute()
    try:
        path.unlink(missing_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise DevStackError(f"can't write --ready-file {path} ({error.strerror}): name another") from error
    return path


def _remove(ready: Path) -> None:
    ready.unlink(missing_ok=True)


@contextmanager
def _fetch_progress() -> Iterator[artifacts.Progress]:
    wanted = artifacts.missing(artifacts.load_lock(), artifacts.cache_dir())
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    bar = Progress(*columns, console=_console)
    total = sum(artifact.size for artifact in wanted)
    task = bar.add_task("[dim]fetching Kafka (once)[/]", total=total)

    def advance(count: int) -> None:
        bar.start()
        bar.advance(task, count)
        if bar.finished:
            bar.stop()

    try:
        yield advance
    finally:
        if bar.live.is_started:
            bar.stop()
