"""`Writer` of the blocking face."""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage_core.core.writer import WriterCore
from storage_core.model import Attributes, Buffer, PutResult
from storage_core.runtime import BlockingRuntime

if TYPE_CHECKING:
    from types import TracebackType


class Writer:
    """An object written bit by bit. Nothing is visible before `commit`.

    As a context manager it commits at the end of the block and aborts on an exception.
    """

    __slots__ = ("_core", "_runtime", "result")

    def __init__(self, runtime: BlockingRuntime, core: WriterCore) -> None:
        self._runtime = runtime
        self._core = core
        self.result: PutResult | None = None
        """What was published, once it was."""

    @property
    def key(self) -> str:
        """Key of the object."""
        return self._core.key

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._core.size

    @property
    def attributes(self) -> Attributes:
        """Headers, metadata, tags and expiry; can be replaced until `commit`."""
        return self._core.attributes

    @attributes.setter
    def attributes(self, attributes: Attributes) -> None:
        self._core.attributes = attributes

    def write(self, data: Buffer) -> int:
        """Append bytes; returns their number.

        Raises:
            ClosedError: the writer was committed or aborted.
        """
        return self._runtime.run(self._core.write(data))

    def commit(self) -> PutResult:
        """Publish the object. A failure aborts.

        Raises:
            PreconditionFailedError: ``if_absent`` or ``if_match`` does not hold.
            IntegrityError: a declared checksum does not.
            ClosedError: it was committed or aborted before.
        """
        self.result = self._runtime.run(self._core.commit())
        return self.result

    def abort(self) -> None:
        """Drop what was written. Again, or after a commit that failed, it does nothing.

        Raises:
            ClosedError: it was committed before.
        """
        self._runtime.run(self._core.abort())

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._core.done:
            return
        if error is None:
            self.commit()
        else:
            self._runtime.run(self._core.discard(error))

    def __repr__(self) -> str:
        return f"<Writer {self.key!r} {self._core.done or 'open'}, {self.size} bytes>"
