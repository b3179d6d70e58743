"""What the gateway does, whatever the face: a package for each family of resources, and what they all share.

A family has its resources and the requests for them (``model``), its operations, and what these ask of an engine
(``port``).

Resources are slotted, typed values, never changed once made. Their field names are those of the REST API; faces add
only their links (see :mod:`kafka_facade.core.links`). They are not frozen because a Strawberry type can inherit a plain
slotted dataclass and no frozen one. Those that are held by the hundred thousand are structs, which the garbage
collector doesn't visit: that would stop the event loop. Offsets are record counts from 0, sizes are bytes, timestamps
are milliseconds since 1970-01-01T00:00:00Z.

Requests are one type an operation, decoded by a face. ``timeout`` and ``*_ms`` are milliseconds unless a name says
otherwise; None means that the caller left it out, and of ``cluster_id`` the cluster behind the gateway.

Every method of a port raises only :class:`~kafka_facade.core.errors.FacadeError`. ``timeout`` is seconds; when it runs
out the method raises :class:`~kafka_facade.core.errors.KafkaTimeout`.
"""
