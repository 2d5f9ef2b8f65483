"""The benchmarks' own logic: what their server says, and what becomes of figures."""

import json
import os
import shutil
from collections.abc import Iterator
from xml.etree import ElementTree as ET

import pytest

import storage_core
from benchmarks import _content as content
from benchmarks import _targets as targets
from benchmarks import performance
from benchmarks._measure import Figures, make_tree
from benchmarks._page import checked, summary
from benchmarks._peers_ours import profile
from benchmarks._picture import picture
from benchmarks._s3_server import Server
from benchmarks._tasks import TOP, TREE, tasks

MIB = 1024**2


# --- content -------------------------------------------------------------------------------


def test_a_part_in_the_wrong_place_is_noticed(tmp_path):
    path = tmp_path / "file"
    content.write(path, 24 * MIB)
    assert content.holds(path, 24 * MIB)
    whole = path.read_bytes()
    path.write_bytes(whole[8 * MIB : 16 * MIB] + whole[: 8 * MIB] + whole[16 * MIB :])
    assert not content.holds(path, 24 * MIB)


# --- the server ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def storage() -> Iterator[storage_core.Storage]:
    if not shutil.which("cc"):
        if os.environ.get("CI"):
            pytest.fail("there is no C compiler")
        pytest.skip("there is no C compiler")
    with Server() as server, storage_core.open(config=profile(server.url)) as opened:
        yield opened


def test_the_server_sends_the_content(storage):
    with storage.bucket("bench").get("x-100000") as reader:
        assert reader.read() == content.content(100_000)
    with storage.bucket("bench").get("x-10000000", range=(4_000_000, 9_000_000)) as reader:
        assert reader.read() == content.content(10_000_000)[4_000_000:9_000_000]
    info = storage.bucket("bench").head("x-8192")
    assert (info.size, info.etag) == (8192, content.md5(8192))
    assert info.checksums["crc32c"] == f"{content.crc32c(8192):08x}"


def test_the_server_lists_a_tree(storage):
    bucket = storage.bucket("tree")
    assert sum(1 for _ in bucket.list()) == TREE
    page = next(iter(bucket.list(prefix="t1/d03/", start_after="t1/d03/f05-8192").pages()))
    assert [item.key for item in page.items][:2] == ["t1/d03/f06-8192", "t1/d03/f07-8192"]
    assert len(page.items) == 94
    folders = [item.key for item in bucket.list("t1/", delimiter="/")]
    assert folders == [f"t1/d{number:02}/" for number in range(20)]
    with pytest.raises(storage_core.ObjectNotFoundError):
        bucket.head("t1")
    assert list(storage.bucket("empty").list()) == []


def test_a_tree_made_here_is_the_one_that_the_server_lists(storage, tmp_path):
    make_tree(tmp_path, TOP)
    report = storage_core.sync(tmp_path / "t0", storage.bucket("tree").tree("t0/"), delete=True)
    assert (report.transferred, report.deleted, report.unchanged) == (0, 0, TOP)


# --- targets -------------------------------------------------------------------------------


def figures(**costs: tuple[float, float]) -> Figures:
    """Of peers with rate and cost, `_` for a blank, the same in three rounds."""
    runs = {
        name.replace("_", " "): [{"rate": rate, "cpu": cpu}] * 3
        for name, (rate, cpu) in costs.items()
    }
    peers = {name: {**found[0], "growth": 5 * MIB} for name, found in runs.items()}
    return Figures(peers, runs, {})


def row(results: targets.Results, work: str) -> targets.Row:
    return next(found for found in targets.rows(results) if found.work.startswith(work))


def test_marks_follow_the_figures():
    results = {"get": Figures(), "list": Figures()}
    results["get"].runs = {
        "storage-core": [{"rate": 30.0, "cpu": 1.0}, {"rate": 3.0, "cpu": 9.0}] * 2,
        "obstore": [{"rate": 10.0, "cpu": 1.4}, {"rate": 1.0, "cpu": 12.6}] * 2,
    }
    cpu, rate = row(results, "get of 1 KiB, blocking").checks
    assert cpu.reached == pytest.approx(1.4)
    assert rate.reached == pytest.approx(3)
    assert checked(cpu).endswith("**1.40** ✗")
    assert checked(rate).endswith("**3.00** ✓")


def test_of_a_rival_the_best_form_counts():
    results = {"tree-up": figures(rclone=(10, 1), obstore_async=(25, 1))}
    results["tree-up"].runs["storage-core"] = [{"rate": 40.0, "cpu": 1.0}] * 3
    results["tree-up"].runs["rclone, tuned"] = [{"rate": 20.0, "cpu": 1.0}] * 3
    rclone, aws, loop = row(results, "tree of 20 000 files of 8 KiB, up").checks
    assert (rclone.reached, rclone.ok) == (2, False)
    assert (aws.reached, aws.ok) == (None, None)
    assert checked(aws) == "aws s3 sync: missing"
    assert loop.ok


def test_growth_of_memory_is_the_worst_of_ours():
    results = {"down": figures(), "tree-up": figures()}
    for name, grown in (("down", 60 * MIB), ("tree-up", 300 * MIB)):
        results[name].peers["storage-core async"] = {"growth": grown}
        results[name].peers["boto3"] = {"growth": 900 * MIB}
    large = row(results, "growth of memory, one large object").checks[0]
    every = row(results, "growth of memory, anything").checks[0]
    assert (large.reached, large.ok) == (60 * MIB, True)
    assert (every.reached, every.ok) == (300 * MIB, False)


def test_every_target_has_figures_to_come():
    named = {task.name for task in tasks(quick=False)}
    asked: set[str] = set()

    class Results(dict[str, Figures]):
        def __contains__(self, name: object) -> bool:
            asked.add(str(name))
            return False

        def get(self, name, default=None):
            asked.add(name)
            return default

    assert "could not be made" in summary(targets.rows(Results()))
    assert asked
    assert asked <= named


# --- the page ------------------------------------------------------------------------------


def test_the_page_is_made_of_its_figures():
    """Run `python benchmarks/performance.py --render` if it is not."""
    taken = json.loads(performance.FIGURES.read_text("utf-8"))
    for name, text in performance.rendered(taken).items():
        assert (performance.DOCS / name).read_text("utf-8") == text, name


def test_the_picture_has_a_bar_for_each_ratio():
    taken = json.loads(performance.FIGURES.read_text("utf-8"))
    reached = targets.rows({name: Figures(**found) for name, found in taken["results"].items()})
    checks = [check for found in reached for check in found.checks if not check.memory]
    bars = [
        item
        for item in ET.fromstring(picture(reached)).iter()
        if item.get("class") in {"yes", "no"}
    ]
    assert len(bars) == sum(check.reached is not None for check in checks)
