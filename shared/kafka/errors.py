"""What an error of Kafka is: an outage that ends by itself, or a refusal that a human must mend."""

from aiokafka import errors
from aiokafka.errors import KafkaError

from shared.contracts.errors import Refused, RetryLater

TOO_LARGE = (errors.MessageSizeTooLargeError, errors.RecordListTooLargeError, errors.RecordTooLargeError)
"""Of a record, or of a batch whose records would each be taken."""

REFUSALS = (
    errors.TopicAuthorizationFailedError,
    errors.GroupAuthorizationFailedError,
    errors.ClusterAuthorizationFailedError,
    errors.TransactionalIdAuthorizationFailed,
    errors.AuthenticationFailedError,
    errors.AuthenticationMethodNotSupported,
    errors.SaslAuthenticationFailed,
    errors.UnsupportedSaslMechanismError,
    errors.IllegalSaslStateError,
    errors.SecurityDisabled,
    errors.UnsupportedVersionError,
    errors.IncompatibleBrokerVersion,
    errors.UnsupportedForMessageFormatError,
    errors.UnsupportedCodecError,
    errors.InvalidTopicError,
    errors.InvalidConfigurationError,
    errors.KafkaConfigurationError,
    errors.PolicyViolationError,
    errors.InvalidRequiredAcksError,
    errors.InvalidGroupIdError,
    errors.InvalidSessionTimeoutError,
    errors.InconsistentGroupProtocolError,
    errors.InvalidTransactionTimeout,
    errors.OffsetMetadataTooLargeError,
)


def is_refusal(error: BaseException) -> bool:
    """Whether the broker answers, with what waiting does not mend; also of an error that wraps such a one."""
    # aiokafka wraps what ends its sender's task.
    return isinstance(error, REFUSALS + TOO_LARGE) or (error.__cause__ is not None and is_refusal(error.__cause__))


def as_retry(error: KafkaError | TimeoutError) -> RetryLater:
    """What to raise for an error of the broker or of the way to it."""
    return (Refused if is_refusal(error) else RetryLater)(f"Kafka: {error!r}")
