"""keg-storage's S3 backend on the `s3` driver."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Final

from storage_core.compat.keg.backends.base import ListEntry, ShareLinkOperation
from storage_core.compat.keg.backends.bucket import UPLOAD_TYPE, BucketStorage
from storage_core.compat.keg.backends.profile import open_bucket
from storage_core.compat.keg.utils import Moment, missing
from storage_core.errors import InvalidRequestError
from storage_core.http.disposition import attachment
from storage_core.keys import check_existing_key, check_header, check_key
from storage_core.links import MAX_LINK_SECONDS

_ENCODED: Final = (ShareLinkOperation.download, ShareLinkOperation.upload)


class S3Storage(BucketStorage):
    """A bucket of Amazon S3, or of a service like it. Needs the extra ``s3``.

    Args:
        bucket: Its name.
        aws_region: Its region.
        aws_access_key_id: Access key; without it credentials come from where boto3 finds them.
        aws_secret_access_key: Its secret.
        aws_profile: Profile of ``~/.aws/config`` to take them from.
        name: What the application calls the backend.
        endpoint_url: Address of a service other than Amazon's.
    """

    def __init__(
        self,
        bucket: str,
        aws_region: str | None,
        aws_access_key_id: str | None = None,
        aws_secret_access_key: str | None = None,
        aws_profile: str | None = None,
        name: str = "s3",
        *,
        endpoint_url: str | None = None,
    ) -> None:
        table: dict[str, Any] = {
            "driver": "s3",
            "region": aws_region,
            "access_key_id": aws_access_key_id,
            "secret_access_key": aws_secret_access_key,
            "aws_profile": aws_profile,
            "endpoint_url": endpoint_url,
        }
        config = {key: value for key, value in table.items() if value is not None}
        super().__init__(name=name, opener=lambda: open_bucket(bucket, None, config))
        self.bucket = bucket
        self._config = config

    def _key(self, path: str) -> str:
        """The path as it is: in S3 a key may begin with a slash, and is another one then."""
        return path

    def list(self, path: str) -> list[ListEntry]:
        """As `BucketStorage.list`."""
        return super().list("" if path == "/" else path)

    def link_to(
        self,
        path: str,
        operation: ShareLinkOperation | str,
        expire: Moment,
        output_path: str | None = None,
        content_type: str | None = None,
        content_encoding: str | None = None,
    ) -> str:
        """As `BucketStorage.link_to`.

        Args:
            path: The object's key.
            operation: One operation.
            expire: Until when, seven days at most.
            output_path: Name under which a download is saved.
            content_type: What an upload has to send, or a download says.
            content_encoding: What an upload has to send as ``Content-Encoding``, or a download
                says.
        """
        wanted = ShareLinkOperation.as_operation(operation)
        if content_encoding is None or wanted not in _ENCODED:
            return super().link_to(path, wanted, expire, output_path, content_type)
        seconds = self._seconds(expire)
        if seconds > MAX_LINK_SECONDS:
            raise InvalidRequestError(
                f"the link would be good for {seconds} seconds; S3 takes {MAX_LINK_SECONDS}"
            )
        check_header("content_encoding", content_encoding)
        if content_type is not None:
            check_header("content_type", content_type)
        bound = {"Bucket": self.bucket, "Key": path}
        if wanted is ShareLinkOperation.upload:
            check_key(path)
            method = "put_object"
            bound["ContentEncoding"] = content_encoding
            bound["ContentType"] = content_type or UPLOAD_TYPE
        else:
            check_existing_key(path)
            method = "get_object"
            bound["ResponseContentEncoding"] = content_encoding
            if content_type:
                bound["ResponseContentType"] = content_type
            if output_path:
                bound["ResponseContentDisposition"] = attachment(output_path)
        signed: str = self._signer.generate_presigned_url(method, Params=bound, ExpiresIn=seconds)
        return signed

    @cached_property
    def _signer(self) -> Any:
        """A client of botocore, which signs what our own links do not hold: the encoding. It
        sends nothing and is kept: to make one takes much longer than to sign."""
        try:
            from botocore.config import Config
            from botocore.session import Session
        except ImportError as error:
            raise missing(error, "content_encoding in a link", "s3") from error
        own = self._config
        return Session(profile=own.get("aws_profile")).create_client(
            "s3",
            region_name=own.get("region"),
            endpoint_url=own.get("endpoint_url"),
            aws_access_key_id=own.get("access_key_id"),
            aws_secret_access_key=own.get("secret_access_key"),
            config=Config(signature_version="s3v4"),
        )
