"""Addresses of accounts and buckets."""

from __future__ import annotations

import pytest

from storage_s3.endpoint import Endpoint, aws_url


@pytest.mark.parametrize(
    ("url", "addressing", "bucket", "host", "path"),
    [
        ("https://s3.example.org", "virtual", "fruit", "fruit.s3.example.org", ""),
        ("https://s3.example.org", "path", "fruit", "s3.example.org", "/fruit"),
        ("https://s3.example.org:8443/", "virtual", "fruit", "fruit.s3.example.org:8443", ""),
        ("https://example.org/s3/", "path", "fruit", "example.org", "/s3/fruit"),
        ("https://example.org/s3", "virtual", "fruit", "fruit.example.org", "/s3"),
        # No certificate covers a.b.s3.example.org.
        ("https://s3.example.org", "virtual", "a.b", "s3.example.org", "/a.b"),
        ("http://s3.example.org", "virtual", "a.b", "a.b.s3.example.org", ""),
        ("http://s3.example.org", "virtual", "a..b", "s3.example.org", "/a..b"),
        ("https://s3.example.org", "virtual", "Fruit", "s3.example.org", "/Fruit"),
        ("https://s3.example.org", "virtual", "$web x", "s3.example.org", "/%24web%20x"),
        ("http://127.0.0.1:9000", "virtual", "fruit", "127.0.0.1:9000", "/fruit"),
        ("http://[::1]:9000", "virtual", "fruit", "[::1]:9000", "/fruit"),
        ("http://localhost:9000", "virtual", "fruit", "fruit.localhost:9000", ""),
    ],
)
def test_bucket(url: str, addressing: str, bucket: str, host: str, path: str) -> None:
    endpoint = Endpoint(url, addressing)  # type: ignore[arg-type]
    place = endpoint.bucket(bucket)
    assert (place.host, place.path) == (host, path)
    assert place.origin.authority == host
    assert place.root == (path or "/")
    assert place.object("a b/c") == f"{path}/a%20b/c"
    assert endpoint.bucket(bucket) is place


def test_account() -> None:
    endpoint = Endpoint("https://example.org/s3/", "virtual")
    assert endpoint.root == "/s3/"
    assert endpoint.url == "https://example.org/s3"
    assert endpoint.origin.host == "example.org"


@pytest.mark.parametrize(
    ("region", "url"),
    [
        ("eu-central-1", "https://s3.eu-central-1.amazonaws.com"),
        ("us-gov-west-1", "https://s3.us-gov-west-1.amazonaws.com"),
        ("cn-north-1", "https://s3.cn-north-1.amazonaws.com.cn"),
        ("us-iso-east-1", "https://s3.us-iso-east-1.c2s.ic.gov"),
        ("us-isob-east-1", "https://s3.us-isob-east-1.sc2s.sgov.gov"),
        ("eusc-de-east-1", "https://s3.eusc-de-east-1.amazonaws.eu"),
    ],
)
def test_amazon(region: str, url: str) -> None:
    assert aws_url(region) == url


def test_amazon_variants() -> None:
    assert aws_url("us-east-1", dualstack=True) == "https://s3.dualstack.us-east-1.amazonaws.com"
    assert aws_url("us-east-1", fips=True, dualstack=True) == (
        "https://s3-fips.dualstack.us-east-1.amazonaws.com"
    )


@pytest.mark.parametrize(
    ("region", "dualstack", "fips"),
    [
        (region, dualstack, fips)
        for region in ("us-east-1", "eu-central-1", "us-gov-west-1", "cn-north-1", "eusc-de-east-1")
        for dualstack in (False, True)
        for fips in (False, True)
        if not (fips and region == "cn-north-1")  # there are none
    ],
)
def test_amazon_as_botocore_has_it(region: str, dualstack: bool, fips: bool) -> None:
    import botocore.session
    from botocore.config import Config

    config = Config(
        use_dualstack_endpoint=dualstack,
        use_fips_endpoint=fips,
        s3={"addressing_style": "path", "us_east_1_regional_endpoint": "regional"},
    )
    client = botocore.session.Session().create_client(
        "s3", region, config=config, aws_access_key_id="a", aws_secret_access_key="b"
    )
    found = client.generate_presigned_url("list_buckets")
    client.close()
    assert found.startswith(f"{aws_url(region, dualstack=dualstack, fips=fips)}/?")
