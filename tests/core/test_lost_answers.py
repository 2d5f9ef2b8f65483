"""What a write comes to whose answer was lost."""

from __future__ import annotations

from typing import Any

import pytest

from storage_conformance.memory import MemoryDriver
from storage_core import Bucket, RetryPolicy
from storage_core.core.bodies import make_body
from storage_core.errors import (
    BucketExistsError,
    BucketNotFoundError,
    ObjectChangedError,
    OutcomeUnknownError,
    PermissionDeniedError,
    PreconditionFailedError,
    RateLimitedError,
    UnavailableError,
    UploadNotFoundError,
)
from storage_core.requests import DeleteRequest, PutRequest
from storage_core.runtime import Inline, drive
from tests.core.conftest import Opener
from tests.core.drivers import Before, Lost, Scripted


def down() -> UnavailableError:
    return UnavailableError("the service is down", status=503)


def made(inline: Opener, driver: Scripted | None = None, **options: Any) -> tuple[Scripted, Bucket]:
    driver = driver or Scripted()
    bucket = inline(driver, **options).create_bucket("fruit")
    driver.calls.clear()
    return driver, bucket


def stored(driver: Scripted, key: str) -> bytes:
    return driver._state.bucket("fruit").find(key).data


# --- conditional writes whose answer is lost -----------------------------------------


def put(bucket: Bucket, data: bytes = b"mine", **conditions: Any) -> Any:
    return bucket.put("a", data, **conditions)


def test_our_own_success_is_told_as_such(opened: Opener):
    driver = Scripted()
    bucket = opened(driver).create_bucket("fruit")
    driver.script["put"] = [Lost(down())]
    result = put(bucket, if_absent=True)
    assert driver.names().count("put") == 1  # it was there already
    info = bucket.head("a")
    assert (result.etag, result.size, result.version) == (info.etag, 4, info.version)
    driver.script["put"] = [Lost(down())]
    assert put(bucket, b"again", if_match=info.etag).etag == bucket.head("a").etag
    assert stored(driver, "a") == b"again"


def test_what_did_not_happen_is_done_again(inline: Opener):
    driver, bucket = made(inline)
    driver.script["put"] = [down(), down()]
    put(bucket, if_absent=True)
    ids = {request.write_id for request in driver.requests("put")}
    assert len(driver.requests("put")) == 3
    assert len(ids) == 1  # one write, one id
    assert None not in ids


def other_writes(driver: Scripted, data: bytes = b"mine") -> Any:
    """Somebody else puts identical bytes first."""

    def write(_: Any) -> None:
        body = make_body(data, Inline())
        drive(MemoryDriver.put(driver, PutRequest("fruit", "a", body, write_id="other")))

    return write


def test_identical_bytes_of_another_writer_are_not_ours(inline: Opener):
    driver, bucket = made(inline)

    def write_and_fail(request: Any) -> None:
        other_writes(driver)(request)
        raise down()

    driver.script["put"] = [Before(write_and_fail)]
    with pytest.raises(PreconditionFailedError):
        put(bucket, if_absent=True)
    assert bucket.head("a").write_id == "other"


def test_a_first_try_that_lands_late_is_ours_all_the_same(inline: Opener):
    """The look finds nothing yet; then the first try lands, and the second one is refused."""
    driver, bucket = made(inline)

    def lands(request: Any) -> None:
        late = drive(MemoryDriver.put(driver, driver.requests("put")[0]))
        assert late.etag

    driver.script["put"] = [down(), Before(lands)]
    result = put(bucket, if_absent=True)
    assert driver.names().count("put") == 2
    assert result.etag == bucket.head("a").etag


def test_whether_a_swap_happened_before_another_one_can_not_be_told(inline: Opener):
    driver, bucket = made(inline)
    first = put(bucket, b"1")
    landed = driver.script["head"] = [Before(other_writes(driver, b"3"))]
    driver.script["put"] = [Lost(down())]
    with pytest.raises(OutcomeUnknownError, match="others changed the object") as caught:
        put(bucket, b"2", if_match=first.etag)
    assert landed == []
    assert isinstance(caught.value.__cause__, UnavailableError)
    assert (caught.value.operation, caught.value.key) == ("put", "a")


def test_a_swap_that_did_not_happen_is_done_again(inline: Opener):
    driver, bucket = made(inline)
    first = put(bucket, b"1")
    driver.script["put"] = [down()]
    put(bucket, b"2", if_match=first.etag)
    assert stored(driver, "a") == b"2"


def test_an_object_that_can_not_be_looked_at(inline: Opener):
    driver, bucket = made(inline)
    driver.script["put"] = [Lost(down())]
    driver.script["head"] = [PermissionDeniedError("no")]
    with pytest.raises(OutcomeUnknownError, match="could not be looked at") as caught:
        put(bucket, if_absent=True)
    assert isinstance(caught.value.__cause__, PermissionDeniedError)


def test_without_write_ids_a_lost_answer_stays_lost(inline: Opener):
    driver, bucket = made(inline, Scripted(write_ids=False))
    driver.script["put"] = [Lost(down())]
    with pytest.raises(OutcomeUnknownError, match="keeps no write ids"):
        put(bucket, if_absent=True)
    assert driver.names() == ["put"]
    assert driver.requests("put")[0].write_id is None


def test_a_refusal_for_being_too_many_is_no_lost_answer(inline: Opener):
    driver, bucket = made(inline, Scripted(write_ids=False))
    driver.script["put"] = [RateLimitedError("slow down")]
    put(bucket, if_absent=True)
    assert driver.names() == ["put", "put"]


def test_an_unconditional_put_is_simply_repeated(inline: Opener):
    driver, bucket = made(inline)
    driver.script["put"] = [Lost(down())]
    put(bucket)
    assert driver.names() == ["put", "put"]
    assert driver.requests("put")[0].write_id is None


def test_when_tries_run_out_what_is_known_not_to_have_happened_is_told(inline: Opener):
    driver, bucket = made(inline, retry=RetryPolicy(attempts=2))
    driver.script["put"] = [down(), down()]
    with pytest.raises(UnavailableError):
        put(bucket, if_absent=True)
    assert not bucket.exists("a")


# --- other operations whose answer is lost -------------------------------------------


@pytest.mark.parametrize("conditions", [{}, {"if_absent": True}])
def test_a_completion_whose_answer_is_lost(opened: Opener, conditions: dict[str, Any]):
    driver = Scripted()
    bucket = opened(driver).create_bucket("fruit")
    upload = bucket.create_upload("a")
    part = upload.put_part(1, b"mine")
    driver.script["complete_upload"] = [Lost(down())]
    result = upload.complete([part], **conditions)
    assert (result.size, result.etag) == (4, bucket.head("a").etag)
    assert driver.names().count("complete_upload") == 1


def test_a_completion_that_did_not_happen_is_done_again(inline: Opener):
    driver, bucket = made(inline)
    upload = bucket.create_upload("a")
    part = upload.put_part(1, b"mine")
    driver.script["complete_upload"] = [down()]
    upload.complete([part])
    assert driver.names().count("complete_upload") == 2


def test_a_completion_nobody_can_tell_of(inline: Opener):
    driver, bucket = made(inline, Scripted(write_ids=False))
    upload = bucket.create_upload("a")
    part = upload.put_part(1, b"mine")
    driver.script["complete_upload"] = [Lost(down())]
    with pytest.raises(OutcomeUnknownError, match="session is gone"):
        upload.complete([part])


def test_a_second_completion_is_told_as_such(inline: Opener):
    _, bucket = made(inline)
    upload = bucket.create_upload("a")
    part = upload.put_part(1, b"mine")
    upload.complete([part])
    with pytest.raises(UploadNotFoundError):
        upload.complete([part])


def test_a_conditional_copy_whose_answer_is_lost(opened: Opener):
    driver = Scripted()
    bucket = opened(driver).create_bucket("fruit")
    bucket.put("a", b"x")
    driver.script["copy"] = [Lost(down())]
    assert bucket.copy("a", "b", if_absent=True).etag == bucket.head("b").etag
    assert driver.names().count("copy") == 1


def test_an_abort_whose_answer_is_lost(inline: Opener):
    driver, bucket = made(inline)
    upload = bucket.create_upload("a")
    driver.script["abort_upload"] = [Lost(down())]
    upload.abort()
    assert driver.names().count("abort_upload") == 2
    with pytest.raises(UploadNotFoundError):
        upload.abort()


def test_deleting_a_bucket_when_the_answer_is_lost(inline: Opener):
    driver, bucket = made(inline)
    driver.script["delete_bucket"] = [Lost(down())]
    bucket.storage.delete_bucket("fruit")
    with pytest.raises(BucketNotFoundError):
        bucket.storage.delete_bucket("fruit")


def test_creating_a_bucket_when_the_answer_is_lost(inline: Opener):
    driver, bucket = made(inline)
    driver.script["create_bucket"] = [Lost(down()), None, Lost(down())]
    with pytest.raises(OutcomeUnknownError, match="may have made it"):
        bucket.storage.create_bucket("other")
    assert bucket.storage.create_bucket("third", exist_ok=True).name == "third"
    with pytest.raises(BucketExistsError):
        bucket.storage.create_bucket("third")


def test_a_conditional_delete_whose_answer_is_lost(inline: Opener):
    driver, bucket = made(inline)
    etag = put(bucket).etag
    driver.script["delete"] = [down()]
    bucket.delete("a", if_match=etag)  # it had not happened, and could be done again
    assert driver.names().count("delete") == 2
    etag = put(bucket).etag
    driver.script["delete"] = [Lost(down())]
    with pytest.raises(OutcomeUnknownError, match="gone or another one"):
        bucket.delete("a", if_match=etag)


def test_an_atomic_move_whose_answer_is_lost(inline: Opener):
    driver, bucket = made(inline)
    put(bucket)
    driver.script["move"] = [down()]
    bucket.move("a", "b")
    driver.script["move"] = [Lost(down())]
    with pytest.raises(OutcomeUnknownError, match="not there any more"):
        bucket.move("b", "c")
    assert driver.names().count("move") == 3


@pytest.mark.parametrize("happened", [True, False])
def test_new_metadata_whose_answer_is_lost(inline: Opener, happened: bool):
    driver, bucket = made(inline)
    etag = put(bucket).etag
    driver.script["update_metadata"] = [Lost(down()) if happened else down()]
    bucket.update_metadata("a", content_type="text/csv", if_match=etag)
    assert driver.names().count("update_metadata") == 2 - happened
    assert bucket.head("a").content_type == "text/csv"


def test_a_move_in_two_steps_deletes_only_what_it_copied(inline: Opener):
    driver, bucket = made(inline, Scripted(atomic_move=False))
    put(bucket, b"old")
    driver.script["delete"] = [Before(other_writes(driver, b"new"))]
    with pytest.raises(ObjectChangedError, match="the target has the old one") as caught:
        bucket.move("a", "b")
    assert caught.value.operation == "move"
    assert (stored(driver, "a"), stored(driver, "b")) == (b"new", b"old")
    put(bucket, b"last")
    driver.script["delete"] = [Lost(down())]
    bucket.move("a", "b")
    assert not bucket.exists("a")
    assert isinstance(driver.requests("delete")[-1], DeleteRequest)


@pytest.mark.parametrize("conditional", [True, False])
def test_what_certainly_was_not_sent_is_sent_again(inline: Opener, conditional: bool):
    """A failure before the request left is no lost answer, also where none could be settled."""
    driver, bucket = made(inline, Scripted(write_ids=False))
    driver.script["put"] = [UnavailableError("no connection", unsent=True)]
    put(bucket, if_absent=conditional)
    assert driver.names() == ["put", "put"]
    driver.script["move"] = [UnavailableError("no connection", unsent=True)]
    bucket.move("a", "b")
    assert driver.names()[-2:] == ["move", "move"]
