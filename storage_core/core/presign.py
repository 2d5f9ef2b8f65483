"""Links: the driver's own signature where it has one, a gateway link otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage_core import keys
from storage_core.core.bodies import parse_digests
from storage_core.errors import ConfigError, InvalidRequestError
from storage_core.model import Link, Method
from storage_core.requests import PresignRequest

if TYPE_CHECKING:
    from storage_core.core.bucket import BucketCore

METHODS: tuple[Method, ...] = ("GET", "HEAD", "PUT", "DELETE")


async def presign(
    bucket: BucketCore,
    key: str,
    method: Method,
    expires_in: int,
    version: str | None = None,
    content_type: str | None = None,
    content_length: int | None = None,
    checksum: tuple[str, str] | None = None,
    filename: str | None = None,
    if_absent: bool = False,
    upload_id: str | None = None,
    part_number: int | None = None,
) -> Link:
    """As `storage_core.Bucket.presign`; with an upload id and part number, for that part."""
    client = bucket.client
    client.check_open()
    capabilities = client.capabilities
    if method not in METHODS:
        raise InvalidRequestError(f"method {method!r} is not one of {', '.join(METHODS)}")
    check = keys.check_key if method == "PUT" else keys.check_existing_key
    check(key, capabilities.max_key_bytes)
    if version is not None:
        client.require(capabilities.versions, "versions")
    if not isinstance(expires_in, int) or not 1 <= expires_in <= capabilities.max_presign_seconds:
        raise InvalidRequestError(
            f"expires_in {expires_in!r} is not within 1 to {capabilities.max_presign_seconds} s"
        )
    _check_bound(method, content_type, content_length, checksum, filename, if_absent)
    if if_absent:
        client.require(capabilities.allows("put", "if_absent"), "if_absent on put")
    request = PresignRequest(
        bucket.name,
        key,
        method,
        expires_in,
        client.now(),
        version,
        content_type,
        content_length,
        checksum,
        filename,
        if_absent,
        upload_id,
        part_number,
    )
    native = (
        capabilities.presign_part if part_number is not None else method in capabilities.presign
    )
    if client.links.route == "gateway" or not native:
        return _gateway_link(bucket, request)
    for name, value in (
        ("content_type", content_type),
        ("content_length", content_length),
        ("checksum", checksum),
        ("filename", filename),
        ("version", version),
        ("if_absent", if_absent or None),
    ):
        if value is not None:
            client.require(
                name in capabilities.presign_binds,
                f"{name} in its own links; set links.route to 'gateway' to have it bound",
            )
    return await client.guard("presign", bucket.name, key, client.driver.presign(request))


def _check_bound(
    method: Method,
    content_type: str | None,
    content_length: int | None,
    checksum: tuple[str, str] | None,
    filename: str | None,
    if_absent: bool,
) -> None:
    for name, value in (
        ("content_length", content_length),
        ("checksum", checksum),
        ("if_absent", if_absent or None),
    ):
        if value is not None and method != "PUT":
            raise InvalidRequestError(f"{name} can only be bound to a PUT link, not {method}")
    if filename is not None:
        if method != "GET":
            raise InvalidRequestError(f"filename can only be set on a GET link, not {method}")
        if not filename or not filename.isprintable():
            raise InvalidRequestError(f"filename {filename!r} is empty or not printable")
    if content_type is not None:
        keys.check_header("content_type", content_type)
    if content_length is not None and (not isinstance(content_length, int) or content_length < 0):
        raise InvalidRequestError(f"content_length {content_length!r} is not a number of bytes")
    if checksum is not None:
        try:
            algorithm, digest = checksum
        except (TypeError, ValueError):
            raise InvalidRequestError(
                "checksum is not a pair of algorithm and hexadecimal digest"
            ) from None
        parse_digests({algorithm: digest})


def _gateway_link(bucket: BucketCore, request: PresignRequest) -> Link:
    from storage_core import links

    client = bucket.client
    settings = client.links
    if settings.base_url is None:
        raise ConfigError(
            f"profile {client.profile!r} signs links for a gateway and needs its address: set"
            " links.base_url to where"
            f" 'storage serve --profile {client.profile}' is reached, such as"
            " 'http://127.0.0.1:8080', or 'https://files.example.org' for a proxy before it"
        ).with_context("presign", bucket.name, request.key)
    secrets = settings.keys or client.driver.link_keys()
    if not secrets:
        raise ConfigError(
            f"profile {client.profile!r} has no keys to sign links with: set links.keys"
        ).with_context("presign", bucket.name, request.key)
    return links.sign_link(settings.base_url, links.LinkKeys(secrets), request)
