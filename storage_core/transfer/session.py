"""A multipart session that a transfer fills: its parts, their digests, its end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from storage_core.checksum import crc32c_combine
from storage_core.errors import IntegrityError
from storage_core.model import Attributes, Conditions, Part, PutResult

if TYPE_CHECKING:
    from storage_core.core.between import End
    from storage_core.core.upload import UploadCore
    from storage_core.transfer.parts import Moving

CRC = "crc32c"


class Order(NamedTuple):
    """The object that is to be.

    Attributes:
        key: Its key.
        attributes: Its attributes.
        conditions: Under which it is published.
        declared: Digests its bytes must have.
        names: All algorithms that are declared or asked for.
    """

    key: str
    attributes: Attributes
    conditions: Conditions
    declared: Mapping[str, bytes]
    names: tuple[str, ...]

    @property
    def whole(self) -> tuple[str, ...]:
        """Those of `names` that can not be told from digests of the parts."""
        return tuple(name for name in self.names if name != CRC)

    def check(self, digests: Mapping[str, str]) -> None:
        """Hold digests of all bytes against what was declared.

        Raises:
            IntegrityError: one differs.
        """
        for name, wanted in self.declared.items():
            if (found := digests.get(name)) != wanted.hex():
                raise IntegrityError(
                    f"the {name} of what was read is {found}, {wanted.hex()} was declared"
                )


class Session:
    """An upload and the parts that were stored.

    Args:
        end: The bucket.
        order: The object.
        upload: Created, or taken up again.
    """

    def __init__(self, end: End, order: Order, upload: UploadCore) -> None:
        self._end = end
        self._order = order
        self.upload = upload
        self.parts: dict[int, Part] = {}

    @classmethod
    async def create(cls, end: End, order: Order) -> Session:
        """Begin one; conditions that its completion could not honour are refused first."""
        core = end.core
        core.client.require_conditions("complete", order.conditions)
        names = core.digests_to_compute(order.names)
        upload = await end.run(core.create_upload(order.key, order.attributes, names))
        return cls(end, order, upload)

    async def put(self, number: int, body: Moving) -> Part:
        """Store a part."""
        try:
            part = await self._end.run(self.upload.put_part(number, body, None, None, None))
        except BaseException:
            body.take_back()
            raise
        read = body.digests()
        if part.checksums.get(CRC, read.get(CRC)) != read.get(CRC, part.checksums.get(CRC)):
            raise IntegrityError(f"part {number} was stored with other bytes than were sent")
        part = replace(part, checksums={**read, **part.checksums})
        self.parts[number] = part
        return part

    def composed(self) -> tuple[int, str | None]:
        """Size and CRC32C of the parts put together; None if that of one is not known."""
        return _composed(self.parts[number] for number in sorted(self.parts))

    async def complete(self, digests: Mapping[str, str], write_id: str | None = None) -> PutResult:
        """Publish the parts and hold what was stored against what was sent.

        Args:
            digests: Of the whole, as far as they are known besides CRC32C.
            write_id: To be stored with the object where the profile keeps them; a random one
                without it.

        Raises:
            IntegrityError: a declared digest differs, and nothing was published; or the object
                differs from what was sent.
        """
        parts = [self.parts[number] for number in sorted(self.parts)]
        size, crc = self.composed()
        known = dict(digests) if crc is None else {CRC: crc, **digests}
        self._order.check(known)
        result = await self._end.run(
            self.upload.complete(parts, None, self._order.conditions, None, known, write_id)
        )
        if result.size != size or (crc and result.checksums.get(CRC, crc) != crc):
            raise IntegrityError(
                "the object is not what was sent; delete it and upload it again"
            ).with_context("upload_file", self._end.core.name, self._order.key)
        return replace(result, checksums={**result.checksums, **known})

    async def discard(self, failure: BaseException) -> None:
        """Abort because of a failure, which this must not hide."""
        await self._end.run(self.upload.discard(failure))


def _composed(parts: Iterable[Part]) -> tuple[int, str | None]:
    """Size and CRC32C of parts put together; None if that of one is not known."""
    size, whole, known = 0, 0, True
    for part in parts:
        size += part.size
        if (crc := part.checksums.get(CRC)) is None:
            known = False
        elif known:
            whole = crc32c_combine(whole, int(crc, 16), part.size)
    return size, f"{whole:08x}" if known else None
