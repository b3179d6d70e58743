"""Compiles Protobuf schemas to descriptors with grpcio-tools' protoc in a limited child process.

Texts and names of schemas come from callers and from the registry. They reach protoc as files only: each argument is
a constant, or a folder that the gateway chose.
"""

from __future__ import annotations

import binascii
import os
import re
import selectors
import signal
import subprocess
import time
from base64 import b64decode
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Final

import google.type
from confluent_kafka.schema_registry.confluent import meta_pb2
from confluent_kafka.schema_registry.confluent.type import decimal_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.message import DecodeError

from kafka_facade.core.errors import Unavailable
from kafka_facade.core.temporary import PROTOC, NoTemporaryDirectory, locked_directory, temporary_directory
from kafka_facade.core.worker_threads import others_wait
from kafka_facade.schemas.json_schema import NamedText
from kafka_facade.schemas.limited_process import limited_process

# Maximum CPU time of protoc (s), and while other schemas wait; and maximum time to wait for it on a busy machine.
_CPU_SECONDS: Final = 5
_CROWDED_SECONDS: Final = 1
_SECONDS: Final = 60.0
# The statuses of a process that has exceeded its CPU time.
_ENDED: Final = (-signal.SIGXCPU, -signal.SIGKILL)
_MAX_MESSAGE: Final = 500
_MAX_ERROR_BYTES: Final = 64 * 1024
_MAX_OUTPUT_BYTES: Final = 4 * 1024 * 1024
_MAX_NAME: Final = 200
# Possessive quantifiers: backtracking would take time quadratic in the white space.
_BASE64: Final = re.compile(r"[A-Za-z0-9+/\s]++={0,2}\s*+\Z")
# A relative import path. No part begins with a dot, or like an option or file argument of a command line.
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.+-]*)*\Z", re.ASCII)
_LOG: Final = re.compile(r"[IWEF][0-9]{4} ")
_TOOLS: Final = Path(str(resources.files("grpc_tools")))
_GOOGLE_TYPE: Final = Path(google.type.__path__[0])
# Confluent's types, which schemas may import without a reference, like Google's types.
_BUILT_IN: Final = tuple(
    FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb) for module in (meta_pb2, decimal_pb2)
)


def compile_files(text: str, references: Sequence[NamedText]) -> list[FileDescriptorProto]:
    """Return the files of a schema, each after those that it imports; the last is the schema itself.

    Blocks. Raises ValueError for an invalid schema, or if compiling takes more than 5 seconds of CPU time, and
    Unavailable without a temporary directory, or if it takes more than a second while other schemas wait.
    """
    name = "default.proto"
    while any(source.name == name for source in references):
        name = f"_{name}"
    texts: dict[str, str] = {}
    ready = {file.name: file for file in _BUILT_IN}
    for path, content in [*((source.name, source.text) for source in references), (name, text)]:
        if not _NAME.match(path) or len(path) > _MAX_NAME:
            raise ValueError(f"invalid name of an imported schema: {path[:_MAX_NAME]!r}")
        if path.startswith("google/protobuf/"):
            continue
        if (file := _serialized(content)) is not None:
            file.name = path
            ready[path] = file
        else:
            texts[path] = content
    try:
        return _needed(_compile(texts, ready, name), name)
    except NoTemporaryDirectory as error:
        raise Unavailable(f"compiling a Protobuf schema needs {error}") from None


def _serialized(content: str) -> FileDescriptorProto | None:
    """Return the file if the content is a Base64 descriptor, which some clients register."""
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


def _compile(
    texts: Mapping[str, str], ready: Mapping[str, FileDescriptorProto], name: str
) -> dict[str, FileDescriptorProto]:
    with locked_directory(PROTOC, temporary_directory()) as folder:
        _write(folder, texts, ready)
        _run(
            folder,
            [
                "-Ischemas",
                f"-I{_TOOLS / '_proto'}",
                f"-Igoogle/type={_GOOGLE_TYPE}",
                "--descriptor_set_in=in",
                "--descriptor_set_out=out",
                "--include_imports",
                # The file name that the gateway has chosen; this file imports the others.
                name,
            ],
        )
        with (folder / "out").open("rb") as output:
            compiled = output.read(_MAX_OUTPUT_BYTES + 1)
    if len(compiled) > _MAX_OUTPUT_BYTES:
        raise ValueError("the compiled schema is too large")
    return {file.name: file for file in FileDescriptorSet.FromString(compiled).file}


def _write(folder: Path, texts: Mapping[str, str], ready: Mapping[str, FileDescriptorProto]) -> None:
    root = folder / "schemas"
    root.mkdir()
    (folder / "in").write_bytes(FileDescriptorSet(file=ready.values()).SerializeToString())
    for path, content in texts.items():
        file = root / path
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise ValueError(f"the folder of {path!r} has the name of another schema") from None
        if file.is_dir():
            raise ValueError(f"{path!r} is also the folder of another schema")
        file.write_text(content, encoding="utf-8")


def _run(folder: Path, arguments: Sequence[str]) -> None:
    cpu_seconds = _CROWDED_SECONDS if others_wait() else _CPU_SECONDS
    with limited_process(
        "protoc_job.py",
        arguments,
        packages=_TOOLS.parent,
        cpu_seconds=cpu_seconds,
        output_bytes=_MAX_OUTPUT_BYTES,
        folder=folder,
        readable=(_TOOLS / "_proto", _GOOGLE_TYPE),
        stderr=subprocess.PIPE,
    ) as process:
        errors = _errors(process)
    if errors is None:
        raise ValueError("compiling the schema takes too long")
    if process.returncode in _ENDED and cpu_seconds < _CPU_SECONDS:
        raise Unavailable("compiling the schema takes long, and other schemas wait; retry")
    if process.returncode != 0:
        lines = errors.decode(errors="replace").replace("schemas/", "").splitlines()
        shown = [line for line in lines if ".proto:" in line and "warning:" not in line]
        # Log lines of protoc begin with a level and a date; errors do not.
        shown = [line for line in shown if not _LOG.match(line)]
        raise ValueError("; ".join(shown)[:_MAX_MESSAGE] or "the schema cannot be compiled")


def _errors(process: subprocess.Popen[bytes]) -> bytes | None:
    """Return the process's error output up to a limit; None if the process does not end in time."""
    assert process.stderr is not None
    deadline = time.monotonic() + _SECONDS
    found = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(process.stderr, selectors.EVENT_READ)
        while len(found) < _MAX_ERROR_BYTES:
            left = deadline - time.monotonic()
            if left <= 0 or not selector.select(left):
                return None
            chunk = os.read(process.stderr.fileno(), 16 * 1024)
            if not chunk:
                break
            found += chunk
        else:
            return bytes(found)
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return None
    return bytes(found)
