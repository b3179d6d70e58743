"""The lock files match the requirements of the projects."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
OWN = {"kafka-facade", "kafka-facade-devstack"}


def _project(folder: str) -> Any:
    return tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"]


def _wanted(extra: str) -> list[Requirement]:
    service, devstack = _project("."), _project("devstack")
    texts = service["dependencies"] + devstack["dependencies"] + service["optional-dependencies"][extra]
    return [requirement for requirement in map(Requirement, texts) if requirement.name not in OWN]


@pytest.mark.parametrize("extra", ["devstack", "test"])
def test_the_lock_files_match_the_requirements(extra: str) -> None:
    text = (ROOT / f"requirements/{extra}.txt").read_text()
    locked = dict(re.findall(r"(?m)^([a-z0-9-]+)==([^ ]+)", text))
    wanted = {str(requirement): (requirement, canonicalize_name(requirement.name)) for requirement in _wanted(extra)}
    missing = [asked for asked, (_, name) in wanted.items() if name not in locked]
    assert missing == []
    assert [asked for asked, (found, name) in wanted.items() if not found.specifier.contains(locked[name])] == []


@pytest.mark.parametrize("extra", ["devstack", "test"])
def test_locks_hash_each_package_and_name_no_index(extra: str) -> None:
    text = (ROOT / f"requirements/{extra}.txt").read_text()
    assert "://" not in text
    entries = re.split(r"(?m)^(?=[a-z])", text)[1:]
    assert len(entries) > 30
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", entry) for entry in entries)
