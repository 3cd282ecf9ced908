"""README and docs/: links that lead somewhere, files that exist, folders that are described."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
ROOMS = ("manifests", "features", "preprocess", "train")


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


def broken_links(page: Path, text: str) -> list[str]:
    """Return the links of a page's text to pages or headings that do not exist."""
    broken = []
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", text):
        file, _, anchor = link.partition("#")
        target = page.parent / file if file else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    return broken


def missing_files(text: str) -> list[str]:
    """Return the paths of modules, tests and benchmarks that a text names and that do not exist."""
    rooms = "|".join((*ROOMS, "tests", "benchmarks", "docs"))
    paths = re.findall(rf"(?<![\w/.-])(?:{rooms})/[\w./-]+\.(?:py|toml|c|sh|csv)\b", text)
    return [path for path in paths if "NAME" not in path and not (ROOT / path).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_paths_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    assert broken_links(page, text) == []
    assert missing_files(text) == []


def test_a_broken_link_and_a_missing_file_are_found() -> None:
    page = ROOT / "README.md"
    assert broken_links(page, "[a](docs/nothing.md) [b](#no-heading)") == [
        "docs/nothing.md",
        "#no-heading",
    ]
    assert missing_files("`train/nothing.py` `train/systems.py`") == ["train/nothing.py"]


def missing_names(text: str) -> list[str]:
    """Return what a text says is in a module, but is not: names in items that begin with a path."""
    items = re.findall(r"^\d\. `([\w/]+\.py)`: (.*(?:\n   .*)*)", text, re.M)
    return [
        f"{path}: {name}"
        for path, said in items
        if "NAME" not in path
        for name in re.findall(r"`([A-Za-z_]+)`", said)
        if name not in (ROOT / path).read_text("utf-8")
    ]


def test_contributors_find_what_they_are_to_change() -> None:
    assert missing_names((ROOT / "CONTRIBUTING.md").read_text("utf-8")) == []
    assert missing_names("1. `train/systems.py`: a row of\n   `SYSTEMS`, and `nothing`.") == [
        "train/systems.py: nothing"
    ]


def test_the_readme_leads_to_every_page() -> None:
    text = PAGES[0].read_text("utf-8")
    pages = [f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")]
    assert [page for page in pages if f"]({page})" not in text] == []


def test_the_list_of_decisions_has_every_title() -> None:
    folder = ROOT / "docs" / "decisions"
    titles = {page.name: page.read_text("utf-8").split("\n")[0] for page in folder.glob("0*.md")}
    rows = re.findall(
        r"^\| (\d+) \| \[(.*)\]\((.*)\) \|$", (folder / "README.md").read_text(), re.M
    )
    assert {name: f"# {number}. {title}" for number, title, name in rows} == titles


def test_the_architecture_page_describes_every_folder() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    table = page.partition("## The folders")[2].partition("\n## ")[0]
    described: set[str] = set()
    for row in re.findall(r"^\| `.*$", table, re.M):
        _, names, _, modules, _ = row.split("|")
        first, *others = re.findall(r"`([\w/]+)/`", names)
        described.update([first, *(str(Path(first).parent / name) for name in others)])
        for module in re.findall(r"`(\w+\.py)`", modules):
            assert (ROOT / first / module).exists(), (first, module)
    packages = {
        str(path.parent.relative_to(ROOT)) for room in ROOMS for path in (ROOT / room).rglob("*.py")
    }
    assert described == packages
