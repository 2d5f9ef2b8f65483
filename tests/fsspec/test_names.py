"""Keys as names of files and directories, and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage_fsspec import names

ODD = st.text(
    alphabet=st.one_of(
        st.sampled_from(list('aZ0./%~+ *?[]\\:|<>"#-_')),
        st.characters(blacklist_categories=["Cs", "Cc"]),
    ),
    min_size=1,
    max_size=400,
)


def key_of(path: str) -> str:
    """What a listing makes of the path of an object."""
    *parents, last = path.split("/")
    assert last.endswith(names.SUFFIX)
    key = ""
    for parent in parents:
        if parent.endswith(names.MORE):
            key += names.decoded(parent[: -len(names.MORE)])
        else:
            key += names.decoded(parent) + "/"
    return key + names.decoded(last[: -len(names.SUFFIX)])


@given(ODD)
def test_every_key_comes_back(key: str):
    assert key_of(names.object_path(key)) == key


@given(ODD)
def test_no_name_leaves_the_directory_or_is_too_long(key: str):
    for name in names.object_path(key).split("/"):
        assert name not in {"", ".", ".."}
        assert len(name.encode()) <= 255
        assert not set(name) & set('*?[]\\:|<>"#')


@given(ODD, ODD)
def test_two_keys_have_two_places(one: str, other: str):
    assert (names.object_path(one) == names.object_path(other)) == (one == other)


@given(ODD, ODD)
def test_an_object_is_below_the_directory_of_its_prefix(prefix: str, rest: str):
    directory = names.directory_path(prefix + "/")
    assert names.object_path(f"{prefix}/{rest}").startswith(f"{directory}/")


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("a/b.txt", "a/b.txt.storage-core"),
        ("a//b", "a/%~/b.storage-core"),
        ("a/", "a/%~.storage-core"),
        ("..", "%2E%2E.storage-core"),
        ("100%", "100%25.storage-core"),
        ("a.storage-core/b", "a%2Estorage-core/b.storage-core"),
        ("x" * 200, "x" * 190 + "%+/" + "x" * 10 + ".storage-core"),
    ],
)
def test_where_objects_lie(key: str, path: str):
    assert names.object_path(key) == path


@pytest.mark.parametrize(
    "key", ["a//b", "/a", "a/", "../a", ".storage-core/bucket", "a.storage-core"]
)
def test_no_file_of_others_has_such_a_key(key: str):
    assert names.plain_path(key) is None
