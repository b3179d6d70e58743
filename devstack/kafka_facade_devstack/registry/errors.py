"""The registry's errors, each with the code that Confluent's registry gives it; the HTTP status is its first digits."""


class RegistryError(Exception):
    """An answer other than success: `code` is an HTTP status of three digits, alone or followed by two more."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code

    @property
    def status(self) -> int:
        """The HTTP status."""
        return int(str(self.code)[:3])


def subject_not_found(subject: str) -> RegistryError:
    """40401."""
    return RegistryError(40401, f"Subject '{subject}' not found.")


def version_not_found(version: object) -> RegistryError:
    """40402."""
    return RegistryError(40402, f"Version {version} not found.")


def schema_not_found(id_: int | None = None) -> RegistryError:
    """40403."""
    return RegistryError(40403, "Schema not found" if id_ is None else f"Schema {id_} not found")


def subject_soft_deleted(subject: str) -> RegistryError:
    """40404."""
    return RegistryError(40404, f"Subject '{subject}' was soft deleted. Set permanent=true to delete permanently")


def subject_not_soft_deleted(subject: str) -> RegistryError:
    """40405."""
    return RegistryError(40405, f"Subject '{subject}' was not deleted first before being permanently deleted")


def version_soft_deleted(subject: str, version: int) -> RegistryError:
    """40406."""
    return RegistryError(
        40406, f"Subject '{subject}' Version {version} was soft deleted. Set permanent=true to delete permanently"
    )


def version_not_soft_deleted(subject: str, version: int) -> RegistryError:
    """40407."""
    return RegistryError(
        40407, f"Subject '{subject}' Version {version} was not deleted first before being permanently deleted"
    )


def no_subject_config(subject: str) -> RegistryError:
    """40408."""
    return RegistryError(40408, f"Subject '{subject}' does not have subject-level compatibility configured")


def no_subject_mode(subject: str) -> RegistryError:
    """40409."""
    return RegistryError(40409, f"Subject '{subject}' does not have subject-level mode configured")


def invalid_schema(detail: str) -> RegistryError:
    """42201."""
    return RegistryError(42201, f"Invalid schema: {detail}")


def invalid_version(version: str) -> RegistryError:
    """42202."""
    return RegistryError(
        42202,
        f"The specified version '{version}' is not a valid version id. "
        'Allowed values are between [1, 2^31-1] and the string "latest"',
    )


def invalid_compatibility(known: tuple[str, ...]) -> RegistryError:
    """42203."""
    return RegistryError(42203, f"Invalid compatibility level. Valid values are {', '.join(known)}")


def invalid_mode(known: tuple[str, ...]) -> RegistryError:
    """42204."""
    return RegistryError(42204, f"Invalid mode. Valid values are {', '.join(known)}")


def read_only(subject: str) -> RegistryError:
    """42205."""
    return RegistryError(42205, f"Subject {subject} is in read-only mode")


def reference_exists(subject: str, version: int) -> RegistryError:
    """42206."""
    return RegistryError(42206, f"One or more references exist to the schema {subject} version {version}.")


def store_failed(detail: str) -> RegistryError:
    """50001."""
    return RegistryError(50001, f"Error in the backend data store: {detail}")
