"""Data of one JSON object a line: items in lists, features under keys, texts."""

import json
from pathlib import Path

import numpy as np
import pytest

from gencheck.errors import InputError
from gencheck.load.dataset import load_dataset
from gencheck.load.split import Split
from gencheck.load.table import read_table


def lines(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in records), encoding="utf-8")
    return path


def split(path: Path, x_key: str | None = None, y_key: str | None = None) -> Split:
    return load_dataset(path, x_key, y_key).main.loaded()


def test_items_in_lists(tmp_path: Path) -> None:
    path = lines(
        tmp_path / "d.jsonl", {"x": [[1, 2], [3, 4]], "y": 1}, {"x": [[0, 0.5], [1, 1]], "y": 0}
    )
    found = split(path)
    np.testing.assert_array_equal(found.items, [[[1, 2], [3, 4]], [[0, 0.5], [1, 1]]])
    np.testing.assert_array_equal(found.targets, [1, 0])
    assert found.targets.dtype.kind == "i"


def test_whole_numbers_stay_whole(tmp_path: Path) -> None:
    path = lines(tmp_path / "d.jsonl", {"input_ids": [3, 4], "label": 1, "n": "a"})
    assert split(path).items.dtype.kind == "i"


def test_features_under_keys_and_named_keys(tmp_path: Path) -> None:
    path = lines(tmp_path / "d.jsonl", {"a": 1, "b": 2.5, "label": 0}, {"b": 4, "a": 3, "label": 1})
    np.testing.assert_array_equal(split(path).items, [[1, 2.5], [3, 4]])
    named = split(path, "b", "a")
    np.testing.assert_array_equal(named.items, [2.5, 4])
    np.testing.assert_array_equal(named.targets, [1, 3])


def test_texts_go_to_a_transform_alone(tmp_path: Path) -> None:
    path = lines(tmp_path / "d.jsonl", {"text": "ab", "label": 0}, {"text": "cd", "label": 1})
    with pytest.raises(InputError, match=r"texts such as 'ab'.*--transform"):
        split(path)

    def tokens(text: str) -> np.ndarray:
        return np.array([ord(letter) for letter in text])

    made = load_dataset(path).main.loaded(tokens)
    np.testing.assert_array_equal(made.items, [[97, 98], [99, 100]])
    with pytest.raises(InputError, match="one item, a text"):
        load_dataset(path).main.loaded(lambda text: text.missing)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "no items"),
        ('{"x": [1], "y": 0}\nno', "line 2: found no JSON"),
        ('{"x": [1], "y": 0}\n[1]', "line 2: found no JSON object"),
        ('{"x": [1], "y": 0}\n{"x": [1]}', "line 2: found no value under 'y'"),
        ('{"x": [1], "y": 0}\n{"x": [1, 2], "y": 0}', r"item 1: found shape \(2,\)"),
        ('{"x": [[1], [1, 2]], "y": 0}', "line 1, key 'x': found"),
        ('{"x": [NaN], "y": 0}', "line 1, key 'x': found"),
        ('{"x": {"a": 1}, "y": 0}', "line 1, key 'x': found"),
        ('{"x": [1], "y": "cat"}', "line 1, key 'y': found"),
        ('{"x": [1], "y": null}', "found no value under 'y'"),
        ('{"x": [1]}', "0 target columns"),
        ('{"y": 1}', "found only 'y'"),
        ('{"x": [1], "text": "a", "y": 0}', "the keys x, text"),
    ],
)
def test_what_cannot_be_used_is_refused(text: str, found: str, tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=found):
        split(path)


def test_columns_of_a_table(tmp_path: Path) -> None:
    path = lines(tmp_path / "t.jsonl", {"label": "a", "loss": 0}, {"loss": 0.5, "label": "b"})
    columns = read_table(path).columns
    assert columns["label"].tolist() == ["a", "b"]
    np.testing.assert_array_equal(columns["loss"], [0, 0.5])
    for bad in ({"label": "a"}, {"label": "a", "loss": [1]}):
        with pytest.raises(InputError, match="line 2"):
            read_table(lines(tmp_path / "t.jsonl", {"label": "a", "loss": 0}, bad))
