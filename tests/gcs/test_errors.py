"""The table of errors, on answers as Google's pages show them."""

import pytest

from storage_core import errors as e
from storage_gcs import errors
from storage_gcs.errors import error_of, is_certain, is_refusal, parse_error


def of_json(status, reason, message="m"):
    return b'{"error": {"code": %d, "message": "%b", "errors": [{"reason": "%b"}]}}' % (
        status,
        message.encode(),
        reason.encode(),
    )


def of_xml(code, message="m", details=""):
    more = f"<Details>{details}</Details>" if details else ""
    return (
        "<?xml version='1.0' encoding='UTF-8'?>"
        f"<Error><Code>{code}</Code><Message>{message}</Message>{more}</Error>"
    ).encode()


@pytest.mark.parametrize(
    ("status", "body", "asked", "kind"),
    [
        (404, of_json(404, "notFound", "No such object: b/k"), errors.GET, e.ObjectNotFoundError),
        (
            404,
            of_json(404, "notFound", "No such object: b/k"),
            errors.GET_VERSION,
            e.VersionNotFoundError,
        ),
        (
            404,
            of_json(404, "notFound", "The specified bucket does not exist."),
            errors.GET,
            e.BucketNotFoundError,
        ),
        (404, of_xml("NoSuchKey"), errors.GET, e.ObjectNotFoundError),
        (404, of_xml("NoSuchKey"), errors.GET_VERSION, e.VersionNotFoundError),
        (404, of_xml("NoSuchBucket"), errors.GET, e.BucketNotFoundError),
        (404, of_xml("NoSuchUpload"), errors.UPLOAD, e.UploadNotFoundError),
        (404, b"", errors.LIST_BUCKETS, e.ConfigError),
        (412, of_json(412, "conditionNotMet"), errors.PUT, e.PreconditionFailedError),
        (412, of_xml("PreconditionFailed"), errors.GET, e.PreconditionFailedError),
        (412, b"", errors.GET, e.PreconditionFailedError),
        (304, b"", errors.GET, e.NotModifiedError),
        (416, of_xml("InvalidRange"), errors.GET, e.InvalidRangeError),
        (416, b"", errors.GET, e.InvalidRangeError),
        (401, of_json(401, "authError"), errors.GET, e.AuthenticationError),
        (401, b"", errors.GET, e.AuthenticationError),
        (401, of_xml("AuthenticationRequired"), errors.GET, e.AuthenticationError),
        (403, of_json(403, "forbidden"), errors.GET, e.PermissionDeniedError),
        (403, of_xml("AccessDenied"), errors.GET, e.PermissionDeniedError),
        (403, b"", errors.GET, e.PermissionDeniedError),
        (403, b"<html>proxy</html>", errors.GET, e.PermissionDeniedError),
        (403, of_json(403, "userRateLimitExceeded"), errors.GET, e.RateLimitedError),
        (403, of_json(403, "rateLimitExceeded"), errors.PUT, e.RateLimitedError),
        (403, of_json(403, "insufficientPermissions"), errors.GET, e.PermissionDeniedError),
        (403, of_json(403, "quotaExceeded"), errors.PUT, e.QuotaExceededError),
        (403, of_json(403, "retentionPolicyNotMet"), errors.DELETE, e.ConflictError),
        (403, of_xml("SignatureDoesNotMatch"), errors.GET, e.AuthenticationError),
        (403, of_xml("RequestTimeTooSkewed"), errors.GET, e.AuthenticationError),
        (400, of_xml("UserProjectMissing"), errors.GET, e.PermissionDeniedError),
        (400, of_xml("ExpiredToken"), errors.GET, e.AuthenticationError),
        (400, of_xml("EntityTooSmall"), errors.UPLOAD, e.PartTooSmallError),
        (400, of_xml("InvalidPart"), errors.UPLOAD, e.InvalidPartError),
        (400, of_xml("BadDigest"), errors.UPLOAD, e.IntegrityError),
        (400, of_json(400, "invalid"), errors.PUT, e.InvalidRequestError),
        (409, of_json(409, "conflict"), errors.CREATE_BUCKET, e.BucketExistsError),
        (409, of_json(409, "conflict"), errors.DELETE_BUCKET, e.BucketNotEmptyError),
        (409, of_json(409, "conflict"), errors.PUT, e.ConflictError),
        (429, of_json(429, "rateLimitExceeded"), errors.PUT, e.RateLimitedError),
        (429, b"", errors.PUT, e.RateLimitedError),
        (503, of_xml("SlowDown"), errors.PUT, e.RateLimitedError),
        (503, b"", errors.PUT, e.UnavailableError),
        (500, of_json(500, "backendError"), errors.PUT, e.UnavailableError),
        (502, b"<html>bad gateway</html>", errors.PUT, e.UnavailableError),
        (408, b"", errors.PUT, e.UnavailableError),
        (301, b"", errors.GET, e.ConfigError),
        (418, b"", errors.GET, e.InvalidRequestError),
    ],
)
def test_table(status, body, asked, kind):
    error = error_of(status, {}, body, asked, endpoint="http://127.0.0.1:1")
    assert type(error) is kind
    assert error.status == status
    assert str(error)


@pytest.mark.parametrize(
    ("status", "unsent"), [(429, True), (503, True), (500, False), (502, False), (504, False)]
)
def test_what_certainly_did_not_happen(status, unsent):
    error = error_of(status, {}, b"", errors.PUT)
    assert error.retryable
    assert error.unsent is unsent


def test_facts():
    headers = {"x-guploader-uploadid": "ABC", "retry-after": "7"}
    error = error_of(429, headers, of_json(429, "rateLimitExceeded"), errors.PUT)
    assert (error.request_id, error.retry_after, error.code) == ("ABC", 7.0, "rateLimitExceeded")
    later = {"retry-after": "Sat, 31 Jan 2026 12:00:30 GMT"}
    assert error_of(503, later, b"", errors.PUT, now=1769860800.0).retry_after == 30.0
    assert error_of(503, {"retry-after": "soon"}, b"", errors.PUT).retry_after is None


def test_remedies():
    def said(status, body, asked=errors.GET):
        return str(error_of(status, {}, body, asked))

    assert "storage.objects.get" in said(403, of_xml("AccessDenied"))
    assert "storage.buckets.delete" in said(403, b"", errors.DELETE_BUCKET)
    assert "user_project" in said(400, of_xml("UserProjectMissing"))
    assert "clock" in said(403, of_xml("RequestTimeTooSkewed"))
    assert "access token lasts about an hour" in said(401, of_json(401, "authError"))
    assert "who@x does not have" in said(403, of_xml("AccessDenied", details="who@x does not have"))
    assert "endpoint_url" in said(404, b"", errors.LIST_BUCKETS)


def test_emulators_do_not_say_what_is_missing():
    vague = error_of(404, {}, of_json(404, "Not Found", "Not Found"), errors.GET)
    assert isinstance(vague, e.ObjectNotFoundError)
    assert not is_certain(vague)
    for body in (of_xml("NoSuchKey"), of_json(404, "notFound", "No such object: b/k")):
        assert is_certain(error_of(404, {}, body, errors.GET))


def test_refusals():
    assert is_refusal(error_of(401, {}, b"", errors.GET))
    assert is_refusal(error_of(400, {}, of_xml("ExpiredToken"), errors.GET))
    assert not is_refusal(error_of(403, {}, of_xml("SignatureDoesNotMatch"), errors.GET))
    assert not is_refusal(error_of(403, {}, b"", errors.GET))


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"{}", b"[]", b"<", b"<a", b"<a/>", b'{"error": 3}', b'{"error": {"errors": 1}}'],
)
def test_odd_bodies(body):
    assert parse_error(body).code is None


def test_oauth():
    answer = parse_error(b'{"error": "invalid_grant", "error_description": "no"}')
    assert answer == ("invalid_grant", "no")
