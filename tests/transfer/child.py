"""A process that downloads, to be killed: ``child.py CONFIG KEY PATH OPTIONS`` (JSON)."""

from __future__ import annotations

import json
import sys

import storage_core


def main() -> None:
    config, key, path, options = sys.argv[1:]
    with storage_core.open(config=json.loads(config)) as storage:
        chosen = storage_core.TransferOptions(**json.loads(options))
        storage.bucket("fruit").download_file(key, path, options=chosen)


if __name__ == "__main__":
    main()
