"""The documentation, held against the code: its examples run, its links lead somewhere."""

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage_core.transfer.memory import DEFAULT, set_max_memory
from tests.docs_blocks import Runner, blocks, commands

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
OTHERS = [ROOT / name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")]
SKIPPED = [block for page in PAGES for block in blocks(page) if block.verb == "skip"]

pytestmark = pytest.mark.docs


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix() if page.is_relative_to(ROOT) else page.name


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runner]:
    """An empty folder, a home of its own, and no setting of the developer's; what a page sets for
    the whole process does not outlast it."""
    for variable in list(os.environ):
        if variable.startswith(("STORAGE_", "XDG_")):
            monkeypatch.delenv(variable)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    scripts = str(Path(sys.executable).parent)
    monkeypatch.setenv("PATH", os.pathsep.join([scripts, os.environ.get("PATH", os.defpath)]))
    folder = tmp_path / "page"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield Runner(folder, dict(os.environ))
    set_max_memory(DEFAULT)
    for name in [name for name, module in sys.modules.items() if is_below(folder, module)]:
        del sys.modules[name]


def is_below(folder: Path, module: object) -> bool:
    """Whether a module was imported from a page's folder."""
    place = getattr(module, "__file__", None)
    return bool(place) and Path(str(place)).absolute().is_relative_to(folder)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_examples_run(page: Path, runner: Runner):
    for block in blocks(page):
        runner.run(block)


def test_examples_that_are_not_run_have_a_reason():
    """Skipped, to show the reasons in the summary, as long as there is such an example."""
    if SKIPPED:
        pytest.skip("; ".join(f"{block.where}: {block.value}" for block in SKIPPED))


# -- links between the pages ---------------------------------------------------

_LINK = re.compile(r"(?<!!)\[[^\]]*\]\((?P<target>[^)\s]+)\)")


def prose(page: Path) -> str:
    """The page without its fenced blocks and code spans."""
    text = re.sub(
        r"^ *(```+).*?^ *\1 *$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    return re.sub(r"`[^`\n]*`", lambda code: code[0].strip("`").replace("[", ""), text)


def anchors(page: Path) -> set[str]:
    """The headings' anchors, as the usual renderers make them."""
    headings = re.findall(r"^#+ +(.*?) *#*$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path) -> list[str]:
    broken = []
    for link in _LINK.finditer(prose(page)):
        target, _, anchor = link["target"].partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        there = (page.parent / target) if target else page
        if not there.exists() or (
            anchor and there.suffix == ".md" and anchor.lower() not in anchors(there)
        ):
            broken.append(link["target"])
    return broken


@pytest.mark.parametrize("page", [*PAGES, *OTHERS], ids=name)
def test_links_lead_somewhere(page: Path):
    assert broken_links(page) == []


# -- the checks themselves -----------------------------------------------------


def page_of(tmp_path: Path, text: str) -> Path:
    page = tmp_path / "page.md"
    page.write_text(text, "utf-8")
    return page


def test_blocks_share_a_namespace_and_are_compared(tmp_path: Path, runner: Runner):
    text = """\
<!-- docs: file data/fruit.txt -->
```text
apple
```
```python
fruit = open("data/fruit.txt", encoding="utf-8").read() if False else "apple"
```
```python
print(fruit)
```
<!-- docs: output -->
```text
apple
```
```console
$ cat data/fruit.txt | \\
> tr a-z A-Z
```
<!-- docs: output -->
```text
APPLE
```
<!-- docs: exit 3 -->
```console
$ true
$ exit 3
```
"""
    for block in blocks(page_of(tmp_path, text)):
        runner.run(block)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("```python\nassert 1 == 2\n```\n", AssertionError),
        ("```python\nundefined\n```\n", NameError),
        ("```console\n$ false\n```\n", AssertionError),
        ("```console\n$ false | cat\n```\n", AssertionError),
        ("```console\nno command\n```\n", AssertionError),
        ("<!-- docs: exit 3 -->\n```console\n$ true\n```\n", AssertionError),
        ("```python\nprint(1)\n```\n<!-- docs: output -->\n```\n2\n```\n", AssertionError),
        ("<!-- docs: skip -->\n```python\n```\n", ValueError),
        ("<!-- docs: ignore this -->\n```python\n```\n", ValueError),
        ("<!-- docs: skip for a reason -->\nprose\n", ValueError),
        ("```python\n1\n", ValueError),
    ],
)
def test_what_is_wrong_is_seen(tmp_path: Path, runner: Runner, text: str, error: type[Exception]):
    def run() -> None:
        for block in blocks(page_of(tmp_path, text)):
            runner.run(block)

    with pytest.raises(error):
        run()


def test_a_skipped_block_is_not_run(tmp_path: Path, runner: Runner):
    page = page_of(tmp_path, "<!-- docs: skip needs a network -->\n```python\n1 / 0\n```\n")
    (block,) = blocks(page)
    runner.run(block)
    assert block.value == "needs a network"


def test_commands_of_a_console_block(tmp_path: Path):
    page = page_of(tmp_path, "```console\n$ one \\\n>   more\noutput\n$ two\n```\n")
    assert commands(blocks(page)[0]) == ["one \\\n  more", "two"]


def test_broken_links_are_seen(tmp_path: Path):
    text = "# A `b` c\n[x](#a-b-c) [x](#none) [x](none.md) [x](https://example.org/) `[x](y)`\n"
    assert broken_links(page_of(tmp_path, text)) == ["#none", "none.md"]
