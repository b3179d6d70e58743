"""Runs protoc as the job of a limited child."""

from grpc_tools import protoc  # type: ignore[import-untyped]


def main(arguments: list[str]) -> int:
    """Run protoc with the arguments."""
    return int(protoc.main(["protoc", *arguments]))
