"""A process that uploads, to be killed or measured: ``sender.py CONFIG SOURCE OPTIONS`` (JSON).

SOURCE is a path, or ``-`` for its standard input, which can not be read twice. At its end it
prints by how many KiB its memory grew at most.
"""

from __future__ import annotations

import json
import resource
import sys

import storage_core


def peak() -> int:
    """KiB that the process had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    config, source, options = sys.argv[1:]
    with storage_core.open(config=json.loads(config)) as storage:
        bucket = storage.bucket("fruit")
        chosen = storage_core.TransferOptions(**json.loads(options))
        bucket.put("warm", b"")
        before = peak()
        bucket.upload_file(sys.stdin.buffer if source == "-" else source, "pear", options=chosen)
        print(peak() - before)


if __name__ == "__main__":
    main()
