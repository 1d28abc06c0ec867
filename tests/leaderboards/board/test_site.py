"""The site as files: whole, the same every time, and nothing in it runs but our scripts."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from urllib.parse import unquote

import pytest
from rich.console import Console

from reported import HOSTILE
from seqedit_bench.leaderboards import ResultError
from seqedit_bench.leaderboards.board.filed import read_entries
from seqedit_bench.leaderboards.board.site import write_site
from seqedit_bench.leaderboards.board.standings import standings
from seqedit_bench.leaderboards.board.terminal import board_tables
from told_entries import Tale, write_entries

VOID = {"meta", "link", "input", "br", "img", "wbr"}


class Page(HTMLParser):
    """The elements of a page, with their attributes and texts; refuses what is not nested well."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.content: dict[str, list[str]] = {"script": [], "style": []}
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"{tag} has an attribute twice"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)
        if tag in self.content:
            self.content[tag].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in self.content:
            self.content[self._open[-1]][-1] += data
        else:
            self.text += data

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def values(self, name: str) -> list[str]:
        """All values of an attribute."""
        return [value for _, given in self.elements if (value := given.get(name)) is not None]


def write(entries: Path, folder: Path, files: str | None = None) -> Path:
    return write_site(standings(read_entries(entries)), folder, files).parent


@pytest.fixture(scope="module")
def site(entries: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(entries, tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def hostile(hostile_entries: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(hostile_entries, tmp_path_factory.mktemp("hostile"))


def pages(folder: Path) -> dict[str, Page]:
    paths = sorted(folder.rglob("*.html"))
    return {p.relative_to(folder).as_posix(): Page(p.read_text(encoding="utf-8")) for p in paths}


def test_what_there_is(site: Path) -> None:
    names = sorted(path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file())
    rows = [name for name in names if name.startswith("rows/")]
    assert [re.sub(r"-[0-9a-f]{12}\.html", "", name) for name in rows] == [
        f"rows/{name}" for name in ("ft", "grace", "memit", "memit", "mend", "rome")
    ]
    assert {"index.html", "compare.html", "board.json", "files.json"} <= set(names)
    assert sum(name.startswith("entries/") for name in names) == 8


def test_every_number_leads_to_its_file(site: Path, entries: Path) -> None:
    for name, page in pages(site).items():
        for tag, given in page.elements:
            if tag != "a" or (href := str(given["href"])).startswith(("#", "https://")):
                continue
            target, _, fragment = href.partition("#")
            path = (site / name).parent / unquote(target)
            assert path.is_file(), (name, href)
            if fragment and "=" not in fragment:
                assert f'id="{fragment}"' in path.read_text(encoding="utf-8"), (name, href)
    linked = [
        href for name, page in pages(site).items() if name.startswith("rows/")
        for href in page.values("href") if href.endswith(".json") and "entries/" in href
    ]  # fmt: skip
    assert len(linked) == 8
    for original in entries.rglob("*.json"):
        copy = site / "entries" / original.relative_to(entries)
        assert copy.read_bytes() == original.read_bytes()


def test_numbers_of_the_table(site: Path) -> None:
    page = pages(site)["index.html"]
    board = json.loads((site / "board.json").read_text(encoding="utf-8"))
    cells = [given for tag, given in page.elements if tag == "td" and "data-key" in given]
    for key in ("s", "kept_exact", "downstream", "seconds"):
        shown = sorted(float(str(c["data-value"])) for c in cells if c["data-key"] == key)
        rows = [row for standing in board["standings"] for row in standing["rows"]]
        assert shown == pytest.approx(sorted(row["numbers"][key]["value"] for row in rows), 1e-5)


def test_tables_are_described(site: Path) -> None:
    for page in pages(site).values():
        headings = [given for tag, given in page.elements if tag == "th"]
        assert all(given.get("scope") in ("col", "row") for given in headings)
        ids = page.values("id")
        assert len(ids) == len(set(ids))
        for labelled in page.values("aria-labelledby"):
            assert labelled in ids
    index = pages(site)["index.html"]
    tags = [tag for tag, _ in index.elements]
    assert tags.count("caption") == 2
    assert "polite" in index.values("aria-live") and "skip" in index.values("class")
    assert index.values("aria-sort") == ["descending", "descending"]


def test_the_same_entries_make_the_same_site(site: Path, entries: Path, tmp_path: Path) -> None:
    again = write(entries, tmp_path)
    for path in site.rglob("*"):
        if path.is_file():
            assert (again / path.relative_to(site)).read_bytes() == path.read_bytes()


def assert_contained(page: Page) -> None:
    """Nothing is asked of anyone, and only our scripts and styles count."""
    policy = next(str(g["content"]) for _, g in page.elements if g.get("http-equiv"))
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    for tag, content in (("script", page.content["script"]), ("style", page.content["style"])):
        kinds = [given.get("type") for name, given in page.elements if name == tag]
        for kind, text in zip(kinds, content, strict=True):
            if kind == "application/json":
                json.loads(text)
                continue
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            assert f"'sha256-{digest}'" in policy
    for tag, given in page.elements:
        assert not [name for name in given if name.startswith("on") or name == "style"], tag
        for name in ("src", "srcset", "action", "data", "formaction", "xlink:href"):
            assert name not in given, (tag, name)
        href = given.get("href")
        if href is not None and not href.startswith(("#", "data:,")):
            external = ":" in href.split("/")[0]
            assert not external or (tag == "a" and href.startswith("https://")), href
            assert not external or given["rel"] == "noopener nofollow external"


def test_pages_are_contained(site: Path, hostile: Path) -> None:
    for folder in (site, hostile):
        for page in pages(folder).values():
            assert_contained(page)


def test_strangers_texts_are_text(hostile: Path) -> None:
    found = pages(hostile)
    assert len(found) == 4
    for name, page in found.items():
        tags = {tag for tag, _ in page.elements}
        assert not tags & {"img", "b<b>", "iframe", "object"}
        assert HOSTILE in page.text or name == "compare.html"
        for letter in ("\x1b", "\u202e", "\u2028"):
            assert letter not in page.text
            assert all(letter not in str(v) for _, g in page.elements for v in g.values())
    links = {href for page in found.values() for href in page.values("href") if ":" in href}
    card = "https://example.org/'onmouseover='window.hacked=1'?<b>&\"q\""
    assert links == {"data:,", card}


def test_names_of_files_are_tame(hostile: Path) -> None:
    for path in hostile.rglob("*"):
        assert re.fullmatch(r"[A-Za-z0-9._+@-]+", path.name), path.name


def test_rows_that_are_gone_take_their_pages_along(tmp_path: Path) -> None:
    entries, folder = tmp_path / "entries", tmp_path / "site"
    write_entries(entries, [Tale(), Tale("memit")])
    write(entries, folder)
    changed = next((folder / "rows").glob("rome-*.html"))
    (folder / "mine.txt").write_text("mine", encoding="utf-8")
    for path in entries.rglob("*.json"):
        if "rome" in path.as_posix():
            path.unlink()
    write(entries, folder)
    assert not changed.exists()
    assert [path.name.split("-")[0] for path in (folder / "rows").iterdir()] == ["memit"]
    assert len(list((folder / "entries").rglob("*.json"))) == 1
    assert (folder / "mine.txt").exists()


def test_what_somebody_changed_is_not_removed(tmp_path: Path) -> None:
    entries, folder = tmp_path / "entries", tmp_path / "site"
    write_entries(entries, [Tale(), Tale("memit")])
    write(entries, folder)
    page = next((folder / "rows").glob("rome-*.html"))
    page.write_text("edited by hand", encoding="utf-8")
    next(entries.rglob("*/rome/*.json")).unlink()
    write(entries, folder)
    assert page.read_text(encoding="utf-8") == "edited by hand"


def test_a_list_of_files_cannot_point_outside(tmp_path: Path) -> None:
    entries, folder = write_entries(tmp_path / "entries", [Tale()]), tmp_path / "site"
    precious = tmp_path / "precious"
    precious.write_text("mine", encoding="utf-8")
    digest = hashlib.sha256(b"mine").hexdigest()
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    for name in ("../precious", str(precious), "link/precious"):
        listed = json.dumps({"files": {name: digest}})
        (folder / "files.json").write_text(listed, encoding="utf-8")
        write(entries, folder)
        assert precious.exists(), name


@pytest.mark.parametrize("content", ["", "[]", '{"files": 3}', '{"files": {"a": 1}}', "\x00"])
def test_a_broken_list_of_files_is_written_again(content: str, tmp_path: Path) -> None:
    entries, folder = write_entries(tmp_path / "entries", [Tale()]), tmp_path / "site"
    folder.mkdir()
    (folder / "files.json").write_text(content, encoding="utf-8")
    write(entries, folder)
    assert "index.html" in json.loads((folder / "files.json").read_text(encoding="utf-8"))["files"]


def test_entries_inside_the_site_are_never_removed(tmp_path: Path) -> None:
    write_entries(tmp_path / "entries", [Tale(), Tale("memit")])
    write(tmp_path / "entries", tmp_path)
    found = standings(read_entries(tmp_path / "entries")[:1])
    write_site(found, tmp_path)
    assert len(list((tmp_path / "entries").rglob("*.json"))) == 2


@pytest.mark.parametrize(
    ("files", "href"),
    [
        ("../lying/entries", "../../lying/entries/quick@2"),
        ("https://example.org/tree/", "https://example.org/tree/quick@2"),
        ("with space", "../with%20space/quick@2"),
    ],
)
def test_entries_can_stay_where_they_are(files: str, href: str, tmp_path: Path) -> None:
    entries = write_entries(tmp_path / "entries", [Tale()])
    folder = write(entries, tmp_path / "site", files)
    assert not (folder / "entries").exists()
    row = next(page for name, page in pages(folder).items() if name.startswith("rows/"))
    linked = [each for each in row.values("href") if each.endswith(".json")]
    assert [each.startswith(href.replace("@", "%40")) for each in linked] == [True, False]


@pytest.mark.parametrize("files", ["javascript:alert(1)", "http://a.b", "/abs", "", "a\\b", "//a"])
def test_other_places_are_refused(files: str, tmp_path: Path) -> None:
    entries = write_entries(tmp_path / "entries", [Tale()])
    with pytest.raises(ResultError, match="not a relative path and not an https address"):
        write(entries, tmp_path / "site", files)
    assert not (tmp_path / "site").exists()


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    entries = write_entries(tmp_path / "entries", [Tale()])
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ResultError, match="cannot be made"):
        write(entries, tmp_path / "file" / "site")


@pytest.mark.parametrize("value", [0.0, -1.0, 1e308, -1e308, 1e-320, None])
@pytest.mark.parametrize("field", ["tasks__heldout_perplexity__metrics", "distance"])
def test_numbers_of_a_broken_model_are_drawn_or_left_out(
    field: str, value: float | None, tmp_path: Path
) -> None:
    name = "word_perplexity" if field != "distance" else "layer.weight"
    seven = [value] * 7
    drawn = seven if field != "distance" else {"l2_relative": seven}
    tale = Tale(changes={f"curves__{field}": {name: drawn}})
    folder = write(write_entries(tmp_path / "entries", [tale]), tmp_path / "site")
    row = next(page for name, page in pages(folder).items() if name.startswith("rows/"))
    charts = row.values("data-chart")
    assert {"es", "kept", "downstream"} <= set(charts)
    assert not [d for d in row.values("d") if "nan" in d or "inf" in d]


def test_names_of_wrapped_editors_break_after_the_plus(tmp_path: Path) -> None:
    entries = write_entries(tmp_path / "entries", [Tale("rect+encore"), Tale("rome")])
    text = (write(entries, tmp_path / "site") / "index.html").read_text(encoding="utf-8")
    assert "<bdi>rect+<wbr>encore</bdi>" in text
    assert "rect+encore" in Page(text).text and "<bdi>rome</bdi>" in text


def test_forty_entries_stay_small(tmp_path: Path) -> None:
    tales = [Tale(f"editor{at}", sample, 100) for at in range(20) for sample in (1, 2)]
    folder = write(write_entries(tmp_path / "entries", tales), tmp_path / "site", "../entries")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert size < 2_200_000


def test_samples_are_orders_of_facts_wherever_they_are_counted(tmp_path: Path) -> None:
    """A seed more, or another run of the same one, is a run of a sample and no sample."""
    tales = [Tale(), Tale(seed=5, collapse=30), Tale(seconds=9.0), Tale(sample=2)]
    made = standings(read_entries(write_entries(tmp_path / "entries", tales)))
    write_site(made, tmp_path / "site")
    cell = '<td class="num" data-key="samples" data-value="2">2</td>'
    assert cell in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    (page,) = (tmp_path / "site" / "rows").iterdir()
    text = Page(page.read_text(encoding="utf-8")).text
    assert "2 samples, 4 runs" in text
    assert "sample 1, seed 5: collapse at edit 30" in text
    console = Console(width=200, file=StringIO(), record=True)
    console.print(board_tables(made, 200, "samples"))
    assert re.search(r"^ *1 +rome +2 +60 ", console.export_text(), re.MULTILINE)
