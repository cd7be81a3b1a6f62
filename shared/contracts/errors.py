"""Errors, grouped by what the caller does about them.

GaitwayError
├── RetryLater        a dependency is unavailable: wait, then repeat the call
│   └── Refused           it answers with a refusal: also repeated, but a human must resolve it
├── InvalidMessage    this input will never work: refuse or dead-letter it, continue
│   ├── InvalidUpload     with the field that is wrong
│   └── InvalidRecord     a Kafka record that cannot be read
├── LostOwnership     another worker owns the partition now: drop its state, start again
└── Stop              nothing useful can be done: end the process and report the reason
    ├── SettingsError     a setting is missing or wrong
    ├── TopicMismatch     a topic exists with other settings than the contract's
    └── BundleError       a model bundle that does not fit, or a roll-out file that names none
"""

from typing import Literal

UploadFault = Literal[
    "malformed", "too_large", "media_type", "missing", "unknown_field", "value", "rate", "span", "time"
]
"""The fault of an upload, as a metric label."""

RecordFault = Literal[
    "key", "unreadable", "version", "span", "time", "feature_version", "not_finite", "model", "too_large"
]
"""The fault of a Kafka record, as a metric label: no user as its key, bytes of no contract, an unknown version, a
longer span than an upload may have, impossible times, features of another version than the model's, no finite result
or a failure of the model, or more bytes than its target topic allows."""

_FAULT_OF: dict[int, UploadFault] = {400: "malformed", 413: "too_large", 415: "media_type"}


class GaitwayError(Exception):
    """Base of all errors that Gaitway raises on purpose."""


class RetryLater(GaitwayError):
    """An unavailable dependency; the same call may succeed later."""


class Refused(RetryLater):
    """A refusal of a dependency that waiting does not resolve: a password, a permission, a setting."""


class InvalidMessage(GaitwayError):
    """Input that no retry will fix."""


class InvalidUpload(InvalidMessage):
    """An upload that breaks the contract; ``field`` is its JSON path (``accelerometer.x[3]``)."""

    def __init__(self, field: str, detail: str, *, status: int = 422, fault: UploadFault = "value") -> None:
        super().__init__(f"{field}: {detail}" if field else detail)
        self.field = field
        self.detail = detail
        self.status = status
        self.fault = _FAULT_OF.get(status, fault)


class InvalidRecord(InvalidMessage):
    """A Kafka record that follows no known version of its contract."""

    def __init__(self, detail: str, *, fault: RecordFault = "unreadable") -> None:
        super().__init__(detail)
        self.fault = fault


class LostOwnership(GaitwayError):
    """Another worker owns what this one is writing."""


class Stop(GaitwayError):
    """End the process with one clear line."""


class SettingsError(Stop):
    """A setting is missing or wrong; the text names it."""


class TopicMismatch(Stop):
    """A topic exists, but not as the contract wants it."""


class BundleError(Stop):
    """A model bundle is incomplete or does not fit the features, or the roll-out file is wrong."""
