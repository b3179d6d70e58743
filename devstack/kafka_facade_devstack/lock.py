"""Writes `kafka.lock`: resolves Kafka's runtime jars with jgo and records coordinate, size and SHA-256 of each.

Run by `scripts/lock-kafka` when a version in `ROOTS` changes; never at start.
"""

import hashlib
import sys
import tempfile
from pathlib import Path

from jgo.maven import MavenContext

# `!` keeps jgo from taking log4j's dependencyManagement for the stack's: it would put Kafka on older kafka-clients.
ROOTS = (
    "org.apache.kafka:kafka_2.13:4.3.1",
    "org.apache.logging.log4j:log4j-core:2.25.5!",
    "org.apache.logging.log4j:log4j-slf4j-impl:2.25.5!",
)
_HEADER = "# Kafka's runtime jars. Written by scripts/lock-kafka; don't edit.\n"


def render(repository: Path) -> str:
    """Resolves `ROOTS`, downloading into `repository`, and returns the text of the lock file."""
    context = MavenContext(repo_cache=repository)
    roots, others = context.resolver.resolve([context.create_dependency(root) for root in ROOTS])
    rows = []
    for dependency in [*roots, *others]:
        if dependency.scope not in (None, "compile", "runtime"):
            continue
        jar = dependency.artifact.resolve().read_bytes()
        coordinate = f"{dependency.groupId}:{dependency.artifactId}:{dependency.version}"
        rows.append(
            f'\n[[artifact]]\ncoordinate = "{coordinate}"\nsize = {len(jar)}\n'
            f'sha256 = "{hashlib.sha256(jar).hexdigest()}"\n'
        )
    return _HEADER + "".join(rows)


def main() -> None:
    """Rewrites the lock file beside this module."""
    with tempfile.TemporaryDirectory() as repository:
        text = render(Path(repository))
    target = Path(__file__).with_name("kafka.lock")
    target.write_text(text, encoding="utf-8")
    sys.stdout.write(f"{target}: {text.count('[[artifact]]')} jars\n")


if __name__ == "__main__":
    main()
