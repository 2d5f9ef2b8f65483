"""`sync` in shares, between real backends, and of any tree."""

from __future__ import annotations

import asyncio
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import storage_core
from storage_core import (
    TransferOptions,
    TransferReport,
    aio,
)
from storage_core.core.between import End
from storage_core.runtime import drive
from storage_core.runtime.team import ThreadTeam
from storage_core.transfer.context import Context
from storage_core.transfer.entries import KeyRange
from storage_core.transfer.folder import FolderSide
from storage_core.transfer.moving import carry_out
from storage_core.transfer.options import DEFAULTS
from storage_core.transfer.planning import Decision, Stretch, plan
from storage_core.transfer.prefix import BucketSide
from storage_core.transfer.rules import make_rules
from tests.servers import Server
from tests.transfer.downloads import PART, content
from tests.transfer.trees import (
    files_in,
    fill,
    make_folder,
    objects_in,
    sync,
    verify,
)

FILES = {"a": b"1", "a.txt": b"22", "b/c": b"333", "b/d/e": b"", "z": b"55555"}


def counts(report: TransferReport) -> tuple[int, int, int]:
    return report.transferred, report.unchanged, report.deleted


# -- shares --------------------------------------------------------------------


def test_a_plan_can_be_made_and_carried_out_in_shares(tmp_path: Path):
    files = {f"{number % 7}/{number:03}": b"%d" % number for number in range(200)}
    folder = make_folder(tmp_path / "up", {**files, "same": b"1"})
    with storage_core.open_url((tmp_path / "root").as_uri()) as storage:
        bucket = storage.create_bucket("fruit")
        fill(bucket, {"x/0/old": b"1", "x/same": b"1", "x/zz": b"2"})
        source = FolderSide(folder)
        target = BucketSide(End(bucket._core, bucket._runtime), "x")
        rules = make_rules(compare="time", delete=True)
        context = Context(ThreadTeam(), DEFAULTS, None)
        whole = _planned(context, source, target, rules, KeyRange())
        ranges = [KeyRange("", "2/1"), KeyRange("2/1", "5"), KeyRange("5", None)]
        shares = [_planned(context, source, target, rules, keys) for keys in ranges]
        kinds = [(found.key, found.kind) for found in _decisions([whole])]
        assert [(found.key, found.kind) for found in _decisions(shares)] == kinds
        assert sorted(kinds) == kinds
        report = TransferReport()
        for share in pickle.loads(pickle.dumps(shares)):
            for _ in range(2):  # the same share twice does the same
                done = drive(carry_out(context, source, target, rules, _stream(share), None))
            report = report.merged(done)
        assert (report.transferred, report.unchanged, report.deleted) == (200, 1, 2)
        assert objects_in(bucket, "x/") == files_in(folder)


def _planned(context: Context, source: Any, target: Any, rules: Any, keys: KeyRange):
    async def collect() -> list[Stretch]:
        return [stretch async for stretch in plan(context, source, target, rules, keys)]

    return drive(collect())


def _decisions(shares: list[list[Stretch]]) -> list[Decision]:
    return [found for share in shares for stretch in share for found in stretch.decisions]


async def _stream(stretches: list[Stretch]) -> Any:
    for stretch in stretches:
        yield stretch


# -- real backends -------------------------------------------------------------


@pytest.mark.parametrize("face", ["blocking", "async"])
def test_there_and_back_by_s3(moto: Server, tmp_path: Path, face: str):
    files = {**FILES, "ü ñ/+&?": b"odd", "big": content(6 * 1024**2)}
    folder = make_folder(tmp_path / "up", files)
    name = f"sync-{face}-{os.urandom(4).hex()}"
    options = TransferOptions(part_size=5 * 1024**2)

    def run(storage_at: Any) -> None:
        """As `main`, on the blocking face."""
        with storage_core.open(config=dict(moto.profile)) as storage:
            bucket = storage.create_bucket(name)
            assert storage_core.sync(folder, bucket.tree("x"), options=options).transferred == 7
            for compare in ("time", "checksum"):
                again = storage_core.sync(folder, bucket.tree("x"), compare=compare)
                assert counts(again) == (0, 7, 0)
            again = storage_core.sync(folder, bucket.tree("x"), compare="etag")
            assert again.unchanged >= 6  # the etag of a multipart upload is no MD5
            down = storage_at("down")
            storage_core.sync(bucket.tree("x"), down, options=options)
            assert files_in(down) == files
            assert counts(storage_core.sync(bucket.tree("x"), down, delete=True)) == (0, 7, 0)
            assert bucket.copy_tree("x", bucket, "y").transferred == 7
            assert storage_core.verify(down, bucket.tree("y")).ok

    async def main() -> None:
        async with aio.open(config=dict(moto.profile)) as storage:
            bucket = await storage.create_bucket(name)
            assert (await aio.sync(folder, bucket.tree("x"), options=options)).transferred == 7
            assert counts(await aio.sync(folder, bucket.tree("x"))) == (0, 7, 0)
            await aio.sync(bucket.tree("x"), tmp_path / "down", options=options)
            assert files_in(tmp_path / "down") == files
            assert (await bucket.copy_tree("x", bucket, "y")).transferred == 7
            assert (await aio.verify(tmp_path / "down", bucket.tree("y"))).ok

    if face == "blocking":
        run(lambda place: tmp_path / place)
    else:
        asyncio.run(main())


def test_between_services_of_three_kinds(moto: Server, azurite: Server, tmp_path: Path):
    files = {**FILES, "big": content(3 * PART)}
    options = TransferOptions(part_size=None)
    with (
        storage_core.open_url((tmp_path / "root").as_uri()) as here,
        storage_core.open(config=dict(moto.profile)) as s3,
        storage_core.open(config=dict(azurite.profile)) as azure,
    ):
        name = f"between-{os.urandom(4).hex()}"
        local = here.create_bucket(name)
        fill(local, files, "x/")
        one, other = s3.create_bucket(name), azure.create_bucket(name)
        assert counts(sync(local.tree("x"), one.tree(), options=options)) == (6, 0, 0)
        assert counts(sync(one.tree(), other.tree("y"), options=options)) == (6, 0, 0)
        assert counts(sync(one.tree(), other.tree("y"), options=options)) == (0, 6, 0)
        other.put("y/old", b"1")
        assert counts(sync(one.tree(), other.tree("y"), delete=True)) == (0, 6, 1)
        assert objects_in(other, "y/") == files
        assert verify(local.tree("x"), other.tree("y")).ok
        assert counts(sync(other.tree("y"), tmp_path / "down")) == (6, 0, 0)
        assert files_in(tmp_path / "down") == files


# -- any tree ------------------------------------------------------------------

_NAME = st.text(
    st.sampled_from("aAbB.-_ 0é\u0301ñ𝄞+%&?#'\"\\*[]{}~$!"), min_size=1, max_size=6
).filter(lambda name: name not in {".", ".."})
_KEY = st.lists(_NAME, min_size=1, max_size=4).map("/".join)
_TREE = st.dictionaries(_KEY, st.binary(max_size=20), max_size=12)


def _as_a_folder(tree: dict[str, bytes]) -> dict[str, bytes]:
    """Without keys that are below others."""
    return {
        key: data
        for key, data in tree.items()
        if not any(key != other and key.startswith(f"{other}/") for other in tree)
    }


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(before=_TREE, after=_TREE, face=st.sampled_from(["blocking", "async"]))
def test_a_mirror_is_equal_to_its_source(
    before: dict[str, bytes],
    after: dict[str, bytes],
    face: str,
    tmp_path_factory: pytest.TempPathFactory,
):
    before, after = _as_a_folder(before), _as_a_folder(after)
    place = tmp_path_factory.mktemp("mirror")
    source, target = make_folder(place / "a", after), make_folder(place / "b", before)
    url = (place / "root").as_uri()
    with storage_core.open_url(url) as storage:
        bucket = storage.create_bucket("fruit")
        fill(bucket, before, "x/")
        if face == "blocking":
            sync(source, bucket.tree("x"), delete=True, compare="checksum")
            sync(bucket.tree("x"), target, delete=True, compare="checksum")
        else:

            async def main() -> None:
                async with aio.open_url(url) as twin:
                    tree = twin.bucket("fruit").tree("x")
                    await aio.sync(source, tree, delete=True, compare="checksum")
                    await aio.sync(tree, target, delete=True, compare="checksum")

            asyncio.run(main())
        assert objects_in(bucket, "x/") == after
        assert files_in(target) == after
        assert verify(source, bucket.tree("x")).ok
        assert verify(source, target).ok
        again = sync(bucket.tree("x"), target, delete=True, compare="checksum")
        assert counts(again) == (0, len(after), 0)
