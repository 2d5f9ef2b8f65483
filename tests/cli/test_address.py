import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage_core.cli import address
from storage_core.cli.address import Address
from storage_core.cli.status import UsageError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fruit", Address(None, "fruit")),
        ("fruit/", Address(None, "fruit")),
        ("fruit/a/b", Address(None, "fruit", "a/b")),
        ("fruit//a", Address(None, "fruit", "/a")),
        ("fruit/a:b", Address(None, "fruit", "a:b")),
        ("dev:fruit/a:b/c", Address("dev", "fruit", "a:b/c")),
        ("dev:", Address("dev", "")),
        ("dev:$web/x", Address("dev", "$web", "x")),
        ("a.b_c-d:fruit", Address("a.b_c-d", "fruit")),
    ],
)
def test_forms(text: str, expected: Address):
    assert address.parse(text) == expected


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (address.STANDARD_STREAM, "standard input"),
        ("/a", "no bucket"),
        ("dev:/a", "no bucket"),
        (":fruit", "before its ':'"),
        ("s3://fruit/a", "URL"),
        ("file:///srv/data", "URL"),
    ],
)
def test_what_is_no_address(text: str, names: str):
    with pytest.raises(UsageError, match=names):
        address.parse(text)


@given(st.text(min_size=1), st.sampled_from([None, "dev"]))
def test_a_key_is_taken_as_it_is(key: str, profile: str | None):
    written = Address(profile, "fruit", key)
    assert address.parse(str(written)) == written


@given(st.text())
def test_any_text_is_read_or_refused(text: str):
    try:
        found = address.parse(text)
    except UsageError:
        return
    assert found.bucket or not found.key


@pytest.mark.parametrize("text", ["", "dev:"])
def test_a_bucket_is_needed(text: str):
    for read in (address.parse_bucket, address.parse_object, address.parse_group):
        with pytest.raises(UsageError):
            read(text)


def test_kinds_of_address():
    assert address.parse_object("b/k").key == "k"
    assert address.parse_bucket("b/").bucket == "b"
    with pytest.raises(UsageError, match="names a bucket"):
        address.parse_object("b/")
    with pytest.raises(UsageError, match="names an object"):
        address.parse_bucket("b/k")
    assert address.parse_group("b/logs/").key == "logs/"
    with pytest.raises(UsageError, match="'b/logs/'"):
        address.parse_group("b/logs")


def test_where_a_source_goes():
    assert address.target_for(address.parse("b"), "n").key == "n"
    assert address.target_for(address.parse("b/p/"), "n").key == "p/n"
    assert address.target_for(address.parse("b/p"), "n").key == "p"
    with pytest.raises(UsageError, match="no name"):
        address.target_for(address.parse("b/p/"), "")
