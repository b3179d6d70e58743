"""The registry's state, built from the records of the `_schemas` topic. Does no I/O.

Keys and values have the shape of Confluent's: a key is an object with `keytype` SCHEMA, CONFIG, MODE, DELETE_SUBJECT,
CLEAR_SUBJECT or NOOP.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from kafka_facade_devstack.registry import avro, errors

TYPES = ("AVRO", "JSON", "PROTOBUF")


@dataclass(frozen=True, slots=True)
class Reference:
    """A schema that another one imports under `name`."""

    name: str
    subject: str
    version: int


@dataclass(frozen=True, slots=True)
class Schema:
    """The content of a schema id: type, normalized text, references."""

    type: str
    text: str
    references: tuple[Reference, ...] = ()

    def document(self) -> dict[str, Any]:
        """The JSON of responses: without the type for AVRO, and without empty references."""
        found: dict[str, Any] = {} if self.type == "AVRO" else {"schemaType": self.type}
        if self.references:
            found["references"] = [
                {"name": each.name, "subject": each.subject, "version": each.version} for each in self.references
            ]
        return {**found, "schema": self.text}


@dataclass(frozen=True, slots=True)
class Version:
    """A schema under a subject."""

    subject: str
    version: int
    id: int
    schema: Schema
    deleted: bool = False

    def document(self) -> dict[str, Any]:
        """As `GET /subjects/{subject}/versions/{version}` answers it."""
        return {"subject": self.subject, "version": self.version, "id": self.id, **self.schema.document()}

    def record(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Key and value in the topic."""
        key = {"keytype": "SCHEMA", "subject": self.subject, "version": self.version, "magic": 1}
        return key, {**self.document(), "deleted": self.deleted}


@dataclass(slots=True)
class State:
    """Changed only by `apply`, in the order of the topic."""

    subjects: dict[str, dict[int, Version]] = field(default_factory=dict)
    ids: dict[Schema, int] = field(default_factory=dict)
    highest_id: int = 0
    compatibility: dict[str | None, str] = field(default_factory=dict)
    modes: dict[str | None, str] = field(default_factory=dict)

    def apply(self, key: Mapping[str, Any], value: Mapping[str, Any] | None) -> None:
        """Takes in one record; None is a tombstone. An unknown key type changes nothing."""
        subject = key.get("subject")
        match key.get("keytype"):
            case "SCHEMA":
                self._apply_schema(str(subject), int(key["version"]), value)
            case "DELETE_SUBJECT" if value is not None:
                versions = self.subjects.get(str(subject), {})
                for number, version in versions.items():
                    if number <= int(value["version"]):
                        versions[number] = replace(version, deleted=True)
            case "CONFIG":
                self.compatibility.pop(subject, None)
                if value is not None:
                    self.compatibility[subject] = str(value["compatibilityLevel"])
            case "MODE":
                self.modes.pop(subject, None)
                if value is not None:
                    self.modes[subject] = str(value["mode"])

    def _apply_schema(self, subject: str, number: int, value: Mapping[str, Any] | None) -> None:
        versions = self.subjects.setdefault(subject, {})
        if value is None:
            gone = versions.pop(number, None)
            if not versions:
                del self.subjects[subject]
            if gone is not None and not any(each.schema == gone.schema for each in self.versions()):
                self.ids.pop(gone.schema, None)
            return
        references = tuple(Reference(**each) for each in value.get("references") or ())
        schema = Schema(value.get("schemaType", "AVRO"), value["schema"], references)
        id_ = int(value["id"])
        versions[number] = Version(subject, number, id_, schema, deleted=bool(value.get("deleted")))
        self.ids.setdefault(schema, id_)
        self.highest_id = max(self.highest_id, id_)

    def versions(self) -> Iterable[Version]:
        """Every version of every subject, soft-deleted ones too."""
        return (version for versions in self.subjects.values() for version in versions.values())

    def of_subject(self, subject: str, *, deleted: bool) -> dict[int, Version]:
        """The subject's versions in ascending order. Raises 40401 if there is none."""
        versions = self.subjects.get(subject, {})
        found = {number: versions[number] for number in sorted(versions) if deleted or not versions[number].deleted}
        if not found:
            raise errors.subject_not_found(subject)
        return found

    def version(self, subject: str, wanted: str, *, deleted: bool) -> Version:
        """One version; `wanted` is a number, "latest" or "-1". Raises 40401, 40402, 42202."""
        latest = wanted in ("latest", "-1")
        if not latest and (not wanted.isdecimal() or not 1 <= int(wanted) < 2**31):
            raise errors.invalid_version(wanted)
        versions = self.of_subject(subject, deleted=deleted)
        number = max(versions) if latest else int(wanted)
        if number not in versions:
            raise errors.version_not_found(number)
        return versions[number]

    def by_id(self, id_: int) -> Schema:
        """The schema of an id. Raises 40403."""
        for schema, known in self.ids.items():
            if known == id_:
                return schema
        raise errors.schema_not_found(id_)

    def referring(self, target: Version) -> list[int]:
        """Ids of the schemas that import this version and are not deleted."""
        wanted = (target.subject, target.version)
        return sorted(
            {
                each.id
                for each in self.versions()
                if not each.deleted and any((ref.subject, ref.version) == wanted for ref in each.schema.references)
            }
        )

    def parse(self, document: Any) -> Schema:
        """The schema of a request body, in its normal form. Raises 42201, or 422 where the body has another shape."""
        if not isinstance(document, dict):
            raise errors.invalid_schema("expected an object with a schema")
        type_, text = document.get("schemaType") or "AVRO", document.get("schema")
        if not isinstance(text, str) or not text.strip():
            raise errors.invalid_schema("Empty schema")
        if type_ not in TYPES:
            raise errors.invalid_schema(f"Invalid schema type {type_}")
        try:
            references = tuple(
                Reference(str(each["name"]), str(each["subject"]), int(each["version"]))
                for each in document.get("references") or ()
            )
        except (KeyError, TypeError, ValueError) as error:
            raise errors.invalid_schema("a reference needs name, subject and version") from error
        for each in references:
            self._referenced(each)
        return Schema(type_, self._normal_form(type_, text, references), references)

    def _normal_form(self, type_: str, text: str, references: tuple[Reference, ...]) -> str:
        if type_ == "PROTOBUF":
            return text.strip() + "\n"
        try:
            schema = json.loads(text)
            if type_ == "AVRO":
                avro.check(schema, self._imported_names(references))
            elif not isinstance(schema, dict | bool):
                raise errors.invalid_schema("a JSON schema is an object or a boolean")
        except (ValueError, RecursionError) as error:
            if type_ == "AVRO" and text in avro.PRIMITIVES:
                return f'"{text}"'
            raise errors.invalid_schema(f"{error}") from error
        if type_ == "AVRO" and isinstance(schema, dict) and set(schema) == {"type"} and isinstance(schema["type"], str):
            schema = schema["type"]
        return json.dumps(schema, separators=(",", ":"), ensure_ascii=False)

    def _imported_names(self, references: Iterable[Reference]) -> set[str]:
        names: set[str] = set()
        for each in references:
            schema = self._referenced(each)
            if schema.type == "AVRO":
                own = self._imported_names(schema.references) - names
                names |= own
                avro.check(json.loads(schema.text), names)
        return names

    def _referenced(self, reference: Reference) -> Schema:
        version = self.subjects.get(reference.subject, {}).get(reference.version)
        if version is None or version.deleted:
            raise errors.invalid_schema(
                f"No schema reference found for subject '{reference.subject}' and version {reference.version}"
            )
        return version.schema
