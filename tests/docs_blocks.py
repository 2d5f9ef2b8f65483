"""Reads the fenced blocks of a Markdown page, and runs them in order in one namespace.

A comment on the line before a fence directs it:

    <!-- docs: skip REASON -->    not run; the reason is printed by the test run
    <!-- docs: exit N -->         the last command of a console block ends with status N
    <!-- docs: file NAME -->      the block is written to NAME in the page's folder
    <!-- docs: shows NAME -->     the block is what the file NAME holds
    <!-- docs: output -->         the block is what the block before it printed

`python` blocks are executed, `console` blocks are run by bash with the real `storage` command;
other languages are only shown.
"""

import contextlib
import io
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>```+)(?P<language>[\w+-]*)\s*$")
_DIRECTIVE = re.compile(r"^ *<!-- docs: *(?P<verb>\w+) *(?P<value>.*?) *-->\s*$")
_TAKES_VALUE = {"skip": True, "exit": True, "file": True, "shows": True, "output": False}


@dataclass(frozen=True)
class Block:
    page: Path
    line: int  # of the first line inside the fence, from 1
    language: str
    text: str
    verb: str = ""
    value: str = ""

    @property
    def where(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of `page`, in order.

    Raises:
        ValueError: A directive is unknown, lacks its value, or stands before no fence; a fence
            is not closed.
    """
    found: list[Block] = []
    lines = page.read_text("utf-8").splitlines()
    verb = value = ""
    number = 0
    while number < len(lines):
        line = lines[number]
        number += 1
        if directive := _DIRECTIVE.match(line):
            verb, value = directive["verb"], directive["value"]
            if verb not in _TAKES_VALUE or bool(value) != _TAKES_VALUE[verb]:
                raise ValueError(f"{page.name}:{number}: not a directive: {line.strip()}")
            continue
        fence = _FENCE.match(line)
        if not fence:
            if verb and line.strip():
                raise ValueError(f"{page.name}:{number}: a directive stands before no fence")
            continue
        indent, closing = len(fence["indent"]), fence["ticks"]
        start = number
        while number < len(lines) and lines[number].strip() != closing:
            number += 1
        if number == len(lines):
            raise ValueError(f"{page.name}:{start}: the fence is not closed")
        text = "".join(text_line[indent:] + "\n" for text_line in lines[start:number])
        found.append(Block(page, start + 1, fence["language"], text, verb, value))
        verb = value = ""
        number += 1
    return found


def commands(block: Block) -> list[str]:
    """The commands of a console block: what follows `$ `, with continued lines."""
    found: list[str] = []
    continued = False
    for line in block.text.splitlines():
        if continued:
            found[-1] += "\n" + line.removeprefix("> ")
        elif line.startswith("$ "):
            found.append(line[2:])
        else:
            continue
        continued = found[-1].endswith("\\")
    return found


@dataclass
class Runner:
    """Runs the blocks of one page in `folder`, the current directory of the process."""

    folder: Path
    environment: dict[str, str]
    namespace: dict[str, Any] = field(default_factory=lambda: {"__name__": "__main__"})
    printed: str = ""

    def run(self, block: Block) -> None:
        match block.verb, block.language:
            case "skip", _:
                pass
            case "file", _:
                target = self.folder / block.value
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(block.text, "utf-8")
            case "shows", _:
                assert (self.folder / block.value).read_text("utf-8") == block.text, block.where
            case "output", _:
                assert self.printed.strip() == block.text.strip(), block.where
            case _, "python":
                self._python(block)
            case _, "console":
                self._console(block)

    def _python(self, block: Block) -> None:
        # Blank lines before the source make tracebacks name the line of the page.
        source = "\n" * (block.line - 1) + block.text
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(compile(source, block.page, "exec", dont_inherit=True), self.namespace)
        self.printed = output.getvalue()

    def _console(self, block: Block) -> None:
        found = commands(block)
        assert found, f"{block.where}: a console block without a command"
        self.printed = ""
        for index, command in enumerate(found):
            done = subprocess.run(
                ["bash", "-o", "pipefail", "-c", command],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=240,
            )
            last = index == len(found) - 1
            expected = int(block.value) if block.verb == "exit" and last else 0
            assert done.returncode == expected, (
                f"{block.where}: exit status {done.returncode} instead of {expected}: {command}\n"
                f"{done.stdout}{done.stderr}"
            )
            self.printed += done.stdout
