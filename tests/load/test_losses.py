"""Losses and predictions from files."""

from collections.abc import Callable
from decimal import Decimal
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from gencheck.errors import InputError
from gencheck.load.evaluation import load_scores
from gencheck.load.item_scores import ScoreKeys, table_scores
from gencheck.load.losses import load_losses, load_predictions


def csv(folder: Path, text: str) -> Path:
    (folder / "d.csv").write_text(text)
    return folder / "d.csv"


def test_columns_of_other_names(tmp_path: Path) -> None:
    path = csv(tmp_path, "truth,guess,label,prediction\n1,1,5,6\n2,0,5,6\n")
    named = load_predictions(path, label_key="truth", prediction_key="guess")
    assert named.losses.tolist() == [0, 1]
    assert load_predictions(path).losses.tolist() == [1, 1]
    scores = csv(tmp_path, "truth,prob_0,prob_1\n0,0.9,0.1\n0,0.2,0.8\n")
    assert load_predictions(scores, label_key="truth").losses.tolist() == [0, 1]
    for key, option in (("label_key", "--label-key"), ("prediction_key", "--prediction-key")):
        with pytest.raises(InputError, match=f"{option} absent: found columns truth, prob_0"):
            load_predictions(scores, **{"label_key": "truth"} | {key: "absent"})
    mixed = csv(tmp_path, "truth,guess\n1,cat\n")
    with pytest.raises(InputError, match="column 'guess', row 0"):
        load_predictions(mixed, label_key="truth", prediction_key="guess")


def test_losses_from_every_format(tmp_path: Path) -> None:
    losses = np.array([0.0, 0.25, 1.0])
    np.save(tmp_path / "l.npy", losses)
    np.testing.assert_array_equal(load_losses(tmp_path / "l.npy"), losses)
    np.testing.assert_array_equal(load_losses(csv(tmp_path, "loss\n0\n0.25\n1\n")), losses)
    np.testing.assert_array_equal(load_losses(csv(tmp_path, "0\n0.25\n1\n")), losses)
    np.testing.assert_array_equal(load_losses(csv(tmp_path, "id,loss\na,0\nb,.25\nc,1\n")), losses)
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.table({"loss": losses}), tmp_path / "l.parquet")
    np.testing.assert_array_equal(load_losses(tmp_path / "l.parquet"), losses)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("loss\n0\nnan\n", "column 'loss', row 1: found nan"),
        ("loss\n0\ninf\n", "row 1: found inf"),
        ("loss\n0\nlow\n", "row 1: found 'low'"),
        ("loss\n0.5\n#0.7\n0.9\n", "row 1: found '#0.7'"),
        ("id,loss\na,0\nb,\n", "row 1: found ''"),
        ("id,loss\na,0\nb\n", "line 3: found 1 cells"),
        ("loss\na\n" + "x" * 200_000, "field larger than field limit"),
        ("a,b\n0,1\n", "columns a, b"),
    ],
)
def test_bad_losses(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        load_losses(csv(tmp_path, text))


def test_predictions(tmp_path: Path) -> None:
    numbers = load_predictions(csv(tmp_path, "label,prediction\n1,1\n2,0\n3,3\n"))
    assert numbers.losses.tolist() == [0, 1, 0]
    words = load_predictions(csv(tmp_path, "prediction,label\ncat,cat\ndog,cat\n"))
    assert words.losses.tolist() == [0, 1]


def test_scores_are_ranked_by_class_number(tmp_path: Path) -> None:
    # class 10 would come before class 2 in alphabetical order
    names = ",".join(f"score_{k}" for k in reversed(range(11)))
    rows = [",".join("1" if k == best else "0" for k in reversed(range(11))) for best in (10, 2)]
    text = f"label,{names}\n10,{rows[0]}\n3,{rows[1]}\n"
    assert load_predictions(csv(tmp_path, text)).losses.tolist() == [0, 1]


def test_ties_go_to_the_first_class_and_are_counted(tmp_path: Path) -> None:
    found = load_predictions(csv(tmp_path, "label,logit_0,logit_1\n0,1,1\n1,2,2\n1,0,3\n"))
    assert found.losses.tolist() == [0, 1, 0]
    assert found.ties == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prediction\n1\n", "required: columns label and prediction"),
        ("label,score_0,score_2\n0,1,1\n", "required: columns label and prediction"),
        ("label,score_0\n0,1\n", "required: columns label and prediction"),
        (
            "label,prediction\n1,2\n1,cat\n",
            "'prediction', row 1: found 'cat': numbers in one and text",
        ),
        ("label,prediction\n1,1\n2,\n", "'prediction', row 1: found ''"),
        ("label,prediction\n,1\n2,\n", "'label', row 0: found ''; required: a class"),
        ("label,prediction\na,a\n,b\n", "'label', row 1: found ''; required: a class"),
        ("label,prediction\n1,0.7\n0,0.2\n", "'prediction', row 0: found 0.7; required: a class"),
        ("label,prediction\n1,2\n1.5,1.5\n", "'label', row 1: found 1.5.*--losses FILE --loss bou"),
        ("label,prediction\n1,9007199254740993\n", "below 2.53"),
        ("label,score_0,logit_0,score_1\n1,1,0,0\n", "several kinds of score columns"),
        ("label,score_0,score0,score_1\n1,1,0,0\n", "several kinds of score columns"),
        ("label,prediction\n1,nan\n", "row 0: found nan"),
        ("label,score_0,score_1\n2,1,0\n", "column 'label', row 0: found 2"),
        ("label,score_0,score_1\n0,1,0\n0,nan,0\n", "column 'score_0', row 1"),
    ],
)
def test_bad_predictions(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        load_predictions(csv(tmp_path, text))


class TestItems:
    """An item that stands twice makes a bound too small."""

    @pytest.mark.parametrize("load", [load_losses, load_predictions])
    @pytest.mark.parametrize(
        ("rows", "message"),
        [
            (["a", "b", "b", "a", "b"], "'id', rows 0, 3: found the id 'a' 2 times, and 1 more"),
            (["7", "8", "7"], "'id', rows 0, 2: found the id '7' 2 times;"),
            (["x"] * 7, "rows 0, 1, 2, 3, 4, …: found the id 'x' 7 times;"),
        ],
    )
    def test_an_id_given_twice(
        self, load: Callable[[Path], object], rows: list[str], message: str, tmp_path: Path
    ) -> None:
        # with the same values beside it and with others
        text = "id,loss,label,prediction\n" + "".join(
            f"{row},{i % 2},1,{i % 2}\n" for i, row in enumerate(rows)
        )
        with pytest.raises(InputError, match=message):
            load(csv(tmp_path, text))

    def test_the_column_can_be_named(self, tmp_path: Path) -> None:
        path = csv(tmp_path, "id,patient,loss\n1,a,0\n1,b,1\n")
        with pytest.raises(InputError, match="--id-key COLUMN says which"):
            load_losses(path)
        assert load_losses(path, "patient").tolist() == [0, 1]
        with pytest.raises(InputError, match="--id-key doctor: found columns id, patient, loss"):
            load_losses(path, "doctor")

    def test_distinct_items_pass(self, tmp_path: Path) -> None:
        text = "item_id,loss\n" + "".join(f"{i},0\n" for i in range(50))
        assert len(load_losses(csv(tmp_path, text))) == 50


def test_measurements_are_not_scored_as_classes(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "p.parquet"
    pq.write_table(pa.table({"label": [1.5, 2.0], "prediction": [1.5, 2.0]}), path)
    with pytest.raises(InputError, match="--losses FILE --loss bounded"):
        load_predictions(path)
    # whole numbers that were stored as floats still name classes
    pq.write_table(pa.table({"label": [1.0, 2.0], "prediction": [1, 1]}), path)
    assert load_predictions(path).losses.tolist() == [0, 1]


def test_bad_arrays(tmp_path: Path) -> None:
    np.save(tmp_path / "l.npy", np.array([{}], dtype=object))
    with pytest.raises(InputError, match="pickle"):
        load_losses(tmp_path / "l.npy")
    np.save(tmp_path / "l.npy", np.zeros((2, 2, 2)))
    with pytest.raises(InputError, match="one or two dimensions"):
        load_losses(tmp_path / "l.npy")
    np.save(tmp_path / "l.npy", np.zeros(0))
    with pytest.raises(InputError, match="no rows"):
        load_losses(tmp_path / "l.npy")
    with pytest.raises(InputError, match="no such file"):
        load_losses(tmp_path / "absent.npy")
    (tmp_path / "l.txt").touch()
    with pytest.raises(InputError, match="suffix"):
        load_losses(tmp_path / "l.txt")


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    for good in (b"loss\n0.5\n", b"loss\nhalf\n"):
        (tmp_path / "l.csv").write_bytes(good + b"0.\xff7\n")
        with pytest.raises(InputError, match="UTF-8"):
            load_losses(tmp_path / "l.csv")


class TestParquet:
    """Columns of every kind that pandas and arrow write."""

    def write(self, folder: Path, **columns: object) -> Path:
        pa = pytest.importorskip("pyarrow")
        pq = pytest.importorskip("pyarrow.parquet")
        pq.write_table(pa.table(columns), folder / "d.parquet")
        return folder / "d.parquet"

    def test_numbers_as_decimals_and_as_text(self, tmp_path: Path) -> None:
        for loss in ([Decimal("0.5"), Decimal("0.25")], ["0.5", "0.25"]):
            assert load_losses(self.write(tmp_path, loss=loss)).tolist() == [0.5, 0.25]

    def test_columns_that_are_not_asked_for_may_be_anything(self, tmp_path: Path) -> None:
        path = self.write(
            tmp_path,
            label=["a", "b"],
            prediction=["a", "a"],
            other=[[1.0], [2.0, 3.0]],
            raw=[b"\xff", b""],
        )
        assert load_predictions(path).losses.tolist() == [0, 1]

    def test_lists(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="column 'loss', row 0"):
            load_losses(self.write(tmp_path, loss=[[0.5], [0.25]]))
        with pytest.raises(InputError, match="column 'label', row 0"):
            load_predictions(self.write(tmp_path, label=[[1], [2, 3]], prediction=[1, 2]))

    def test_no_value(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="column 'loss', row 1: found no value"):
            load_losses(self.write(tmp_path, loss=[0.5, None]))

    def test_dictionaries_of_words(self, tmp_path: Path) -> None:
        pa = pytest.importorskip("pyarrow")
        label = pa.array(["a", "b"]).dictionary_encode()
        path = self.write(tmp_path, label=label, prediction=["a", "c"])
        assert load_predictions(path).losses.tolist() == [0, 1]

    def test_unsigned_numbers_do_not_wrap(self, tmp_path: Path) -> None:
        loss = np.array([2**64 - 1, 0], dtype=np.uint64)
        assert load_losses(self.write(tmp_path, loss=loss)).tolist() == [2.0**64, 0]


class TestNames:
    """Columns that name items or groups of them."""

    def test_long_ids_stay_apart(self, tmp_path: Path) -> None:
        starts = (1_700_000_000_000_000_000, 2**63, 10**30)
        for text, start in product((False, True), starts):
            ids = [start + k for k in range(5)]
            rows = [f"{i},0,{'x' if text else 1}" for i in ids]
            path = csv(tmp_path, "id,loss,other\n" + "\n".join(rows) + "\n")
            assert load_losses(path).tolist() == [0] * 5
            found = table_scores(path, ScoreKeys(cluster_key="id"))
            assert found.clusters is not None
            assert found.clusters.tolist() == [str(i) for i in ids]

    @pytest.mark.parametrize(
        ("cells", "message"),
        [
            (["a", "", "b"], "column 'id', row 1: found an empty cell"),
            (["a", " ", "b"], "column 'id', row 1: found an empty cell"),
            (["1", "", "2"], "column 'id', row 1: found an empty cell"),
            (["1", "2", "nan"], "column 'id', row 2: found NaN"),
            (["1e17", "5", "7"], "column 'id', row 0: found 1e"),
            (["9" * 30, "5.5", "7"], "required: text, or whole numbers: so large"),
        ],
    )
    def test_a_name_in_every_row(self, cells: list[str], message: str, tmp_path: Path) -> None:
        path = csv(tmp_path, "id,loss\n" + "".join(f"{cell},0\n" for cell in cells))
        with pytest.raises(InputError, match=message):
            load_losses(path)
        for key in ("cluster_key", "stratify_key"):
            with pytest.raises(InputError, match=message):
                table_scores(path, ScoreKeys(**{key: "id"}))

    def test_lists_name_nothing(self, tmp_path: Path) -> None:
        pa = pytest.importorskip("pyarrow")
        pq = pytest.importorskip("pyarrow.parquet")
        pq.write_table(pa.table({"id": [[1], [2, 3]], "loss": [0, 1]}), tmp_path / "l.parquet")
        with pytest.raises(InputError, match=r"column 'id': found .* required: numbers or text"):
            load_losses(tmp_path / "l.parquet")


class TestWhateverHoldsThem:
    """Tables of losses as scores: lines of JSON, and in folders."""

    def test_json_lines_of_losses_or_predictions_are_a_table(self, tmp_path: Path) -> None:
        lines = {
            "losses": '{"loss": 0.25, "doc": "a"}\n{"loss": 1, "doc": "b"}\n',
            "predictions": '{"label": 1, "prediction": 1}\n{"label": 1, "prediction": 0}\n',
        }
        expected = {"losses": [0.25, 1], "predictions": [0, 1]}
        for name, text in lines.items():
            path = tmp_path / f"{name}.jsonl"
            path.write_text(text)
            (found,) = load_scores(path, ScoreKeys(bounded=True))
            assert found.losses.tolist() == expected[name]
            stated = ScoreKeys(bounded=name == "losses", holds=name)
            assert load_scores(path, stated)[0].losses.tolist() == expected[name]

    def test_a_folder_of_both_kinds(self, tmp_path: Path) -> None:
        (tmp_path / "a.jsonl").write_text('{"loss": 1}\n')
        (tmp_path / "b.csv").write_text("loss\n0\n")
        found = load_scores(tmp_path, ScoreKeys())
        assert {scores.model: scores.losses.tolist() for scores in found} == {"a": [1], "b": [0]}
        (tmp_path / "notes.csv").write_text("who,what\n1,2\n")
        with pytest.raises(InputError, match=r"notes\.csv: found columns who, what"):
            load_scores(tmp_path, ScoreKeys())
