"""Exchanges that were recorded with the official proxy: how they are sent here, and how answers are compared.

A scenario is a JSON file in ``replay/``: the topics it needs, the requests that prepare it, and its exchanges in order.
Texts hold placeholders. ``<origin>``, ``<cluster>``, ``<run>`` (the prefix of all names), ``<schema-1>`` and
``<member>`` stand for values of this run; ``<a*300>`` and ``<megabyte>`` for long texts; ``<number>``, ``<time>``,
``<uuid>``, ``<name>`` and ``<text>`` match any value of that sort. In the place of a list, ``<contains>`` names
what must be among its items, ``<unordered>`` all its items in any order, and ``<each>`` what each item looks like.
"""

from __future__ import annotations

import gzip
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

FOLDER: Final = Path(__file__).parent / "replay"
ABSENT: Final = "<absent>"

_HEADERS: Final = {"type": "content-type", "location": "location", "allow": "allow"}
_MEGABYTE: Final = "a" * 1_100_000
_PATTERNS: Final = {
    "time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z",
    "uuid": r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "name": r"[^/=]+",
    "text": r"(?s:.+)",
    "number": r"\d+",
    "member": r"[\w.-]+",
}
_TOKEN = re.compile(r"<([a-z]+(?:-\d+)?)>")
_LONG = re.compile(r"<a\*(\d+)>")

Differences = dict[str, Any]
"""What stands in the answer instead of what was expected, by place: ``status``, ``body.error_code``."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """``topics`` are names with their numbers of partitions."""

    topics: dict[str, int]
    setup: list[dict[str, Any]]
    exchanges: list[dict[str, Any]]

    @classmethod
    def load(cls, name: str) -> Scenario:
        """The scenario in a file."""
        return cls(**json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")))


@dataclass(slots=True)
class Run:
    """The values that placeholders have in one run."""

    values: dict[str, str]
    bound: dict[str, object] = field(default_factory=dict)

    def filled(self, text: str) -> str:
        """A text to send, with values for its placeholders."""
        for name, value in self.values.items():
            text = text.replace(f"<{name}>", value)
        text = _LONG.sub(lambda found: "a" * int(found[1]), text.replace("<megabyte>", _MEGABYTE))
        # What was never bound belongs to an operation that is not served yet.
        return _TOKEN.sub(lambda found: str(self.bound.get(found[1], 1)), text)

    def blanked(self, text: str) -> str:
        """Replace the values of this run in a received text with placeholders."""
        for name, value in self.values.items():
            text = text.replace(value, f"<{name}>")
        return text

    async def send(self, client: httpx.AsyncClient, request: dict[str, Any]) -> httpx.Response:
        """Send a request as it was recorded, with only its headers and its path unchanged."""
        path = self.filled(request["path"])
        headers = {"accept": "*/*"} | {name: self.filled(value) for name, value in request.get("headers", {}).items()}
        content = self.filled(request["body"]).encode() if "body" in request else None
        if content is not None and request.get("gzip"):
            content = gzip.compress(content)
        return await client.request(
            request["method"],
            path.split("?")[0],
            headers=headers,
            content=content,
            extensions={"target": path.encode()},
        )

    def differences(self, expected: dict[str, Any], response: httpx.Response) -> Differences:
        """Return the places in which a response differs from the expected one."""
        found: Differences = {}
        self._match("status", expected["status"], response.status_code, found)
        for name, header in _HEADERS.items():
            value = self.blanked(response.headers.get(header, ABSENT))
            if name in expected or (name == "type" and response.content):
                self._match(name, expected.get(name, ABSENT), value, found)
        text = self.blanked(response.text)
        if "body" in expected or "answers" in expected:
            documents = _documents(text)
            name = "body" if "body" in expected else "answers"
            body = documents if name == "answers" or len(documents) != 1 else documents[0]
            self._match(name, expected[name], body, found)
        else:
            self._match("text", expected.get("text", ""), text, found)
        return found

    def same(self, listed: Differences, found: Differences) -> bool:
        """Whether exactly the listed differences were found."""
        again: Differences = {}
        self._match("", listed, found, again)
        return not again

    def _match(self, place: str, expected: Any, found: Any, into: Differences) -> None:
        if isinstance(expected, dict):
            self._match_object(place, expected, found, into)
        elif isinstance(expected, list):
            if not isinstance(found, list) or len(found) != len(expected):
                into[place] = found
                return
            for index, (item, other) in enumerate(zip(expected, found, strict=True)):
                self._match(f"{place}[{index}]", item, other, into)
        elif isinstance(expected, str) and "<" in expected:
            if not self._matches_text(expected, found):
                into[place] = found
        elif type(expected) is not type(found) or expected != found:
            into[place] = found

    def _match_object(self, place: str, expected: dict[str, Any], found: Any, into: Differences) -> None:
        if matcher := next((name for name in ("<contains>", "<unordered>", "<each>") if name in expected), None):
            if not isinstance(found, list) or not self._matches_list(matcher, expected[matcher], found):
                into[place] = found
            return
        if not isinstance(found, dict):
            into[place] = found
            return
        for name, value in expected.items():
            self._match(f"{place}.{name}".lstrip("."), value, found.get(name, ABSENT), into)
        for name in found.keys() - expected.keys():
            into[f"{place}.{name}".lstrip(".")] = found[name]
        # A map of settings is in no order, and neither are the places of differences.
        ordered = place and not place.endswith("configs")
        if ordered and found.keys() == expected.keys() and list(found) != list(expected):
            into[f"{place} (order)"] = list(found)

    def _matches_list(self, matcher: str, expected: Any, found: list[Any]) -> bool:
        if matcher == "<each>":
            return bool(found) and all(self._equal(expected, item) for item in found)
        rest = list(found)
        for item in expected:
            match = next((index for index, other in enumerate(rest) if self._equal(item, other)), None)
            if match is None:
                return False
            del rest[match]
        return matcher == "<contains>" or not rest

    def _equal(self, expected: Any, found: Any) -> bool:
        differences: Differences = {}
        self._match("item", expected, found, differences)
        return not differences

    def _matches_text(self, expected: str, found: Any) -> bool:
        token = _TOKEN.fullmatch(expected)
        if token and token[1] == "number":
            return type(found) is int
        if token and token[1].startswith("schema-"):
            return type(found) is int and self.bound.setdefault(token[1], found) == found
        if not isinstance(found, str):
            return False
        pattern, names = "", []
        for index, part in enumerate(_TOKEN.split(expected)):
            if index % 2 == 0:
                pattern += re.escape(part)
            elif part in self.values or part not in _PATTERNS:
                pattern += re.escape(f"<{part}>")
            elif part in self.bound:
                pattern += re.escape(str(self.bound[part]))
            elif part == "member" and "member" not in names:
                names.append(part)
                pattern += f"(?P<{part}>{_PATTERNS[part]})"
            else:
                pattern += f"(?P={part})" if part in names else _PATTERNS[part]
        match = re.fullmatch(pattern, found)
        if match:
            self.bound.update(match.groupdict())
        return match is not None


def _documents(text: str) -> list[Any]:
    """The JSON documents of a text, one after the other; the text itself where it is something else."""
    decoder = json.JSONDecoder()
    found: list[Any] = []
    rest = text.strip()
    while rest:
        try:
            document, end = decoder.raw_decode(rest)
        except ValueError:
            return [text]
        found.append(document)
        rest = rest[end:].lstrip()
    return found
