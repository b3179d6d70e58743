"""The registry's operations: each checks the state, appends to the topic, and only then changes the state."""

import asyncio
from dataclasses import replace
from typing import Any

from kafka_facade_devstack.registry import errors
from kafka_facade_devstack.registry.log import Key, SchemaLog, Value
from kafka_facade_devstack.registry.model import State, Version

LEVELS = ("NONE", "BACKWARD", "BACKWARD_TRANSITIVE", "FORWARD", "FORWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE")
MODES = ("READWRITE", "READONLY")
_CREATE_SECONDS = 120.0


class Store:
    """State and topic together; one writer at a time."""

    def __init__(self, log: SchemaLog) -> None:
        self.state = State()
        self._log = log
        self._writing = asyncio.Lock()

    async def load(self) -> None:
        """Waits for Kafka, makes the topic if absent and replays it."""
        await asyncio.to_thread(self._load)

    def _load(self) -> None:
        if self._log.create(_CREATE_SECONDS):
            return
        for key, value in self._log.replay():
            self.state.apply(key, value)

    async def register(self, subject: str, document: Any) -> int:
        """Id of the schema, under the subject from now on if it was not already. Raises 42201, 42205."""
        async with self._writing:
            schema = self.state.parse(document)
            versions = self.state.subjects.get(subject, {})
            for version in versions.values():
                if version.schema == schema and not version.deleted:
                    return version.id
            self._check_writable(subject)
            id_ = self.state.ids.get(schema, self.state.highest_id + 1)
            new = Version(subject, max(versions, default=0) + 1, id_, schema)
            await self._append(*new.record())
            return id_

    def lookup(self, subject: str, document: Any, *, deleted: bool) -> Version:
        """The newest version that is the given schema. Raises 40401, 40403, 42201."""
        versions = self.state.of_subject(subject, deleted=deleted)
        schema = self.state.parse(document)
        for version in reversed(versions.values()):
            if version.schema == schema:
                return version
        raise errors.schema_not_found()

    async def delete_subject(self, subject: str, *, permanent: bool) -> list[int]:
        """Numbers of the versions deleted; `permanent` needs a soft one first. Raises 40401, 40404, 40405, 42206."""
        async with self._writing:
            self._check_writable(subject)
            known = self.state.of_subject(subject, deleted=True)
            living = {number: each for number, each in known.items() if not each.deleted}
            for version in living.values():
                if self.state.referring(version):
                    raise errors.reference_exists(subject, version.version)
            if permanent:
                if living:
                    raise errors.subject_not_soft_deleted(subject)
                for version in known.values():
                    await self._append(version.record()[0], None)
                return list(known)
            if not living:
                raise errors.subject_soft_deleted(subject)
            await self._append(
                {"keytype": "DELETE_SUBJECT", "subject": subject, "magic": 0},
                {"subject": subject, "version": max(living)},
            )
            return list(living)

    async def delete_version(self, subject: str, wanted: str, *, permanent: bool) -> int:
        """Number of the version deleted. Raises 40401, 40402, 40406, 40407, 42202, 42206."""
        async with self._writing:
            self._check_writable(subject)
            version = self.state.version(subject, wanted, deleted=True)
            if self.state.referring(version):
                raise errors.reference_exists(subject, version.version)
            if permanent and not version.deleted:
                raise errors.version_not_soft_deleted(subject, version.version)
            if not permanent and version.deleted:
                raise errors.version_soft_deleted(subject, version.version)
            key, value = replace(version, deleted=True).record()
            await self._append(key, None if permanent else value)
            return version.version

    async def set_compatibility(self, subject: str | None, level: str) -> None:
        """Stores a level, for all subjects if `subject` is None. Raises 42203."""
        if level not in LEVELS:
            raise errors.invalid_compatibility(LEVELS)
        async with self._writing:
            await self._append(_setting("CONFIG", subject), {"compatibilityLevel": level})

    async def clear_compatibility(self, subject: str | None) -> str:
        """Removes a level and returns it. Raises 40408."""
        async with self._writing:
            level = self.state.compatibility.get(subject)
            if level is None and subject is not None:
                raise errors.no_subject_config(subject)
            await self._append(_setting("CONFIG", subject), None)
            return level or LEVELS[1]

    async def set_mode(self, subject: str | None, mode: str) -> None:
        """Stores a mode, for all subjects if `subject` is None. Raises 42204."""
        if mode not in MODES:
            raise errors.invalid_mode(MODES)
        async with self._writing:
            await self._append(_setting("MODE", subject), {"mode": mode})

    async def clear_mode(self, subject: str) -> str:
        """Removes a subject's mode and returns it. Raises 40409."""
        async with self._writing:
            mode = self.state.modes.get(subject)
            if mode is None:
                raise errors.no_subject_mode(subject)
            await self._append(_setting("MODE", subject), None)
            return mode

    def _check_writable(self, subject: str) -> None:
        mode = self.state.modes.get(subject) or self.state.modes.get(None)
        if mode == "READONLY":
            raise errors.read_only(subject)

    async def _append(self, key: Key, value: Value) -> None:
        await asyncio.to_thread(self._log.append, key, value)
        self.state.apply(key, value)


def _setting(kind: str, subject: str | None) -> Key:
    return {"keytype": kind, "subject": subject, "magic": 0}
