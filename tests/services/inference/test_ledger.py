import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.inference.ledger import Ledger
from shared.contracts.errors import InvalidRecord
from shared.contracts.ledger import decode_ledger, encode_ledger, place_of
from shared.contracts.time_limits import FINAL_KEPT_MS, HOUR_MS
from tests.services.inference.windows import window
from tests.shared.windows.signals import BASE_MS, HOP_MS

MODEL = "random@0.0.1"


def copy_of(ledger: Ledger, model: str = MODEL) -> Ledger:
    """As another worker reads it back from the topic."""
    again = Ledger(model)
    for key, bits in ledger.staged.items():
        again.load(*decode_ledger(*encode_ledger(key, bits)))
    return again


def test_a_window_is_staged_once():
    ledger = Ledger(MODEL)
    assert ledger.stage("u1", window(0))
    assert not ledger.stage("u1", window(0))
    assert ledger.stage("u1", window(1))
    assert ledger.stage("u2", window(0))
    assert ledger.stage("u1", window(0, device="other"))
    assert ledger.stage("u1", window(0, hop_ms=20_000))


def test_only_a_commit_counts():
    ledger = Ledger(MODEL)
    ledger.stage("u1", window(0))
    ledger.discard()
    assert ledger.staged == {}
    assert ledger.stage("u1", window(0))
    ledger.committed()
    assert ledger.staged == {}
    assert not ledger.stage("u1", window(0))


def test_a_record_holds_all_of_its_hour():
    ledger = Ledger(MODEL)
    ledger.stage("u1", window(0))
    ledger.committed()
    ledger.stage("u1", window(1))
    again = copy_of(ledger)
    assert not again.stage("u1", window(0))
    assert not again.stage("u1", window(1))
    assert again.stage("u1", window(2))


def test_what_is_taken_back_may_come_again():
    ledger = Ledger(MODEL)
    ledger.stage("u1", window(0))
    ledger.committed()
    ledger.stage("u1", window(1))
    ledger.stage("u1", window(2))
    ledger.unstage("u1", window(1))
    assert not copy_of(ledger).stage("u1", window(2))
    ledger.unstage("u1", window(2))
    assert ledger.staged == {}
    assert ledger.stage("u1", window(1))
    assert not ledger.stage("u1", window(0))


def test_another_model_has_a_ledger_of_its_own():
    ledger = Ledger(MODEL)
    ledger.stage("u1", window(0))
    assert copy_of(ledger, "random@0.0.2").stage("u1", window(0))


def test_with_any_model_the_event_of_another_one_counts():
    ledger = Ledger(MODEL, any_model=True)
    ledger.stage("u1", window(0))
    ledger.committed()
    ledger.switch_to("random@0.0.2")
    assert not ledger.stage("u1", window(0))
    assert ledger.stage("u1", window(1))
    # Each record holds the windows of its own model alone.
    assert {key[2]: bits for key, bits in ledger.staged.items()} == {"random@0.0.2": place_of_bit(1)}
    ledger.committed()
    ledger.switch_to(MODEL)
    assert not ledger.stage("u1", window(1))


def test_with_any_model_a_worker_reads_back_what_every_model_has_published():
    old = Ledger(MODEL)
    old.stage("u1", window(0))
    again = Ledger("random@0.0.2", any_model=True)
    for key, bits in old.staged.items():
        again.load(*decode_ledger(*encode_ledger(key, bits)))
    assert not again.stage("u1", window(0))
    assert again.stage("u1", window(1))


def place_of_bit(index: int) -> int:
    return place_of("u1", "watch", MODEL, HOP_MS, window(index).window_start_ms)[1]


def test_what_ingest_refuses_as_too_old_is_forgotten():
    ledger = Ledger(MODEL)
    ledger.stage("u1", window(0))
    ledger.committed()
    ledger.stage("u1", window(FINAL_KEPT_MS // HOP_MS))
    ledger.committed()
    assert not ledger.stage("u1", window(0))
    ledger.stage("u1", window((FINAL_KEPT_MS + HOUR_MS) // HOP_MS))
    ledger.committed()
    first_hour, kept_hours = BASE_MS // HOUR_MS, FINAL_KEPT_MS // HOUR_MS
    assert [key[4] for key in ledger._bits] == [first_hour + kept_hours, first_hour + kept_hours + 1]


names = st.text(min_size=1, max_size=20)


@given(names, names, names, st.sampled_from([10_000, 20_000]), st.integers(0, 2**33))
def test_a_record_is_read_as_it_was_written(user, device, model, hop_ms, slot):
    key, bit = place_of(user, device, model, hop_ms, slot * hop_ms)
    assert decode_ledger(*encode_ledger(key, bit)) == (key, bit)
    assert key[4] * HOUR_MS + (bit.bit_length() - 1) * hop_ms == slot * hop_ms


@pytest.mark.parametrize(
    "key",
    [None, b"", b"\xff", b'["\xff","d","m",10000,1]', b"[" * 100_000, b'["u","d"]', msgspec.json.encode({"user": 1})],
)
def test_a_key_that_cannot_be_read(key):
    with pytest.raises(InvalidRecord, match="ledger key"):
        decode_ledger(key, b"\x01")


def test_a_deleted_record_protects_nothing():
    key, _ = place_of("u1", "watch", MODEL, HOP_MS, BASE_MS)
    assert decode_ledger(encode_ledger(key, 1)[0], None) == (key, 0)
