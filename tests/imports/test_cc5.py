"""The importer of cc5: what it takes, what it refuses and where, and files nobody thought of."""

from __future__ import annotations

import json
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage_core.imports import FileInfo, ImportFileError, Row
from storage_core.imports.cc5 import TYPES, read
from storage_core.imports.lines import MAX_LINE
from tests.imports.world import cc5

ALL_TYPES = "code|name:string|age:int|weight:number|vip:bool|born:date|tags:array|xs:list|o:object"


def rows(data: bytes, file: FileInfo | None = None, size: int = 0) -> list[Row]:
    """What a file holds, given in chunks of a size."""
    chunks = [data] if not size else [data[i : i + size] for i in range(0, len(data), size)]
    return list(read(chunks, file or FileInfo()))


def test_rows_of_every_type():
    data = cc5(
        '10|1|Ann|30|1.5|true|20240229|a,b|[1,"x",null]|{"a":{"b":[]}}',
        "10|2|Bob|-3|2|0|20240131235958|one|[]|{}",
        columns=ALL_TYPES,
    )
    first, second = rows(data)
    assert first == Row(
        5,
        "people",
        ("1",),
        {
            "code": "1",
            "name": "Ann",
            "age": 30,
            "weight": 1.5,
            "vip": True,
            "born": "2024-02-29",
            "tags": ["a", "b"],
            "xs": [1, "x", None],
            "o": {"a": {"b": []}},
        },
    )
    assert second.values is not None
    assert (second.values["age"], second.values["weight"], second.values["vip"]) == (-3, 2, False)
    assert second.values["born"] == "2024-01-31T23:59:58"
    assert second.values["tags"] == ["one"]


def test_blanks_are_null_but_for_text():
    (row,) = rows(cc5("10|1||||||||", columns=ALL_TYPES))
    assert row.values == {"code": "1", "name": ""} | dict.fromkeys(
        ("age", "weight", "vip", "born", "tags", "xs", "o")
    )


@pytest.mark.parametrize("line", ["10|1|Ann|30", "10|1|Ann|30|"])
def test_a_bar_may_end_a_line(line):
    assert rows(cc5(line))[0].values == {"code": "1", "name": "Ann", "age": 30}


def test_escapes():
    (row,) = rows(cc5("10|#/#1|a#/#b#Enter#c#Enter##x|1"))
    assert row.key == ("|1",)
    assert row.values is not None
    assert row.values["name"] == "a|b\r\nc\r\n#x"


def test_deletes_name_the_key_alone():
    data = cc5("90|1|x|", "10|1|x|Ann|3", "90|2|y", columns="code|shop|name|age:int")
    data = data.replace(b"02|code", b"02|code|shop")
    assert [(row.key, row.values is None) for row in rows(data)] == [
        (("1", "x"), True),
        (("1", "x"), False),
        (("2", "y"), True),
    ]


def test_keys_keep_their_type():
    (row,) = rows(cc5("10|7|Ann|3", columns="code:int|name|age:int"))
    assert row.key == (7,)


def test_one_number_is_one_key():
    data = cc5("10|1|a|1", "10|1.0|a|1", "90|1e0", columns="code:number|name|age:int")
    assert [json.dumps(row.key) for row in rows(data)] == ["[1]"] * 3


def test_line_breaks_in_json():
    (row,) = rows(cc5('10|1|{#Enter#"a": "b#Enter#c#/#"}|1', columns="code|o:object|n:int"))
    assert row.values is not None
    assert row.values["o"] == {"a": "b\r\nc|"}


def test_the_registered_entity_type_stands_in():
    data = cc5().replace(b"01|people|", b"01||") + b""
    data = data.replace(b"99|0", b"10|1|Ann|3\n99|1")
    assert rows(data, FileInfo(entity_type="staff"))[0].dataset == "staff"


def test_byte_order_mark_crlf_no_last_line_end_and_empty_lines_at_the_end():
    data = b"\xef\xbb\xbf" + cc5("10|1|Zo\u00eb|3").replace(b"\n", b"\r\n")
    assert rows(data)[0].values == {"code": "1", "name": "Zo\u00eb", "age": 3}
    assert rows(data) == rows(data.removesuffix(b"\r\n")) == rows(data + b"\r\n\n\n")


def test_a_validation_code_may_follow_the_total():
    assert rows(cc5("10|1|Ann|3", "90|2", total=2).replace(b"99|2", b"99|2|e0d1|"))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_chunks_of_any_size(size):
    data = cc5("10|1|Zo\u00eb \U0001f34e|3", "90|2")
    assert rows(data, size=size) == rows(data)


HEAD = "00|acme|cc5|20240101|r1\n01|people|w|b|crm|a\n02|code\n03|code|age:int\n"
BROKEN: dict[str, tuple[str, int | None, str]] = {
    "empty": ("", None, "ends before its line of type 00"),
    "head cut off": ("00|acme\n01|people\n", None, "ends before its line of type 02"),
    "no total": (HEAD + "10|1|2\n", 6, "ends without its line of type 99"),
    "no rows, no total": (HEAD, None, "ends without its line of type 99"),
    "order of the head": ("01|people\n", 1, "type 01 where the one of type 00"),
    "head twice": (HEAD + "03|code|age:int\n99|0\n", 5, "type '03' among the rows"),
    "rows before the head": ("10|1|2\n", 1, "type 10 where the one of type 00"),
    "unknown type": (HEAD + "11|1|2\n99|1\n", 5, "type '11' among the rows"),
    "no type": (HEAD + "hello\n99|1\n", 5, "begins with 'hello' instead of a type"),
    "type of other digits": (HEAD + "1\u0661|1\n", 5, "instead of a type"),
    "empty line": (HEAD + "\n99|0\n", 5, "the line is empty"),
    "total too large": (HEAD + "10|1|2\n99|2\n", 6, "the total is 2, but there are 1"),
    "total too small": (HEAD + "10|1|2\n90|1\n99|1\n", 7, "the total is 1, but there are 2"),
    "total no number": (HEAD + "99|x\n", 5, "'x' is not a number of rows"),
    "total missing": (HEAD + "99\n", 5, "'' is not a number of rows"),
    "too much in the total": (HEAD + "99|0|a|b\n", 5, "more than 2 fields"),
    "rows behind the total": (HEAD + "99|0\n10|1|2\n", 6, "something follows"),
    "too few values": (HEAD + "10|1\n99|1\n", 5, "1 values for the 2 columns"),
    "too many values": (HEAD + "10|1|2|3\n99|1\n", 5, "3 values for the 2 columns"),
    "too many keys": (HEAD + "90|1|2\n99|1\n", 5, "2 values for the 1 key columns"),
    "empty key": (HEAD + "10||2\n99|1\n", 5, "key column 'code' is empty"),
    "empty key to delete": (HEAD + "90|\n99|1\n", 5, "key column 'code' is empty"),
    "int": (HEAD + "10|1|two\n99|1\n", 5, "column 'age' of type int: 'two' is not"),
    "int of 65 bits": (HEAD + "10|1|9223372036854775808\n99|1\n", 5, "at most 64 bits"),
    "customer": ("00||cc5\n", 1, "the customer is empty"),
    "too much in 00": ("00|a|b|c|d|e\n", 1, "more than 4 fields"),
    "too much in 01": ("00|a\n01|a|b|c|d|e|f\n", 2, "more than 5 fields"),
    "entity type": ("00|a\n01|\n", 2, "the entity type '' is not"),
    "reserved": ("00|a\n01|p\n02|code\n03|code|my_id\n", 4, "'my_id' ends with '_id'"),
    "reserved key": ("00|a\n01|p\n02|my_id\n", 3, "'my_id' ends with '_id'"),
    "no key": ("00|a\n01|p\n02|\n", 3, "code of a column '' is not"),
    "column twice": ("00|a\n01|p\n02|code\n03|code|a|a:int\n", 4, "'a' stands twice"),
    "column without code": ("00|a\n01|p\n02|code\n03|code||a\n", 4, "code of a column ''"),
    "unknown column type": ("00|a\n01|p\n02|code\n03|code|a:float\n", 4, "of type 'float'"),
    "key not first": ("00|a\n01|p\n02|code\n03|a|code\n", 4, "first columns must be"),
    "key not there": ("00|a\n01|p\n02|code|b\n03|code\n", 4, "first columns must be"),
    "nul": (HEAD + "10|a\0|2\n99|1\n", 5, "NUL"),
    "columns without end": (
        "00|a\n01|p\n02|0\n03|" + "|".join(map(str, range(150_000))),
        4,
        "at most 1000 can be",
    ),
}
VALUES: dict[str, tuple[str, str]] = {
    "bool": ("yes", "none of true, false"),
    "number": ("1,5", "not a number"),
    "number ": ("1e999", "too large"),
    "number  ": ("nan", "not a number"),
    "date": ("2024-01-31", "of the form yyyyMMdd"),
    "date ": ("20240230", "no date: day"),
    "date  ": ("20240101250000", "no date: hour"),
    "date   ": ("2024010112", "of the form"),
    "list": ('{"a":1}', "not a JSON array"),
    "list ": ("[1", "not JSON"),
    "list  ": ("[NaN]", "NaN is not JSON"),
    "list   ": ("[1e999]", "too large a number"),
    "list    ": (r'["\u0000"]', "NUL"),
    "list     ": (r'["\ud800"]', "half a surrogate"),
    "list      ": ("[" * 200 + "]" * 200, "nested deeper than 100"),
    "list       ": ("[" * 100_000, "nested too deeply"),
    "object": ("[]", "not a JSON object"),
    "object ": ('{"a":1', "not JSON"),
    "object  ": (r'{"\u0000":1}', "NUL"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files(name):
    text, line, reason = BROKEN[name]
    with pytest.raises(ImportFileError) as caught:
        rows(text.encode())
    assert caught.value.line == line
    assert reason in caught.value.reason


@pytest.mark.parametrize("name", VALUES)
def test_broken_values(name):
    text, reason = VALUES[name]
    data = cc5("10|1|x|1", f"10|2|{text}|1", columns=f"code|value:{name.strip()}|n:int")
    with pytest.raises(ImportFileError) as caught:
        rows(data.replace(b"10|1|x|1\n", b""))
    assert caught.value.line == 5
    assert reason in caught.value.reason
    assert len(caught.value.reason) < 200  # however long the value


def test_another_entity_type_than_registered():
    with pytest.raises(ImportFileError, match=r"line 2: .*'people'.*registered for 'staff'"):
        rows(cc5(), FileInfo(entity_type="staff"))


@pytest.mark.parametrize(
    ("data", "line", "reason"),
    [
        (b"\xff\xfe0\x000\x00", 1, "UTF-16"),
        (HEAD.encode() + b"10|\xe9|2\n", 5, "byte 4 is not UTF-8"),
        (HEAD.encode() + b"10|" + b"x" * MAX_LINE, 5, "longer than 1048576 bytes"),
    ],
)
def test_encodings_and_endless_lines(data, line, reason):
    for size in (0, 4096):
        with pytest.raises(ImportFileError) as caught:
            rows(data, size=size)
        assert caught.value.line == line
        assert reason in caught.value.reason


def test_an_endless_line_is_refused_before_its_end():
    read_chunks = 0

    def endless():
        nonlocal read_chunks
        while True:
            read_chunks += 1
            yield b"x" * 65536

    with pytest.raises(ImportFileError, match="longer"):
        list(read(endless(), FileInfo()))
    assert read_chunks * 65536 <= MAX_LINE + 2 * 65536


# --- files nobody thought of --------------------------------------------------------------

plain = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="#"), max_size=20)
whole = st.integers(-(2**63), 2**63 - 1)
values: dict[str, st.SearchStrategy[Any]] = {
    "string": st.lists(plain | st.sampled_from(["|", "\r\n"])).map("".join),
    "int": whole,
    "number": whole | st.floats(allow_nan=False, allow_infinity=False),
    "bool": st.booleans(),
    "date": st.datetimes().map(lambda found: found.replace(microsecond=0).isoformat()),
    "array": st.lists(plain.map(lambda text: text.replace(",", "")), min_size=1),
    "list": st.lists(plain | whole | st.none()),
    "object": st.dictionaries(plain, plain | whole | st.lists(whole)),
}
assert set(values) == set(TYPES)


def escaped(text: str) -> str:
    return text.replace("|", "#/#").replace("\r\n", "#Enter#")


def written(kind: str, value: Any) -> str:
    match kind:
        case "list" | "object":
            return escaped(json.dumps(value))
        case "array":
            return escaped(",".join(value))
        case "date":
            return "".join(letter for letter in value if letter.isdigit())
        case _:
            return escaped(value if isinstance(value, str) else str(value).lower())


@st.composite
def files(draw):
    """A file and its rows."""
    kinds = draw(st.lists(st.sampled_from(sorted(values)), max_size=6))
    table = [
        (draw(st.integers(0, 9)), [draw(values[kind]) for kind in kinds], draw(st.booleans()))
        for _ in range(draw(st.integers(0, 5)))
    ]
    columns = ["key:int", *(f"c{index}:{kind}" for index, kind in enumerate(kinds))]
    texts = []
    found: list[tuple[int, dict[str, Any] | None]] = []
    for key, cells, deletes in table:
        if deletes:
            texts.append(f"90|{key}")
            found.append((key, None))
            continue
        line = [str(key), *map(written, kinds, cells)]
        texts.append("10|" + "|".join(line) + draw(st.sampled_from(["", "|"])))
        none = [
            None if kind == "array" and not text else value
            for kind, value, text in zip(kinds, cells, line[1:], strict=True)
        ]
        found.append((key, {"key": key, **{f"c{i}": value for i, value in enumerate(none)}}))
    data = cc5(*texts, columns="|".join(columns)).replace(b"02|code", b"02|key")
    return data, found


@given(files(), st.integers(1, 50))
def test_what_is_written_is_read(file, size):
    data, found = file
    assert [(row.key[0], row.values) for row in rows(data, size=size)] == found


@given(files(), st.data())
def test_nothing_but_the_import_error_comes_of_mutations(file, data):
    mutated = bytearray(file[0])
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(mutated)))
        cut = data.draw(st.integers(0, 8))
        mutated[at : at + cut] = data.draw(
            st.binary(max_size=8) | st.sampled_from([b"|", b"\n", b"10|", b"99|1", b'[{"', b"\r"])
        )
    try:
        found = rows(bytes(mutated))
    except ImportFileError:
        pass
    else:
        json.dumps([[row.key, row.values] for row in found], allow_nan=False).encode()


@given(st.binary(max_size=200) | st.text(string.printable, max_size=200).map(str.encode))
def test_nothing_but_the_import_error_comes_of_anything(data):
    with pytest.raises(ImportFileError):
        rows(data)
