"""ls, stat, rm, cp, mv, presign, mb and rb, tags, versions, uploads: what they do and say."""

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import storage_core
from storage_core.cli import status
from tests.cli.conftest import Done, cli


def keys(address: str) -> list[str]:
    return [item["key"] for item in cli("ls", "-r", "--json", address).ok().records]


def open_bucket(name: str, profile: str = "dev") -> storage_core.Bucket:
    return storage_core.open(profile).bucket(name)


# -- listing ----------------------------------------------------------------------


def test_buckets_are_made_listed_and_removed():
    assert cli("ls").ok().lines == []
    assert cli("mb", "fruit", "archive:old").ok().lines == ["made fruit", "made archive:old"]
    assert cli("ls").ok().lines == ["fruit"]
    assert cli("ls", "archive:").ok().lines == ["old"]
    assert cli("ls", "--profile", "archive").ok().lines == ["old"]
    (record,) = cli("ls", "--json").ok().records
    assert record["type"] == "bucket"
    assert record["name"] == "fruit"
    assert record["created"].endswith("Z")
    assert cli("mb", "fruit").status == status.CONFLICT
    cli("mb", "fruit", "--exist-ok").ok()
    assert cli("rb", "fruit", "archive:old/").ok().lines == ["removed fruit", "removed archive:old"]
    assert cli("ls").ok().lines == []


def test_a_bucket_that_holds_something_is_removed_by_force_only(fruit: str):
    done = cli("rb", fruit)
    assert done.status == status.CONFLICT
    assert "--force" in done.stderr
    assert cli("rb", "--force", fruit).ok().lines == ["removed fruit"]
    assert cli("rb", fruit).status == status.NOT_FOUND


def test_listing(fruit: str):
    assert cli("ls", fruit).ok().lines == ["2012/", "2013/", "readme.txt"]
    assert cli("ls", "dev:fruit/2012/").ok().lines == ["2012/adults.csv", "2012/children.csv"]
    assert cli("ls", "fruit/2012/a").ok().lines == ["2012/adults.csv"]
    assert cli("ls", "fruit/none").ok().lines == []
    assert len(cli("ls", "-r", fruit).ok().lines) == 4
    assert cli("ls", "-r", fruit, "--limit", "2").ok().lines == [
        "2012/adults.csv",
        "2012/children.csv",
    ]
    assert cli("ls", "--limit", "0").status == status.USAGE


def test_long_listing(fruit: str):
    prefix, _, line = cli("ls", "-l", fruit).ok().lines
    assert prefix.split() == ["2012/"]
    size, day, _, key = line.split()
    assert (size, key) == ("17", "readme.txt")
    assert datetime.fromisoformat(day) > datetime(2024, 1, 1)  # noqa: DTZ001
    assert cli("ls", "-lH", fruit).ok().lines[2].split()[:2] == ["17", "B"]


def test_listing_in_json(fruit: str):
    prefix, _, found = cli("ls", "--json", fruit).ok().records
    assert prefix == {"type": "prefix", "bucket": "fruit", "key": "2012/"}
    assert found["type"] == "object"
    assert found["size"] == 17
    assert set(found["checksums"]) == {"crc32c"}


def test_a_listing_of_keys_that_would_steer_a_terminal(fruit: str):
    odd = "\N{RIGHT-TO-LEFT OVERRIDE}fdp.exe"
    open_bucket(fruit).put(odd, b"")
    assert "\\u202efdp.exe" in cli("ls", fruit).ok().lines
    assert odd in keys(fruit)


def test_stat(fruit: str):
    cli(
        "put", "storage.toml", "fruit/x", "--metadata", "year=2012", "--cache-control", "no-cache",
        "--content-language", "en", "--content-disposition", "inline", "--content-encoding", "br",
        "--compute", "sha256", "--expires-in", "1h", "--tag", "a=b",
    ).ok()  # fmt: skip
    lines = dict(line.split("  ", 1) for line in cli("stat", "fruit/x").ok().lines)
    shown = {name: text.strip() for name, text in lines.items()}
    assert shown["key"] == "x"
    assert shown["content type"] == "application/toml"
    assert shown["content encoding"] == "br"
    assert shown["metadata year"] == "2012"
    assert len(shown["sha256"]) == 64
    (record,) = cli("stat", "--json", "fruit/x").ok().records
    assert record["metadata"] == {"year": "2012"}
    assert record["cache_control"] == "no-cache"
    assert record["content_language"] == "en"
    assert record["content_disposition"] == "inline"
    left = datetime.fromisoformat(record["expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=59) < left <= timedelta(hours=1)
    assert "write_id" not in record
    assert cli("stat", "--json", fruit).ok().records[0]["name"] == "fruit"
    assert cli("stat", fruit).ok().lines[0].split() == ["bucket", "fruit"]
    assert cli("stat", fruit, "--version-id", "x").status == status.USAGE


# -- deleting ---------------------------------------------------------------------


def test_rm(fruit: str):
    done = cli("rm", "fruit/readme.txt", "fruit/none")
    assert done.ok().lines == ["deleted fruit/readme.txt", "deleted fruit/none"]
    assert "readme.txt" not in keys(fruit)
    assert cli("rm", "fruit/").status == status.USAGE


def test_rm_of_a_prefix_takes_whole_segments(fruit: str):
    open_bucket(fruit).put("2012-old", b"")
    assert cli("rm", "-r", "fruit/2012").status == status.USAGE
    listed = cli("rm", "-r", "--dry-run", "fruit/2012/").ok().lines
    assert listed == ["fruit/2012/adults.csv", "fruit/2012/children.csv"]
    assert "2012/adults.csv" in keys(fruit)
    cli("rm", "-r", "fruit/2012/").ok()
    assert keys(fruit) == ["2012-old", "2013/adults.csv", "readme.txt"]
    assert [item["key"] for item in cli("rm", "-r", "--json", fruit).ok().objects] == [
        "2012-old",
        "2013/adults.csv",
        "readme.txt",
    ]
    assert keys(fruit) == []


def test_rm_with_a_condition(fruit: str):
    assert cli("rm", "fruit/readme.txt", "--if-match", "other").status == status.CONFLICT
    etag = open_bucket(fruit).head("readme.txt").etag
    cli("rm", "fruit/readme.txt", "--if-match", etag).ok()
    assert cli("rm", "-r", fruit, "--if-match", etag).status == status.USAGE


# -- copying and moving -----------------------------------------------------------


def test_cp_within_a_profile(fruit: str):
    cli("mb", "other").ok()
    cli("cp", "fruit/readme.txt", "other").ok()
    cli("cp", "fruit/readme.txt", "other/docs/").ok()
    cli("cp", "fruit/readme.txt", "other/docs/copy").ok()
    assert keys("other") == ["docs/copy", "docs/readme.txt", "readme.txt"]
    assert cli("cat", "other/docs/copy").ok().text == "about readme.txt\n"
    assert cli("cp", "-n", "fruit/readme.txt", "other").status == status.CONFLICT
    assert cli("cp", "fruit/none", "other").status == status.NOT_FOUND


def test_cp_between_profiles_keeps_everything(fruit: str):
    cli("mb", "archive:old").ok()
    cli(
        "put", "storage.toml", "fruit/x", "--metadata", "year=2012", "--tag", "a=b",
        "--content-type", "text/x-odd",
    ).ok()  # fmt: skip
    assert cli("cp", "fruit/x", "archive:old/").ok().text.startswith("copied to archive:old/x (")
    copied = open_bucket("old", "archive")
    info = copied.head("x")
    assert info.content_type == "text/x-odd"
    assert info.metadata == {"year": "2012"}
    assert copied.get_tags("x") == {"a": "b"}
    with copied.get("x") as reader:
        assert reader.read() == Path("storage.toml").read_bytes()


def test_mv_between_profiles_removes_the_source(fruit: str):
    cli("mb", "archive:old").ok()
    cli("mv", "-r", "fruit/2012/", "archive:old/from/").ok()
    assert keys(fruit) == ["2013/adults.csv", "readme.txt"]
    assert keys("archive:old") == ["from/adults.csv", "from/children.csv"]


def test_cp_between_profiles_refuses_what_the_other_can_not_keep(workspace: Path, fruit: str):
    with (workspace / "storage.toml").open("a") as config:
        config.write('\n[profiles.plain]\ndriver = "local"\nroot = "plain"\n')
        config.write("capabilities.tags = false\n")
    cli("mb", "plain:fruit").ok()
    cli("tags", "set", "fruit/readme.txt", "kind=note").ok()
    refused = cli("cp", "fruit/readme.txt", "plain:fruit/")
    assert refused.status != 0
    assert "tags" in refused.stderr
    assert "--leave-out" in refused.stderr
    cli("cp", "--leave-out", "tags", "fruit/readme.txt", "plain:fruit/").ok()
    assert cli("cat", "plain:fruit/readme.txt").ok().text == "about readme.txt\n"


def test_mv_within_a_profile(fruit: str):
    assert cli("mv", "fruit/readme.txt", "fruit/docs/").ok().text.startswith("moved to fruit/docs/")
    cli("mv", "-r", "fruit/2012/", "fruit/years/2012/").ok()
    assert keys(fruit) == [
        "2013/adults.csv",
        "docs/readme.txt",
        "years/2012/adults.csv",
        "years/2012/children.csv",
    ]
    assert cli("mv", "-n", "fruit/docs/readme.txt", "fruit/2013/adults.csv").status == 4
    assert "docs/readme.txt" in keys(fruit)


@pytest.mark.parametrize("verb", ["cp", "mv"])
@pytest.mark.parametrize(("source", "target"), [("fruit", "fruit/x/"), ("fruit/2012/", "fruit")])
def test_a_tree_does_not_go_into_itself(fruit: str, verb: str, source: str, target: str):
    before = keys(fruit)
    done = cli(verb, "-r", source, f"dev:{target}")
    assert done.status == status.USAGE
    assert "overlap" in done.stderr
    assert keys(fruit) == before


def test_cp_of_a_tree_tells_of_each_failure_and_goes_on(fruit: str):
    cli("mb", "other").ok()
    cli("cp", "fruit/2012/children.csv", "other/children.csv").ok()
    done = cli("cp", "-rn", "fruit/2012/", "other")
    assert done.status == status.CONFLICT
    assert "2012/children.csv" in done.stderr
    assert keys("other") == ["adults.csv", "children.csv"]


# -- links ------------------------------------------------------------------------


def test_presign(fruit: str):
    link = urlsplit(cli("presign", "fruit/readme.txt").ok().text.strip())
    assert f"{link.scheme}://{link.netloc}" == "http://127.0.0.1:8080"
    assert link.query
    done = cli(
        "presign", "-X", "PUT", "fruit/new.csv", "--content-type", "text/csv",
        "--content-length", "3", "--expires-in", "2h",
    ).ok()  # fmt: skip
    assert len(done.lines) == 1
    assert "text/csv" in done.stderr
    (record,) = cli("presign", "--json", "fruit/readme.txt", "--expires-in", "2h").ok().records
    assert record["method"] == "GET"
    left = datetime.fromisoformat(record["expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=119) < left <= timedelta(hours=2)


@pytest.mark.parametrize(
    "arguments",
    [
        ("presign", "fruit/x", "--expires-in", "soon"),
        ("presign", "fruit/x", "--part", "1"),
        ("presign", "fruit/x", "-X", "PATCH"),
        ("presign", "fruit/x", "--content-length", "5"),
        ("presign", "fruit/x", "--checksum", "md5"),
        ("presign", "fruit", "--upload", "abc.def", "--part", "1", "--filename", "x"),
        ("presign", "fruit"),
    ],
)
def test_links_that_make_no_sense(fruit: str, arguments: tuple[str, ...]):
    assert cli(*arguments).status == status.USAGE


# -- tags, versions, uploads ------------------------------------------------------


def test_tags(fruit: str):
    where = "fruit/readme.txt"
    assert cli("tags", "get", where).ok().lines == []
    assert cli("tags", "set", where, "a=1", "b=2").ok().lines == ["fruit/readme.txt: 2 tags"]
    cli("tags", "set", where, "b=3").ok()
    assert cli("tags", "get", where).ok().lines == ["a=1", "b=3"]
    cli("tags", "rm", where, "a", "none").ok()
    assert cli("tags", "get", "--json", where).ok().records == [
        {"bucket": "fruit", "key": "readme.txt", "tags": {"b": "3"}}
    ]
    cli("tags", "set", where, "c=1", "--replace").ok()
    assert cli("tags", "get", where).ok().lines == ["c=1"]
    assert cli("tags", "rm", where).status == status.USAGE
    assert cli("tags", "rm", where, "c", "--all").status == status.USAGE
    cli("tags", "rm", where, "--all").ok()
    assert cli("tags", "get", where).ok().lines == []
    assert cli("tags", "get", "fruit/none").status == status.NOT_FOUND


def test_versions():
    cli("mb", "archive:old").ok()
    for text in (b"one", b"two"):
        cli("put", "-", "archive:old/x", stdin=text).ok()
    newest, oldest = cli("versions", "ls", "--json", "archive:old").ok().records
    assert (newest["is_latest"], oldest["is_latest"]) == (True, False)
    first = oldest["version"]
    assert cli("cat", "archive:old/x", "--version-id", first).ok().text == "one"
    assert (
        cli("stat", "--json", "archive:old/x", "--version-id", first).ok().records[0]["size"] == 3
    )
    cli("versions", "restore", "archive:old/x", first).ok()
    assert cli("cat", "archive:old/x").ok().text == "one"
    cli("rm", "archive:old/x").ok()
    assert cli("cat", "archive:old/x").status == status.NOT_FOUND
    marker, *versions = cli("versions", "ls", "archive:old/x").ok().lines
    assert marker.split("\t")[1:3] == ["latest", "deleted"]
    assert len(versions) == 3
    cli("versions", "rm", "archive:old/x", marker.split("\t")[0]).ok()
    assert cli("cat", "archive:old/x").ok().text == "one"
    cli("versions", "rm", "archive:old/x", first).ok()
    assert first not in [item["version"] for item in cli_versions().records]


def cli_versions() -> Done:
    return cli("versions", "ls", "--json", "archive:old").ok()


def test_uploads(fruit: str):
    bucket = open_bucket(fruit)
    first, second = bucket.create_upload("big.bin"), bucket.create_upload("big/other.bin")
    found = cli("uploads", "ls", "--json", fruit).ok().records
    assert {item["id"] for item in found} == {first.id, second.id}
    assert cli("uploads", "ls", "fruit/big/").ok().lines[0].split("\t")[1:] == [
        "big/other.bin",
        second.id,
    ]
    (link,) = cli(
        "presign", "--json", fruit, "--upload", first.id, "--part", "1", "--content-length", "3"
    ).ok().records  # fmt: skip
    assert link["method"] == "PUT"
    assert cli("uploads", "abort", fruit, first.id).ok().lines == ["aborted fruit/big.bin"]
    assert cli("uploads", "abort", fruit, first.id).status == status.NOT_FOUND
    assert cli("uploads", "abort", fruit, "nonsense").status == status.USAGE
    assert cli("uploads", "abort", fruit).status == status.USAGE
    assert cli("uploads", "abort", fruit, "--older-than", "1h").ok().lines == []
    while datetime.now(UTC) - bucket_time(fruit) < timedelta(seconds=1):
        time.sleep(0.05)
    assert cli("uploads", "abort", fruit, "--older-than", "1s").ok().lines == [
        "aborted fruit/big/other.bin"
    ]
    assert cli("uploads", "ls", fruit).ok().lines == []


def bucket_time(name: str) -> datetime:
    (upload,) = open_bucket(name).list_uploads()
    assert upload.created is not None
    return upload.created


def test_quiet_says_nothing_of_what_went_well(fruit: str):
    for arguments in (
        ("mb", "other"),
        ("put", "storage.toml", "fruit/x"),
        ("cp", "fruit/x", "other"),
        ("tags", "set", "fruit/x", "a=1"),
        ("get", "fruit/x", "y"),
        ("rm", "fruit/x"),
        ("rb", "other", "--force"),
    ):
        done = cli("-q", *arguments).ok()
        assert (done.text, done.stderr) == ("", ""), arguments
    assert os.path.exists("y")
