"""How pytest-xdist distributes the tests over its workers, each of which has its own development stack.

Each test goes to the next free worker, unless it shares something expensive with others: another Kafka, or fixtures of
its module (`xdist_group`). Such tests stay together. Tests that need an idle machine are marked `serial`.
"""

import pytest

_LONGEST_NAME = 120
_SHARED = ("_three_brokers", "_four_brokers", "strict_stack")


def pytest_configure(config: pytest.Config) -> None:
    """Have plain names in the process that reports."""
    if config.getoption("dist", "no") == "loadgroup" and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_PlainNames())


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a shared Kafka together: it would start once for each worker."""
    for item in items:
        for name in _SHARED:
            if isinstance(item, pytest.Function) and name in item.fixturenames:
                item.add_marker(pytest.mark.xdist_group(name))


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name long values by their argument: workers exchange the names, which must be the same in each."""
    return argname if isinstance(val, str | bytes) and len(val) > _LONGEST_NAME else None


class _PlainNames:
    """Takes the group, which pytest-xdist appends, from the names of tests: reports then name what pytest can run."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name, at, group = report.nodeid.rpartition("@")
        if at and "]" not in group:
            report.nodeid = name
