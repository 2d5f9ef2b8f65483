"""put, get and cat: between local files and objects."""

import hashlib
import os
import re
import stat as modes
from pathlib import Path

import pytest

import storage_core
from storage_core.cli import status
from storage_core.cli.get import parse_range
from storage_core.cli.status import UsageError
from tests.cli.conftest import cli, process

BIG = bytes(range(256)) * 40_000  # 10 MB: several parts of a writer


def left_over() -> list[Path]:
    return list(Path().rglob(".storage-*"))


# -- put --------------------------------------------------------------------------


def test_put_names_and_types(fruit: str):
    Path("a.csv").write_bytes(b"1,2\n")
    Path("b.json").write_bytes(b"{}")
    assert cli("put", "a.csv", "fruit").ok().lines == ["stored fruit/a.csv (4 B)"]
    cli("put", "a.csv", "fruit/x/").ok()
    cli("put", "a.csv", "b.json", "fruit/y/").ok()
    cli("put", "a.csv", "fruit/z", "--content-type", "text/plain").ok()
    bucket = storage_core.open().bucket(fruit)
    assert bucket.head("a.csv").content_type == "text/csv"
    assert bucket.head("x/a.csv").content_type == "text/csv"
    assert bucket.head("y/b.json").content_type == "application/json"
    assert bucket.head("z").content_type == "text/plain"
    assert cli("put", "a.csv", "b.json", "fruit/y").status == status.USAGE


def test_put_of_standard_input(fruit: str):
    done = cli("put", "-", "fruit/in.csv", "--json", stdin=BIG).ok()
    assert done.records[0]["size"] == len(BIG)
    info = storage_core.open().bucket(fruit).head("in.csv")
    assert (info.size, info.content_type) == (len(BIG), "text/csv")
    assert cli("cat", "fruit/in.csv").ok().stdout == BIG
    assert cli("put", "-", "fruit").status == status.USAGE
    cli("put", "-", "fruit/empty").ok()
    assert cli("cat", "fruit/empty").ok().stdout == b""


def test_put_with_digests(fruit: str):
    Path("big").write_bytes(BIG)
    digest = hashlib.sha256(BIG).hexdigest()
    done = cli(
        "put", "big", "fruit/", "--checksum", f"sha256={digest}", "--compute", "md5", "--json"
    )
    (record,) = done.ok().records
    assert record["checksums"]["md5"] == hashlib.md5(BIG).hexdigest()
    wrong = cli("put", "big", "fruit/wrong", "--checksum", f"sha256={'0' * 64}")
    assert wrong.status == status.INTEGRITY
    assert cli("stat", "fruit/wrong").status == status.NOT_FOUND
    assert cli("put", "big", "fruit/x", "--checksum", "sha256=12").status == status.USAGE
    assert cli("put", "big", "fruit/x", "--checksum", "sha256").status == status.USAGE


def test_put_conditions(fruit: str):
    etag = storage_core.open().bucket(fruit).head("readme.txt").etag
    cli("put", "storage.toml", "fruit/readme.txt", "--if-match", etag).ok()
    assert cli("put", "storage.toml", "fruit/readme.txt", "--if-match", etag).status == 4
    assert cli("put", "-n", "storage.toml", "fruit/readme.txt").status == status.CONFLICT
    cli("put", "-n", "storage.toml", "fruit/new").ok()


def test_what_begins_with_a_hyphen_is_an_option_or_written_otherwise(fruit: str):
    Path("-odd").write_bytes(b"odd")
    done = cli("put", "-odd", "fruit/")
    assert done.status == status.USAGE
    assert "-o" in done.stderr
    cli("put", "./-odd", "fruit/").ok()
    cli("put", "--", "-odd", "fruit/").ok()
    assert cli("get", "fruit/-odd", "--bogus").status == status.USAGE
    assert cli("cat", "fruit/-odd").ok().text == "odd"
    assert cli("cat", "-").status == status.USAGE


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("put", "-r", "-", "fruit/"), status.NOT_FOUND),
        (("put", "-", "-"), status.USAGE),
        (("import-tree", "-", "fruit"), status.NOT_FOUND),
        (("config", "trust", "-"), status.CONFIG),
        (("ls", "--config", "-"), status.CONFIG),
        (("ls", "--profile", "-"), status.CONFIG),
        (("ls", "--limit", "-"), status.USAGE),
        (("get", "-", "x"), status.USAGE),
    ],
)
def test_a_hyphen_elsewhere_is_a_name_like_others(
    fruit: str, arguments: tuple[str, ...], expected: int
):
    done = cli(*arguments)
    assert done.status == expected, done.stderr
    assert "x00" not in done.stderr


@pytest.mark.parametrize("place", range(4))
def test_shared_options_stand_anywhere(fruit: str, place: int):
    arguments = ["get", "fruit/readme.txt", "x"]
    arguments.insert(place, "--json")
    assert cli(*arguments).ok().records[0]["key"] == "readme.txt"
    arguments = ["put", "-", "fruit/new", "--metadata=a=b"]
    arguments.insert(place, "--json")
    assert cli(*arguments).ok().records[0]["key"] == "new"


def tree(root: str) -> dict[str, bytes]:
    files = {
        "a.txt": b"a",
        "sub/b.txt": b"b",
        "sub/deeper/c d.txt": b"c",
        "sub-x": b"x",
        "é": b"e",
    }
    for name, data in files.items():
        place = Path(root, name)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return files


def test_a_tree_goes_and_comes_back(fruit: str):
    files = tree("in")
    Path("in", "link").symlink_to("a.txt")
    Path("in", "loop").symlink_to(".")
    os.mkfifo("in/pipe")
    done = cli("put", "-r", "in", "fruit/tree/").ok()
    *notes, summary = done.stderr.splitlines()
    assert notes == [
        f"left out, as it is no regular file: in/{name}" for name in ("link", "loop", "pipe")
    ]
    assert re.fullmatch(r"5 objects, 5 B \(.*/s\), 3 left out", summary)
    assert len(done.lines) == len(files)
    cli("get", "-r", "fruit/tree/", "out").ok()
    assert {str(p.relative_to("out")): p.read_bytes() for p in files_of("out")} == files
    assert left_over() == []
    assert cli("put", "-r", "in", "fruit/tree").status == status.USAGE
    assert cli("put", "-r", "none", "fruit/").status == status.NOT_FOUND
    assert cli("put", "in", "fruit/").status == status.FAILURE  # a folder without -r


def files_of(root: str) -> list[Path]:
    return [place for place in Path(root).rglob("*") if place.is_file()]


def test_names_that_are_no_utf8_are_told_and_the_rest_goes_on(fruit: str):
    os.mkdir(b"in")
    for name in (b"in/a", b"in/\xff", b"in/z"):
        with open(name, "wb"):
            pass
    done = cli("put", "-r", "in", "fruit/tree/")
    assert done.status == status.USAGE
    assert "\\udcff" in done.stderr
    assert cli("ls", "fruit/tree/").ok().lines == ["tree/a", "tree/z"]


# -- get --------------------------------------------------------------------------


def test_get_names(fruit: str):
    cli("get", "fruit/2012/adults.csv").ok()
    cli("get", "fruit/2012/adults.csv", "other.csv").ok()
    os.mkdir("folder")
    cli("get", "fruit/2012/adults.csv", "folder").ok()
    done = cli("get", "fruit/2012/adults.csv", "folder/again.csv", "--json").ok()
    assert done.records[0]["file"] == "folder/again.csv"
    for name in ("adults.csv", "other.csv", "folder/adults.csv", "folder/again.csv"):
        assert Path(name).read_text("utf-8") == "about 2012/adults.csv\n"
    assert cli("get", "fruit/readme.txt", "missing/").status == status.NOT_FOUND
    assert cli("get", "fruit/readme.txt", "missing/x").status == status.NOT_FOUND
    assert cli("get", "fruit/2012/").status == status.USAGE
    assert left_over() == []


def test_get_to_standard_output(fruit: str):
    storage_core.open().bucket(fruit).put("big", BIG)
    assert cli("get", "fruit/big", "-").ok().stdout == BIG
    assert cli("get", "fruit/big", "-", "--json").ok().stdout == BIG
    assert process("cat", "fruit/big").ok().stdout == BIG


def test_get_replaces_a_file_as_a_whole(fruit: str):
    place = Path("readme.txt")
    place.write_text("before", "utf-8")
    place.chmod(0o640)
    inode = place.stat().st_ino
    assert cli("get", "-n", "fruit/readme.txt").status == status.CONFLICT
    assert place.read_text("utf-8") == "before"
    cli("get", "fruit/readme.txt").ok()
    assert place.read_text("utf-8") == "about readme.txt\n"
    assert modes.S_IMODE(place.stat().st_mode) == 0o640
    assert place.stat().st_ino != inode
    cli("get", "-n", "fruit/readme.txt", "new").ok()
    before = os.umask(0o027)
    try:
        cli("get", "fruit/readme.txt", "masked").ok()
    finally:
        os.umask(before)
    assert modes.S_IMODE(Path("masked").stat().st_mode) == 0o640
    assert left_over() == []


def test_get_follows_a_link_and_writes_into_a_device(fruit: str):
    Path("real").write_bytes(b"before")
    Path("link").symlink_to("real")
    cli("get", "fruit/readme.txt", "link").ok()
    assert Path("link").is_symlink()
    assert Path("real").read_text("utf-8") == "about readme.txt\n"
    cli("get", "fruit/readme.txt", "/dev/null").ok()
    assert Path("/dev/null").is_char_device()


def test_a_missing_object_leaves_the_file_alone(fruit: str):
    Path("x").write_bytes(b"before")
    assert cli("get", "fruit/none", "x").status == status.NOT_FOUND
    assert Path("x").read_bytes() == b"before"
    assert left_over() == []


@pytest.mark.parametrize("key", ["/etc/x", "a//b", "a/", "//", "a/b/"])
def test_keys_that_are_no_place_below_a_folder(fruit: str, key: str):
    bucket = storage_core.open().bucket(fruit)
    bucket.put("tree/" + key, b"x")
    bucket.put("tree/zzz", b"z")
    done = cli("get", "-r", "fruit/tree/", "out")
    assert done.status == status.USAGE
    assert [str(place) for place in files_of("out")] == ["out/zzz"]


def test_an_object_beside_a_prefix_of_its_name(fruit: str):
    bucket = storage_core.open().bucket(fruit)
    for key in ("tree/a", "tree/a/b", "tree/c"):
        bucket.put(key, key.encode())
    done = cli("get", "-r", "fruit/tree/", "out")
    assert done.status == status.USAGE
    assert "fruit/tree/a/b" in done.stderr
    assert {str(place) for place in files_of("out")} == {"out/a", "out/c"}


# -- cat --------------------------------------------------------------------------


def test_cat(fruit: str):
    done = cli("cat", "fruit/readme.txt", "fruit/2012/adults.csv").ok()
    assert done.lines == ["about readme.txt", "about 2012/adults.csv"]
    assert cli("cat", "fruit/readme.txt", "--range", "0:5").ok().text == "about"
    assert cli("cat", "fruit/readme.txt", "--range", "6:").ok().text == "readme.txt\n"
    assert cli("cat", "fruit/readme.txt", "--range", "-5:").ok().text == ".txt\n"
    assert cli("cat", "fruit/readme.txt", "--range", "99:").status == status.USAGE


@pytest.mark.parametrize("text", ["", ":", "5", "a:b", "-5:3", "1:-1", "--1:", "1:2:3", "\u0661:"])
def test_what_is_no_range(text: str):
    with pytest.raises(UsageError, match="range"):
        parse_range(text)
