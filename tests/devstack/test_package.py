"""The built distributions (wheels, sdists) and the command line."""

import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from importlib.metadata import version
from pathlib import Path
from shutil import copytree, ignore_patterns, which

import pytest

pytestmark = pytest.mark.xdist_group("package")

ROOT = Path(__file__).resolve().parents[2]
GATEWAY = "kafka_facade"
DEVSTACK = "kafka_facade_devstack"
PROTOS = {path.name for path in (ROOT / "proto/kafka_facade/v1").glob("*.proto")}
LEFT_OUT = ignore_patterns(".*", "node_modules", "__pycache__", "static", "tests", "dist")


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheels and the sdists of a checkout whose GraphiQL assets are built already."""
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
    for project in (checkout, checkout / "devstack"):
        result = subprocess.run(command, cwd=project, env={"PATH": str(tools)}, capture_output=True, text=True)
        assert not result.returncode, result.stderr
    return folder


@pytest.fixture(scope="module")
def installed(packages: Path) -> dict[str, Path]:
    """Folders to import from: the unpacked wheels, by their names, and what else is installed here as `others`."""
    folders = {name: packages / "installed" / name for name in (GATEWAY, DEVSTACK, "others")}
    for name in (GATEWAY, DEVSTACK):
        zipfile.ZipFile(_wheel(packages, name)).extractall(folders[name])
    folders["others"].mkdir()
    for path in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if "kafka_facade" not in path.name and path.suffix != ".pth":
            (folders["others"] / path.name).symlink_to(path)
    return folders


def _wheel(packages: Path, name: str) -> Path:
    [wheel] = packages.glob(f"{name}-*.whl")
    return wheel


def _contents(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


def _sdist_contents(packages: Path, name: str) -> set[str]:
    [sdist] = packages.glob(f"{name}-*.tar.gz")
    with tarfile.open(sdist) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


def test_the_wheel_has_the_page_and_the_protos(packages: Path) -> None:
    names = _contents(_wheel(packages, GATEWAY))
    assert "kafka_facade_graphql/static/graphiql.js" in names
    assert PROTOS
    assert {f"kafka_facade/v1/{name}" for name in PROTOS} <= names
    assert not [name for name in names if "node_modules" in name or name.startswith(("tests/", "scripts/"))]


def test_the_sdist_has_all_that_the_wheel_is_built_from(packages: Path) -> None:
    names = _sdist_contents(packages, GATEWAY)
    assert {f"proto/kafka_facade/v1/{name}" for name in PROTOS} <= names
    assert {
        "graphql/kafka_facade_graphql/static/graphiql.js",
        "graphql/kafka_facade_graphql/graphiql/package-lock.json",
        "scripts/graphiql",
        "hatch_build.py",
    } <= names
    assert {"scripts/setup", "devstack/pyproject.toml", "devstack/kafka_facade_devstack/command.py"} <= names


def test_the_development_stack_is_a_distribution_of_its_own(packages: Path) -> None:
    assert not [name for name in _contents(_wheel(packages, GATEWAY)) if "devstack" in name]
    names = _contents(_wheel(packages, DEVSTACK))
    assert {"kafka_facade_devstack/kafka.lock", "kafka_facade_devstack/registry/__main__.py"} <= names
    assert not [name for name in names if not name.startswith("kafka_facade_devstack")]
    sdist = _sdist_contents(packages, DEVSTACK)
    assert {"pyproject.toml", "README.md", "LICENSE", "kafka_facade_devstack/kafka.lock"} <= sdist


def _run_installed(*arguments: str, folders: list[Path]) -> subprocess.CompletedProcess[str]:
    """Runs `kafka-facade` with these folders alone to import from."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))}
    command = [sys.executable, "-S", "-m", "kafka_facade", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


def test_the_command_dev_comes_with_the_development_stack(installed: dict[str, Path]) -> None:
    result = _run_installed("dev", "--help", folders=list(installed.values()))
    assert result.returncode == 0, result.stderr
    assert "--port-base" in result.stdout
    listed = _run_installed("--help", folders=list(installed.values())).stdout
    assert "Run real Kafka and the gateway here." in listed


@pytest.mark.parametrize("arguments", [(), ("--help",), ("--brokers", "3")])
def test_without_the_development_stack_dev_says_what_to_install(
    installed: dict[str, Path], arguments: tuple[str, ...]
) -> None:
    folders = [installed[GATEWAY], installed["others"]]
    result = _run_installed("dev", *arguments, folders=folders)
    assert result.returncode == 1
    assert result.stderr == "kafka-facade: dev needs the development stack: pip install 'kafka-facade[devstack]'\n"
    assert result.stdout == ""
    assert _run_installed("--help", folders=folders).returncode == 0


def test_a_command_that_cannot_be_imported_does_not_affect_others(installed: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "broken-1.dist-info").mkdir()
    (tmp_path / "broken-1.dist-info/entry_points.txt").write_text("[kafka_facade.commands]\nbroken = absent:command\n")
    folders = [tmp_path, installed[GATEWAY], installed["others"]]
    assert _run_installed("--help", folders=folders).returncode == 0
    result = _run_installed("broken", folders=folders)
    assert result.returncode == 1
    assert result.stderr == "kafka-facade: broken can't be loaded: No module named 'absent'\n"


def _run(*arguments: str) -> str:
    command = [sys.executable, "-m", "kafka_facade", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def test_the_command_prints_its_version_and_the_path_of_the_protos() -> None:
    assert _run("--version").split()[-1] == version("kafka-facade")
    folder = Path(_run("protos").strip())
    assert (folder / "kafka_facade/v1/record.proto").is_file()


def test_a_first_run_without_a_package_index_shows_what_pip_says(tmp_path: Path) -> None:
    for name in ("scripts/setup", "pyproject.toml", "devstack/pyproject.toml", "requirements/devstack.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
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
    assert "No matching distribution found for" in result.stderr
    assert "package index" in result.stderr
    assert not (tmp_path / ".venv/.installed").exists()
