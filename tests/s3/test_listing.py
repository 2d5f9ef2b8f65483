"""The two readers of a listing agree on every page, and the quick one knows its limits."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import escape

import pytest

from storage_core.errors import UnavailableError
from storage_core.model import ObjectSummary, Prefix
from storage_s3.listing import parse_page, parsed, scan

HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
ROOT = '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
END = "</ListBucketResult>"
ENTRY = (
    "<Contents><Key>a</Key><LastModified>2026-01-31T12:00:00.000Z</LastModified>"
    "<ETag>&quot;e&quot;</ETag><Size>3</Size></Contents>"
)
WITH_ATTRIBUTE = ENTRY.replace("<Contents>", '<Contents a="b">')
DONE = "<IsTruncated>false</IsTruncated>"

ALPHABET = "abz/ +%&<>\"'?#=*~-_.;:\\é日\U0001f9c0"


def random_key(source: random.Random) -> str:
    return "".join(source.choice(ALPHABET) for _ in range(source.randint(1, 12)))


class Writer:
    """Writes pages the way one kind of service does."""

    def __init__(self, source: random.Random) -> None:
        self.random = source
        self.encode: Callable[[str], str] | None = source.choice([None, quote, quote_plus])
        self.space = source.choice(["", "", "\n", "\n    "])
        self.quotes = source.choice([("&quot;", "&quot;"), ('"', '"'), ("", "")])
        self.shuffled = source.random() < 0.2
        self.owner = source.random() < 0.3
        self.checksum = source.random() < 0.3

    def key(self, key: str) -> str:
        return escape(key) if self.encode is None else escape(self.encode(key))

    def entry(self, key: str) -> str:
        left, right = self.quotes
        moment = datetime.fromtimestamp(self.random.randint(0, 2**31), UTC)
        time = moment.strftime("%Y-%m-%dT%H:%M:%S") + self.random.choice([".000Z", "Z", ".123456Z"])
        etag = f"{self.random.getrandbits(128):032x}{self.random.choice(['', '-3'])}"
        fields = [
            f"<Key>{self.key(key)}</Key>",
            f"<LastModified>{time}</LastModified>",
            f"<ETag>{left}{etag}{right}</ETag>",
        ]
        if self.checksum:
            fields.append("<ChecksumAlgorithm>CRC32C</ChecksumAlgorithm>")
            fields.append("<ChecksumType>FULL_OBJECT</ChecksumType>")
        fields.append(f"<Size>{self.random.randint(0, 2**40)}</Size>")
        if self.owner:
            fields.append("<Owner><ID>i</ID><DisplayName>d</DisplayName></Owner>")
        fields.append("<StorageClass>STANDARD</StorageClass>")
        if self.shuffled:
            self.random.shuffle(fields)
        return f"<Contents>{self.space}{self.space.join(fields)}{self.space}</Contents>"

    def page(self) -> bytes:
        count = self.random.randint(0, 8)
        keys = sorted({random_key(self.random) for _ in range(count)})
        groups = sorted({random_key(self.random) + "/" for _ in range(self.random.choice([0, 3]))})
        more = self.random.random() < 0.5
        pieces = [self.random.choice([HEAD, ""]), ROOT, "<Name>b</Name><Prefix/>"]
        if self.encode is not None:
            pieces.append("<EncodingType>url</EncodingType>")
        pieces.append(f"<IsTruncated>{str(more).lower()}</IsTruncated>")
        if more:
            token = self.random.choice(["1abc=", "a&b<", "x/y+z=="])
            pieces.append(f"<NextContinuationToken>{escape(token)}</NextContinuationToken>")
        pieces += [self.entry(key) for key in keys]
        pieces += [
            f"<CommonPrefixes>{self.space}<Prefix>{self.key(group)}</Prefix></CommonPrefixes>"
            for group in groups
        ]
        return (self.space.join(pieces) + END).encode()


def test_both_readers_agree_on_random_pages() -> None:
    source = random.Random(20260131)
    quick = 0
    for _ in range(3000):
        data = Writer(source).page()
        found = scan(data)
        if found is not None:
            quick += 1
            assert found == parsed(data), data
        assert parse_page(data) == parsed(data)
    assert quick > 1000, "the quick reader hardly ever fits"


def test_a_page_as_amazon_writes_it() -> None:
    data = (
        f"{HEAD}{ROOT}<Name>b</Name><Prefix></Prefix><KeyCount>2</KeyCount><MaxKeys>2</MaxKeys>"
        "<Delimiter>%2F</Delimiter><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>"
        "<NextContinuationToken>1ueGcx==</NextContinuationToken><Contents><Key>a+b%2Bc%26</Key>"
        "<LastModified>2026-01-31T12:00:00.000Z</LastModified><ETag>&quot;0123-2&quot;</ETag>"
        "<ChecksumAlgorithm>CRC32C</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType>"
        "<Size>7</Size><StorageClass>STANDARD</StorageClass></Contents><CommonPrefixes>"
        f"<Prefix>a/</Prefix></CommonPrefixes>{END}"
    ).encode()
    page = scan(data)
    assert page is not None
    assert page == parsed(data)
    assert page.next_token == "1ueGcx=="
    assert page.items == [
        ObjectSummary("a b+c&", 7, "0123-2", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        Prefix("a/"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        f"{ROOT}{DONE}<!-- {ENTRY} -->{END}",
        f"{ROOT}{DONE}<Name><![CDATA[{ENTRY}]]></Name>{END}",
        f"{ROOT}{DONE}{WITH_ATTRIBUTE}{END}",
        f"{ROOT}{DONE}{ENTRY}{ENTRY.replace('<Size>', '<Extra/><Size>')}{END}",
        f"{ROOT}{DONE}{ENTRY.replace('<Key>a', '<Key>&#97;')}{END}",
        f"{ROOT}{DONE}{ENTRY.replace('&quot;', '&#34;')}{END}",
        f"{ROOT}{ENTRY}{END}",
    ],
)
def test_odd_pages_go_to_the_parser(text: str) -> None:
    data = text.encode()
    assert scan(data) is None
    expected = 0 if "<!" in text else text.count("<Contents")
    page = parse_page(data)
    assert [item.key for item in page.items] == ["a"] * expected
    assert all(not item.is_prefix and item.etag == "e" for item in page.items)


def test_a_name_space_prefix_hides_nothing() -> None:
    text = f"{ROOT}{DONE}{ENTRY}{END}".replace("</", "</s3:").replace("xmlns", "xmlns:s3")
    for name in ("ListBucketResult", "IsTruncated", "Contents", "Key", "LastModified", "ETag"):
        text = text.replace(f"<{name}", f"<s3:{name}")
    data = text.replace("<Size", "<s3:Size").encode()
    assert scan(data) is None
    assert [item.key for item in parse_page(data).items] == ["a"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html><body>proxy</body></html>",
        f"{ROOT}{DONE}{ENTRY}",
        f"{ROOT}<IsTruncated>true</IsTruncated>{ENTRY}{END}",
        f"{ROOT}{DONE}{ENTRY.replace('<Size>3</Size>', '')}{END}",
        f'<!DOCTYPE a [<!ENTITY b "c">]>{ROOT}{DONE}{END}',
    ],
)
def test_what_is_no_page_is_refused(text: str) -> None:
    with pytest.raises(UnavailableError):
        parse_page(text.encode())


def test_a_cut_off_page_is_not_taken_for_a_whole_one() -> None:
    data = f"{ROOT}{DONE}{ENTRY}{ENTRY}{END}".encode()
    for length in range(len(data)):
        with pytest.raises(UnavailableError):
            parse_page(data[:length])
