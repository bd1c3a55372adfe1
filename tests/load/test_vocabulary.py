"""The words of a text model, and the items that make up β1 in these words."""

import html
import json
import re
from pathlib import Path

import jsonschema
import pytest
import torch
from rich.console import Group

from gencheck.audit.options import AuditOptions
from gencheck.audit.run import audit
from gencheck.cli.concentrate_audit import _words
from gencheck.errors import InputError
from gencheck.load.vocabulary import read_vocabulary, vocabulary_of_folder
from gencheck.report.concentrate import concentrate_body
from gencheck.report.html import to_html
from gencheck.report.json import document
from gencheck.report.schema import schema_text
from gencheck.report.terminal.concentrate import _blame
from gencheck.report.terminal.plain import as_text
from tests.audit.test_computed_gates import computed_case

WORDS = ["the", "cat", "sat", "on\x1b[31m", "mat"]


def written(path: Path, content: object) -> Path:
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("vocab.txt", "the\r\ncat\r\nsat\r\non\r\nmat\r\n"),
        ("vocab.json", {"the": 0, "cat": 1, "sat": 2, "on": 3, "mat": 4}),
        (
            "tokenizer.json",
            {
                "model": {"vocab": {"the": 0, "cat": 1, "sat": 2, "on": 3}},
                "added_tokens": [{"id": 4, "content": "mat"}],
            },
        ),
        (
            "tokenizer.json",
            {
                "model": {
                    "vocab": [["the", -1.0], ["cat", -2.0], ["sat", -3], ["on", -4], ["mat", 0]]
                }
            },
        ),
    ],
)
def test_tokens_as_tokenizers_are_saved(name: str, content: object, tmp_path: Path) -> None:
    path = written(tmp_path / name, content)
    found = read_vocabulary(path)
    assert found.of([4.0, 0.0, 9.0]) == ("mat", "the", "[9]")
    assert len(found.tokens) == 5
    assert vocabulary_of_folder(tmp_path) == found


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("vocab.txt", "\n\n", "no token"),
        ("vocab.json", [1, 2], "no token"),
        ("vocab.json", {"model": {"vocab": 3}}, "no token"),
        ("vocab.json", "{", "one token a line"),
        ("vocab.csv", "a", "suffix"),
    ],
)
def test_what_is_no_vocabulary_is_refused(
    name: str, content: object, message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        read_vocabulary(written(tmp_path / name, content))


def test_a_vocabulary_is_for_tokens_only(tmp_path: Path) -> None:
    path = written(tmp_path / "vocab.txt", "\n".join(WORDS))
    with pytest.raises(InputError, match="whose items are no tokens"):
        _words(path, tmp_path / "model.pt2", text=False)
    found = _words(None, tmp_path, text=True)
    assert found is not None
    assert found.path == str(path)
    assert _words(None, tmp_path, text=False) is None
    assert vocabulary_of_folder(tmp_path / "nowhere") is None


def test_the_items_that_make_up_beta1_are_listed_in_words(tmp_path: Path) -> None:
    case = computed_case("text")
    vocabulary = read_vocabulary(written(tmp_path / "vocab.txt", "\n".join(WORDS)))

    options = AuditOptions(dtype=torch.float64, vocabulary=vocabulary)
    result = audit(case.subject, case.sample, case.reference, "classification", options)
    body = concentrate_body(result)
    sets = {"sample": case.sample, "reference": case.reference}
    for item in body["attribution"]:
        tokens = sets[item["set"]].items[item["index"]].tolist()
        assert item["tokens"] == [WORDS[int(token)] for token in tokens]
    doc = document("concentrate", options.record(), body, None)
    jsonschema.validate(json.loads(json.dumps(doc)), json.loads(schema_text("concentrate")))
    assert doc["inputs"]["vocabulary"] == vocabulary.record()
    text = as_text(Group(*_blame(doc)))
    assert "\x1b" not in text
    assert "mat" in text


def test_the_page_colours_words_by_the_energy_of_their_place(tmp_path: Path) -> None:
    case = computed_case("text")
    words = [f"<{word}>" for word in WORDS]
    vocabulary = read_vocabulary(written(tmp_path / "vocab.txt", "\n".join(words)))
    options = AuditOptions(dtype=torch.float64, vocabulary=vocabulary)
    result = audit(case.subject, case.sample, case.reference, "classification", options)
    doc = document("concentrate", options.record(), concentrate_body(result), None)
    page = to_html(doc, "Verdict: none.")
    energy, count = doc["direction"]["energy"], len(doc["attribution"][0]["tokens"])
    spans = re.findall(r'<span class="word"(?: style="[^"]*, ([\d.]+)\)")?>([^<]*)</span>', page)
    shown = [each for item in doc["attribution"] for each in item["tokens"]]
    assert [html.unescape(word) for _, word in spans] == shown
    assert len(energy) == count
    for place, (strength, _) in enumerate(spans):
        expected = 0.75 * energy[place % count] / max(energy)
        assert float(strength or 0) == pytest.approx(expected, abs=0.006)
    # of a direction over other coordinates nothing is known of a word
    plain = to_html(doc | {"direction": {"items": 0}}, "Verdict: none.")
    assert "rgba(var(--hot), 0" not in plain
