"""A message that quotes a caller cannot add lines to the log, nor control the terminal that shows it."""

import subprocess
import sys

LOGGING = """
import logging
from kafka_facade.core.state.view import StateView
from kafka_facade.runtime.log import configure_logging

configure_logging("info", ["first-canary\\nsecond-canary"])
StateView([]).apply(b"x/\\n2030-01-01 INFO root: forged", b"{", 5)
logger = logging.getLogger("kafka_facade.test")
for number in [*range(0x100), 0x61c, *range(0x2000, 0x2070)]:
    logger.info("character <%s>", chr(number))
logger.info("%s", "first-canary\\nsecond-canary")
try:
    raise ValueError("\\x1b[31m")
except ValueError:
    logger.exception("failed\\nbadly")
"""


def _lines() -> list[str]:
    process = subprocess.run([sys.executable, "-c", LOGGING], capture_output=True, timeout=60, check=True)
    return process.stderr.decode().split("\n")


def test_each_record_is_one_line_of_printable_characters() -> None:
    lines = _lines()
    assert r"(key x/\n2030-01-01 INFO root: forged)" in lines[0]
    shown = [line.partition("<")[2].removesuffix(">") for line in lines if "character <" in line]
    assert len(shown) == 0x100 + 1 + 0x70
    assert shown[ord("\n")] == r"\n"
    assert shown[0x1B] == r"\x1b"
    assert shown[0x85] == r"\x85"
    assert shown[ord("é")] == "é"
    assert shown[0x100] == r"\u061c"
    assert r"\u202e" in shown
    assert not {"\t", "\r", "\x9b", "\u2028", "\u2029", "\u202e", "\u2066", "\u200f"} & set("".join(lines))


def test_a_traceback_has_lines_and_a_secret_none() -> None:
    lines = _lines()
    start = lines.index("Traceback (most recent call last):")
    assert lines[start - 1].endswith(r"failed\nbadly")
    assert lines[-2:] == [r"ValueError: \x1b[31m", ""]
    assert "canary" not in "".join(lines)
