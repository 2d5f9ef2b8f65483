"""Gateway links: presigned URLs that the project's own server redeems. Pure, no I/O.

A link is an ordinary URL whose query says what its holder may do, with an HMAC over all of
it. Whoever has the secret can sign and verify; nothing is stored per link.

    {base_url}/o/{bucket}/{key}?sc-format=1&sc-id=…&…&sc-signature=…

The signature is the unpadded base64url form of HMAC-SHA256 (RFC 2104) over these lines,
each value percent-encoded so that only ``A-Z a-z 0-9 - . _ ~`` stand as they are:

    storage-core-link
    the bucket
    the key
    the parameters but the signature, name=value, joined by "&" in order of their names

It covers decoded values, so a client or proxy that spells the same URL differently (other
percent-encoding, other order of parameters) does no harm, and every other change is
refused. So is any parameter this page does not name, and one given twice.
"""

from storage_core.links.format import FORMAT, ROUTE, LinkClaims
from storage_core.links.keys import LinkKeys
from storage_core.links.signing import MAX_LINK_SECONDS, link_path, sign_link
from storage_core.links.verifying import LinkError, verify_link

__all__ = [
    "FORMAT",
    "MAX_LINK_SECONDS",
    "ROUTE",
    "LinkClaims",
    "LinkError",
    "LinkKeys",
    "link_path",
    "sign_link",
    "verify_link",
]
