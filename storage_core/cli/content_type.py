"""The content type that a name suggests. The library itself never guesses."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mimetypes import MimeTypes

_MORE = {
    ".avif": "image/avif",
    ".geojson": "application/geo+json",
    ".jsonl": "application/jsonl",
    ".md": "text/markdown",
    ".ndjson": "application/x-ndjson",
    ".parquet": "application/vnd.apache.parquet",
    ".toml": "application/toml",
    ".webp": "image/webp",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}
# The bytes are stored as they are, so a compressed file is its own type: as an encoding it
# would be unpacked on the way by HTTP clients.
_COMPRESSED = {
    "gzip": "application/gzip",
    "bzip2": "application/x-bzip2",
    "xz": "application/x-xz",
    "compress": "application/x-compress",
    "br": "application/x-brotli",
}


def guess(name: str) -> str | None:
    """The content type for the name of a file or the end of a key; None if it tells nothing.

    Only the types Python brings along count, so that every machine gives the same answer.
    """
    # "x/" keeps a name such as "data:,.csv" from being taken for a URL.
    content_type, encoding = _types().guess_type("x/" + name.rpartition("/")[2])
    return _COMPRESSED.get(encoding) if encoding else content_type


@cache
def _types() -> MimeTypes:
    from mimetypes import MimeTypes

    types = MimeTypes()
    for suffix, known in _MORE.items():
        types.add_type(known, suffix)
    return types
