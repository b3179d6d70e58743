"""What is built to be released: the wheel, the sdist, and the command line."""

import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import version
from pathlib import Path
from shutil import copytree, ignore_patterns, which

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROTOS = {path.name for path in (ROOT / "proto/kafka_facade/v1").glob("*.proto")}
LEFT_OUT = ignore_patterns(".*", "node_modules", "__pycache__", "static", "tests", "dist")


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist of a checkout whose GraphiQL assets are built already."""
    folder = tmp_path_factory.mktemp("packages")
    checkout = folder / "checkout"
    copytree(ROOT, checkout, ignore=LEFT_OUT)
    (checkout / ".gitignore").write_text((ROOT / ".gitignore").read_text())
    (checkout / "tests").mkdir()
    static = checkout / "graphql/kafka_facade_graphql/static"
    static.mkdir()
    (static / "graphiql.js").write_text("// built")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    # Without npm nothing is built anew.
    tools = folder / "tools"
    tools.mkdir()
    for name in ("sh", "cat", "cksum", "dirname"):
        (tools / name).symlink_to(which(name) or name)
    result = subprocess.run(command, cwd=checkout, env={"PATH": str(tools)}, capture_output=True, text=True)
    assert not result.returncode, result.stderr
    return folder


def test_the_wheel_has_the_page_and_the_protos(packages: Path) -> None:
    [wheel] = packages.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "kafka_facade_graphql/static/graphiql.js" in names
    assert PROTOS
    assert {f"kafka_facade/v1/{name}" for name in PROTOS} <= names
    assert not [name for name in names if "node_modules" in name or name.startswith(("tests/", "scripts/"))]


def test_the_sdist_has_all_that_the_wheel_is_built_from(packages: Path) -> None:
    [sdist] = packages.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {f"proto/kafka_facade/v1/{name}" for name in PROTOS} <= names
    assert {
        "graphql/kafka_facade_graphql/static/graphiql.js",
        "graphql/kafka_facade_graphql/graphiql/package-lock.json",
        "scripts/graphiql",
        "hatch_build.py",
    } <= names


def _run(*arguments: str) -> str:
    command = [sys.executable, "-m", "kafka_facade", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def test_the_command_says_its_version_and_where_the_protos_are() -> None:
    assert _run("--version").split()[-1] == version("kafka-facade")
    folder = Path(_run("protos").strip())
    assert (folder / "kafka_facade/v1/record.proto").is_file()


def test_a_first_run_without_a_package_index_shows_what_pip_says(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    for name in ("scripts/setup", "pyproject.toml", "hatch_build.py"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    environment = {
        "PATH": "/usr/bin:/bin",
        "PYTHON": sys.executable,
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_NO_CACHE_DIR": "1",
        "PIP_RETRIES": "0",
    }
    command = ["bash", str(tmp_path / "scripts/setup"), "devstack"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 1
    assert "No matching distribution found for hatchling" in result.stderr
    assert "package index" in result.stderr
    assert not (tmp_path / ".venv/.installed-devstack").exists()
