"""`upload_file`: one object from a file or a stream."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from storage_core import keys
from storage_core.core import attributes as attribute_rules
from storage_core.core.bodies import known_algorithm, make_body, parse_digests
from storage_core.errors import StorageError
from storage_core.model import Attributes, Conditions, PutResult
from storage_core.transfer.memory import MEMORY
from storage_core.transfer.parts import SLICE, FileBody, RelayedBody
from storage_core.transfer.plan import plan_upload
from storage_core.transfer.resumable import upload_large
from storage_core.transfer.session import CRC, Order
from storage_core.transfer.source import SMALL, FileSource, StreamSource, Uploadable, open_source
from storage_core.transfer.streamed import upload_stream

if TYPE_CHECKING:
    from storage_core.core.between import End
    from storage_core.transfer.context import Context


async def upload_file(
    context: Context,
    end: End,
    source: Uploadable,
    key: str,
    attributes: Attributes,
    conditions: Conditions,
    checksums: Mapping[str, str] | None = None,
    compute: Iterable[str] = (),
    *,
    expected: bool = False,
) -> PutResult:
    """Upload one object.

    What fits one part goes in one request. A larger file goes in parts, several at a time,
    and goes on where an earlier run was interrupted, if file, place and attributes are the same;
    a stream in parts too, which are collected in memory. Nothing is visible before the end.

    Args:
        context: Of the transfer.
        end: The bucket.
        source: See `Uploadable`.
        key: Of the object.
        attributes: Of the object.
        conditions: Under which it is published.
        checksums: Declared digests of all bytes.
        compute: Algorithms whose digests are wanted in the result.
        expected: Whether the caller counts the object in the context's meter.

    Raises:
        OSError: the file can not be read.
        ObjectChangedError: the file changed on its way; nothing was published.
        StorageError: as `storage_core.Bucket.put`.
    """
    core, team, meter = end.core, context.team, context.meter
    client = core.client
    keys.check_key(key, client.capabilities.max_key_bytes)
    client.require_conditions("put", conditions)
    attribute_rules.checked(client, attributes)
    declared = parse_digests(checksums or {})
    names = tuple(dict.fromkeys((*compute, *declared)))
    for name in names:
        known_algorithm(name)
    order = Order(key, attributes, conditions, declared, names)
    whole = min(SMALL, client.capabilities.max_put_size, context.options.part_size or SMALL)
    opened = await team.blocking(open_source, source, whole)
    meter.begin(key)
    if not expected:
        meter.expect(1, opened.size)
    try:
        result = await _upload(context, end, opened, order)
    except BaseException as failure:
        if isinstance(failure, StorageError):
            failure.with_context("upload_file", core.name, key)
        if not expected:
            meter.end(failed=True)
        raise
    finally:
        opened.close()
    if not expected:
        if opened.size is None:
            meter.expect(0, result.size)
        meter.end()
    return result


async def _upload(
    context: Context, end: End, source: FileSource | StreamSource, order: Order
) -> PutResult:
    capabilities = end.core.client.capabilities
    if isinstance(source, StreamSource):
        if capabilities.multipart:
            return await upload_stream(context.nested(), end, source, order)
        return await _put_stream(context, end, source, order)
    if source.data is not None:
        return await _put_small(context, end, source.data, order)
    plan = plan_upload(source.size, capabilities, context.options)
    if plan.parts > 1:
        return await upload_large(context.nested(), end, source, order, plan)
    return await _put_file(context, end, source, order)


async def _put_small(context: Context, end: End, data: bytes, order: Order) -> PutResult:
    """One request with bytes in memory."""
    await context.bandwidth.take(context.team, len(data))
    key, attributes, conditions, declared, names = order
    digests = {name: digest.hex() for name, digest in declared.items()}
    result = await end.run(
        end.core.put(key, data, None, attributes, conditions, digests, names, None)
    )
    context.meter.moved(len(data))
    return result


async def _put_file(context: Context, end: End, source: FileSource, order: Order) -> PutResult:
    """One request with the bytes of a file."""
    key, attributes, conditions, declared, names = order
    core, size = end.core, source.size
    compute = core.digests_to_compute((CRC, *names) if context.options.verify else names)
    granted = await MEMORY.reserve(context.team, 1, min(size, SLICE))
    try:
        body = FileBody(context, end, source, 0, size, compute, declared)
        try:
            result = await end.run(
                core.put(key, body, None, attributes, conditions, None, names, None)
            )
        except BaseException as failure:
            body.take_back()
            reason = source.blamed(failure)
            if reason is failure:
                raise
            raise reason from failure
    finally:
        MEMORY.release(granted)
    return result


async def _put_stream(context: Context, end: End, source: StreamSource, order: Order) -> PutResult:
    """A stream where there are no sessions: as `put` does it."""
    key, attributes, conditions, declared, names = order
    core = end.core
    digests = {name: digest.hex() for name, digest in declared.items()}
    inner = make_body(source.given, end.core.client.runtime, expected=digests)
    body = RelayedBody(context, end, inner, core.digests_to_compute(names))
    try:
        return await end.run(core.put(key, body, None, attributes, conditions, None, names, None))
    except BaseException:
        body.take_back()
        raise
