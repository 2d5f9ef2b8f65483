"""Errors: one class for each answer, with what to do about it."""

from __future__ import annotations

import pytest

from storage_azure.errors import TABLE, Asked, Context, error_of, is_container
from storage_core.errors import (
    AuthenticationError,
    BucketExistsError,
    BucketNotFoundError,
    ConfigError,
    IntegrityError,
    InvalidKeyError,
    InvalidRangeError,
    NotModifiedError,
    ObjectNotFoundError,
    PermissionDeniedError,
    PreconditionFailedError,
    RateLimitedError,
    StorageError,
    UnavailableError,
    UnsupportedError,
    VersionNotFoundError,
)

GET = Asked("'Storage Blob Data Reader' (SAS permission r)", "object")
KEY = Context("myaccount", "key")
SAS = Context("myaccount", "sas", "2020-01-01T00:00:00Z")
NOON = 1_893_499_200.0  # Tue, 01 Jan 2030 12:00:00 GMT


def error(
    status: int,
    code: str | None = None,
    message: str = "",
    asked: Asked = GET,
    context: Context = KEY,
    **headers: str,
) -> StorageError:
    """What an answer of these means."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    body = b""
    if code is not None:
        sent["x-ms-error-code"] = code
        body = (
            f'\ufeff<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code>'
            f"<Message>{message}\nRequestId:1\nTime:2</Message></Error>"
        ).encode()
    return error_of(status, sent, body, asked, context, NOON)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (304, "ConditionNotMet", NotModifiedError),
        (304, None, NotModifiedError),
        (403, None, PermissionDeniedError),
        (403, "AuthorizationPermissionMismatch", PermissionDeniedError),
        (403, "AuthorizationFailure", PermissionDeniedError),
        (403, "AuthenticationFailed", AuthenticationError),
        (401, "InvalidAuthenticationInfo", AuthenticationError),
        (404, "BlobNotFound", ObjectNotFoundError),
        (404, None, ObjectNotFoundError),
        (404, "ContainerNotFound", BucketNotFoundError),
        (409, "ContainerBeingDeleted", BucketNotFoundError),
        (409, "ContainerAlreadyExists", BucketExistsError),
        (409, "BlobAlreadyExists", PreconditionFailedError),
        (412, "ConditionNotMet", PreconditionFailedError),
        (412, "SourceConditionNotMet", PreconditionFailedError),
        (400, "Md5Mismatch", IntegrityError),
        (416, "InvalidRange", InvalidRangeError),
        (500, "InternalError", UnavailableError),
        (502, None, UnavailableError),
        (503, "ServerBusy", RateLimitedError),
        (501, "APINotImplemented", UnsupportedError),
        (307, None, ConfigError),
    ],
)
def test_classes(status: int, code: str | None, kind: type[StorageError]) -> None:
    found = error(status, code, x_ms_request_id="an-id")
    assert type(found) is kind
    assert (found.status, found.code, found.request_id) == (status, code, "an-id")
    assert found.message


def test_a_bare_404_is_what_was_asked_for() -> None:
    assert type(error(404, asked=GET._replace(kind="version"))) is VersionNotFoundError
    assert type(error(404, asked=GET._replace(kind="bucket"))) is BucketNotFoundError


def test_every_class_of_the_table_has_words() -> None:
    for code, (kind, _, unsent) in TABLE.items():
        found = error(400, code, "What the service says.")
        assert found.message, code
        assert type(found) is kind or kind is ObjectNotFoundError, code
        assert found.unsent == unsent or kind is ObjectNotFoundError, code


def test_a_wrong_key_names_the_account_and_the_settings() -> None:
    found = error(403, "AuthenticationFailed", "The MAC signature 'secret=' is not", date="")
    assert "'myaccount'" in found.message
    assert "account_key" in found.message
    assert "secret" not in str(found)


def test_a_clock_that_is_wrong_is_told_by_how_much() -> None:
    found = error(403, "AuthenticationFailed", date="Tue, 01 Jan 2030 13:00:00 GMT")
    assert "3600 s behind" in found.message


def test_an_expired_sas_is_told_with_its_end() -> None:
    found = error(403, "AuthenticationFailed", context=SAS)
    assert "expired at 2020-01-01T00:00:00Z" in found.message
    later = SAS._replace(sas_expiry="2040-01-01T00:00:00Z")
    assert "expired" not in error(403, "AuthenticationFailed", context=later).message


def test_a_missing_role_is_named() -> None:
    assert "Storage Blob Data Reader" in error(403, "AuthorizationPermissionMismatch").message


def test_what_is_not_public_is_not_missing() -> None:
    anonymous = Context("myaccount", "anonymous")
    assert type(error(404, "ResourceNotFound", context=anonymous)) is PermissionDeniedError
    assert "credentials" in error(404, "ResourceNotFound", context=anonymous).message


def test_names_no_bucket_can_have() -> None:
    bad, good = KEY._replace(bucket="my.company"), KEY._replace(bucket="my-company")
    assert type(error(400, "InvalidResourceName", context=bad)) is BucketNotFoundError
    assert type(error(400, "InvalidResourceName", context=good)) is InvalidKeyError
    assert [is_container(name) for name in ("$web", "abc", "a", "a--b", "A-b", "a" * 64)] == [
        True, True, False, False, False, False,
    ]  # fmt: skip


def test_load_is_repeated_when_the_service_says_so() -> None:
    found = error(503, "ServerBusy", retry_after="7")
    assert (found.retryable, found.unsent, found.retry_after) == (True, True, 7.0)


def test_an_answer_that_is_no_xml() -> None:
    found = error_of(502, {}, b"<html>bad gateway", GET, KEY)
    assert type(found) is UnavailableError
