"""Changes of an object's attributes that leave its bytes alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from storage_azure.errors import READ, WRITE, Asked
from storage_azure.metadata import (
    attribute_headers,
    base64_of,
    metadata_headers,
    own_fields,
)
from storage_azure.objects import Objects
from storage_azure.requests import METADATA, PROPERTIES, condition_headers, entity_tag
from storage_azure.responses import object_info
from storage_core.model import EMPTY, Attributes, ObjectInfo, PutResult
from storage_core.requests import UpdateMetadataRequest

_LOOK: Final = Asked(READ, "object")
_SET: Final = Asked(WRITE, "object")


class Updates(Objects):
    """Headers and metadata."""

    async def update_metadata(self, request: UpdateMetadataRequest) -> PutResult:
        """Headers and metadata are set by a request each; where only one of them changes, as
        most often, the update is atomic. Else the second is bound to the etag of the first."""
        path = self._object(request.bucket, request.key)
        headers = condition_headers(request.conditions)
        old = object_info(request.key, await self._call(_LOOK, "HEAD", path, headers))
        new = request.attributes
        own = own_fields(old.checksums, old.write_id)
        etag = old.etag
        answer: Mapping[str, str] = EMPTY
        if any(getattr(old, name) != getattr(new, name) for name in Attributes.HEADERS):
            values = property_headers(new, old)
            answer = await self._set(path, PROPERTIES, values, etag)
            etag = answer["etag"].strip('"')
        # The metadata also tells a default content type that was given from none.
        if old.metadata != new.metadata or old.content_type != new.content_type:
            values = metadata_headers(new, own)
            answer = await self._set(path, METADATA, values, etag)
            etag = answer["etag"].strip('"')
        version = answer.get("x-ms-version-id") if self._versions else None
        return PutResult(request.key, etag, old.size, version, old.checksums)

    async def _set(
        self,
        path: str,
        what: tuple[tuple[str, str], ...],
        headers: dict[str, str],
        etag: str | None = None,
    ) -> Mapping[str, str]:
        if etag is not None:
            headers["if-match"] = entity_tag(etag)
        return await self._call(_SET, "PUT", path, headers, what, b"")


def property_headers(attributes: Attributes, old: ObjectInfo) -> dict[str, str]:
    """Headers that replace the content headers; those left out are removed."""
    headers = attribute_headers(attributes, EMPTY)
    headers = {n: v for n, v in headers.items() if n.startswith("x-ms-blob-")}
    if (md5 := old.checksums.get("md5")) is not None:
        headers["x-ms-blob-content-md5"] = base64_of(md5)
    return headers
