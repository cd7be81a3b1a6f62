"""Bytes from outside: valid ones that went wrong somewhere, and pure noise."""

import copy
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    2**31,
    2**63 - 1,
    2**63,
    2**64 - 1,
    -(2**63),
    5e-324,
    1e308,
    float("nan"),
    float("inf"),
    -float("inf"),
    "",
    "\x00",
    "x" * 5_000,
    b"",
    b"\xff" * 100,
    [],
    {},
    [[[]]],
    {"a": {"a": {}}},
)
"""What MessagePack can hold and a decoder may not expect. Where a value of JSON is wanted, bytes are left out."""

JSON_ODD = (*(value for value in ODD if not isinstance(value, bytes)), 2**70, 10**400)

NESTED_JSON = b"[" * 100_000
NESTED_MSGPACK = b"\x81\xa1z" + b"\x91" * 100_000


@st.composite
def mutated(draw: st.DrawFn, *valid: bytes) -> bytes:
    """One of these with up to six edits: a byte flipped, a stretch cut, put in, doubled, or swapped with another."""
    data = bytearray(draw(st.sampled_from(valid)))
    for _ in range(draw(st.integers(0, 6))):
        edit = draw(st.sampled_from(["flip", "cut", "cut the end", "insert", "double", "swap"]))
        at = draw(st.integers(0, len(data)))
        to = min(len(data), at + draw(st.integers(1, 16)))
        if edit == "flip" and at < len(data):
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif edit == "cut":
            del data[at:to]
        elif edit == "cut the end":
            del data[at:]
        elif edit == "insert":
            data[at:at] = draw(st.binary(min_size=1, max_size=16))
        elif edit == "double":
            data[at:at] = data[at:to]
        elif edit == "swap":
            other = draw(st.integers(0, len(data)))
            data[at:to], data[other : other + to - at] = data[other : other + to - at], data[at:to]
    return bytes(data)


@st.composite
def spoilt(draw: st.DrawFn, valid: Any, odd: tuple[Any, ...] = ODD) -> Any:
    """A tree of dicts and lists in which up to three members are odd, missing or one too many."""
    tree = copy.deepcopy(valid)
    # Copies: a later edit must not change what is odd for all examples to come.
    values = st.sampled_from(odd).map(copy.deepcopy)
    for _ in range(draw(st.integers(1, 3))):
        part, keys = tree, list(_members(tree))
        while keys:
            key = draw(st.sampled_from(keys))
            deeper = list(_members(part[key]))
            if not deeper or draw(st.booleans()):
                how = draw(st.sampled_from(["replace", "replace", "replace", "remove", "add"]))
                if how == "remove":
                    del part[key]
                elif how == "add" and isinstance(part, dict):
                    part[draw(st.sampled_from(["v", "x", "\x00", "é" * 300]))] = draw(values)
                else:
                    part[key] = draw(values | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=20))
                break
            part, keys = part[key], deeper
    return tree


def _members(part: Any) -> Any:
    if isinstance(part, dict):
        return part
    return range(len(part)) if isinstance(part, list) else ()


def hostile(valid: bytes, tree: Any, encode: Callable[[Any], bytes], odd: tuple[Any, ...] = ODD) -> st.SearchStrategy:
    """Noise, the valid bytes gone wrong, and the valid tree gone wrong before it was encoded."""
    return st.binary(max_size=200) | mutated(valid) | spoilt(tree, odd).map(encode)
