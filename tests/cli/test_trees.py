"""Commands with many objects: what they tell of each, the sum, failures and the exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import storage_core
from storage_core.cli import copying, status
from storage_core.model import Capabilities, Condition, Operation
from storage_core.transfer.report import Outcome
from tests.cli.conftest import Done, cli, process
from tests.cli.test_process import on_terminal

MIB = 1024**2


@pytest.fixture
def pears(workspace: Path) -> storage_core.Bucket:
    """A bucket of the other profile."""
    cli("mb", "archive:pears").ok()
    return storage_core.open("archive").bucket("pears")


def tree(root: str = "tree", count: int = 4) -> dict[str, bytes]:
    """Write files into a folder; what they hold by their keys."""
    files = {f"{number % 2}/{number}.txt": b"x" * number for number in range(count)}
    for name, data in files.items():
        place = Path(root, name)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return files


def keys(address: str) -> list[str]:
    return cli("ls", "-r", address).ok().lines


def files(root: str) -> dict[str, bytes]:
    return {
        str(place.relative_to(root)): place.read_bytes()
        for place in Path(root).rglob("*")
        if place.is_file()
    }


def sums(done: Done, *names: str) -> list[int]:
    return [done.summary[name] for name in names]


# -- what is told -------------------------------------------------------------------


def test_each_object_and_the_sum(fruit: str):
    expected = tree()
    done = cli("put", "-r", "tree", "fruit/tree/").ok()
    assert sorted(done.lines) == [
        f"stored fruit/tree/{name} ({len(data)} B)" for name, data in sorted(expected.items())
    ]
    assert done.stderr.startswith("4 objects, 6 B (")
    done = cli("get", "-r", "fruit/tree/", "out", "--json").ok()
    assert sorted(item["file"] for item in done.objects) == sorted(f"out/{key}" for key in expected)
    assert {item["action"] for item in done.objects} == {"download"}
    assert sums(done, "objects", "bytes", "failed", "deleted", "unchanged") == [4, 6, 0, 0, 0]
    assert files("out") == expected
    assert done.stderr == ""
    done = cli("put", "-rq", "tree", "fruit/tree/").ok()
    assert (done.text, done.stderr) == ("", "")


def test_failures_are_listed_in_order_and_the_rest_goes_on(fruit: str):
    bucket = storage_core.open().bucket(fruit)
    for key in ("t/z//x", "t/a//x", "t/good", "t/m//x"):
        bucket.put(key, b"x")
    done = process("get", "-r", "fruit/t/", "out")
    assert done.status == status.USAGE
    assert files("out") == {"good": b"x"}
    *failures, summary = done.stderr.splitlines()
    assert [line.split(": ")[:2] for line in failures] == [
        ["storage", f"fruit/t/{key}"] for key in ("a//x", "m//x", "z//x")
    ]
    assert summary.endswith(", 3 failed")
    done = process("get", "-r", "fruit/t/", "again", "--json")
    assert done.status == status.USAGE
    errors = [json.loads(line)["error"] for line in done.stderr.splitlines()]
    assert [error["exit_status"] for error in errors] == [status.USAGE] * len(errors)
    assert done.summary["failed"] == len(errors) == 3
    assert done.summary["objects"] == 1


def test_failures_that_differ_share_the_general_status(fruit: str):
    tree("in")
    Path("in", "a\x01b").write_bytes(b"")
    done = cli("put", "-r", "in", "missing", "fruit/x/")
    assert done.status == status.FAILURE
    assert "4 objects" in done.stderr
    assert len(keys("fruit/x/")) == 4


def test_what_befalls_all_alike_ends_the_command(workspace: Path):
    tree("in", 300)
    done = cli("put", "-r", "in", "nobucket/", "--concurrency", "2", "--json")
    assert done.status == status.NOT_FOUND
    assert done.summary["failed"] < 10
    assert "nobucket" in done.stderr


def test_a_bar_on_a_terminal(fruit: str, workspace: Path):
    (workspace / "tree").mkdir()
    for number in range(4):
        (workspace / "tree" / f"{number}.bin").write_bytes(bytes(3 * MIB))
    code, shown = on_terminal("put", "-r", "tree", "fruit/", "--bandwidth", "8MiB")
    assert code == 0, shown
    assert "/12.0 MiB" in shown
    assert "MiB/s" in shown
    assert "/4 objects" in shown
    assert shown.count("stored fruit/") == 4
    assert "4 objects, 12.0 MiB (" in shown.rstrip().splitlines()[-1]
    code, shown = on_terminal("--json", "get", "-r", "fruit/", "out", "--bandwidth", "8MiB")
    assert code == 0
    assert "\x1b[" not in shown
    done = process("get", "-r", "fruit/", "again", "--bandwidth", "12MiB").ok()
    assert "\x1b" not in done.stderr + done.text


@pytest.mark.parametrize(
    "option",
    ["--part-size=x", "--part-size=0", "--bandwidth=fast", "--concurrency=0", "--max-memory=5"],
)
def test_options_that_make_no_sense(fruit: str, option: str):
    done = cli("get", "-r", "fruit/", "out", option)
    assert done.status == status.USAGE
    assert not Path("out").exists()


def test_options_of_transfers(fruit: str):
    Path("big").write_bytes(bytes(12 * MIB))
    options = ("--part-size", "5MiB", "--concurrency=2", "--max-memory=16M", "--no-verify")
    cli("put", "big", "fruit/", *options).ok()
    cli("get", "fruit/big", "again", "--bandwidth", "1G/s", "--no-resume", *options).ok()
    assert Path("again").read_bytes() == bytes(12 * MIB)


# -- cp and mv -----------------------------------------------------------------------


def test_cp_to_and_from_folders(fruit: str):
    expected = tree()
    cli("cp", "-r", "./tree", "fruit/t/").ok()
    cli("cp", "-r", "fruit/t/", "./out").ok()
    assert files("out") == expected
    cli("cp", "./tree/1/3.txt", "fruit/").ok()
    assert "3.txt" in keys("fruit")
    cli("cp", "fruit/3.txt", "./").ok()
    assert Path("3.txt").read_bytes() == b"xxx"
    assert cli("cp", "-n", "fruit/3.txt", "./").status == status.CONFLICT
    assert cli("cp", "-n", "./3.txt", "fruit/").status == status.CONFLICT
    assert cli("cp", "./a", "./b").status == status.USAGE
    assert cli("cp", "./3.txt", "fruit/", "--leave-out", "tags").status == status.USAGE
    assert cli("mv", "./3.txt", "fruit/").status == status.USAGE


@pytest.mark.parametrize("command", [("sync",), ("verify",), ("cp", "-r")])
def test_a_name_that_could_be_both(fruit: str, command: tuple[str, ...]):
    tree("fruit")
    done = cli(*command, "fruit", "pears/")
    assert done.status == status.USAGE
    assert "./fruit" in done.stderr
    assert cli(*command, "archive:fruit", "dev:fruit").status == status.NOT_FOUND


def test_cp_between_profiles(fruit: str, pears: storage_core.Bucket):
    done = cli("cp", "-r", "fruit/2012/", "archive:pears/x/", "--json").ok()
    assert sums(done, "objects", "failed") == [2, 0]
    assert keys("archive:pears") == ["x/adults.csv", "x/children.csv"]
    refused = cli("cp", "-rn", "fruit/2012/", "archive:pears/x/")
    assert refused.status == status.CONFLICT
    assert refused.stderr.splitlines()[-1].startswith("0 objects, 0 B, 2 failed")


def test_mv_between_profiles_deletes_what_was_copied_and_only_that(
    fruit: str, pears: storage_core.Bucket
):
    pears.put("adults.csv", b"theirs")
    done = cli("mv", "-rn", "fruit/2012/", "archive:pears/", "--json")
    assert done.status == status.CONFLICT
    assert [item["key"] for item in done.objects] == ["children.csv"]
    assert keys("fruit/2012/") == ["2012/adults.csv"]
    assert pears.get("adults.csv").read() == b"theirs"
    cli("mv", "-r", "fruit/", "archive:pears/all/").ok()
    assert keys("fruit") == []
    assert len(keys("archive:pears/all/")) == 3


@pytest.mark.parametrize("asked", [True, False], ids=["if-match", "by-listing"])
def test_mv_leaves_what_was_replaced_meanwhile(
    fruit: str, pears: storage_core.Bucket, monkeypatch: pytest.MonkeyPatch, asked: bool
):
    """Whether or not the service deletes only what it is told to expect."""
    bucket = storage_core.open().bucket(fruit)
    allows = Capabilities.allows

    def allowed(self: Capabilities, operation: Operation, condition: Condition) -> bool:
        return allows(self, operation, condition) and (asked or operation != "delete")

    def replaced(remover: copying._Remover, outcome: Outcome) -> None:
        bucket.put("2012/adults.csv", b"newer")

    monkeypatch.setattr(Capabilities, "allows", allowed)
    monkeypatch.setattr(copying._Remover, "_check_apart", replaced)
    done = cli("mv", "-r", "fruit/2012/", "archive:pears/2012/")
    assert done.status == status.CONFLICT
    assert "replaced" in done.stderr
    assert bucket.get("2012/adults.csv").read() == b"newer"
    assert keys("fruit/2012/") == ["2012/adults.csv"]
    assert len(list(pears.list("2012/"))) == 2


def test_mv_onto_itself_by_another_profile_loses_nothing(
    fruit: str, monkeypatch: pytest.MonkeyPatch
):
    """Found out before anything is deleted, and where `describe` does not tell as well."""
    Path("alias").symlink_to("data")
    monkeypatch.setenv("STORAGE_PROFILES__ALIAS__DRIVER", "local")
    monkeypatch.setenv("STORAGE_PROFILES__ALIAS__ROOT", str(Path("alias").absolute()))
    before = keys("fruit")
    for operands in (
        ["fruit/readme.txt", "alias:fruit/readme.txt"],
        ["-r", "fruit/2012/", "alias:fruit/2012/"],
    ):
        done = cli("mv", *operands)
        assert done.status == status.CONFLICT
        assert "nothing was deleted" in done.stderr
    assert keys("fruit") == before


def test_mv_within_a_profile_leaves_nothing_out(fruit: str):
    for operands in (["fruit/readme.txt", "fruit/new"], ["-r", "fruit/2012/", "fruit/new/"]):
        assert cli("mv", *operands, "--leave-out", "tags").status == status.USAGE
    assert "readme.txt" in keys("fruit")


def test_an_error_never_begins_a_line_of_its_own(fruit: str):
    tree()
    Path("tree/new\nstorage: all is well").write_bytes(b"1")
    done = cli("put", "-r", "tree", "fruit/t/")
    assert done.status == status.USAGE
    assert "all is well" in done.stderr
    assert not any(line.startswith("storage: all") for line in done.stderr.splitlines())
    assert [line[:9] for line in done.stderr.splitlines()] == ["storage: ", "4 objects"]


def test_a_file_is_no_folder_to_fetch_into(fruit: str):
    Path("file").write_bytes(b"mine")
    done = cli("get", "-r", "fruit/2012/", "file")
    assert done.status == status.FAILURE
    assert "Not a directory" in done.stderr
    assert Path("file").read_bytes() == b"mine"


def test_mv_within_a_profile_renames(fruit: str):
    done = cli("mv", "-r", "fruit/2012/", "fruit/old/", "--json").ok()
    assert {item["action"] for item in done.objects} == {"move"}
    assert sums(done, "objects", "failed") == [2, 0]
    assert keys("fruit") == ["2013/adults.csv", "old/adults.csv", "old/children.csv", "readme.txt"]
    assert cli("mv", "-r", "fruit/old/", "fruit/old/er/").status == status.USAGE
    cli("put", "-", "fruit/new/adults.csv").ok()
    assert cli("mv", "-rn", "fruit/old/", "fruit/new/").status == status.CONFLICT
    assert keys("fruit/old/") == ["old/adults.csv"]


# -- rm -----------------------------------------------------------------------------


def test_rm_of_many(fruit: str):
    bucket = storage_core.open().bucket(fruit)
    for number in range(1100):
        bucket.put(f"many/{number:04}", b"")
    assert len(cli("rm", "-r", "--dry-run", "fruit/many/").ok().lines) == 1100
    assert len(keys("fruit/many/")) == 1100
    done = cli("rm", "-r", "fruit/many/", "--json").ok()
    assert sums(done, "deleted", "objects", "failed") == [1100, 0, 0]
    assert len(done.objects) == 1100
    assert keys("fruit/many/") == []
    assert len(keys("fruit")) == 4
    assert cli("rm", "-r", "fruit/many/", "nobucket/").status == status.NOT_FOUND


# -- sync and verify -------------------------------------------------------------------


def test_sync_up_and_down(fruit: str):
    expected = tree()
    done = cli("sync", "./tree", "fruit/t/", "--json").ok()
    assert sums(done, "objects", "unchanged") == [4, 0]
    again = cli("sync", "./tree", "fruit/t/", "--json").ok()
    assert sums(again, "objects", "unchanged") == [0, 4]
    assert again.objects == []
    cli("sync", "fruit/t/", "./out").ok()
    assert files("out") == expected
    assert storage_core.open().bucket(fruit).head("t/0/0.txt").content_type == "text/plain"
    Path("tree/0/0.txt").unlink()
    Path("tree/1/1.txt").write_bytes(b"other")
    planned = cli("sync", "./tree", "fruit/t/", "--delete", "--dry-run").ok()
    assert planned.lines == ["would store fruit/t/1/1.txt (5 B)", "would delete fruit/t/0/0.txt"]
    assert planned.stderr.startswith("dry run: 1 object, 5 B, 2 unchanged, 1 deleted")
    assert len(keys("fruit/t/")) == 4
    done = cli("sync", "./tree", "fruit/t/", "--delete", "--json").ok()
    assert sums(done, "objects", "deleted", "unchanged") == [1, 1, 2]
    assert keys("fruit/t/") == ["t/0/2.txt", "t/1/1.txt", "t/1/3.txt"]


def test_sync_by_pattern_and_checksum(fruit: str):
    tree()
    cli("sync", "./tree", "fruit/t/", "--include", "*.txt", "--exclude", "1/*").ok()
    assert keys("fruit/t/") == ["t/0/0.txt", "t/0/2.txt"]
    Path("tree/0/2.txt").write_bytes(b"yy")
    done = cli("sync", "./tree", "fruit/t/", "--compare", "checksum", "--json").ok()
    assert sums(done, "objects", "unchanged") == [3, 1]
    assert cli("sync", "./tree", "fruit/t/", "--compare", "luck").status == status.USAGE


def test_sync_deletes_nothing_if_something_failed(fruit: str):
    tree()
    Path("tree", "a\x01b").write_bytes(b"")
    cli("put", "-", "fruit/t/extra").ok()
    done = cli("sync", "./tree", "fruit/t/", "--delete")
    assert done.status == status.USAGE
    assert "t/extra" in keys("fruit/t/")


def test_sync_between_profiles(fruit: str, pears: storage_core.Bucket):
    cli("sync", "fruit", "archive:pears").ok()
    assert len(keys("archive:pears")) == 4
    assert cli("verify", "fruit", "archive:pears").ok().lines == []
    assert cli("sync", "./a", "./b").status == status.USAGE
    assert cli("sync", "fruit/2012", "archive:pears").status == status.USAGE
    assert cli("sync", "./missing", "fruit/").status == status.NOT_FOUND


def test_verify_tells_what_differs(fruit: str):
    tree()
    cli("sync", "./tree", "fruit/t/").ok()
    done = cli("verify", "./tree", "fruit/t/").ok()
    assert done.lines == []
    assert done.stderr == "4 the same (6 B)\n"
    Path("tree/0/2.txt").write_bytes(b"yy")
    Path("tree/new").write_bytes(b"")
    cli("rm", "fruit/t/1/1.txt").ok()
    cli("put", "-", "fruit/t/extra").ok()
    done = process("verify", "./tree", "fruit/t/")
    assert done.status == status.INTEGRITY
    assert done.lines == [
        "different: 0/2.txt",
        "only in ./tree: 1/1.txt",
        "only in ./tree: new",
        "only in fruit/t/: extra",
    ]
    done = process("verify", "./tree", "fruit/t/", "--json")
    assert done.status == status.INTEGRITY
    assert [item["kind"] for item in done.objects] == [
        "different", "only_source", "only_source", "only_target",
    ]  # fmt: skip
    assert sums(done, "ok", "same", "only_source") == [False, 2, 2]
    assert cli("verify", "./tree", "fruit/t/", "--include", "1/3.txt").ok().lines == []


def test_an_engine_needs_its_scheduler(fruit: str):
    for arguments in (
        ("sync", "./x", "fruit/", "--engine", "dask"),
        ("verify", "./x", "fruit/", "--scheduler", "tcp://127.0.0.1:9"),
        ("cp", "fruit/readme.txt", "fruit/x", "--engine", "dask", "--scheduler", "x"),
        ("sync", "./x", "fruit/", "--shared-folders"),
    ):
        done = cli(*arguments)
        assert done.status == status.USAGE
        assert "--engine" in done.stderr
