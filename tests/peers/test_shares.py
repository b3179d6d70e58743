"""Each share of the slots is held by one worker, and none stays free."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_facade.core.instances.placement import slot_of
from kafka_facade.peers.local import LocalOwnership
from kafka_facade.peers.shares import Shares
from kafka_facade.peers.transport import UnixTransport

CLAIMS = 100


def shares(directory: Path, name: str, count: int = 3) -> Shares:
    return Shares(directory, count, UnixTransport(directory / name))


def held(worker: Shares) -> set[int]:
    return {share for share in range(worker.count) if worker.holds(share)}


def holder(directory: Path, share: int) -> str | None:
    """The name of the worker to which a symbolic link points."""
    address = shares(directory, "new").address_of(share)
    return None if address is None else Path(address).name


def test_each_worker_claims_one_share(tmp_path: Path) -> None:
    workers = [shares(tmp_path, name) for name in "abcd"]
    for worker in workers:
        worker.claim()
        worker.claim()
    assert [held(worker) for worker in workers] == [{0}, {1}, {2}, set()]


def test_a_worker_claims_one_share_and_later_free_ones(tmp_path: Path) -> None:
    first = shares(tmp_path, "a")
    first.claim()
    assert held(first) == {0}
    second = shares(tmp_path, "b")
    second.claim()
    assert held(second) == {1}
    for _ in range(CLAIMS):
        first.claim()
    assert held(first) == {0, 2}
    assert holder(tmp_path, 2) == "a"
    first.release()
    for _ in range(CLAIMS):
        second.claim()
    assert held(second) == {0, 1, 2}
    assert {holder(tmp_path, share) for share in range(3)} == {"b"}


def test_removed_files(tmp_path: Path) -> None:
    first, second = shares(tmp_path, "a", 2), shares(tmp_path, "b", 2)
    first.claim()
    second.claim()
    assert (held(first), held(second)) == ({0}, {1})
    for file in tmp_path.iterdir():
        file.unlink()
    for worker in (first, second):
        worker.claim()
        assert worker.take_lost()
    for worker in (first, second, first, second):
        worker.claim()
        assert not worker.take_lost()
        assert not held(first) & held(second)
    assert held(first) | held(second) == {0, 1}
    assert {holder(tmp_path, share) for share in (0, 1)} == {"a", "b"}


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  nothing tells of a share
        await asyncio.sleep(0.01)


async def test_a_directory_that_is_missing_for_a_while(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    directory = tmp_path / "peers"
    directory.mkdir()
    lost = 0

    def count() -> None:
        nonlocal lost
        lost += 1

    ownership = LocalOwnership(directory, 1, UnixTransport(directory / "a"))
    (directory / "a").touch()
    owning = asyncio.create_task(ownership.run(count))
    async with asyncio.timeout(30):
        await until(lambda: ownership.owns(0))
        shutil.rmtree(directory)
        await until(lambda: bool(lost))
        assert not ownership.owns(0)
        directory.mkdir()
        (directory / "a").touch()
        await until(lambda: ownership.owns(0))
    assert lost == 1
    assert len([entry for entry in caplog.records if "can't claim shares" in entry.message]) == 1
    owning.cancel()
    await asyncio.gather(owning, return_exceptions=True)


def test_files_are_touched(tmp_path: Path) -> None:
    worker = shares(tmp_path, "a", 1)
    worker.claim()
    for file in tmp_path.iterdir():
        os.utime(file, (0, 0), follow_symlinks=False)
    worker.claim()
    assert all(file.lstat().st_mtime > 0 for file in tmp_path.iterdir())


DIES = """
import sys
from collections.abc import Callable
from pathlib import Path
from kafka_facade.peers.shares import Shares
from kafka_facade.peers.transport import UnixTransport

directory = Path(sys.argv[1])
(directory / "dead").touch()
Shares(directory, 1, UnixTransport(directory / "dead")).claim()
"""


def test_the_share_of_a_dead_process_is_free(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", DIES, str(tmp_path)], check=True, timeout=30)
    assert holder(tmp_path, 0) == "dead"
    worker = shares(tmp_path, "next", 1)
    worker.claim()
    assert held(worker) == {0}
    assert holder(tmp_path, 0) == "next"
    assert not (tmp_path / "dead").exists()


@given(st.text(), st.text(), st.integers(1, 300))
def test_an_instance_has_a_slot(group: str, instance: str, count: int) -> None:
    assert 0 <= slot_of(group, instance, count) < count
    assert slot_of(group, instance, count) == slot_of(group, instance, count)


@pytest.mark.parametrize("count", [2, 3, 16])
def test_instances_are_distributed_over_slots(count: int) -> None:
    found = [slot_of("group", f"instance-{number}", count) for number in range(1000)]
    assert all(found.count(slot) > 1000 / count / 2 for slot in range(count))


def test_group_and_instance_are_not_concatenated() -> None:
    assert len({slot_of("a b", "c", 2**30), slot_of("a", "b c", 2**30)}) == 2
