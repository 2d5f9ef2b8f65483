"""XML of services, which may send anything."""

import string
from contextlib import suppress
from typing import Any
from xml.sax.saxutils import escape as reference

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage_core.errors import UnavailableError
from storage_core.http.xml import Element, escape, parse_xml

PAGE = b"""<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
  <Name>b</Name>
  <Contents><Key>a&amp;&#98;<![CDATA[<c>]]></Key><Size>1</Size></Contents>
  <Contents><Key>\xc3\xbc</Key><Size/></Contents>
  <o:Owner xmlns:o="urn:odd">x</o:Owner>
</ListBucketResult>"""

# What XML 1.0 can hold (section 2.2).
content = st.text(
    st.one_of(
        st.sampled_from("\t\n\r&<>\"'];"),
        st.characters(
            min_codepoint=0x20, exclude_characters="\ufffe\uffff", exclude_categories=["Cs"]
        ),
    )
)


def test_a_page():
    root = parse_xml(PAGE)
    assert root.name == "ListBucketResult"
    assert root.get("Name") == "b"
    assert [child.get("Key") for child in root.all("Contents")] == ["a&b<c>", "ü"]
    assert [child.need("Size") for child in root.all("Contents")] == ["1", ""]
    assert root.get("Owner") == "x"
    assert root.find("Missing") is None
    assert root.get("Missing") is None
    with pytest.raises(UnavailableError, match="<ListBucketResult> has no <Missing>"):
        root.need("Missing")


@given(content)
def test_escaped_text_comes_back(text: str):
    assert parse_xml(f"<a>{escape(text)}</a>".encode()).text == text
    assert escape(text).replace("&#13;", "\r") == reference(text)


elements: st.SearchStrategy[Any] = st.recursive(
    st.tuples(st.sampled_from(["a", "b", "Key"]), content, st.just([])),
    lambda inner: st.tuples(st.sampled_from(["a", "b", "Key"]), content, st.lists(inner)),
)


@given(elements)
def test_trees_come_back(tree):
    assert shape(parse_xml(written(tree).encode())) == tree


def written(tree) -> str:
    name, text, children = tree
    return f"<{name}>{escape(text)}{''.join(map(written, children))}</{name}>"


def shape(element: Element):
    return element.name, element.text, [shape(child) for child in element.children]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1"])
def test_declared_encodings(encoding: str):
    data = f'<?xml version="1.0" encoding="{encoding}"?><a>ü</a>'.encode(encoding)
    assert parse_xml(data).text == "ü"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" ",
        b"{}",
        b"<a>",
        b"<a></b>",
        b"<a/><b/>",
        b"<a>\x00</a>",
        b"<a>\xff</a>",
        b"<a>&undeclared;</a>",
        b'<?xml version="1.0" encoding="nonsense"?><a/>',
        b'<?xml version="1.0" encoding="hex"?><a/>',
        b'<?xml version="1.0" encoding="big5"?><a/>',
        b'<?xml version="1.0" encoding="idna"?><a/>',
        b"<u:a/>",
        b"<html><body>Bad gateway<br></body></html>",
    ],
)
def test_what_is_no_xml(data: bytes):
    with pytest.raises(UnavailableError, match="XML"):
        parse_xml(data)


@pytest.mark.parametrize(
    "declared",
    [
        b"<!DOCTYPE a>",
        b'<!DOCTYPE a SYSTEM "http://127.0.0.1:1/x.dtd">',
        b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
        b'<!DOCTYPE a [<!ENTITY x "xxxxxxxx"><!ENTITY y "&x;&x;&x;">]>',
        b'<!DOCTYPE a [<!ENTITY % p SYSTEM "http://127.0.0.1:1/x">%p;]>',
    ],
)
def test_no_entities_of_its_own(declared: bytes):
    """Neither files are read nor entities blown up: no document type at all."""
    with pytest.raises(UnavailableError, match="document type"):
        parse_xml(declared + b"<a>&x;</a>")


def test_deep_and_wide():
    depth = 100_000
    element = parse_xml(b"<a>" * depth + b"x" + b"</a>" * depth)
    for _ in range(depth - 1):
        element = element.children[0]
    assert element.text == "x"
    assert len(parse_xml(b"<a>" + b"<b/>" * depth + b"</a>").children) == depth


def test_a_long_text_is_one_text():
    line = string.ascii_letters + "&amp;\n"
    assert len(parse_xml(f"<a>{line * 50_000}</a>".encode()).text) == 54 * 50_000


@given(st.binary(max_size=60), st.integers(0, len(PAGE)), st.integers(0, len(PAGE)))
def test_fuzzed(junk: bytes, start: int, end: int):
    """Cut out and overwritten anywhere: a tree or the one documented error."""
    for data in (junk, PAGE[:start] + junk + PAGE[end:], b"<a>" + junk + b"</a>"):
        with suppress(UnavailableError):
            assert isinstance(parse_xml(data), Element)
