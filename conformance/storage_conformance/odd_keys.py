"""Keys that services, SDKs, file systems and URL parsers are known to mangle.

Each family is stored, read, listed, copied and deleted by category G and sent through
presigned links by category L. All of them are valid keys: control characters and dot
segments, which no client may create, are in category G's refusals.
"""

# ruff: noqa: RUF001 - look-alikes of ASCII are what is tested
from __future__ import annotations

from dataclasses import dataclass

from storage_core.model import Capabilities


@dataclass(frozen=True, slots=True)
class Family:
    """Keys that fail for one and the same reason.

    Attributes:
        id: Of the case that stores them.
        link_id: Of the case that sends them through links.
        name: Part of both cases' function names.
        rule: What the keys are, to complete "… round-trip exactly".
    """

    id: str
    link_id: str
    name: str
    rule: str
    keys: tuple[str, ...]


FAMILIES: tuple[Family, ...] = (
    Family(
        "G01",
        "L51",
        "spaces",
        "spaces, also leading, trailing and alone",
        (" ", "  ", "a b", " a", "a ", "a / b", "a/ b /c", "a  b"),
    ),
    Family("G02", "L52", "trailing_slash", "trailing slashes", ("a/", "a//", "b/c/", "d///")),
    Family("G03", "L53", "leading_slash", "leading slashes", ("/a", "//a", "///a", "/a/b/")),
    Family(
        "G04",
        "L54",
        "empty_segments",
        "empty segments",
        ("a//b", "a///b", "a//b//c", "/", "//", "///"),
    ),
    Family(
        "G05",
        "L55",
        "url_delimiters",
        "URL delimiters ? # & = ;",
        ("a?b", "a#b", "a&b=c", "?", "#", "a;b=1", "a?versionId=null&x-id=1#f", "x?a=b&c=d"),
    ),
    Family(
        "G06",
        "L56",
        "percent",
        "percent signs that are no encoding",
        ("100%", "%", "%%", "%zz", "%2", "a%b", "50%/50%"),
    ),
    Family(
        "G07",
        "L57",
        "percent_pairs",
        "percent-encodings beside the text they encode",
        ("a b", "a%20b", "a%2520b", "a/b", "a%2Fb", "a%2fb", "é", "%C3%A9", "%c3%a9"),
    ),
    Family(
        "G08",
        "L58",
        "plus",
        "plus signs beside spaces",
        ("a+b", "a b", "a%2Bb", "+", "++", "a+b c"),
    ),
    Family(
        "G09",
        "L59",
        "backslash",
        "backslashes",
        ("a\\b", "\\", "\\\\", "C:\\a\\b", "a\\", "\\a", "a\\/b"),
    ),
    Family(
        "G10",
        "L60",
        "quotes",
        "quotation marks",
        ('a"b', '"', "a'b", "'", "''", "`a`", "“a”", "«a»"),
    ),
    Family(
        "G11",
        "L61",
        "windows_characters",
        'characters Windows forbids: : * | < > "',
        ("a:b", "a*b", "a|b", "a<b>c", ":", "*", "a::$DATA", "c:"),
    ),
    Family(
        "G12",
        "L62",
        "brackets",
        "brackets and globs",
        ("a[b]", "[a-z]", "{a,b}", "(a)", "a[", "]a", "{}", "**/x", "a(1).txt"),
    ),
    Family(
        "G13",
        "L63",
        "punctuation",
        "the other ASCII punctuation",
        ("!a", "a@b", "$a", "^a", "~a", "~", "a,b", "a=b", "_", "-a", "--", "@", "a'!()b"),
    ),
    Family(
        "G14",
        "L64",
        "dots",
        "leading, trailing and many dots that are no dot segment",
        (".a", "..a", "a.", "a..", "...", "a/...", "a/.b", "a./b", "a../b", ".../a", "...."),
    ),
    Family(
        "G15",
        "L65",
        "trailing_dot_space",
        "segments that end in a dot or a space",
        ("a. ", "a .", "a./", "a /", "a. /b", "x.y. "),
    ),
    Family(
        "G16",
        "L66",
        "device_names",
        "names Windows reserves",
        ("CON", "con", "nul.txt", "PRN", "aux/b", "COM1", "lpt1.tar.gz", "a/NUL", "CONIN$"),
    ),
    Family(
        "G17",
        "L67",
        "emoji",
        "emoji, joined and with modifiers",
        ("😀", "👩‍👩‍👧", "👍🏽", "a/🍎/b", "🇩🇪", "☃.txt"),
    ),
    Family(
        "G18",
        "L68",
        "scripts",
        "scripts other than Latin",
        ("日本語/ファイル", "Ελληνικά", "русский", "עברית", "العربية", "हिन्दी", "ไทย", "한국어"),
    ),
    Family(
        "G19",
        "L69",
        "normal_forms",
        "composed beside decomposed characters (NFC, NFD)",
        (
            "caf\u00e9",
            "cafe\u0301",
            "\u212b",
            "\u00c5",
            "A\u030a",
            "\ufb01",
            "fi",
            "\uac00",
            "\u1100\u1161",
        ),
    ),
    Family(
        "G20",
        "L70",
        "case",
        "keys that differ only by case",
        ("a", "A", "ab", "aB", "Ab", "AB", "straße", "strasse", "STRASSE", "ı", "i", "I", "İ"),
    ),
    Family(
        "G21",
        "L71",
        "invisible",
        "invisible characters",
        (
            "a\u200bb",
            "a\u200db",
            "\ufeffa",
            "a\u00adb",
            "a\u2028b",
            "a\u2029b",
            "a\u00a0b",
            "\u202ea",
            "ab",
            "\u3000",
        ),
    ),
    Family(
        "G22",
        "L72",
        "fullwidth",
        "full-width and symbol stand-ins for ASCII",
        ("a／b", "a/b", "＊", "：", "．", "．．/a", "․․/a", "␀", "␊", "％2F", "＼", "‛a"),
    ),
    Family(
        "G23",
        "L73",
        "noncharacters",
        "noncharacters, private use and the last code point",
        ("\ufffe", "\uffff", "a\ufffdb", "\ue000", "\U0010ffff", "\U000e0001a", "\ufdd0"),
    ),
    Family(
        "G24",
        "L74",
        "mojibake",
        "UTF-8 beside its double encoding",
        ("ü", "\u00c3\u00bc", "€", "\u00e2\u20ac\u00ac", "ÿ", "\u00c3\u00bf"),
    ),
    Family(
        "G25",
        "L75",
        "markup",
        "XML and HTML markup",
        ("<a>&</a>", "&amp;", "&", "&lt;", "]]>", "<!--", "&#47;", "&#x2F;", "a<b&c"),
    ),
    Family(
        "G26",
        "L76",
        "shell",
        "shell words",
        ("$(id)", "${HOME}", "a;b", "a|b", "a&&b", "~root", "-rf", "!!", "a>b", "%PATH%"),
    ),
    Family(
        "G27",
        "L77",
        "urls",
        "keys that look like URLs",
        (
            "http://host/x",
            "https:/host",
            "s3://bucket/key",
            "file:///etc/passwd",
            "//host/x",
            "a/b?X-Amz-Signature=0",
            "user:pw@host/x",
            "data:,x",
        ),
    ),
    Family(
        "G28",
        "L78",
        "nested_pairs",
        "a key beside keys below it",
        ("a", "a/", "a/b", "a//b", "a/b/", "a/b/c", "a.b", "a-b", "a0"),
    ),
    Family(
        "G29",
        "L79",
        "numbers",
        "numbers and words that parsers turn into something else",
        ("0", "00", "-1", "1e3", "null", "None", "true", "NaN", "undefined", "0x10"),
    ),
    Family(
        "G30",
        "L80",
        "utf16_order",
        "code points that UTF-16 sorts otherwise than UTF-8",
        ("\ufb00", "\U00010000", "\uffee", "\U0001f600", "\ue000", "z"),
    ),
)


def longest(capabilities: Capabilities) -> tuple[str, ...]:
    """Keys of the greatest length: one segment, many, two-byte and four-byte characters."""
    limit = capabilities.max_key_bytes
    return (
        "a" * limit,
        "a" * (limit - 1) + "b",
        ("d/" * limit)[: limit - 1] + "e",
        "é" * (limit // 2) + "x" * (limit % 2),
        "😀" * (limit // 4) + "x" * (limit % 4),
        "%" * limit,
        ("s" * 255 + "/") * (limit // 256) + "t" * (limit % 256),
    )


CONTROL_KEYS: tuple[str, ...] = (
    "a\x00b",
    "\x00",
    "a\nb",
    "a\rb",
    "a\tb",
    "\x1b[31m",
    "\x7f",
    "a\x01",
    "a\x80b",
    "a\x9fb",
)
"""Control characters: C0, DEL and C1."""

DOT_SEGMENT_KEYS: tuple[str, ...] = (
    ".",
    "..",
    "../a",
    "./a",
    "a/..",
    "a/.",
    "a/../b",
    "a/./b",
    "/..",
    "/../a",
    "a//../b",
)
"""Dot segments, which HTTP clients resolve before they send."""
