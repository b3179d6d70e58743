"""The examples in the documentation, run as they are printed, against a gateway on other ports."""

import asyncio
import json
import os
import re
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from conftest import TopicFactory
from kafka_facade.runtime.settings import load
from kafka_facade_devstack.gateway import Gateway

_ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Such a command runs until it is stopped.
_ENDLESS = "RecordService/Consume"
_SECONDS = 30

Shell = Callable[..., Coroutine[Any, Any, str]]


def _blocks(document: str, language: str) -> list[str]:
    return [block[2] for block in _BLOCK.finditer((_ROOT / document).read_text()) if block[1] == language]


def _commands(document: str) -> list[tuple[str, str]]:
    """The commands of a document's console blocks, each with the output that is printed below it."""
    found = []
    for block in _blocks(document, "console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            lines = part.splitlines(keepends=True)
            # A command continues after a backslash, and inside quotes.
            count = next(
                number
                for number in range(1, len(lines) + 1)
                if not lines[number - 1].endswith("\\\n") and "".join(lines[:number]).count("'") % 2 == 0
            )
            found.append(("".join(lines[:count]), "".join(lines[count:])))
    return found


def _documents(text: str) -> list[Any]:
    found, rest = [], text.strip()
    while rest:
        document, end = json.JSONDecoder().raw_decode(rest)
        found.append(document)
        rest = rest[end:].strip()
    return found


def _form(value: Any) -> Any:
    """Replace what differs between runs in a document."""
    if isinstance(value, dict):
        return {name: _form(entry) for name, entry in value.items() if name not in ("timestamp", "cluster_id")}
    if isinstance(value, list):
        return [_form(entry) for entry in value]
    return value


@pytest.fixture
def shell(gateway: Gateway, tmp_path: Path) -> Shell:
    """``await shell(text, lines)`` runs text in a shell with this gateway's addresses, and returns its output.

    With ``lines`` it is stopped after so many.
    """
    tool = tmp_path / "bin" / "grpcurl"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__).with_name("grpcurl.py")} "$@"\n')
    tool.chmod(0o755)
    path = f"{tool.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONUNBUFFERED": "1"}

    async def run(text: str, lines: int | None = None) -> str:
        text = text.replace("localhost:8082", gateway.rest).replace("localhost:50051", gateway.grpc)
        process = await asyncio.create_subprocess_exec(
            "bash", "-ec", text, cwd=tmp_path, env=environment, stdout=asyncio.subprocess.PIPE, start_new_session=True
        )
        assert process.stdout is not None
        async with asyncio.timeout(_SECONDS):
            if lines is None:
                output = await process.stdout.read()
                assert await process.wait() == 0, text
            else:
                output = b"".join([await process.stdout.readline() for _ in range(lines)])
                os.killpg(process.pid, 9)
                await process.wait()
        return output.decode()

    return run


async def test_the_readme_shows_what_the_gateway_answers(shell: Shell, topic: TopicFactory) -> None:
    name = await topic()
    find_cluster, produce, consume, query = [
        (command.replace("demo", name), output.replace("demo", name))
        for command, output in _commands("README.md")
        if "localhost" in command
    ]
    answered = await shell(find_cluster[0] + produce[0])
    assert _form(_documents(answered)) == _form(_documents(produce[1]))
    # Both records are stored, so one message has them.
    assert _form(_documents(await shell(consume[0], 1))) == _form(_documents(consume[1]))
    # Other tests have made topics, too: more than one page.
    [answered] = _documents(await shell(query[0].replace("topics {", "topics(first: 1000) {")))
    nodes = answered["data"]["clusters"][0]["topics"]["nodes"]
    documented = _documents(query[1])[0]["data"]["clusters"][0]["topics"]["nodes"]
    [expected] = [node for node in documented if node["topicName"] == name]
    assert expected in nodes


async def test_the_grpc_guide(shell: Shell, topic: TopicFactory) -> None:
    """Each example runs, in order, and prints what its text says."""
    name = f"{await topic()}-orders"
    protoc = next(command for command, _ in _commands("docs/grpc.md") if "protoc" in command)
    await shell(f"PROTOS=$(kafka-facade protos)\n{protoc}")
    # The gateway's own package is installed here, so the stubs must be a package that comes first.
    await shell("touch kafka_facade/__init__.py")
    create, errors, pages, produce, consume = (
        block.replace('"orders"', f'"{name}"').replace("localhost:50051", "ADDRESS")
        for block in _blocks("docs/grpc.md", "python")
    )

    async def python(*blocks: str, lines: int | None = None) -> list[str]:
        code = "\n".join(["import sys", "sys.path.insert(0, '.')", *blocks]).replace("ADDRESS", "localhost:50051")
        return (await shell(f"python -I - <<'END'\n{code}\nEND", lines)).splitlines()

    assert await python(create) == ["0"]
    stubs = create[: create.index("topics.CreateTopic")]
    assert "StatusCode.NOT_FOUND" in (await python(stubs, errors))[0]
    assert name in await python(stubs, pages)
    assert await python(stubs, produce) == [f"{number} 100 stored, 0 failed" for number in range(3)]
    lines = await python(stubs, consume, lines=301)
    assert sum('{"order":' in line or '{"item":' in line for line in lines) == 301

    for command, _ in _commands("docs/grpc.md"):
        if command.startswith("grpcurl"):
            assert (await shell(command.replace('"orders"', f'"{name}"'), 1 if _ENDLESS in command else None)).strip()


@pytest.mark.parametrize("text", _blocks("docs/security.md", "properties"))
def test_settings_are_known(text: str, tmp_path: Path) -> None:
    file = tmp_path / "kafka-rest.properties"
    file.write_text(text)
    settings, warnings = load(file, [], {})
    assert not warnings
    assert len(settings.cluster.client) == len(text.splitlines())
