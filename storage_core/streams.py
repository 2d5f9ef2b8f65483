"""Bytes on their way: `Body` towards a driver, `ObjectStream` from it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from storage_core import checksum
from storage_core.errors import IntegrityError
from storage_core.model import Buffer, ObjectInfo


class FileSlice(NamedTuple):
    """A stretch of an open regular file, for calls that let the kernel move the bytes."""

    fd: int
    offset: int
    length: int


class Body(ABC):
    """Bytes a driver is to store. It hashes and checks them while it is read.

    A driver reads it once, either `data` where that is not None, or by ``async for piece in
    body``; a piece is valid until the next one is asked for. The end of the iteration
    raises `IntegrityError` when fewer or more bytes came than `size` said, or a declared
    digest differs: the driver must publish nothing then. Afterwards `digest` tells the
    digests and `count` the number of bytes.
    """

    __slots__ = ("_expected", "_hashers", "begun", "computed", "count", "data", "failure", "size")

    def __init__(
        self,
        size: int | None,
        data: Buffer | None,
        compute: tuple[str, ...],
        expected: dict[str, bytes],
    ) -> None:
        self.size = size
        """Length in bytes, None when it is not known in advance."""
        self.data = data
        """The whole body, when it is in memory; verified already."""
        self.count = 0 if data is None else len(data)
        """Bytes seen so far."""
        self.begun = False
        """Whether anything was asked of the source; what it gave then may be lost."""
        self.failure: Exception | None = None
        """What the source raised, or a check of the bytes: no doing of the driver's."""
        self._expected = expected
        self._hashers: dict[str, checksum.Hasher] = {}
        self.computed: dict[str, bytes] = {}
        """Digests that were asked for or declared, once the body was read."""
        if data is None:
            self._hashers = {name: checksum.new(name) for name in compute}
        else:
            self.computed = {name: checksum.digest(name, data) for name in compute}
            self._verify()

    def __aiter__(self) -> AsyncIterator[Buffer]:
        return self._observed()

    async def _observed(self) -> AsyncIterator[Buffer]:
        if self.data is not None:
            if len(self.data):
                yield self.data
            return
        hashers = tuple(self._hashers.values())
        self.count = 0
        self.begun = True
        try:
            async for piece in self._pieces():
                if size := len(piece):
                    self._count(size)
                    for hasher in hashers:
                        hasher.update(piece)
                    yield piece
            self.computed = {name: hasher.digest() for name, hasher in self._hashers.items()}
            self._verify()
        except Exception as error:
            self.failure = error
            raise

    def _count(self, size: int) -> None:
        self.count += size
        if self.size is not None and self.count > self.size:
            raise IntegrityError(f"the body was declared as {self.size} bytes and has more")

    def _verify(self) -> None:
        if self.size is not None and self.count != self.size:
            raise IntegrityError(f"the body was declared as {self.size} bytes and has {self.count}")
        for name, wanted in self._expected.items():
            found = self.computed[name]
            if found != wanted:
                raise IntegrityError(
                    f"the body's {name} is {found.hex()}, {wanted.hex()} was declared"
                )

    def digest(self, algorithm: str) -> str:
        """Digest of the whole body in hexadecimal, once it was read; KeyError if it was not
        asked for, unless the bytes are in memory, where it is computed now."""
        if algorithm in self.computed:
            return self.computed[algorithm].hex()
        if self.data is None:
            raise KeyError(algorithm)
        return checksum.digest(algorithm, self.data).hex()

    def digests(self) -> dict[str, str]:
        """All of `computed` in hexadecimal."""
        return {name: found.hex() for name, found in self.computed.items()}

    def computes(self, algorithm: str) -> bool:
        """Whether this one was asked for, so that `digest` tells it at no further cost."""
        return algorithm in self.computed or algorithm in self._hashers

    def take_failure(self) -> Exception | None:
        """`failure`, which is forgotten: it would keep alive all that it passed through."""
        failure, self.failure = self.failure, None
        return failure

    @property
    def rewindable(self) -> bool:
        """Whether the body can be read again from its start."""
        return self.data is not None

    async def rewind(self) -> None:
        """Return to the start, for another try. Only when `rewindable`."""
        if self.data is None:
            self._hashers = {name: checksum.new(name) for name in self._hashers}
            self.count = 0
            self.failure = None

    @property
    def file(self) -> FileSlice | None:
        """The file that holds exactly these bytes, if they are a stretch of one: `slices` gives
        them to whoever lets the kernel move them."""
        return None

    def slices(self) -> AsyncIterator[FileSlice]:
        """The stretches of `file` in order, each to be moved before the next is asked for and
        the last only once the iteration has ended well. Their bytes are not hashed: only for a
        driver that has what it stored checked in another way, and tells its digest."""
        raise NotImplementedError

    async def beforehand(self, names: Sequence[str]) -> dict[str, str]:
        """Digests, in hexadecimal, of a body that is `rewindable`, to be told before it is sent.
        It must be the same when it is read then."""
        hashers = {name: checksum.new(name) for name in names}
        async for piece in self:
            for hasher in hashers.values():
                hasher.update(piece)
        await self.rewind()
        return {name: hasher.digest().hex() for name, hasher in hashers.items()}

    @abstractmethod
    def _pieces(self) -> AsyncIterator[Buffer]:
        """The bytes in order, in pieces of any size."""


class ObjectStream(ABC):
    """Bytes of an object as a driver delivers them, with its info known beforehand.

    Attributes:
        start: Offset in the object of the first byte delivered.
        length: Number of bytes that will be delivered.
        data: All of them, when they are in memory already. Such a stream holds nothing else:
            neither `read` nor `close` is called.
        checksum: Algorithm and digest the delivered bytes must have, where it is known
            (for a whole object, as a rule). Core verifies it; a driver need not.
    """

    __slots__ = ("checksum", "data", "length", "start")

    def __init__(
        self,
        start: int,
        length: int,
        data: bytes | None = None,
        checksum: tuple[str, bytes] | None = None,
    ) -> None:
        self.start = start
        self.length = length
        self.data = data
        self.checksum = checksum

    @property
    @abstractmethod
    def info(self) -> ObjectInfo:
        """The object these bytes belong to."""

    async def read(self, size: int) -> bytes:
        """The next 1 to ``size`` bytes; empty at the end, and only there.

        Raises:
            ObjectChangedError: the object was replaced and the rest is not to be had.
            UnavailableError: the connection broke; core goes on with a ranged get.
        """
        raise NotImplementedError

    async def readinto(self, buffer: memoryview) -> int:
        """As `read`, into a buffer of the caller's: how many bytes came, 0 at the end. What
        can fill the buffer should, as each call costs about the same. By default it copies
        what `read` gives."""
        piece = await self.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    @property
    def file(self) -> FileSlice | None:
        """The file that holds exactly these bytes, if there is one on this machine; it is
        open until `close`."""
        return None

    @property
    def whole(self) -> bool:
        """Whether the stream delivers the whole object."""
        return self.start == 0 and self.length == self.info.size

    async def close(self) -> None:
        """Release what the stream holds. May be called twice, and before the end."""

    def close_now(self) -> bool:
        """As `close`, where that needs no wait; false (the default) where it may."""
        return False


class BytesStream(ObjectStream):
    """An `ObjectStream` over bytes in memory."""

    __slots__ = ("_info",)

    def __init__(
        self,
        info: ObjectInfo,
        data: bytes,
        start: int = 0,
        checksum: tuple[str, bytes] | None = None,
    ) -> None:
        super().__init__(start, len(data), data, checksum)
        self._info = info

    @property
    def info(self) -> ObjectInfo:
        return self._info
