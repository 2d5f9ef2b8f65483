"""One program for every backend: which one is a line of the configuration.

    default_profile = "local"     # or "s3", "azure", "gcs"

It prints the same everywhere.
"""

from urllib.request import urlopen

import storage_core
from storage_core import PreconditionFailedError, Storage

PART = 5 * 1024 * 1024


def main() -> None:
    """Walk through the library on the default profile."""
    with storage_core.open() as storage:
        storage.create_bucket("portable-demo")
        try:
            show(storage)
        finally:
            storage.delete_bucket("portable-demo", force=True)


def show(storage: Storage) -> None:
    """What a program does with a bucket."""
    bucket = storage.bucket("portable-demo")

    bucket.put("fruit/apple.txt", b"red", content_type="text/plain", metadata={"year": "2012"})
    bucket.put("fruit/a b?c%/Übergröße.txt", b"odd keys are keys")
    bucket.put("vegetable", b"green")
    print(sorted(item.key for item in bucket.list(delimiter="/")))

    info = bucket.head("fruit/apple.txt")
    print(info.size, info.content_type, dict(info.metadata))

    try:
        bucket.put("vegetable", b"orange", if_absent=True)
    except PreconditionFailedError:
        print("there is a vegetable already")

    upload = bucket.create_upload("large", content_type="application/x-demo")
    upload.put_part(2, b"the end")
    upload.put_part(1, b"." * PART)
    upload.complete()
    with bucket.get("large", range=(PART - 2, None)) as reader:
        print(reader.read())

    bucket.copy("large", "copy/large")
    print(bucket.head("copy/large").content_type)

    if storage.capabilities.presign:  # local disk has `storage serve` for them
        with urlopen(bucket.presign("fruit/apple.txt").url) as answer:
            assert answer.read() == b"red"

    print(sorted(result.key for result in bucket.delete_many(item.key for item in bucket.list())))


if __name__ == "__main__":
    main()
