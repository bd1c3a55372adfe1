"""Data sets: formats, preparation, and an error for everything that cannot be used."""

from pathlib import Path

import numpy as np
import pytest

from gencheck.audit.selection import DataSelection, select_splits
from gencheck.errors import InputError, MissingDependency
from gencheck.load.dataset import Split, load_dataset
from gencheck.load.digits import load_digits
from gencheck.load.prepare import candidate_shapes, held_out, prepared, target_rows, task_of

X = np.arange(12.0).reshape(6, 2)
Y = np.array([0, 1, 2, 0, 1, 2])


def saved(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)
    return path


class TestFormats:
    """The same numbers from every format."""

    def test_npz(self, tmp_path: Path) -> None:
        data = load_dataset(saved(tmp_path / "d.npz", x=X, y=Y))
        np.testing.assert_array_equal(data.main.items, X)
        np.testing.assert_array_equal(data.main.targets, Y)
        assert data.test is None

    def test_splits(self, tmp_path: Path) -> None:
        path = saved(tmp_path / "d.npz", x_train=X, y_train=Y, x_test=X[:2], y_test=Y[:2])
        data = load_dataset(path)
        assert len(data.main) == 6
        assert data.test is not None
        assert len(data.test) == 2

    def test_safetensors(self, tmp_path: Path) -> None:
        numpy = pytest.importorskip("safetensors.numpy")
        numpy.save_file({"x": X, "y": Y}, tmp_path / "d.safetensors")
        np.testing.assert_array_equal(load_dataset(tmp_path / "d.safetensors").main.items, X)

    def test_parquet(self, tmp_path: Path) -> None:
        pa = pytest.importorskip("pyarrow")
        pq = pytest.importorskip("pyarrow.parquet")
        table = pa.table({"a": X[:, 0], "b": X[:, 1], "label": Y})
        pq.write_table(table, tmp_path / "d.parquet")
        data = load_dataset(tmp_path / "d.parquet").main.loaded()
        np.testing.assert_array_equal(data.items, X)
        assert task_of(data, "auto") == "classification"

    def test_csv(self, tmp_path: Path) -> None:
        rows = "\n".join(f"{y},{a},{b}" for y, (a, b) in zip(Y, X, strict=True))
        (tmp_path / "d.csv").write_text(f"label,a,b\n{rows}\n")
        data = load_dataset(tmp_path / "d.csv")
        np.testing.assert_array_equal(data.main.items, X)
        np.testing.assert_array_equal(data.main.targets, Y)
        assert task_of(data.main, "auto") == "classification"

    def test_csv_columns_by_name(self, tmp_path: Path) -> None:
        (tmp_path / "d.csv").write_text("name,a,b,price\nu,1,2,0.5\nv,3,4,1.5\n")
        data = load_dataset(tmp_path / "d.csv", "b, a", "price")
        np.testing.assert_array_equal(data.main.items, [[2, 1], [4, 3]])
        assert task_of(data.main, "auto") == "regression"

    def test_keys(self, tmp_path: Path) -> None:
        data = load_dataset(saved(tmp_path / "d.npz", images=X, digits=Y), "images", "digits")
        assert len(data.main) == 6

    def test_embedded_digits(self) -> None:
        images, labels = load_digits()
        assert images.shape == (1797, 8, 8)
        assert images.min() == 0
        assert images.max() == 1
        assert sorted(set(labels.tolist())) == list(range(10))


class TestRefusals:
    """File, array, first bad index."""

    def bad(self, tmp_path: Path, **arrays: np.ndarray) -> Path:
        return saved(tmp_path / "bad.npz", **arrays)

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_nonfinite_items(self, value: float, tmp_path: Path) -> None:
        x = X.copy()
        x[4, 1] = value
        with pytest.raises(InputError, match=r"bad\.npz, 'x', index \[4, 1\]"):
            load_dataset(self.bad(tmp_path, x=x, y=Y))

    def test_nonfinite_far_into_the_file(self, tmp_path: Path) -> None:
        x = np.zeros((10_000, 3), dtype=np.float32)
        x[9_000, 2] = np.nan
        with pytest.raises(InputError, match=r"index \[9000, 2\]"):
            load_dataset(self.bad(tmp_path, x=x, y=np.zeros(10_000, int)))

    def test_nonfinite_targets(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"'y', index \[0\]"):
            load_dataset(self.bad(tmp_path, x=X, y=np.full(6, np.nan)))

    def test_lengths(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="6 items and 5 targets"):
            load_dataset(self.bad(tmp_path, x=X, y=Y[:5]))

    def test_empty(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="no items"):
            load_dataset(self.bad(tmp_path, x=X[:0], y=Y[:0]))

    def test_objects(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="may run code"):
            load_dataset(self.bad(tmp_path, x=np.array([{}] * 6, dtype=object), y=Y))

    def test_text(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="element type <U"):
            load_dataset(self.bad(tmp_path, x=X, y=np.array(list("abcdef"))))

    def test_scalar(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="a single number"):
            load_dataset(self.bad(tmp_path, x=np.array(1.0), y=Y))

    def test_names(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="--x-key and --y-key"):
            load_dataset(self.bad(tmp_path, images=X, digits=Y))
        with pytest.raises(InputError, match="no array 'z'"):
            load_dataset(self.bad(tmp_path, x=X, y=Y), "z", "y")
        with pytest.raises(InputError, match="only one of"):
            load_dataset(self.bad(tmp_path, x=X, y=Y), "x", None)

    def test_both_layouts_at_once(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="arrays x, x_train, y, y_train"):
            load_dataset(self.bad(tmp_path, x=X, y=Y, x_train=X, y_train=Y))

    @pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".parquet", ".csv"])
    def test_damaged(self, suffix: str, tmp_path: Path) -> None:
        path = tmp_path / f"d{suffix}"
        path.write_bytes(b"\x00\xff\xfe nothing of the kind")
        with pytest.raises(InputError, match=r"d\."):
            load_dataset(path)

    def test_files(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="no such file"):
            load_dataset(tmp_path / "d.npz")
        with pytest.raises(InputError, match="a folder"):
            load_dataset(tmp_path)
        (tmp_path / "d.xlsx").touch()
        with pytest.raises(InputError, match=r"suffix '\.xlsx'"):
            load_dataset(tmp_path / "d.xlsx")
        (tmp_path / "m.pt2").touch()
        with pytest.raises(
            InputError, match=r"a checkpoint;.*checkpoint comes first, then the data"
        ):
            load_dataset(tmp_path / "m.pt2")

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("label,a\n0,x\n1,2\n", "column 'a': found text such as 'x'"),
            ("label,a\n0,1\n1\n", "line 3: found 1 cells"),
            ("a,b\n0,1\n", "0 target columns"),
            ("label,y,a\n0,1,2\n", "2 target columns"),
            ("label\n0\n", "no feature column"),
            ("label,a\n", "no rows"),
            ("", "an empty file"),
            ("label,a\n0,nan\n", r"column 'a', index \[0\]"),
            ("label,a,a\n0,1,2\n", "a column name twice"),
        ],
    )
    def test_csv(self, text: str, message: str, tmp_path: Path) -> None:
        (tmp_path / "d.csv").write_text(text)
        with pytest.raises(InputError, match=message):
            load_dataset(tmp_path / "d.csv")

    def test_missing_values_of_a_parquet_file(self, tmp_path: Path) -> None:
        pa = pytest.importorskip("pyarrow")
        pq = pytest.importorskip("pyarrow.parquet")
        pq.write_table(pa.table({"label": [0, 1], "a": [1.0, None]}), tmp_path / "d.parquet")
        with pytest.raises(InputError, match="column 'a', row 1"):
            load_dataset(tmp_path / "d.parquet").main.loaded()

    @pytest.mark.parametrize(
        ("suffix", "library", "extra"),
        [(".parquet", "pyarrow", "parquet"), (".safetensors", "safetensors", "safetensors")],
    )
    def test_a_missing_library_names_the_command(
        self,
        suffix: str,
        library: str,
        extra: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        import sys

        (tmp_path / f"d{suffix}").touch()
        monkeypatch.setitem(sys.modules, library, None)
        with pytest.raises(MissingDependency, match=rf"gencheck\[{extra}\]"):
            load_dataset(tmp_path / f"d{suffix}")


def split_of(items: np.ndarray, targets: np.ndarray = Y) -> Split:
    return Split(items, targets, "here", np.arange(len(items)))


class TestPreparation:
    """Each step is taken where the model wants it, and recorded."""

    def test_bytes_become_fractions(self) -> None:
        items, steps = prepared(split_of(np.full((6, 4), 255, np.uint8)), (4,), "float32")
        assert items.dtype == np.float32
        assert (items == 1).all()
        assert steps == ["unsigned bytes divided by 255"]

    def test_channel_last_becomes_first(self) -> None:
        images = np.random.default_rng(0).random((6, 5, 4, 3))
        items, steps = prepared(split_of(images), (3, 5, 4), "float64")
        np.testing.assert_array_equal(items, images.transpose(0, 3, 1, 2))
        assert "channel-first" in steps[0]

    def test_channel_axis_and_flat(self) -> None:
        images = np.random.default_rng(0).random((6, 5, 4))
        assert prepared(split_of(images), (1, 5, 4), "float64")[0].shape == (6, 1, 5, 4)
        flat, steps = prepared(split_of(images), (20,), "float64")
        np.testing.assert_array_equal(flat, images.reshape(6, 20))
        assert "flattened" in steps[0]

    def test_shapes_that_do_not_fit(self) -> None:
        with pytest.raises(InputError, match=r"found items of shape \(2,\)"):
            prepared(split_of(X), (3,), "float32")

    def test_candidates_are_what_can_be_prepared(self) -> None:
        for stored in [(4,), (5, 4), (5, 4, 3)]:
            images = np.zeros((6, *stored))
            for shape in candidate_shapes(stored):
                assert prepared(split_of(images), shape, "float32")[0].shape == (6, *shape)

    def test_tasks(self) -> None:
        assert task_of(split_of(X), "auto") == "classification"
        assert task_of(split_of(X, Y.astype(float)), "auto") == "regression"
        assert task_of(split_of(X, Y.astype(float)), "classification") == "classification"

    def test_one_hot(self) -> None:
        np.testing.assert_array_equal(target_rows(split_of(X), "classification", 3), np.eye(3)[Y])

    @pytest.mark.parametrize(
        ("labels", "found"),
        [([0, 1, 3, 0, 0, 0], "item 2: found label 3"), ([0, -1, 0, 0, 0, 0], "label -1")],
    )
    def test_labels_outside_the_outputs(self, labels: list[int], found: str) -> None:
        with pytest.raises(InputError, match=found):
            target_rows(split_of(X, np.array(labels)), "classification", 3)

    def test_labels_that_are_not_whole(self) -> None:
        with pytest.raises(InputError, match=r"label 0\.5"):
            target_rows(split_of(X, Y + 0.5), "classification", 3)

    def test_values_that_do_not_match_the_outputs(self) -> None:
        with pytest.raises(InputError, match="--task classification"):
            target_rows(split_of(X, Y.astype(float)), "regression", 3)
        assert target_rows(split_of(X, X), "regression", 2).shape == (6, 2)

    def test_one_output_is_no_classifier(self) -> None:
        with pytest.raises(InputError, match="--task regression"):
            target_rows(split_of(X), "classification", 1)


class TestChoice:
    """Sample and reference."""

    def test_reference_holdout_or_test_split(self, tmp_path: Path) -> None:
        plain = saved(tmp_path / "a.npz", x=X, y=Y)
        both = saved(tmp_path / "b.npz", x_train=X, y_train=Y, x_test=X[:2], y_test=Y[:2])
        assert [len(s) for s in select_splits(DataSelection(both))] == [6, 2]
        assert [len(s) for s in select_splits(DataSelection(plain, reference=both))] == [6, 2]
        assert [len(s) for s in select_splits(DataSelection(plain, reference=plain))] == [6, 6]
        assert [len(s) for s in select_splits(DataSelection(plain, holdout=0.34))] == [4, 2]
        with pytest.raises(InputError, match="no test split"):
            select_splits(DataSelection(plain))
        with pytest.raises(InputError, match="one of them at most"):
            select_splits(DataSelection(plain, reference=both, holdout=0.5))

    def test_holdout_is_a_partition(self) -> None:
        sample, reference = held_out(split_of(X), 0.5, seed=3)
        assert sorted([*sample.indices, *reference.indices]) == list(range(6))
        assert not np.array_equal(held_out(split_of(X), 0.5, seed=4)[0].indices, sample.indices)
        for fraction in (0.0, 1.0, -1.0, 0.01, float("nan")):
            with pytest.raises(InputError, match="--holdout"):
                held_out(split_of(X), fraction, 0)

    def test_limit_is_seeded(self, tmp_path: Path) -> None:
        path = saved(tmp_path / "b.npz", x_train=X, y_train=Y, x_test=X, y_test=Y)

        def taken(seed: int) -> list[int]:
            return select_splits(DataSelection(path, limit=3, seed=seed))[0].indices.tolist()

        assert taken(0) == taken(0)
        assert len({tuple(taken(seed)) for seed in range(5)}) > 1
        assert len(taken(0)) == 3

    def test_item_shapes_must_agree(self, tmp_path: Path) -> None:
        one = saved(tmp_path / "a.npz", x=X, y=Y)
        other = saved(tmp_path / "b.npz", x=X[:, :1], y=Y)
        with pytest.raises(InputError, match="the sample's item shape"):
            select_splits(DataSelection(one, reference=other))
