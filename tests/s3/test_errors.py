"""What answers of an S3 service mean."""

from __future__ import annotations

import pytest

from storage_core import errors
from storage_core.http.dates import format_http_date
from storage_core.http.xml import escape
from storage_s3.errors import REFUSED, TABLE, Asked, error_of, error_of_code, parse_error

OBJECT = Asked("s3:GetObject", "object")


def answer(code: str, message: str = "", **fields: str) -> bytes:
    more = "".join(f"<{name}>{escape(text)}</{name}>" for name, text in fields.items())
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{code}</Code><Message>{escape(message)}</Message>{more}</Error>"
    ).encode()


@pytest.mark.parametrize(
    ("status", "code", "cls", "words"),
    [
        (403, "AccessDenied", errors.PermissionDeniedError, "s3:GetObject"),
        (403, "InvalidAccessKeyId", errors.AuthenticationError, "access_key_id"),
        (403, "SignatureDoesNotMatch", errors.AuthenticationError, "secret_access_key"),
        (400, "ExpiredToken", errors.AuthenticationError, "expired"),
        (400, "InvalidToken", errors.AuthenticationError, "credentials"),
        (404, "NoSuchBucket", errors.BucketNotFoundError, "bucket"),
        (404, "NoSuchKey", errors.ObjectNotFoundError, "object"),
        (404, "NoSuchVersion", errors.VersionNotFoundError, "version"),
        (404, "NoSuchUpload", errors.UploadNotFoundError, "upload"),
        (409, "BucketAlreadyExists", errors.BucketExistsError, "taken"),
        (409, "BucketAlreadyOwnedByYou", errors.BucketExistsError, "already"),
        (409, "BucketNotEmpty", errors.BucketNotEmptyError, "delete them first"),
        (412, "PreconditionFailed", errors.PreconditionFailedError, "condition"),
        (416, "InvalidRange", errors.InvalidRangeError, "range"),
        (400, "EntityTooSmall", errors.PartTooSmallError, "small"),
        (400, "InvalidPart", errors.InvalidPartError, "etag"),
        (400, "InvalidPartOrder", errors.InvalidPartError, "ascending"),
        (400, "BadDigest", errors.IntegrityError, "bytes"),
        (400, "XAmzContentChecksumMismatch", errors.IntegrityError, "bytes"),
        (403, "QuotaExceeded", errors.QuotaExceededError, "quota"),
        (501, "NotImplemented", errors.UnsupportedError, "header"),
        (400, "AccessControlListNotSupported", errors.ConfigError, "remove the setting acl"),
        (400, "KMS.DisabledException", errors.ConfigError, "kms_key_id"),
        (503, "SlowDown", errors.RateLimitedError, "fewer requests"),
        (503, "ServiceUnavailable", errors.UnavailableError, "header"),
        (500, "InternalError", errors.UnavailableError, "header"),
        (400, "RequestTimeout", errors.UnavailableError, "waited"),
        (409, "ConditionalRequestConflict", errors.UnavailableError, "same moment"),
        (400, "SomethingNew", errors.InvalidRequestError, "header"),
        (599, "SomethingNew", errors.UnavailableError, "header"),
        (418, "SomethingNew", errors.StorageError, "header"),
    ],
)
def test_codes(status: int, code: str, cls: type[errors.StorageError], words: str) -> None:
    body = answer(code, "a header you sent.", RequestId="R-1")
    error = error_of(status, {}, body, OBJECT)
    assert type(error) is cls
    assert words in error.message
    assert (error.status, error.code, error.request_id) == (status, code, "R-1")


def test_what_may_be_made_again() -> None:
    again = {code for code in TABLE if error_of_code(code, "", OBJECT, status=400).retryable}
    assert {"SlowDown", "InternalError", "RequestTimeout", "ConditionalRequestConflict"} <= again
    assert not again & {"PreconditionFailed", "NoSuchKey", "BadDigest", "BucketNotEmpty"}
    # After an error of the service's own the write may have happened all the same.
    assert not error_of(500, {}, answer("InternalError"), OBJECT).unsent
    assert not error_of(503, {}, answer("ServiceUnavailable"), OBJECT).unsent
    assert error_of(503, {}, answer("SlowDown"), OBJECT).unsent
    assert error_of(429, {}, b"", OBJECT).unsent


@pytest.mark.parametrize(
    ("status", "cls"),
    [
        (304, errors.NotModifiedError),
        (400, errors.InvalidRequestError),
        (401, errors.AuthenticationError),
        (403, errors.PermissionDeniedError),
        (404, errors.ObjectNotFoundError),
        (405, errors.UnsupportedError),
        (409, errors.ConflictError),
        (412, errors.PreconditionFailedError),
        (416, errors.InvalidRangeError),
        (429, errors.RateLimitedError),
        (500, errors.UnavailableError),
        (501, errors.UnsupportedError),
        (502, errors.UnavailableError),
        (503, errors.UnavailableError),
        (507, errors.QuotaExceededError),
        (302, errors.ConfigError),
    ],
)
def test_head_has_the_status_alone(status: int, cls: type[errors.StorageError]) -> None:
    error = error_of(status, {"x-amz-request-id": "R-2"}, b"", OBJECT)
    assert type(error) is cls
    assert error.code is None
    assert error.request_id == "R-2"
    assert error.message


@pytest.mark.parametrize(
    ("kind", "cls"),
    [
        ("bucket", errors.BucketNotFoundError),
        ("object", errors.ObjectNotFoundError),
        ("upload", errors.UploadNotFoundError),
        ("version", errors.VersionNotFoundError),
        ("service", errors.ConfigError),
    ],
)
def test_a_bare_404_is_about_what_was_named(kind, cls) -> None:
    assert type(error_of(404, {}, b"", Asked("s3:X", kind))) is cls


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (301, {"x-amz-bucket-region": "eu-central-1"}, b""),
        (301, {"x-amz-bucket-region": "eu-central-1"}, answer("PermanentRedirect")),
        (400, {}, answer("AuthorizationHeaderMalformed", Region="eu-central-1")),
        (400, {"x-amz-bucket-region": "eu-central-1"}, b""),
    ],
)
def test_wrong_region_names_the_right_one(status, headers, body) -> None:
    error = error_of(status, headers, body, OBJECT, region="us-east-1")
    assert type(error) is errors.ConfigError
    assert "set region = 'eu-central-1'" in error.message
    assert "'us-east-1'" in error.message


def test_redirects_without_a_region() -> None:
    named = answer("PermanentRedirect", Endpoint="fruit.s3.example.org")
    error = error_of(301, {}, named, OBJECT, region="us-east-1")
    assert "fruit.s3.example.org" in error.message
    assert type(error_of(301, {}, b"", OBJECT)) is errors.ConfigError
    malformed = error_of(400, {}, answer("AuthorizationHeaderMalformed", "no key"), OBJECT)
    assert type(malformed) is errors.AuthenticationError


def test_a_400_from_the_right_region_is_no_matter_of_regions() -> None:
    headers = {"x-amz-bucket-region": "us-east-1"}
    error = error_of(400, headers, b"", OBJECT, region="us-east-1")
    assert type(error) is errors.InvalidRequestError


@pytest.mark.parametrize(("ahead", "words"), [(1200, "1200 s ahead"), (-1000, "1000 s behind")])
def test_clock_skew_is_measured(ahead: int, words: str) -> None:
    from datetime import UTC, datetime

    theirs = datetime(2026, 1, 1, tzinfo=UTC)
    error = error_of(
        403,
        {"date": format_http_date(theirs)},
        answer("RequestTimeTooSkewed", "too large"),
        OBJECT,
        now=theirs.timestamp() + ahead,
    )
    assert type(error) is errors.AuthenticationError
    assert words in error.message
    assert "clock" in error_of(403, {}, answer("RequestTimeTooSkewed"), OBJECT).message


@pytest.mark.parametrize("code", sorted(REFUSED))
def test_refused_credentials(code: str) -> None:
    error = error_of(400, {}, answer(code), OBJECT)
    assert type(error) is errors.AuthenticationError
    assert not error.retryable


@pytest.mark.parametrize("status", [200, 301, 400, 403, 404, 405])
def test_a_web_page_is_no_answer_of_s3(status: int) -> None:
    page = b"<!DOCTYPE html>\n<html><body>Welcome to nginx!</body></html>"
    error = error_of(status, {"content-type": "text/html"}, page, OBJECT, endpoint="http://here")
    assert type(error) is errors.ConfigError
    assert "endpoint_url" in error.message


def test_a_balancers_page_is_an_outage() -> None:
    page = b"<html><body><h1>503 Service Unavailable</h1></body></html>"
    assert type(error_of(503, {"content-type": "text/html"}, page, OBJECT)) is (
        errors.UnavailableError
    )


def test_no_xml_at_all() -> None:
    assert type(error_of(404, {}, b"404 page not found", OBJECT)) is errors.ConfigError


def test_a_delete_marker_has_no_bytes() -> None:
    error = error_of(
        405, {"x-amz-delete-marker": "true"}, answer("MethodNotAllowed"), Asked("a", "version")
    )
    assert type(error) is errors.VersionNotFoundError


def test_a_malformed_version_is_a_missing_one() -> None:
    body = answer("InvalidArgument", "Invalid version id specified")
    assert type(error_of(400, {}, body, Asked("a", "version"))) is errors.VersionNotFoundError
    assert type(error_of(400, {}, body, OBJECT)) is errors.InvalidRequestError


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("3", 3.0), ("Thu, 01 Jan 1970 00:01:40 GMT", 40.0), ("soon", None), (None, None)],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    headers = {} if value is None else {"retry-after": value}
    assert error_of(503, headers, b"", OBJECT, now=60.0).retry_after == seconds


def test_errors_of_single_keys() -> None:
    error = error_of_code("AccessDenied", "no", Asked("s3:DeleteObject", "object"))
    assert type(error) is errors.PermissionDeniedError
    assert error.code == "AccessDenied"
    assert error.status is None
    assert error_of_code("InternalError", "", OBJECT).retryable


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"<Error><Code>x",
        b"<Other/>",
        b"<Error/>",
        b"<!DOCTYPE a><Error><Code>x</Code></Error>",
        b"\xff\xfe<",
    ],
)
def test_what_is_no_error_document(body: bytes) -> None:
    assert parse_error(body).code is None


def test_the_services_words_are_made_fit_for_a_message() -> None:
    found = parse_error(answer("X", "one\n  two\u202e" + "y" * 1000))
    assert found.message.startswith("one two?y")
    assert len(found.message) <= 300
