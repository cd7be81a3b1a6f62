import pytest
from aiokafka import errors

from shared.contracts.errors import Refused
from shared.kafka.errors import as_retry, is_refusal


def subclasses(of: type) -> set[type]:
    return {of}.union(*(subclasses(one) for one in of.__subclasses__()))


RETRIABLE = sorted((error for error in subclasses(errors.KafkaError) if error.retriable), key=lambda e: e.__name__)


@pytest.mark.parametrize("error", RETRIABLE)
def test_what_the_broker_says_passes_is_no_refusal(error):
    assert not isinstance(as_retry(error()), Refused)


# By the number that is on the wire (Kafka's protocol guide, error codes).
@pytest.mark.parametrize(
    "code", [10, 12, 17, 18, 21, 23, 24, 26, 29, 30, 31, 33, 34, 35, 40, 43, 44, 50, 53, 54, 58], ids=str
)
def test_what_waiting_does_not_mend_is_a_refusal(code):
    assert isinstance(as_retry(errors.for_code(code)()), Refused)


# 47, 45, 59: fenced, out of order, producer unknown: the partition is opened anew, which mends it.
@pytest.mark.parametrize("code", [3, 5, 6, 7, 14, 15, 16, 19, 20, 22, 25, 27, 41, 45, 47, 51, 56, 59], ids=str)
def test_what_a_new_attempt_mends_is_none(code):
    assert not is_refusal(errors.for_code(code)())


def test_what_ended_the_senders_task_is_found_behind_it():
    error = errors.KafkaError("Unexpected error during batch delivery")
    error.__cause__ = errors.TopicAuthorizationFailedError("activity.events")
    assert is_refusal(error)
