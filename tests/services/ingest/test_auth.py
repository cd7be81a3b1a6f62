import base64
import json

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.auth import TokenVerifier
from services.ingest.errors import Unauthorised
from shared.contracts.errors import SettingsError
from shared.contracts.token import make_token
from tests.services.ingest.uploads import KEY

NOW_S = 1_668_000_000


class Clock:
    def __init__(self, now_s: float) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


def signed(key: str = KEY, **claims: object) -> str:
    return "Bearer " + jwt.encode(claims, key, algorithm="HS256")


def raw(header: bytes, payload: bytes = b"{}", signature: bytes = b"x") -> str:
    return "Bearer " + ".".join(
        base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (header, payload, signature)
    )


def test_a_made_token_holds_until_it_expires():
    clock = Clock(NOW_S)
    verifier = TokenVerifier(KEY, clock_s=clock)
    header = "Bearer " + make_token(KEY, "u1", 60, now_s=NOW_S)
    assert verifier.user(header) == "u1"
    clock.now_s += 59.9
    assert verifier.user(header) == "u1"
    clock.now_s += 0.1
    for _ in range(2):  # from the cache, then anew
        with pytest.raises(Unauthorised, match="expired"):
            verifier.user(header)


def test_a_token_without_exp_holds():
    verifier = TokenVerifier(KEY)
    assert verifier.user("bearer  " + make_token(KEY, "u1")) == "u1"
    assert verifier.user(signed(sub="a.B_c:d-9")) == "a.B_c:d-9"


def test_the_cache_is_bounded():
    verifier = TokenVerifier(KEY, cache_size=2)
    headers = [signed(sub=f"u{i}") for i in range(5)]
    for _ in range(2):
        assert [verifier.user(header) for header in headers] == [f"u{i}" for i in range(5)]
    assert len(verifier._verified) == 2


def test_no_header_is_remembered_that_is_longer_than_a_token_may_be():
    verifier = TokenVerifier(KEY)
    with pytest.raises(Unauthorised, match="too long"):
        verifier.user("Bearer" + " " * 5_000 + make_token(KEY, "u1"))
    assert not verifier._verified


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic dTpw", "Token x", "Bearerx y"])
def test_without_a_bearer_token(header):
    with pytest.raises(Unauthorised) as info:
        TokenVerifier(KEY).user(header)
    assert info.value.challenge == "Bearer"


@pytest.mark.parametrize(
    "header",
    [
        "Bearer x",
        "Bearer a.b.c",
        "Bearer \xe9.\xff.c",
        signed("another key that is also long enough", sub="u1"),
        signed(),
        signed(sub=""),
        signed(sub="a b"),
        signed(sub="u1\n"),
        signed(sub="u" * 65),
        signed(sub=7),
        signed(sub=None),
        signed(sub="u1", exp=NOW_S),
        signed(sub="u1", exp=str(2 * NOW_S)),
        signed(sub="u1", exp=None),
        signed(sub="u1", exp=True),
        signed(sub="u1", exp=float("nan")),
        signed(sub="u1", nbf=10 * NOW_S),
        signed(sub="u1", iat=float("inf")),
        signed(sub="u1", aud="another service"),
        "Bearer " + jwt.encode({"sub": "u1"}, "", algorithm="none"),
        "Bearer " + jwt.encode({"sub": "u1"}, KEY * 2, algorithm="HS512"),
        signed(sub="u1", pad="x" * 5_000),
        raw(b"[" * 2_900),
        raw(b'{"alg":' * 400),
        raw(json.dumps({"alg": "HS256", "crit": ["b64"]}).encode()),
        raw(b"null"),
        raw(b"\xff\xfe"),
    ],
)
def test_a_token_that_does_not_hold(header):
    with pytest.raises(Unauthorised) as info:
        TokenVerifier(KEY).user(header)
    assert info.value.challenge == 'Bearer error="invalid_token"'


@given(st.text(alphabet=st.characters(max_codepoint=255), max_size=80))
def test_no_header_raises_anything_else(text):
    with pytest.raises(Unauthorised):
        TokenVerifier(KEY).user("Bearer " + text)


@pytest.mark.parametrize("user", ["", "a b", "u1\n", "u" * 65])
def test_no_token_is_made_for_what_is_no_user_id(user):
    with pytest.raises(SettingsError, match="user id"):
        make_token(KEY, user)
