"""Every error code of Kafka and of librdkafka, mapped once to an error of the core.

Broker codes are 0 and up (org.apache.kafka.common.protocol.Errors), librdkafka's own are negative. Whether a code is
retriable follows Kafka's RetriableException.
"""

from __future__ import annotations

from confluent_kafka import KafkaError as ClientError
from confluent_kafka import KafkaException

from kafka_facade.core import errors
from kafka_facade.core.errors import FacadeError

_NAMES: dict[type[FacadeError], str] = {
    errors.KafkaTimeout: "_TIMED_OUT _MSG_TIMED_OUT _TIMED_OUT_QUEUE REQUEST_TIMED_OUT",
    errors.RetriableKafkaError: """
        _TRANSPORT _RESOLVE _ALL_BROKERS_DOWN _ISR_INSUFF _NODE_UPDATE _WAIT_COORD _IN_PROGRESS _PREV_IN_PROGRESS
        _OUTDATED _WAIT_CACHE _INTR _PARTIAL _RETRY _PURGE_QUEUE _PURGE_INFLIGHT _MAX_POLL_EXCEEDED _ASSIGNMENT_LOST
        _DESTROY _DESTROY_BROKER _QUEUE_FULL _INVALID_DIFFERENT_RECORD _ASSIGN_PARTITIONS _REVOKE_PARTITIONS
        INVALID_MSG NOT_LEADER_FOR_PARTITION BROKER_NOT_AVAILABLE REPLICA_NOT_AVAILABLE NETWORK_EXCEPTION
        COORDINATOR_LOAD_IN_PROGRESS COORDINATOR_NOT_AVAILABLE NOT_COORDINATOR NOT_ENOUGH_REPLICAS
        NOT_ENOUGH_REPLICAS_AFTER_APPEND REBALANCE_IN_PROGRESS NOT_CONTROLLER CONCURRENT_TRANSACTIONS
        KAFKA_STORAGE_ERROR FETCH_SESSION_ID_NOT_FOUND INVALID_FETCH_SESSION_EPOCH LISTENER_NOT_FOUND
        FENCED_LEADER_EPOCH UNKNOWN_LEADER_EPOCH OFFSET_NOT_AVAILABLE PREFERRED_LEADER_NOT_AVAILABLE
        ELIGIBLE_LEADERS_NOT_AVAILABLE UNSTABLE_OFFSET_COMMIT UNKNOWN_TOPIC_ID INCONSISTENT_TOPIC_ID
        SHARE_SESSION_NOT_FOUND INVALID_SHARE_SESSION_EPOCH SHARE_SESSION_LIMIT_REACHED REBOOTSTRAP_REQUIRED
    """,
    errors.LeaderNotAvailable: "LEADER_NOT_AVAILABLE",
    errors.TopicNotFound: "UNKNOWN_TOPIC_OR_PART _UNKNOWN_TOPIC",
    errors.PartitionNotFound: "_UNKNOWN_PARTITION",
    errors.BrokerNotRegistered: "_UNKNOWN_BROKER",
    errors.ConsumerGroupNotFound: "GROUP_ID_NOT_FOUND _UNKNOWN_GROUP",
    errors.NotFound: """
        RESOURCE_NOT_FOUND LOG_DIR_NOT_FOUND DELEGATION_TOKEN_NOT_FOUND VOTER_NOT_FOUND UNKNOWN_SUBSCRIPTION_ID _NOENT
    """,
    errors.TopicAlreadyExists: "TOPIC_ALREADY_EXISTS",
    errors.InvalidTopicName: "TOPIC_EXCEPTION",
    errors.PayloadTooLarge: "MSG_SIZE_TOO_LARGE RECORD_LIST_TOO_LARGE TELEMETRY_TOO_LARGE",
    errors.KafkaAuthenticationFailed: """
        _AUTHENTICATION SASL_AUTHENTICATION_FAILED UNSUPPORTED_SASL_MECHANISM ILLEGAL_SASL_STATE
        DELEGATION_TOKEN_EXPIRED PRINCIPAL_DESERIALIZATION_FAILURE UNACCEPTABLE_CREDENTIAL _SSL
    """,
    errors.KafkaAuthorizationFailed: """
        TOPIC_AUTHORIZATION_FAILED GROUP_AUTHORIZATION_FAILED CLUSTER_AUTHORIZATION_FAILED
        TRANSACTIONAL_ID_AUTHORIZATION_FAILED DELEGATION_TOKEN_AUTHORIZATION_FAILED DELEGATION_TOKEN_OWNER_MISMATCH
        DELEGATION_TOKEN_REQUEST_NOT_ALLOWED
    """,
    errors.InvalidKafkaRequest: """
        INVALID_MSG_SIZE OFFSET_METADATA_TOO_LARGE INVALID_REQUIRED_ACKS INVALID_GROUP_ID INVALID_SESSION_TIMEOUT
        INVALID_COMMIT_OFFSET_SIZE INVALID_PARTITIONS INVALID_REPLICATION_FACTOR INVALID_REPLICA_ASSIGNMENT
        INVALID_CONFIG INVALID_REQUEST POLICY_VIOLATION INVALID_TRANSACTION_TIMEOUT INVALID_PRINCIPAL_TYPE
        SECURITY_DISABLED TOPIC_DELETION_DISABLED DELEGATION_TOKEN_AUTH_DISABLED UNSUPPORTED_COMPRESSION_TYPE
        INVALID_RECORD DUPLICATE_RESOURCE INVALID_UPDATE_VERSION FEATURE_UPDATE_FAILED NO_REASSIGNMENT_IN_PROGRESS
        REASSIGNMENT_IN_PROGRESS ELECTION_NOT_NEEDED INVALID_REGULAR_EXPRESSION STREAMS_INVALID_TOPOLOGY
        DUPLICATE_VOTER INVALID_VOTER_KEY INVALID_REGISTRATION UNSUPPORTED_ASSIGNOR UNSUPPORTED_FOR_MESSAGE_FORMAT
        _INVALID_ARG _INVALID_TYPE INVALID_TIMESTAMP
    """,
    errors.UnsupportedVersion: """
        UNSUPPORTED_VERSION UNSUPPORTED_ENDPOINT_TYPE MISMATCHED_ENDPOINT_TYPE _UNSUPPORTED_FEATURE _NOT_IMPLEMENTED
        _UNKNOWN_PROTOCOL
    """,
    errors.TooManyRequests: "THROTTLING_QUOTA_EXCEEDED GROUP_MAX_SIZE_REACHED",
    errors.IllegalConsumerState: """
        _STATE _CONFLICT _EXISTING_SUBSCRIPTION _NO_OFFSET _AUTO_OFFSET_RESET OFFSET_OUT_OF_RANGE ILLEGAL_GENERATION
        UNKNOWN_MEMBER_ID NON_EMPTY_GROUP GROUP_SUBSCRIBED_TO_TOPIC FENCED_INSTANCE_ID MEMBER_ID_REQUIRED
        FENCED_MEMBER_EPOCH UNRELEASED_INSTANCE_ID STALE_MEMBER_EPOCH
    """,
    errors.SerializationFailed: "_KEY_SERIALIZATION _VALUE_SERIALIZATION",
    errors.DeserializationFailed: "_KEY_DESERIALIZATION _VALUE_DESERIALIZATION",
    errors.KafkaError: """
        UNKNOWN STALE_CTRL_EPOCH INCONSISTENT_GROUP_PROTOCOL OUT_OF_ORDER_SEQUENCE_NUMBER
        DUPLICATE_SEQUENCE_NUMBER INVALID_PRODUCER_EPOCH INVALID_TXN_STATE INVALID_PRODUCER_ID_MAPPING
        TRANSACTION_COORDINATOR_FENCED OPERATION_NOT_ATTEMPTED UNKNOWN_PRODUCER_ID STALE_BROKER_EPOCH PRODUCER_FENCED
        INCONSISTENT_VOTER_SET UNKNOWN_CONTROLLER_ID TRANSACTION_ABORTABLE INVALID_RECORD_STATE FENCED_STATE_EPOCH
        STREAMS_INVALID_TOPOLOGY_EPOCH STREAMS_TOPOLOGY_FENCED
        _BAD_MSG _BAD_COMPRESSION _FAIL _CRIT_SYS_RESOURCE _PARTITION_EOF _FS _READ_ONLY _UNDERFLOW _FATAL
        _INCONSISTENT _GAPLESS_GUARANTEE _NOT_CONFIGURED _FENCED _APPLICATION _NOOP _LOG_TRUNCATION
    """,
}

# Codes of Kafka 4.3 that the current librdkafka has no name for.
_UNNAMED: dict[int, type[FacadeError]] = {
    98: errors.KafkaError,  # SNAPSHOT_NOT_FOUND
    99: errors.KafkaError,  # POSITION_OUT_OF_RANGE
    101: errors.KafkaError,  # DUPLICATE_BROKER_REGISTRATION
    102: errors.BrokerNotRegistered,  # BROKER_ID_NOT_REGISTERED
    104: errors.KafkaError,  # INCONSISTENT_CLUSTER_ID
    105: errors.NotFound,  # TRANSACTIONAL_ID_NOT_FOUND
    106: errors.RetriableKafkaError,  # FETCH_SESSION_TOPIC_ID_ERROR
    107: errors.KafkaError,  # INELIGIBLE_REPLICA
    108: errors.KafkaError,  # NEW_LEADER_ELECTED
    109: errors.KafkaError,  # OFFSET_MOVED_TO_TIERED_STORAGE
}

KINDS: dict[int, type[FacadeError]] = _UNNAMED | {
    getattr(ClientError, name): kind for kind, names in _NAMES.items() for name in names.split()
}

# Errors whose default message is the documented one; for all others, pass on Kafka's message.
_OWN_TEXT = (
    errors.TopicNotFound,
    errors.PartitionNotFound,
    errors.InvalidTopicName,
    errors.PayloadTooLarge,
    errors.KafkaAuthenticationFailed,
    errors.KafkaAuthorizationFailed,
    errors.UnsupportedVersion,
)


def facade_error(error: ClientError, **about: str) -> FacadeError:
    """Convert an error of the client; ``about`` is metadata on what it concerns."""
    kind = KINDS.get(error.code(), errors.KafkaError)
    if kind is errors.InvalidTopicName and "topic_name" in about:
        about["field"] = "topic_name"
    if issubclass(kind, _OWN_TEXT):
        return kind(**about)
    return kind(error.str(), kafka_error=error.name(), **about)


def from_code(code: int, message: str | None, **about: str) -> FacadeError:
    """Convert an error code in a response, with its message."""
    return facade_error(ClientError(code, message) if message else ClientError(code), **about)


def from_exception(error: BaseException | ClientError, **about: str) -> FacadeError:
    """Convert what a client call raised, or returned as an error."""
    if isinstance(error, FacadeError):
        return error
    if isinstance(error, KafkaException) and error.args and isinstance(error.args[0], ClientError):
        return facade_error(error.args[0], **about)
    if isinstance(error, ClientError):
        return facade_error(error, **about)
    if isinstance(error, BufferError):
        return errors.RetriableKafkaError("The producer's queue is full.")
    if isinstance(error, TimeoutError):
        return errors.KafkaTimeout()
    if isinstance(error, (ValueError, TypeError)):
        return errors.InvalidKafkaRequest(str(error))
    return errors.KafkaError(str(error) or type(error).__name__)
