"""What a peer may send at most, so that a broken or hostile one can not fill the memory."""

from __future__ import annotations

HEAD = 64 * 1024
"""Bytes of an answer's head, informational answers before it included."""
FIELDS = 1024
"""Header fields of an answer."""
INFORMATIONAL = 16
"""Answers with status 1xx before the final one."""
FRAMING = 64 * 1024
"""Bytes of chunk extensions and trailers in a chunked body."""
FRAMING_PER_CHUNK = 32
"""Bytes of framing that each chunk may have besides: its size and line breaks."""
DRAIN = 64 * 1024
"""Bytes that are read and dropped to keep the connection of a response closed early."""
EXPECT_WAIT = 1.0
"""Seconds to wait for the service's consent before a body is sent without it."""
