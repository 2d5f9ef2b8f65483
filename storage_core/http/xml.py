"""XML of object services, read by expat without entities or outside references."""

from __future__ import annotations

from collections.abc import Iterator
from xml.parsers import expat

from storage_core.errors import UnavailableError


class Element:
    """One element: its name without namespace, its text and its children in order."""

    __slots__ = ("children", "name", "text")

    def __init__(self, name: str) -> None:
        self.name = name
        self.text = ""
        self.children: list[Element] = []

    def find(self, name: str) -> Element | None:
        """The first child of that name."""
        return next((child for child in self.children if child.name == name), None)

    def all(self, name: str) -> Iterator[Element]:
        """The children of that name."""
        return (child for child in self.children if child.name == name)

    def get(self, name: str) -> str | None:
        """Text of the first child of that name, None if there is none."""
        child = self.find(name)
        return None if child is None else child.text

    def need(self, name: str) -> str:
        """Text of the first child of that name.

        Raises:
            UnavailableError: there is none, so the answer is not what was asked for.
        """
        text = self.get(name)
        if text is None:
            raise UnavailableError(f"the service's <{self.name}> has no <{name}>")
        return text


def parse_xml(data: bytes) -> Element:
    """The root element.

    Raises:
        UnavailableError: it is not well-formed, or declares a document type.
    """
    top = Element("")
    stack = [top]

    def start(name: str, _attributes: object) -> None:
        child = Element(name.rpartition("}")[2])
        stack[-1].children.append(child)
        stack.append(child)

    def end(_name: str) -> None:
        stack.pop()

    def text(piece: str) -> None:
        stack[-1].text += piece

    def refuse(*_declared: object) -> None:
        raise UnavailableError("the service's XML declares a document type")

    parser = expat.ParserCreate(namespace_separator="}")
    parser.buffer_text = True
    parser.buffer_size = max(len(data), 1)  # so that each text comes in one piece
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, LookupError, ValueError) as error:  # the latter of its encoding
        raise UnavailableError(f"the service's answer is not XML: {error}") from error
    if not top.children:
        raise UnavailableError("the service's answer is empty where XML was due")
    return top.children[0]


def escape(text: str) -> str:
    """Text as element content."""
    return (
        text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")
    )
