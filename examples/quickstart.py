"""storage-core in seven steps, on local disk and with nothing configured.

    make demo        or        python examples/quickstart.py

Each step prints its docstring and then what it did, all in a temporary directory that is
removed at the end. The exit status is 1 if anything comes out differently from the text.
"""

import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from textwrap import fill
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

from rich.console import Console
from rich.progress import track

import storage_core
from storage_core.gateway import serve_background

TABLE = b"""\
Year,Age Group,Category,Type,Five or more servings of fruits and vegetables (%)
2012,Adolescent (12-17),All ,Total,40.2
2012,Adolescent (12-17),Gender,Male,37.3
2012,Adolescent (12-17),Gender,Female,43.3
2012,Adolescent (12-17),Gender by Age- Male,12-13,35.2
2012,Adolescent (12-17),Gender by Age- Male,14-15,42.1
"""
ROWS = TABLE.splitlines(keepends=True)
KEY = "california/2012/fruit-and-vegetables.csv"

console = Console(highlight=False, markup=False, emoji=False)
bar = partial(track, console=console, transient=True, disable=not console.is_terminal)
direct = build_opener(ProxyHandler({}))  # the links lead to this machine, past any proxy


def a_bucket(storage: storage_core.Storage, url: str) -> None:
    """1. A storage, and a bucket in it.

    A storage is one account of one backend. A URL or a profile in a configuration says
    which; the code stays the same. A bucket is made by name, never by accident.
    """
    bucket = storage.create_bucket("fruit-vegetables")
    tell(f"open_url('{url}') made an object store of an empty directory.")
    error = failure(lambda: storage.create_bucket(bucket.name))
    check(isinstance(error, storage_core.BucketExistsError), f"a second create got {error!r}")
    tell(f"It holds {bucket.name!r} now. A second create_bucket got {type(error).__name__}.")


def an_object(bucket: storage_core.Bucket) -> None:
    """2. An object.

    Bytes under a key, replaced as a whole, with headers and metadata beside them. Each
    object has a checksum, which is verified whenever the whole of it is read.
    """
    bucket.put(KEY, TABLE, content_type="text/csv", metadata={"source": "data.gov"})
    info = bucket.head(KEY)
    tell(f"put stored {info.size} bytes under {KEY!r}: on the disk when it returns, or not at all.")
    tell(f"head told of {info.content_type}, {dict(info.metadata)} and etag {info.etag}.")
    with bucket.get(KEY) as reader:
        check(reader.read() == TABLE, "get returned other bytes than put took")
    tell(f"get returned the same bytes; their CRC32C is {info.checksums['crc32c']}.")


def a_listing(bucket: storage_core.Bucket) -> None:
    """3. A listing.

    Keys are plain strings in one ordered space. There are no directories: a delimiter
    groups keys into prefixes as they are listed.
    """
    for year, row in ((2012, 1), (2012, 2), (2013, 3)):
        bucket.put(f"california/{year}/row-{row}.csv", ROWS[row])
    groups = [item.key for item in bucket.list("california/", delimiter="/")]
    check(groups == ["california/2012/", "california/2013/"], f"unexpected prefixes {groups}")
    tell(f"list('california/', delimiter='/') gave the prefixes {' and '.join(groups)}.")
    keys = [item.key for item in bucket.list(groups[0])]
    check(keys == [KEY, *(f"{groups[0]}row-{row}.csv" for row in (1, 2))], f"found {keys}")
    tell(f"list({groups[0]!r}) gave, in order: {', '.join(keys)}.")


def links(storage: storage_core.Storage, bucket: storage_core.Bucket) -> None:
    """4. Presigned links.

    Whoever holds a link can do one thing to one object by plain HTTP, for 15 minutes and
    without credentials. On local disk the library's own server redeems it.
    """
    with serve_background(storage) as server:
        tell(f"A link server runs at {server.base_url} ('storage serve' in earnest).")
        put = bucket.presign("uploads/table.csv", method="PUT", content_type="text/csv")
        upload = Request(put.url, TABLE, dict(put.headers), method="PUT")
        check(http(upload)[0] == 200, "the upload was refused")
        get = bucket.presign("uploads/table.csv", filename="table.csv")
        check(http(Request(get.url)) == (200, TABLE), "the download differs")
        tell("Python's urllib uploaded the table by a PUT link and fetched it by a GET link.")
        altered = get.url.replace("table.csv", "other.csv", 1)
        for request in (Request(get.url, method="DELETE"), Request(altered)):
            check(http(request)[0] == 403, f"{request.get_method()} was not refused")
        tell("DELETE by the GET link, and GET with the key in it altered, got 403 each.")


def multipart(bucket: storage_core.Bucket, url: str) -> None:
    """5. A multipart upload.

    A large object travels in parts, in any order, and appears when they are complete. The
    upload's id is all that another process needs to go on where the first one stopped.
    """
    upload = bucket.create_upload("rows.csv", content_type="text/csv")
    upload.put_part(1, part(1))
    check(not bucket.exists("rows.csv"), "an unfinished upload is visible")
    tell("This process sent part 1 of 2; there is no such object yet.")
    command = [sys.executable, __file__, "--finish", url, bucket.name, upload.id]
    tell(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    with bucket.get("rows.csv") as reader:
        check(reader.read() == part(1) + part(2), "the assembled object has other bytes")
        tell(f"Here it is: {reader.length} bytes of {reader.info.content_type}, verified.")


def part(number: int) -> bytes:
    """One row again and again, to the 5 MiB that all parts but the last must have."""
    return ROWS[number] * (5 * 1024**2 // len(ROWS[number]) + 1)


def finish(url: str, bucket: str, upload_id: str) -> None:
    """What the second process does. It knows only its three arguments."""
    with storage_core.open_url(url) as storage:
        upload = storage.bucket(bucket).resume_upload(upload_id)
        numbers = [stored.number for stored in upload.list_parts()]
        upload.put_part(2, part(2))
        size = upload.complete().size
    print(f"A second process found parts {numbers}, sent part 2 and completed {size} bytes.")


def races(bucket: storage_core.Bucket) -> None:
    """6. Conditional writes.

    if_absent creates and never replaces; if_match replaces only what the writer has seen.
    Of all that race, threads and processes, exactly one wins, and the others are told.
    """
    create = partial(bucket.put, "leader", b"me", if_absent=True)
    with ThreadPoolExecutor(16) as pool:
        outcomes = list(pool.map(failure, [create] * 16))
    check(outcomes.count(None) == 1, f"16 writers raced: {outcomes}")
    tell("16 threads raced to create one object with if_absent: 1 won.")
    etag = bucket.head(KEY).etag
    bucket.put(KEY, TABLE + ROWS[1], if_match=etag)
    error = failure(lambda: bucket.put(KEY, b"late", if_match=etag))
    check(isinstance(error, storage_core.PreconditionFailedError), f"the loser got {error!r}")
    tell(f"Two editors saw one etag. The first has written; the second got {error!r}")


def a_tree(url: str) -> None:
    """7. A real tree of files.

    Python's own sources, stored under keys that look like paths, then listed, read back
    and compared byte for byte.
    """
    files = sources()
    # What can be loaded again need not be on the disk before each put returns.
    with storage_core.open_url(f"{url}?fsync=false") as storage:
        bucket = storage.create_bucket("python-sources")
        started = time.perf_counter()
        for key, file in bar(files.items(), "   storing"):
            with file.open("rb") as source:
                bucket.put(key, source, content_type="text/x-python")
        stored = time.perf_counter()
        keys = [item.key for item in bucket.list()]
        check(keys == sorted(files, key=str.encode), "the listing differs from the tree")
        for key, file in bar(files.items(), "   comparing"):
            with bucket.get(key) as reader:
                check(reader.read() == file.read_bytes(), f"{key} differs from {file}")
        tell(f"put stored {len(files)} files in {stored - started:.1f} s.")
        tell(f"All came back, in order and identical, in {time.perf_counter() - stored:.1f} s.")
        storage.delete_bucket("python-sources", force=True)


def sources() -> dict[str, Path]:
    """Sources of the standard library and of installed packages, a few thousand, by key."""
    found: dict[str, Path] = {}
    for root in (Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib")):
        for file in sorted(root.rglob("*.py")):
            found[f"{root.name}/{file.relative_to(root).as_posix()}"] = file
    return dict(islice(found.items(), 3000))


def tell(text: str, bullet: str = "   - ") -> None:
    """Print a paragraph."""
    rest = " " * len(bullet)
    text, width = " ".join(text.split()), min(console.width, 96)
    print(fill(text, width, initial_indent=bullet, subsequent_indent=rest, break_on_hyphens=False))


def http(request: Request) -> tuple[int, bytes]:
    """Status and body of a plain HTTP request; nothing here knows of storage-core."""
    try:
        with direct.open(request) as answer:
            return answer.status, answer.read()
    except HTTPError as answer:
        with answer:
            return answer.code, answer.read()


def failure(call: Callable[[], object]) -> Exception | None:
    """The error with which a call fails."""
    try:
        call()
    except storage_core.StorageError as error:
        return error
    return None


def check(fact: bool, otherwise: str) -> None:
    """Stop unless the fact holds."""
    if not fact:
        sys.exit(f"DEVIATION: {otherwise}")


def main() -> None:
    """All steps, in a directory that is removed afterwards."""

    def step(function: Callable[..., None], *arguments: object) -> None:
        title, _, text = (function.__doc__ or "").partition(".\n")
        console.print(f"\n{title}", style="bold cyan")
        tell(text, bullet="   ")
        function(*arguments)

    with tempfile.TemporaryDirectory(prefix="storage-core-") as place:
        url = f"{Path(place).as_uri()}/store"
        with storage_core.open_url(url) as storage:
            bucket = storage.bucket("fruit-vegetables")
            step(a_bucket, storage, url)
            step(an_object, bucket)
            step(a_listing, bucket)
            step(links, storage, bucket)
            step(multipart, bucket, url)
            step(races, bucket)
        step(a_tree, url)
    console.print("\nAll as it should be; the temporary directory is gone.", style="bold green")


if __name__ == "__main__":
    finish(*sys.argv[2:]) if sys.argv[1:2] == ["--finish"] else main()
