"""The importers of csv and jsonl."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage_core.imports import FileInfo, Importer, ImportFileError, Row, delimited, jsonl
from storage_core.imports.lines import MAX_LINE

PEOPLE = FileInfo(entity_type="people")


def rows(importer: Importer, data: bytes | str, file: FileInfo = PEOPLE) -> list[Row]:
    sent = data.encode() if isinstance(data, str) else data
    return list(importer([sent[i : i + 5] for i in range(0, len(sent), 5)], file))


def by(*columns: str) -> FileInfo:
    return FileInfo(entity_type="people", metadata={"KeyColumns": list(columns)})


# --- csv ----------------------------------------------------------------------------------


def test_csv():
    data = '\ufeffcode,name,age\r\n1,"Ann, ""A""",30\r\n\r\n2,"two\r\nlines\n",\r\n3,"",x'
    assert rows(delimited.read, data) == [
        Row(2, "people", ("1",), {"code": "1", "name": 'Ann, "A"', "age": "30"}),
        Row(4, "people", ("2",), {"code": "2", "name": "two\r\nlines\n", "age": ""}),
        Row(7, "people", ("3",), {"code": "3", "name": "", "age": "x"}),
    ]


def test_csv_fields_may_fill_a_line():
    (row,) = delimited.read([b"a,b\n1,", b"x" * (MAX_LINE - 10), b"\n"], PEOPLE)
    assert row.values is not None
    assert len(row.values["b"]) == MAX_LINE - 10


def test_csv_key_columns():
    (row,) = rows(delimited.read, "a,b,c\n1,2,3\n", by("c", "a"))
    assert row.key == ("3", "1")


CSV: dict[str, tuple[str, FileInfo, int | None, str]] = {
    "empty": ("", PEOPLE, None, "the file is empty"),
    "no entity type": ("a\n", FileInfo(), None, "the entity type ''"),
    "columns": ("a,b\n1,2\n1\n", PEOPLE, 3, "1 values for 2 columns"),
    "columns behind lines": ('a,b\n1,"2\n3"\n1\n', PEOPLE, 4, "1 values for 2 columns"),
    "column twice": ("a,a\n", PEOPLE, 1, "'a' stands twice"),
    "column without name": ("a,\n", PEOPLE, 1, "column name '' is not"),
    "empty key": ("a,b\n,2\n", PEOPLE, 2, "key column 'a' is empty"),
    "no such key": ("a,b\n", by("c"), 1, "no key column 'c'"),
    "key twice": ("a,b\n", by("a", "a"), 1, "'KeyColumns' is not a list"),
    "open quote": ('a,b\n1,"2\n', PEOPLE, 2, "unexpected end of data"),
    "quote": ('a,b\n1,"2"3\n', PEOPLE, 2, "expected after"),
    "nul": ("a,b\n1,\0\n", PEOPLE, 2, "NUL"),
    "columns without end": (",".join(map(str, range(150_000))), PEOPLE, 1, "at most 1000"),
}


@pytest.mark.parametrize("name", CSV)
def test_broken_csv(name):
    data, file, line, reason = CSV[name]
    with pytest.raises(ImportFileError) as caught:
        rows(delimited.read, data, file)
    assert (caught.value.line, reason in caught.value.reason) == (line, True), caught.value


def test_a_record_of_endless_lines_is_refused_before_its_end():
    sent = 0

    def endless():
        nonlocal sent
        yield b'a,b\n1,"'
        while True:
            sent += 1
            yield b'x\n","' * 1000

    with pytest.raises(ImportFileError, match=r"line 2: .*longer"):
        list(delimited.read(endless(), PEOPLE))
    assert sent * 5000 < 2 * MAX_LINE


# --- jsonl --------------------------------------------------------------------------------


def test_jsonl():
    data = '\ufeff{"id": 1, "xs": [1.5, null]}\r\n\n{"id": "2", "$delete": true}\n{"id":3,"a":"\u00eb"}'
    assert rows(jsonl.read, data) == [
        Row(1, "people", (1,), {"id": 1, "xs": [1.5, None]}),
        Row(3, "people", ("2",), None),
        Row(4, "people", (3,), {"id": 3, "a": "\u00eb"}),
    ]


def test_jsonl_key_columns():
    (row,) = rows(jsonl.read, '{"a": true, "b": 1.5}', by("b", "a"))
    assert row.key == (1.5, True)


def test_one_number_is_one_key():
    data = '{"id": 1}\n{"id": 1.0}\n{"id": 1e0}\n{"id": 1.5}\n{"id": -0.0}\n{"id": 1e300}\n'
    found = [json.dumps(row.key) for row in rows(jsonl.read, data)]
    assert found == ["[1]", "[1]", "[1]", "[1.5]", "[0]", "[1e+300]"]


JSONL: dict[str, tuple[str, FileInfo, int | None, str]] = {
    "no entity type": ("", FileInfo(), None, "the entity type ''"),
    "key columns": ("", by(), None, "'KeyColumns' is not a list"),
    "not JSON": ('{"id": 1}\n{"id": 1', PEOPLE, 2, "not JSON: "),
    "no object": ("[1]\n", PEOPLE, 1, "not a JSON object"),
    "no key": ('{"a": 1}\n', PEOPLE, 1, "key column 'id' is empty"),
    "null key": ('{"id": null}\n', PEOPLE, 1, "key column 'id' is empty"),
    "compound key": ('{"id": [1]}\n', PEOPLE, 1, "key column 'id' is compound"),
    "delete": ('{"id": 1, "$delete": 1}\n', PEOPLE, 1, "neither true nor false"),
    "surrogate": ('{"id": "\\udc00"}\n', PEOPLE, 1, "half a surrogate"),
    "nul": ('{"id": 1, "\\u0000": 1}\n', PEOPLE, 1, "NUL"),
    "infinite": ('{"id": 1e999}\n', PEOPLE, 1, "too large a number"),
    "constant": ('{"id": Infinity}\n', PEOPLE, 1, "is not JSON"),
    "nested": ('{"id":' + "[" * 100_000, PEOPLE, 1, "nested"),
}


@pytest.mark.parametrize("name", JSONL)
def test_broken_jsonl(name):
    data, file, line, reason = JSONL[name]
    with pytest.raises(ImportFileError) as caught:
        rows(jsonl.read, data, file)
    assert (caught.value.line, reason in caught.value.reason) == (line, True), caught.value


@pytest.mark.parametrize("importer", [delimited.read, jsonl.read], ids=["csv", "jsonl"])
@given(st.binary(max_size=100) | st.lists(st.sampled_from('{}[]":,\n\\ idu0"'), max_size=60))
def test_nothing_but_the_import_error_comes_of_anything(importer, data):
    sent = data if isinstance(data, bytes) else "".join(data).encode()
    try:
        found = list(importer([sent], PEOPLE))
    except ImportFileError:
        return
    json.dumps([[row.key, row.values] for row in found], allow_nan=False).encode()
