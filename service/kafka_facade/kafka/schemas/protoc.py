"""Protobuf schemas to descriptors, by grpcio-tools' protoc in a process of its own: what a schema makes of it can't
hurt this one, and it ends in time."""

from __future__ import annotations

import asyncio
import binascii
import re
import shutil
import sys
import tempfile
from base64 import b64decode
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Final

import google.type
from confluent_kafka.schema_registry.confluent import meta_pb2
from confluent_kafka.schema_registry.confluent.type import decimal_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.message import DecodeError

from kafka_facade.kafka.schemas.json_schema import NamedText

_SECONDS: Final = 5.0
_MAX_MESSAGE: Final = 500
_BASE64: Final = re.compile(r"[A-Za-z0-9+/\s]+={0,2}\s*\Z")
_PATH: Final = re.compile(r"(?:(?!\.\.?(?:/|\Z))[^/\\:\0\n]+/)*(?!\.\.?\Z)[^/\\:\0\n]+\Z")
_LOG: Final = re.compile(r"[IWEF][0-9]{4} ")
_RUN: Final = (
    "import resource, sys; from grpc_tools import protoc; "
    "resource.setrlimit(resource.RLIMIT_CPU, (5, 5)); "
    "resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30)); "
    "sys.exit(protoc.main(sys.argv))"
)
# What schemas may import without a reference, besides Google's own types: Confluent's.
_BUILT_IN: Final = tuple(
    FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb) for module in (meta_pb2, decimal_pb2)
)


async def compile_files(text: str, references: Sequence[NamedText]) -> list[FileDescriptorProto]:
    """The files of a schema, each after those that it imports; the last is the schema itself. ValueError for none."""
    name = "default.proto"
    while any(source.name == name for source in references):
        name = f"_{name}"
    texts: dict[str, str] = {}
    ready = {file.name: file for file in _BUILT_IN}
    for path, content in [*((source.name, source.text) for source in references), (name, text)]:
        if not _PATH.match(path) or len(path) > 200:
            raise ValueError(f"a schema can't be imported as {path[:200]}")
        if path.startswith("google/protobuf/"):
            continue
        if (file := _serialized(content)) is not None:
            file.name = path
            ready[path] = file
        else:
            texts[path] = content
    if texts or name in ready:
        wanted = [*texts, *([name] if name in ready else [])]
        found = await _protoc(texts, ready, wanted)
    return _needed(found, name)


def _serialized(content: str) -> FileDescriptorProto | None:
    """The file, if it comes as a serialized descriptor in base64, as some clients register it."""
    if not _BASE64.match(content):
        return None
    try:
        return FileDescriptorProto.FromString(b64decode(content))
    except (binascii.Error, DecodeError):
        return None


def _needed(found: Mapping[str, FileDescriptorProto], name: str) -> list[FileDescriptorProto]:
    ordered: dict[str, FileDescriptorProto] = {}

    def take(path: str) -> None:
        if path not in ordered:
            for dependency in found[path].dependency:
                take(dependency)
            ordered[path] = found[path]

    take(name)
    return list(ordered.values())


async def _protoc(
    texts: Mapping[str, str], ready: Mapping[str, FileDescriptorProto], wanted: Iterable[str]
) -> dict[str, FileDescriptorProto]:
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="kafka-facade-protoc-"))
    try:
        root, out, given = folder / "schemas", folder / "out", folder / "in"
        await asyncio.to_thread(_write, root, given, texts, ready)
        arguments = [
            f"-I{root}",
            f"-I{resources.files('grpc_tools') / '_proto'}",
            f"-Igoogle/type={Path(google.type.__path__[0])}",
            f"--descriptor_set_in={given}",
            f"--descriptor_set_out={out}",
            "--include_imports",
            *wanted,
        ]
        await _run(arguments, f"{root}/")
        files = FileDescriptorSet.FromString(await asyncio.to_thread(out.read_bytes)).file
        return {file.name: file for file in files}
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def _write(root: Path, given: Path, texts: Mapping[str, str], ready: Mapping[str, FileDescriptorProto]) -> None:
    root.mkdir()
    given.write_bytes(FileDescriptorSet(file=ready.values()).SerializeToString())
    for path, content in texts.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8")


async def _run(arguments: Sequence[str], root: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-c", _RUN, *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_SECONDS):
            _, said = await process.communicate()
    except TimeoutError:
        raise ValueError("the schema can't be compiled in time") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        lines = said.decode(errors="replace").replace(root, "").splitlines()
        errors = [line for line in lines if ".proto:" in line and "warning:" not in line]
        # The log of the compiler, unlike its errors, begins with a level and a date.
        errors = [line for line in errors if not _LOG.match(line)]
        raise ValueError("; ".join(errors)[:_MAX_MESSAGE] or "the schema can't be compiled")
