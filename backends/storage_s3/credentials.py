"""Who signs, and where requests go: from the profile alone, or found by s3fs.

Static keys and anonymous access ask nobody and import nothing. All else comes from the
botocore session that s3fs makes, so that credentials are found wherever users of boto3 and
s3fs keep them; so do region and endpoint where the profile does not say.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from storage_core.errors import AuthenticationError, ConfigError, StorageError
from storage_core.http.credentials import Credentials, Fetched
from storage_s3.endpoint import Endpoint, aws_url
from storage_s3.signing import Keys, Signer

if TYPE_CHECKING:
    from s3fs import S3FileSystem

    from storage_core.driver import IO
    from storage_s3.settings import S3Settings

T = TypeVar("T")

DEFAULT_REGION = "us-east-1"
UNKNOWN_LIFE = 900.0
"""Seconds that temporary credentials are taken to be good for when nobody tells."""


class Found(NamedTuple):
    """What a botocore session knows."""

    keys: Keys
    expires: float | None
    region: str | None
    endpoint_url: str | None


class Account:
    """Signer, region and endpoint of a profile; shared by threads or tasks.

    Args:
        settings: The profile's.
        io: The way of I/O; under ``"asyncio"`` nothing here blocks the loop.
        find: Finds credentials that the profile does not hold; it may block.
    """

    __slots__ = ("_find", "_found", "_io", "_refused", "_signer", "endpoint", "region", "settings")

    endpoint: Endpoint
    region: str

    def __init__(
        self, settings: S3Settings, io: IO, find: Callable[[S3Settings], Found] | None = None
    ) -> None:
        self.settings = settings
        self._io = io
        self._find = find or find_credentials
        self._signer: Signer | None = None
        self._found: Credentials[Signer] | None = None
        self._refused: Keys | None = None

    @property
    def anonymous(self) -> bool:
        """Whether requests go unsigned."""
        return self.settings.anonymous

    @property
    def signer(self) -> Signer | None:
        """The one that is good without asking anyone; None if `get` has to be awaited, and
        for anonymous access."""
        return self._signer if self._found is None else self._found.current

    async def open(self) -> None:
        """Settle who signs and where requests go; asks others only where the profile does
        not say.

        Raises:
            ConfigError: s3fs is not installed, there are no credentials, or the endpoint is
                no URL.
            AuthenticationError: credentials could not be had.
        """
        settings = self.settings
        if settings.static:
            self._place(settings.default_region(), None)
            if settings.access_key_id is not None and settings.secret_access_key is not None:
                token = settings.session_token
                keys = Keys(
                    settings.access_key_id,
                    settings.secret_access_key.get_secret_value(),
                    token.get_secret_value() if token else None,
                )
                self._signer = Signer(keys, self.region)
            return
        self._found = Credentials(self._fetch, self._io)
        await self._found.get()

    async def get(self) -> Signer | None:
        """A good signer, None for anonymous access.

        Raises:
            AuthenticationError: credentials could not be renewed.
        """
        return self._signer if self._found is None else await self._found.get()

    def refused(self, signer: Signer | None) -> bool:
        """The service did not accept a signer's keys: whether others may be had.

        They are asked for once; if the same keys come back, there are none.
        """
        found = self._found
        if found is None or signer is None or signer.keys == self._refused:
            return False
        if found.current is signer:
            self._refused = signer.keys
            found.refused()
        return True

    def filesystem(self) -> S3FileSystem:
        """The same account as a filesystem of s3fs, for other libraries.

        Raises:
            ConfigError: s3fs is not installed.
        """
        return make_filesystem(self.settings, region=self.region, endpoint_url=self.endpoint.url)

    def _fetch(self) -> Fetched[Signer]:
        found = self._find(self.settings)
        if not hasattr(self, "endpoint"):
            region = self.settings.default_region() or found.region
            self._place(region, found.endpoint_url)
        return Fetched(Signer(found.keys, self.region), found.expires)

    def _place(self, region: str | None, found_url: str | None) -> None:
        settings = self.settings
        self.region = region or DEFAULT_REGION
        url = settings.endpoint_url or found_url
        addressing: Literal["virtual", "path"]
        if settings.addressing != "auto":
            addressing = settings.addressing
        else:
            addressing = settings.service.addressing
        if url is None:
            url = aws_url(self.region, dualstack=settings.dualstack, fips=settings.fips)
        try:
            self.endpoint = Endpoint(url, addressing)
        except ValueError as error:
            raise ConfigError(f"endpoint_url: {error}") from None


def make_filesystem(
    settings: S3Settings, *, region: str | None, endpoint_url: str | None
) -> S3FileSystem:
    """A filesystem of s3fs for a profile; it lives on no loop until it is used.

    Raises:
        ConfigError: s3fs is not installed.
    """
    try:
        from s3fs import S3FileSystem
    except ImportError as error:
        raise ConfigError(
            "without access_key_id the credentials are found by s3fs, which is not installed:"
            " pip install 'storage-core[s3]', or set access_key_id and secret_access_key, or"
            " anonymous = true"
        ) from error
    http = settings.http
    # The region goes into the client's configuration: as an argument of the client s3fs takes
    # it for the place of new buckets as well.
    config: dict[str, Any] = {"s3": {"addressing_style": settings.addressing}}
    if region is not None:
        config["region_name"] = region
    if http.proxy is not None:
        config["proxies"] = {"http": http.proxy, "https": http.proxy}
    client: dict[str, Any] = {}
    if not http.verify or http.ca_file is not None:
        client["verify"] = http.ca_file if http.verify else False
    secret, token = settings.secret_access_key, settings.session_token
    return S3FileSystem(
        anon=settings.anonymous,
        key=settings.access_key_id,
        secret=secret.get_secret_value() if secret else None,
        token=token.get_secret_value() if token else None,
        profile=settings.aws_profile,
        endpoint_url=endpoint_url,
        requester_pays=settings.requester_pays,
        config_kwargs=config,
        client_kwargs=client,
        s3_additional_kwargs=_additional(settings),
        asynchronous=False,
        skip_instance_cache=True,
        use_listings_cache=False,
    )


def _additional(settings: S3Settings) -> dict[str, str]:
    chosen = {
        "ServerSideEncryption": settings.sse,
        "SSEKMSKeyId": settings.kms_key_id,
        "StorageClass": settings.storage_class,
        "ACL": settings.acl,
        "ExpectedBucketOwner": settings.expected_bucket_owner,
    }
    return {name: value for name, value in chosen.items() if value is not None}


def find_credentials(settings: S3Settings) -> Found:
    """Ask the botocore session that s3fs makes.

    A session is made each time: its own refresh is bound to the loop it began on, and a new
    one reads files again that changed.

    Raises:
        ConfigError: s3fs is not installed, the profile does not exist, nothing was found.
        AuthenticationError: a source of credentials failed.
    """
    filesystem = _unstarted(settings)
    try:
        found = _apart(lambda: _ask(filesystem, settings))
    except StorageError:
        raise
    except Exception as error:
        raise _unfound(error) from error
    return found


def _unstarted(settings: S3Settings) -> S3FileSystem:
    filesystem = make_filesystem(
        settings, region=settings.default_region(), endpoint_url=settings.endpoint_url
    )
    filesystem.asynchronous = True  # its client is opened and closed by us, on a loop of ours
    return filesystem


async def _ask(filesystem: S3FileSystem, settings: S3Settings) -> Found:
    client = await filesystem.set_session()
    try:
        credentials = await filesystem.session.get_credentials()
        if credentials is None:
            raise ConfigError(
                "no credentials were found: set access_key_id and secret_access_key, aws_profile,"
                " or anonymous = true, or provide them as for boto3 (AWS_ACCESS_KEY_ID,"
                " ~/.aws/credentials, a role)"
            )
        frozen = await credentials.get_frozen_credentials()
        region, endpoint = client.meta.region_name, client.meta.endpoint_url
    finally:
        await client.close()
    # Amazon's own address is worked out from the region, by the same rule in any case.
    custom = endpoint if settings.endpoint_url is None and ".amazonaws." not in endpoint else None
    keys = Keys(frozen.access_key, frozen.secret_key, frozen.token or None)
    return Found(keys, _expiry(credentials), _real(region), custom)


def _expiry(credentials: object) -> float | None:
    """Until when credentials of botocore are good, None for ever."""
    if not hasattr(credentials, "refresh_needed"):
        return None
    moment = getattr(credentials, "_expiry_time", None)
    if isinstance(moment, datetime):
        return moment.timestamp()
    return time.time() + UNKNOWN_LIFE


def _real(region: str | None) -> str | None:
    # botocore's name for "none was configured"
    return None if region == "aws-global" else region


def _apart(question: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine on a loop and thread of its own: this thread may run one already."""
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1, "storage-s3-credentials") as executor:
        return executor.submit(lambda: asyncio.run(question())).result()


def _unfound(error: Exception) -> StorageError:
    name = type(error).__name__
    if name in {"ProfileNotFound", "PartialCredentialsError", "ConfigParseError"}:
        return ConfigError(f"the AWS configuration can not be used: {error}")
    if "SSO" in name or "TokenRetrieval" in name:
        return AuthenticationError(
            f"the single sign-on session is over: {error}; run 'aws sso login'"
        )
    return AuthenticationError(f"credentials could not be had ({name}): {error}")
