"""Classification of Kafka's errors: an outage ends by itself, a refusal needs a human."""

from aiokafka import errors
from aiokafka.errors import KafkaError

from shared.contracts.errors import Refused, RetryLater

TOO_LARGE = (errors.MessageSizeTooLargeError, errors.RecordListTooLargeError, errors.RecordTooLargeError)
"""A record is too large, or a batch of records that are each small enough."""

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
    """Return whether the error, or one that it wraps, is an answer that waiting does not change."""
    # aiokafka wraps the error that ends its sender's task.
    return isinstance(error, REFUSALS + TOO_LARGE) or (error.__cause__ is not None and is_refusal(error.__cause__))


def as_retry(error: KafkaError | TimeoutError) -> RetryLater:
    """Convert an error of the broker or of the connection to RetryLater or Refused."""
    return (Refused if is_refusal(error) else RetryLater)(f"Kafka: {error!r}")
