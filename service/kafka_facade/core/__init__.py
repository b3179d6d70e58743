"""What the gateway does, independent of REST, gRPC and GraphQL.

Each family of resources has a package: ``model`` (resources and requests), ``operations``, and ``port`` (the interface
that a Kafka client implements for it).

Resources are slotted, typed values that are not modified after creation. Their fields have the names of the REST API;
faces add only links (see :mod:`kafka_facade.core.links`). They are not frozen, because a Strawberry type cannot inherit
from a frozen dataclass. Resources that exist by the hundred thousand are structs that the garbage collector does not
track: a collection would block the event loop. Offsets count records from 0, sizes are in bytes, timestamps are in
milliseconds since 1970-01-01T00:00:00Z.

Each operation has its own request type, which a face decodes. ``*_ms`` fields are milliseconds. None means that the
caller left the field out; a ``cluster_id`` of None is the cluster behind the gateway.

Methods of ports raise only :class:`~kafka_facade.core.errors.FacadeError`. Their ``timeout`` is in seconds; when it
expires they raise :class:`~kafka_facade.core.errors.KafkaTimeout`.
"""
