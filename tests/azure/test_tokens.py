"""Token credentials: bearer tokens, their renewal, and keys delegated for links."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from storage_azure.credentials import SCOPE, Account
from storage_core.errors import AuthenticationError
from storage_core.http.interface import Request, Response
from storage_core.requests import HeadRequest, PresignRequest
from storage_core.runtime import drive as run_now
from tests.azure.doubles import OBJECT, answer, refused, run, scripted

HEAD = HeadRequest("bucket", "key")
NOW = datetime(2030, 1, 1, tzinfo=UTC)


class Identity:
    """What azure-identity would be: hands out numbered tokens."""

    def __init__(self, seconds: float = 3600) -> None:
        self.seconds = seconds
        self.count = 0
        self.failure: Exception | None = None

    def get_token(self, scope: str) -> Any:
        assert scope == SCOPE
        if self.failure is not None:
            raise self.failure
        self.count += 1
        return SimpleNamespace(token=f"t{self.count}", expires_on=time.time() + self.seconds)


@pytest.fixture
def identity(monkeypatch: pytest.MonkeyPatch) -> Identity:
    found = Identity()
    filesystem = SimpleNamespace(sync_credential=found)
    monkeypatch.setattr(Account, "filesystem", lambda _self: filesystem)
    return found


def there() -> Response:
    found = answer(200)
    found.headers = OBJECT
    return found


def test_a_token_is_fetched_once_and_sent(identity: Identity) -> None:
    driver, script = scripted(lambda _: there(), account_key=None)
    for _ in range(2):
        run(driver.head(HEAD))
    assert [r.headers["authorization"] for r in script.seen] == ["Bearer t1"] * 2
    assert identity.count == 1


def test_a_token_that_ended_is_renewed(identity: Identity) -> None:
    identity.seconds = 0
    driver, script = scripted(lambda _: there(), account_key=None)
    for _ in range(2):
        run(driver.head(HEAD))
    assert [r.headers["authorization"] for r in script.seen] == ["Bearer t1", "Bearer t2"]


def test_a_refused_token_is_not_used_again(identity: Identity) -> None:
    driver, script = scripted(lambda _: refused(401, "InvalidAuthenticationInfo"), account_key=None)
    with pytest.raises(AuthenticationError, match="tenant"):
        run(driver.head(HEAD))
    script.play = lambda _: there()
    run(driver.head(HEAD))
    assert script.seen[-1].headers["authorization"] == "Bearer t2"
    assert identity.count == 2


def test_a_refused_token_is_replaced_once(identity: Identity) -> None:
    driver, _ = scripted(lambda _: refused(401, "InvalidAuthenticationInfo"), account_key=None)
    same = SimpleNamespace(token="t", expires_on=time.time() + 3600)
    identity.get_token = lambda scope: same  # type: ignore[method-assign]
    with pytest.raises(AuthenticationError) as first:
        run(driver.head(HEAD))
    with pytest.raises(AuthenticationError) as second:
        run(driver.head(HEAD))
    assert (first.value.retryable, second.value.retryable) == (True, False)


def test_a_late_refusal_of_an_old_token_keeps_the_new_one(identity: Identity) -> None:
    def late(_: Request) -> Response:
        tokens = driver._account.tokens
        assert tokens is not None
        tokens.refused()  # another task was refused, and has a new one
        run_now(tokens.get())
        return refused(401, "InvalidAuthenticationInfo")

    driver, script = scripted(late, account_key=None)
    with pytest.raises(AuthenticationError) as caught:
        run(driver.head(HEAD))
    assert caught.value.retryable
    script.play = lambda _: there()
    run(driver.head(HEAD))
    assert script.seen[-1].headers["authorization"] == "Bearer t2"
    assert identity.count == 2


def test_no_token_says_what_to_do(identity: Identity) -> None:
    identity.failure = RuntimeError("every link of the chain failed, with a secret")
    driver, _ = scripted(lambda _: there(), account_key=None)
    with pytest.raises(AuthenticationError, match="client_id") as caught:
        run(driver.head(HEAD))
    assert "secret" not in caught.value.message.replace("client_secret", "")


@pytest.mark.usefixtures("identity")
def test_links_are_signed_by_a_delegated_key_that_is_kept() -> None:
    fields = {
        "SignedOid": "oid", "SignedTid": "tid", "SignedStart": "2030-01-01T00:00:00Z",
        "SignedExpiry": "2030-01-07T23:00:00Z", "SignedService": "b",
        "SignedVersion": "2023-11-03", "Value": "AAAA",
    }  # fmt: skip
    xml = "".join(f"<{name}>{value}</{name}>" for name, value in fields.items())

    def play(request: Request) -> Response:
        assert request.method == "POST"
        return answer(200, f"<UserDelegationKey>{xml}</UserDelegationKey>".encode())

    driver, script = scripted(play, account_key=None)
    request = PresignRequest("bucket", "a b", "GET", 900, NOW)
    link = run(driver.presign(request))
    assert link.url.startswith("https://acc.blob.core.windows.net/bucket/a%20b?sig=")
    assert "skoid=oid" in link.url
    assert "spr=https" in link.url
    assert link.expires_at == NOW + timedelta(seconds=900)
    run(driver.presign(request))
    assert script.said == ["POST /?comp=userdelegationkey&restype=service"]
    run(driver.presign(request._replace(now=NOW + timedelta(days=6, hours=23))))
    assert len(script.seen) == 2, "a link outlives the key that signs it"


@pytest.mark.usefixtures("identity")
def test_a_copy_lets_the_service_read_the_source() -> None:
    from storage_core.requests import CopyRequest

    driver, script = scripted(
        lambda r: there() if r.method == "HEAD" else answer(), account_key=None
    )
    run(driver.copy(CopyRequest("b", "a", "b", "c")))
    sent = script.seen[1].headers
    assert sent["x-ms-copy-source-authorization"] == "Bearer t1"
    assert sent["x-ms-copy-source"] == "https://acc.blob.core.windows.net/b/a"
