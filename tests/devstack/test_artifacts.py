import hashlib
import os
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from kafka_facade_devstack import artifacts
from kafka_facade_devstack.artifacts import Artifact
from kafka_facade_devstack.errors import DevStackError

CONTENT = os.urandom(300_000)
JAR = Artifact("org.example:thing:1.0", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


class Repository:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.requests: list[str] = []
        repository = self

        class Handler(SimpleHTTPRequestHandler):
            def log_request(self, *_: object) -> None:
                repository.requests.append(self.path)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(root)))
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def put(self, artifact: Artifact, content: bytes) -> None:
        path = self.root / artifact.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    (tmp_path / "remote").mkdir()
    remote = Repository(tmp_path / "remote")
    monkeypatch.setenv(artifacts.REPOSITORY_VARIABLE, remote.url)
    monkeypatch.setenv("M2_REPO", str(tmp_path / "m2"))
    thread = threading.Thread(target=remote.server.serve_forever, daemon=True)
    thread.start()
    yield remote
    remote.server.shutdown()
    remote.server.server_close()
    thread.join()


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_artifacts_are_downloaded_once(repository: Repository, tmp_path: Path) -> None:
    repository.put(JAR, CONTENT)
    arrived: list[int] = []
    [path] = await artifacts.fetch([JAR], tmp_path / "cache", arrived.append)
    assert path.read_bytes() == CONTENT
    assert sum(arrived) == JAR.size
    assert await artifacts.fetch([JAR], tmp_path / "cache") == [path]
    assert len(repository.requests) == 1


async def test_artifacts_that_differ_from_the_lock_are_rejected(repository: Repository, tmp_path: Path) -> None:
    repository.put(JAR, CONTENT[:-1] + b"x")
    with pytest.raises(DevStackError, match=r"org\.example:thing:1\.0 .* not used"):
        await artifacts.fetch([JAR], tmp_path / "cache")
    assert files(tmp_path / "cache") == []


async def test_the_error_names_a_missing_jar(repository: Repository, tmp_path: Path) -> None:
    with pytest.raises(DevStackError, match=r"thing-1\.0\.jar answered 404"):
        await artifacts.fetch([JAR], tmp_path / "cache")
    assert files(tmp_path / "cache") == []


async def test_the_error_without_a_network_is_one_line_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(artifacts.REPOSITORY_VARIABLE, "http://127.0.0.1:1")
    monkeypatch.setenv("M2_REPO", str(tmp_path / "m2"))
    with pytest.raises(DevStackError, match="the first run needs the network") as caught:
        await artifacts.fetch([JAR], tmp_path / "cache")
    assert "\n" not in str(caught.value)


async def test_truncated_artifacts_are_downloaded_again(repository: Repository, tmp_path: Path) -> None:
    repository.put(JAR, CONTENT)
    cached = tmp_path / "cache" / JAR.path
    cached.parent.mkdir(parents=True)
    cached.write_bytes(CONTENT[:1000])
    await artifacts.fetch([JAR], tmp_path / "cache")
    assert cached.read_bytes() == CONTENT


@pytest.mark.parametrize(("content", "requests"), [(CONTENT, 0), (CONTENT[:-1] + b"x", 1)])
async def test_only_matching_artifacts_of_the_local_maven_repository_are_used(
    repository: Repository, tmp_path: Path, content: bytes, requests: int
) -> None:
    repository.put(JAR, CONTENT)
    local = tmp_path / "m2" / JAR.path
    local.parent.mkdir(parents=True)
    local.write_bytes(content)
    [path] = await artifacts.fetch([JAR], tmp_path / "cache")
    assert path.read_bytes() == CONTENT
    assert len(repository.requests) == requests


def test_the_lock_names_kafka_once_and_no_host() -> None:
    lock = artifacts.load_lock()
    coordinates = [artifact.coordinate for artifact in lock]
    assert len(set(coordinates)) == len(coordinates)
    assert "org.apache.kafka:kafka_2.13:4.3.1" in coordinates
    kafka = {each.split(":")[2] for each in coordinates if each.startswith("org.apache.kafka:")}
    assert kafka == {"4.3.1"}
    assert all(len(artifact.sha256) == 64 and artifact.size > 0 for artifact in lock)
