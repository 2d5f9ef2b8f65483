"""Uploads of large files: parts side by side, and on from where an earlier run came to.

What was sent is noted in a journal (`storage_core.transfer.journal`). A part counts as sent only
if the service still lists it as it was noted and the file still has the bytes of its checksum
there; else it is sent again. If the file, the place or the attributes are others than noted, or
the session is gone, all begins anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from storage_core.core.settling import new_write_id, put_result
from storage_core.errors import (
    ConflictError,
    IntegrityError,
    InvalidRequestError,
    NotFoundError,
    ObjectNotFoundError,
    OutcomeUnknownError,
    PermissionDeniedError,
    PreconditionFailedError,
    StorageError,
    UnsupportedError,
    UploadNotFoundError,
)
from storage_core.model import NO_CONDITIONS, Part, PutResult
from storage_core.runtime.strands import Stopped
from storage_core.transfer.jobs import each
from storage_core.transfer.memory import MEMORY
from storage_core.transfer.parts import SLICE, FileBody
from storage_core.transfer.session import CRC, Order, Session

if TYPE_CHECKING:
    from storage_core.core.between import End
    from storage_core.transfer.context import Context
    from storage_core.transfer.journal import Journal
    from storage_core.transfer.plan import Plan
    from storage_core.transfer.source import FileSource

_FINAL: Final = (ConflictError, IntegrityError, InvalidRequestError, NotFoundError)
"""Failures that another run of the same upload would meet again."""
_ALIKE: Final = timedelta(minutes=1)
"""Two lifetimes that differ by less are taken for the same."""
COMPLETION: Final = 0
"""Number of the journal's line about the completion; those of parts begin with 1."""


async def upload_large(
    context: Context, end: End, source: FileSource, order: Order, plan: Plan
) -> PutResult:
    """Upload a file in the parts of a plan."""
    most = plan.width * SLICE
    if context.options.max_memory is not None:
        most = max(SLICE, min(most, int(context.options.max_memory)))
    granted = await MEMORY.reserve(context.team, SLICE, most)
    try:
        plan = plan._replace(width=min(plan.width, max(1, granted // SLICE)))
        return await _Large(context, end, source, order, plan).run()
    finally:
        MEMORY.release(granted)


class _Large:
    """One large file on its way."""

    def __init__(
        self, context: Context, end: End, source: FileSource, order: Order, plan: Plan
    ) -> None:
        self._context = context
        self._end = end
        self._source = source
        self._order = order
        self._plan = plan
        self._journal: Journal | None = None
        self._session: Session
        self._sent: dict[int, Part] = {}
        """Parts of an earlier run, to be looked at before they count."""
        self._digests: dict[str, str] = {}
        self._over = False

    async def run(self) -> PutResult:
        """Upload it, and keep what another run needs if it is interrupted."""
        team = self._context.team
        if self._context.options.resume:
            self._journal = await team.blocking(self._open_journal)
        try:
            begun = await self._begun()
            result = await self._sent_by(begun) if isinstance(begun, Session) else begun
            if self._journal is not None:
                await team.blocking(self._journal.remove)
        finally:
            self._over = True
            if self._journal is not None:
                self._journal.close()
        return result

    async def _sent_by(self, session: Session) -> PutResult:
        """Send what is missing and publish all."""
        self._session = session
        try:
            await self._send()
            self._source.check()
            return await self._complete()
        except BaseException as failure:
            reason = self._source.blamed(failure)
            await self._failed(reason)
            if reason is failure:
                raise
            raise reason from failure

    async def _complete(self) -> PutResult:
        """Publish. The journal knows of it before: it is all that tells another run, after a
        kill, that an object which is there is this one."""
        noted = {} if self._journal is None else self._journal.parts.get(COMPLETION, {})
        write_id = str(noted.get("write_id") or new_write_id())
        await self._note(COMPLETION, {"write_id": write_id, CRC: self._session.composed()[1]})
        return await self._session.complete(self._digests, write_id)

    async def _note(self, number: int, record: Mapping[str, object]) -> None:
        """Note what was done, if that can be; an upload does not fail over it."""
        if self._journal is not None:
            with suppress(OSError):
                await self._context.team.blocking(self._journal.add, number, record)

    # --- beginning --------------------------------------------------------------------

    def _open_journal(self) -> Journal | None:
        """None where another run of the same upload is under way, nobody could find the file
        again, or there is no place for it: this one can not be resumed then."""
        from storage_core.transfer.journal import JOURNAL, Journal, state_folder

        header = self._header()
        if header["source"] is None:
            return None
        named = "\0".join(str(header[name]) for name in ("source", "describe", "bucket", "key"))
        name = hashlib.sha256(named.encode("utf-8", "surrogateescape")).hexdigest()[:32]
        try:
            folder = state_folder()
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return Journal.open(folder / f"{name}{JOURNAL}", header)
        except OSError:
            return None

    def _header(self) -> dict[str, Any]:
        """What an upload that goes on must have in common with its beginning."""
        status, core = self._source.status, self._end.core
        # A lifetime that counts from now gives another moment in each run; see `_lasts_alike`.
        lasting = replace(self._order.attributes, expires_at=None)
        attributes = repr((lasting, sorted(self._order.names)))
        return {
            "kind": "upload",
            "source": self._source.path,
            "size": self._source.size,
            "mtime_ns": status.st_mtime_ns,
            "inode": status.st_ino,
            "describe": core.client.driver.describe(),
            "bucket": core.name,
            "key": self._order.key,
            "part_size": self._plan.part_size,
            "attributes": hashlib.sha256(attributes.encode()).hexdigest(),
        }

    async def _begun(self) -> Session | PutResult:
        """The session of an earlier run, or a new one; or what the earlier one has published."""
        journal = self._journal
        if journal is not None:
            if "upload_id" in journal.header and self._lasts_alike(journal.header):
                begun = await self._taken_up(journal) or await self._published(journal)
                if begun is not None:
                    return begun
            await self._abort_old(journal)
        session = await Session.create(self._end, self._order)
        if journal is not None:
            more = {
                "target": f"{self._end.core.name}/{self._order.key}",
                "profile": self._end.core.client.profile,
                "upload_id": session.upload.id,
                "expires_at": _iso(self._order.attributes.expires_at),
            }
            try:
                await self._context.team.blocking(journal.begin, {**self._header(), **more})
            except OSError:  # no room, say; it goes without
                self._journal = None
                await self._context.team.blocking(journal.remove)
            except BaseException as failure:
                await session.discard(failure)
                raise
        return session

    def _lasts_alike(self, header: Mapping[str, object]) -> bool:
        """Whether the object of an earlier run is to be gone at the moment that is asked for, or
        was to last as long from then on as it is to from now on; it keeps its own moment."""
        wanted, noted = self._order.attributes.expires_at, header.get("expires_at")
        if wanted is None or noted is None:
            return wanted is noted
        then = datetime.fromisoformat(str(noted))
        lasted = then - datetime.fromisoformat(str(header.get("started")))
        return then == wanted or abs(wanted - datetime.now(UTC) - lasted) < _ALIKE

    async def _taken_up(self, journal: Journal) -> Session | None:
        """The session of an earlier run; None if it is gone, or its parts may not be listed."""
        self._end.core.client.require_conditions("complete", self._order.conditions)
        noted = journal.parts
        try:
            upload = self._end.core.resume_upload(str(journal.header.get("upload_id")))
            token: str | None = None
            while True:
                page = await self._end.run(upload.list_parts().fetch(token))
                for part in page.items:
                    if _is_noted(part, noted.get(part.number)):
                        crc = {CRC: str(noted[part.number][CRC])}
                        self._sent[part.number] = Part(part.number, part.etag, part.size, crc)
                token = page.next_token
                if token is None:
                    return Session(self._end, self._order, upload)
        except (UploadNotFoundError, InvalidRequestError, PermissionDeniedError, UnsupportedError):
            self._sent.clear()
            return None

    async def _published(self, journal: Journal) -> PutResult | None:
        """What an earlier run has published without hearing of it, where its write id tells."""
        core, order = self._end.core, self._order
        noted = journal.parts.get(COMPLETION)
        if noted is None:
            return None
        try:
            info = await self._end.run(core.head(order.key, None, NO_CONDITIONS, None))
        except (ObjectNotFoundError, PermissionDeniedError):
            return None
        names = tuple(dict.fromkeys((CRC, *order.names)))
        size, digests = self._source.size, self._source.digests
        found = await self._context.team.blocking(digests, names, 0, size, self._checkpoint)
        stored = info.checksums.get(CRC, found[CRC])
        if info.size != size or not stored == noted.get(CRC) == found[CRC]:
            return None
        if info.write_id is None and order.conditions.if_absent:
            await self._context.team.blocking(journal.remove)
            raise PreconditionFailedError(
                "the object is there with the very bytes of the file: an earlier run of this upload"
                " was interrupted while it published them, and may have done so; the service does"
                " not tell who wrote it"
            )
        if info.write_id is None or info.write_id != noted.get("write_id"):
            return None
        order.check(found)
        self._context.meter.moved(size, earlier=True)
        result = put_result(info)
        known = {name: found[name] for name in names}
        return replace(result, checksums={**result.checksums, **known})

    async def _abort_old(self, journal: Journal) -> None:
        """Abort what an earlier run of another file, or with other attributes, left."""
        old = journal.stale or journal.header
        if (upload_id := old.get("upload_id")) is not None:
            with suppress(StorageError):
                await self._end.run(self._end.core.resume_upload(str(upload_id)).abort())

    # --- parts ------------------------------------------------------------------------

    async def _send(self) -> None:
        context, plan = self._context, self._plan
        gate = context.gate(plan.width, self._end)
        sending = each(context.team, self._numbers(), self._part, plan.width, gate)
        if self._order.whole:
            await context.team.together([sending, self._digest_whole()])
        else:
            await sending

    async def _numbers(self) -> AsyncIterator[int]:
        for number in range(1, self._plan.parts + 1):
            yield number

    async def _part(self, number: int) -> None:
        start, stop = self._plan.span(number, self._source.size)
        if await self._is_sent(number, start, stop):
            self._session.parts[number] = self._sent[number]
            self._context.meter.moved(stop - start, earlier=True)
            return
        journal = self._journal
        needed = self._context.options.verify or journal is not None or CRC in self._order.names
        compute = self._end.core.digests_to_compute((CRC,) if needed else ())
        body = FileBody(self._context, self._end, self._source, start, stop, compute, {})
        part = await self._session.put(number, body)
        if CRC in part.checksums:
            record = {"etag": part.etag, "size": part.size, CRC: part.checksums[CRC]}
            await self._note(number, record)

    async def _is_sent(self, number: int, start: int, stop: int) -> bool:
        """Whether an earlier run has sent the part, and the file has the same bytes still."""
        part = self._sent.get(number)
        if part is None or part.size != stop - start:
            return False
        digests = self._source.digests
        found = await self._context.team.blocking(digests, (CRC,), start, stop)
        return found[CRC] == part.checksums[CRC]

    async def _digest_whole(self) -> None:
        """Digests that can only be computed from the first byte to the last."""
        names, size = self._order.whole, self._source.size
        self._digests = await self._context.team.blocking(
            self._source.digests, names, 0, size, self._checkpoint
        )

    def _checkpoint(self) -> None:
        """End what goes on in a thread that nobody waits for any more."""
        self._context.team.checkpoint()
        if self._over:
            raise Stopped

    # --- the end of a failed one ------------------------------------------------------

    async def _failed(self, failure: BaseException) -> None:
        """Keep what another run can go on with, or abort."""
        lasting = self._journal is not None and not isinstance(failure, _FINAL)
        if lasting:
            failure.add_note(
                f"{len(self._session.parts)} of {self._plan.parts} parts are stored: the same"
                " upload_file goes on from there; `storage transfers` lists what is unfinished"
            )
            return
        if not isinstance(failure, OutcomeUnknownError | NotFoundError):
            await self._session.discard(failure)
        if self._journal is not None:
            await self._context.team.blocking(self._journal.remove)


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _is_noted(part: Part, noted: Mapping[str, Any] | None) -> bool:
    """Whether a stored part is the one that was noted."""
    if noted is None or CRC not in noted:
        return False
    stored = part.checksums.get(CRC, noted[CRC])
    return (part.etag, part.size, stored) == (noted["etag"], noted["size"], noted[CRC])
