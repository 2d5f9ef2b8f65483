"""What stands behind the bytes of an object in its file: attributes and digests.

A trailer has a fixed size, so that a listing tells the size of an object from that of its file,
and it comes last, so that it can hold what is only known when the bytes have passed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from storage_core.errors import IntegrityError, InvalidMetadataError
from storage_core.model import Attributes

SIZE = 8192
"""Bytes of a trailer."""

_MAGIC = b"\nstorage-core object, version 1\n"


@dataclass(frozen=True, slots=True)
class Trailer:
    """Attributes of an object, its etag and its digests (in hexadecimal)."""

    etag: str
    attributes: Attributes
    checksums: dict[str, str]

    def pack(self) -> bytes:
        """The `SIZE` bytes.

        Raises:
            InvalidMetadataError: the attributes are too long.
        """
        fields: dict[str, Any] = {
            name: value
            for name in Attributes.HEADERS
            if (value := getattr(self.attributes, name)) is not None
        }
        record = {
            "etag": self.etag,
            "checksums": self.checksums,
            "headers": fields,
            "metadata": dict(self.attributes.metadata),
        }
        packed = _MAGIC + json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()
        if len(packed) >= SIZE:
            raise InvalidMetadataError(
                f"headers and metadata take {len(packed)} bytes, there is room for {SIZE - 1}"
            )
        return packed.ljust(SIZE - 1) + b"\n"


def unpack(data: bytes) -> Trailer:
    """Read a trailer.

    Raises:
        IntegrityError: it is none.
    """
    if len(data) != SIZE or not data.startswith(_MAGIC):
        raise IntegrityError("the file is cut off or damaged: its end is not that of an object")
    try:
        record = json.loads(data[len(_MAGIC) :])
        return Trailer(
            record["etag"],
            Attributes(**record["headers"], metadata=record["metadata"]),
            record["checksums"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError("the file is damaged: its trailer can not be read") from error
