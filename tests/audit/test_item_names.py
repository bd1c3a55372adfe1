"""Names of files and classes, from a folder of images through to documents and reports."""

import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from gencheck.audit.image_grid import Picture
from gencheck.audit.item_picture import item_picture
from gencheck.cli.app import app
from gencheck.load.parquet import class_names
from gencheck.report.png import png

runner = CliRunner()
CLASSES = ("ant", "bee<b>")


def pictures(root: Path, classes: tuple[str, ...] = CLASSES, brightness: int = 255) -> Path:
    """A folder of two pictures a class, some four rows by five, no two alike."""
    rng = np.random.default_rng(brightness)
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for at in range(2):
            grey = rng.integers(brightness // 2, brightness, (4, 5)).astype(np.uint8)
            Image.fromarray(grey).save(root / name / f"{name}_{number}{at}.png")
    return root


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(20, 4), nn.ReLU(), nn.Linear(4, 2))
    path = tmp_path / "m.pt2"
    torch.export.save(torch.export.export(module, (torch.zeros(3, 4, 5),)), path)
    return path


def audited(*words: object, code: int = 0) -> Any:
    done = runner.invoke(app, ["concentrate", *map(str, words), "--beta2-budget", "0"])
    assert done.exit_code == code, done.output
    return done


def test_items_keep_the_names_of_their_files_and_classes(tmp_path: Path, model: Path) -> None:
    data = tmp_path / "d"
    pictures(data / "train", brightness=40)
    pictures(data / "test")
    doc = json.loads(
        audited(model, data, "--json", "--limit", 3, "--permutations", 0, "--seed", 1).stdout
    )
    assert len(doc["attribution"]) == 6
    for item in doc["attribution"]:
        split = {"sample": "train", "reference": "test"}[item["set"]]
        label, within = divmod(item["index"], 2)
        name = CLASSES[label]
        assert (item["label"], item["class_name"]) == (label, name)
        assert item["file"] == f"{split}/{name}/{name}_{label}{within}.png"


def test_reports_and_warnings_say_the_names(tmp_path: Path, model: Path) -> None:
    data, page = tmp_path / "d", tmp_path / "r.html"
    pictures(data / "train", brightness=40)
    pictures(data / "test")
    copy = data / "test" / "ant" / "copy.png"
    copy.write_bytes((data / "test" / "ant" / "ant_00.png").read_bytes())
    words = (model, data, "--permutations", 0, "--report", page)
    shown = " ".join(audited(*words).stdout.split())
    assert "label 1 (bee<b>), test/bee<b>/bee<b>_1" in shown
    same = "label 0 (ant), test/ant/ant_00.png: the same as reference item 2 (test/ant/copy.png)"
    assert same in shown
    text = page.read_text(encoding="utf-8")
    assert "1 (bee&lt;b&gt;)" in text
    assert "test/bee&lt;b&gt;/bee&lt;b&gt;_1" in text
    assert "<b>" not in text
    (warned,) = json.loads(audited(*words, "--json").stdout)["warnings"]
    assert warned["items"][0]["file"] == "test/ant/ant_00.png"
    assert warned["items"][0]["class_name"] == "ant"


class Page(HTMLParser):
    """The pictures of a page, and what is written below each."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.captions: list[str] = []
        self.inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.sources.append(str(dict(attrs)["src"]))
        if tag == "figcaption":
            self.inside = True
            self.captions.append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside and tag != "figcaption"

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.captions[-1] += f"{data} "


def test_the_page_shows_the_items_themselves(tmp_path: Path, model: Path) -> None:
    data, page = tmp_path / "d", tmp_path / "r.html"
    pictures(data / "train", brightness=40)
    pictures(data / "test")
    words = (model, data, "--permutations", 0, "--top", 3, "--report", page, "--json")
    items = json.loads(audited(*words).stdout)["attribution"]
    shown = Page(page.read_text(encoding="utf-8"))
    assert len(shown.sources) == 3
    for item, source, caption in zip(items, shown.sources, shown.captions, strict=True):
        assert "picture" not in item
        kind, _, encoded = source.partition(",")
        assert kind == "data:image/png;base64"
        made = np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))))
        np.testing.assert_array_equal(made, np.asarray(Image.open(data / item["file"])))
        assert caption.split() == [
            *(item["file"], f"{item['class_name']},"),
            *(f"{100 * item['share']:.1f}", "%"),
        ]


def test_the_page_shows_the_items_of_a_warning(tmp_path: Path, model: Path) -> None:
    data, page = tmp_path / "d", tmp_path / "r.html"
    pictures(data / "train", brightness=40)
    pictures(data / "test")
    own = data / "test" / "ant" / "ant_00.png"
    (data / "test" / "bee<b>" / "copy.png").write_bytes(own.read_bytes())
    audited(model, data, "--permutations", 0, "--top", 0, "--report", page)
    shown = Page(page.read_text(encoding="utf-8"))
    (source,) = shown.sources
    made = np.asarray(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))))
    np.testing.assert_array_equal(made, np.asarray(Image.open(own)))
    assert shown.captions[0].startswith("test/ant/ant_00.png ant: the same as reference item ")


def test_the_map_lies_over_the_mean_of_all_items(tmp_path: Path, model: Path) -> None:
    data, page = tmp_path / "d", tmp_path / "r.html"
    pictures(data / "train", brightness=40)
    pictures(data / "test")
    audited(model, data, "--permutations", 0, "--report", page)
    (encoded,) = re.findall(
        r'<image href="data:image/png;base64,([^"]*)"', page.read_text(encoding="utf-8")
    )
    made = np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))))
    items = [np.asarray(Image.open(file)) for file in data.rglob("*.png")]
    np.testing.assert_allclose(made, np.mean(items, 0), atol=0.51)


def test_pictures_of_colours_and_of_any_numbers() -> None:
    colours = np.arange(24.0).reshape(3, 2, 4) / 23
    made = item_picture(colours.ravel(), Picture((3, 2, 4), 0))
    assert made is not None
    image = np.asarray(Image.open(io.BytesIO(png(made))))
    np.testing.assert_array_equal(image, np.rint(255 * np.moveaxis(colours, 0, -1)))
    stretched = item_picture(np.array([-1e308, 1e308, 0, 0]), Picture((2, 2), None))
    assert stretched is not None
    assert list(stretched.pixels) == [0, 255, 128, 128]
    flat = item_picture(np.full(4, 7.0), Picture((2, 2), None))
    assert flat is not None
    assert list(flat.pixels) == [0, 0, 0, 0]


@pytest.mark.parametrize("shape", [(5, 2, 2), (1, 2, 257), (1, 1, 4)])
def test_no_picture_of_many_channels_or_of_long_or_single_rows(shape: tuple[int, ...]) -> None:
    assert item_picture(np.zeros(shape).ravel(), Picture(shape, 0)) is None
    assert item_picture(np.zeros(4), None) is None


def test_classes_of_other_names_are_refused(tmp_path: Path, model: Path) -> None:
    sample = pictures(tmp_path / "s")
    other = pictures(tmp_path / "t", ("bee<b>", "cat"))
    refused = audited(model, sample, "--reference", other, code=2).stderr
    assert "the classes bee<b>, cat" in " ".join(refused.split())
    assert "ant, bee<b>" in " ".join(refused.split())


def features(kind: object, names: object = CLASSES) -> dict[str, str]:
    """The metadata that Hugging Face datasets write, or something like it."""
    label = {"_type": kind, "names": names}
    return {"huggingface": json.dumps({"info": {"features": {"label": label}}})}


def test_a_table_of_hugging_face_names_classes_and_files(tmp_path: Path, model: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    folder = pictures(tmp_path / "d")
    files = sorted(folder.rglob("*.png"))
    cells = [{"bytes": file.read_bytes(), "path": file.name} for file in files]
    cells[0]["path"] = None
    table = pa.table({"image": cells, "label": [CLASSES.index(f.parent.name) for f in files]})
    for name in ("s", "t"):
        whole = table.replace_schema_metadata(features("ClassLabel"))
        pq.write_table(whole, tmp_path / f"{name}.parquet")
    words = (model, tmp_path / "s.parquet", "--reference", tmp_path / "t.parquet", "--json")
    # one set against itself: every item is there twice, and the warning lists them
    doc = json.loads(audited(*words, "--permutations", 0).stdout)
    (warned,) = doc["warnings"]
    assert {item["class_name"] for item in warned["items"]} == set(CLASSES)
    for item in warned["items"]:
        expected = None if item["index"] == 0 else files[item["index"]].name
        assert item.get("file") == expected
    assert [one["class_name"] for one in doc["classes"]] == list(CLASSES)
    other = table.replace_schema_metadata(features("ClassLabel", ("cat", "dog")))
    pq.write_table(other, tmp_path / "t.parquet")
    assert "found the classes cat, dog" in audited(*words, code=2).stderr


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {},
        {"huggingface": "no"},
        {"huggingface": "[]"},
        {"huggingface": "null"},
        features("Value"),
        features("ClassLabel", [1, 2]),
        features("ClassLabel", "ab"),
        features(None, None),
    ],
)
def test_other_notes_in_a_table_name_nothing(metadata: dict[str, str] | None) -> None:
    pa = pytest.importorskip("pyarrow")
    schema = pa.schema([("label", pa.int64())], metadata)
    assert class_names(schema.metadata, "label") == ()
