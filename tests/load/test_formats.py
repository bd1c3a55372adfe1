"""Images, IDX files, Parquet rows, transforms, shards and wrapped state dicts, as people keep them."""

import gzip
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from gencheck.audit.model import load_model
from gencheck.audit.selection import DataSelection, select_splits
from gencheck.errors import InputError, MissingDependency
from gencheck.load.checkpoint import StateDict, load_checkpoint
from gencheck.load.dataset import load_dataset
from gencheck.load.digest import sha256_of

Image = pytest.importorskip("PIL.Image")
pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 5, 4, 3), dtype=np.uint8)


def png(pixels: np.ndarray, mode: str | None = None) -> bytes:
    image = Image.fromarray(pixels)
    buffer = io.BytesIO()
    (image if mode is None else image.convert(mode)).save(buffer, "PNG")
    return buffer.getvalue()


def image_table(path: Path, cells: list[bytes], labels: list[int], **options: object) -> Path:
    images = [{"bytes": cell, "path": f"{i}.png"} for i, cell in enumerate(cells)]
    pq.write_table(pa.table({"image": images, "label": labels}), path, **options)
    return path


def class_folders(root: Path, per_class: int = 3) -> Path:
    for label, name in enumerate(("cat", "ant", "bee")):
        (root / name).mkdir(parents=True)
        for i in range(per_class):
            (root / name / f"{i}.png").write_bytes(png(PIXELS[label * per_class + i]))
    return root


def idx_bytes(array: np.ndarray, code: int = 8) -> bytes:
    head = bytes([0, 0, code, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return head + array.tobytes()


class TestImages:
    def test_a_folder_of_class_folders(self, tmp_path: Path) -> None:
        data = load_dataset(class_folders(tmp_path / "d"))
        split = data.main.loaded()
        assert split.targets.tolist() == [0] * 3 + [1] * 3 + [2] * 3
        # sorted names: ant, bee, cat; cat was written first
        np.testing.assert_array_equal(split.items[6:], PIXELS[:3])
        assert "labels from class folders: ant = 0, bee = 1, cat = 2" in split.notes
        assert data.test is None

    def test_split_folders(self, tmp_path: Path) -> None:
        class_folders(tmp_path / "d" / "train", 4)
        class_folders(tmp_path / "d" / "val", 2)
        data = load_dataset(tmp_path / "d")
        assert len(data.main) == 12
        assert data.test is not None
        assert len(data.test) == 6
        (tmp_path / "d" / "val" / "bee").rename(tmp_path / "d" / "val" / "wasp")
        with pytest.raises(InputError, match="different class folders in train and val"):
            load_dataset(tmp_path / "d")

    @pytest.mark.parametrize("plain", [False, True])
    def test_an_image_column(self, tmp_path: Path, plain: bool) -> None:
        cells = [png(p) for p in PIXELS]
        labels = list(range(12))
        if plain:
            pq.write_table(pa.table({"image": cells, "label": labels}), tmp_path / "d.parquet")
        else:
            image_table(tmp_path / "d.parquet", cells, labels, row_group_size=5)
        split = load_dataset(tmp_path / "d.parquet").main.taken(np.array([7, 0, 11])).loaded()
        np.testing.assert_array_equal(split.items, PIXELS[[7, 0, 11]])
        assert split.targets.tolist() == [7, 0, 11]

    def test_palettes_are_converted_and_recorded(self, tmp_path: Path) -> None:
        path = image_table(tmp_path / "d.parquet", [png(p, "P") for p in PIXELS], [0] * 12)
        split = load_dataset(path).main.loaded()
        assert split.items.shape == (12, 5, 4, 3)
        assert split.notes == ("images of mode P converted to RGB",)

    def test_sizes_that_differ_are_refused_by_row(self, tmp_path: Path) -> None:
        cells = [png(p) for p in PIXELS[:3]] + [png(PIXELS[3, :2])]
        path = image_table(tmp_path / "d.parquet", cells, [0] * 4)
        with pytest.raises(InputError, match=r"item 3: found shape \(2, 4, 3\).*--transform"):
            load_dataset(path).main.loaded()
        resized = load_dataset(path).main.loaded(lambda image: image[:2] / 255)
        assert resized.items.shape == (4, 2, 4, 3)

    @pytest.mark.parametrize(
        ("cell", "message"),
        [
            (b"no image", r"column 'image', row 1: found no image that can be read"),
            (b"", r"row 1: found no image"),
            (None, r"row 1: found no (value|bytes)"),
        ],
    )
    def test_bad_cells_are_named(self, tmp_path: Path, cell: bytes | None, message: str) -> None:
        images = [{"bytes": png(PIXELS[0])}, {"bytes": cell}]
        pq.write_table(pa.table({"image": images, "label": [0, 1]}), tmp_path / "d.parquet")
        with pytest.raises(InputError, match=message):
            load_dataset(tmp_path / "d.parquet").main.loaded()

    def test_a_mode_of_sixteen_bits_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "d" / "a").mkdir(parents=True)
        Image.fromarray(np.zeros((3, 3), np.uint16)).save(tmp_path / "d" / "a" / "0.png")
        with pytest.raises(InputError, match="an image of mode I;16"):
            load_dataset(tmp_path / "d").main.loaded()

    def test_images_beside_numbers_are_refused(self, tmp_path: Path) -> None:
        table = pa.table({"image": [png(PIXELS[0])], "age": [1.0], "label": [0]})
        pq.write_table(table, tmp_path / "d.parquet")
        with pytest.raises(InputError, match="'image' holds images"):
            load_dataset(tmp_path / "d.parquet")

    def test_an_empty_folder_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="without class folders of images"):
            load_dataset(tmp_path)

    def test_without_pillow_the_extra_is_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = image_table(tmp_path / "d.parquet", [png(PIXELS[0])], [0])
        monkeypatch.setitem(sys.modules, "PIL", None)
        with pytest.raises(MissingDependency, match=r'"gencheck\[images\]"'):
            load_dataset(path).main.loaded()


class TestIdx:
    @pytest.mark.parametrize("packed", [False, True])
    @pytest.mark.parametrize("as_folder", [False, True])
    def test_standard_names(self, tmp_path: Path, packed: bool, as_folder: bool) -> None:
        images, labels = PIXELS[:, :, :, 0], np.arange(12, dtype=np.uint8)
        for prefix in ("train", "t10k"):
            for name, array in (("images-idx3", images), ("labels-idx1", labels)):
                raw = idx_bytes(array)
                path = tmp_path / f"{prefix}-{name}-ubyte{'.gz' if packed else ''}"
                path.write_bytes(gzip.compress(raw) if packed else raw)
        ending = ".gz" if packed else ""
        path = tmp_path if as_folder else tmp_path / f"train-images-idx3-ubyte{ending}"
        data = load_dataset(path)
        split = data.main.taken(np.array([3, 1])).loaded()
        np.testing.assert_array_equal(split.items, images[[3, 1]])
        assert split.targets.tolist() == [3, 1]
        assert (data.test is not None) == as_folder

    @pytest.mark.parametrize(
        ("code", "dtype"), [(9, ">i1"), (11, ">i2"), (12, ">i4"), (13, ">f4"), (14, ">f8")]
    )
    def test_all_element_types(self, tmp_path: Path, code: int, dtype: str) -> None:
        items = np.arange(24).reshape(4, 3, 2).astype(dtype)
        (tmp_path / "a-images-idx3-x").write_bytes(idx_bytes(items, code))
        (tmp_path / "a-labels-idx1-x").write_bytes(idx_bytes(np.zeros(4, np.uint8)))
        split = load_dataset(tmp_path / "a-images-idx3-x").main.loaded()
        np.testing.assert_array_equal(split.items, items)
        assert split.items.dtype.isnative

    @pytest.mark.parametrize(
        ("raw", "message"),
        [
            (b"", "first bytes"),
            (b"\0\0\x08\x03\0\0\0\x02", "fewer than the sizes of 3 axes take"),
            (b"\0\0\x08\x03\0\0", "fewer than the sizes of 3 axes take"),
            (idx_bytes(PIXELS[:, :, :, 0])[:-1], "bytes where shape"),
            (idx_bytes(PIXELS[:, :, :, 0]) + b"x", "bytes where shape"),
            (b"\0\0\x07" + idx_bytes(PIXELS[:, :, :, 0])[3:], "first bytes 00000703"),
            (b"\0\0\x08\x02" + b"\xff" * 8, "bytes where shape"),
        ],
    )
    def test_damage_is_named(self, tmp_path: Path, raw: bytes, message: str) -> None:
        (tmp_path / "train-images-idx3-ubyte").write_bytes(raw)
        (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.zeros(12, np.uint8)))
        with pytest.raises(InputError, match=message):
            load_dataset(tmp_path / "train-images-idx3-ubyte")

    def test_missing_or_short_labels(self, tmp_path: Path) -> None:
        path = tmp_path / "train-images-idx3-ubyte"
        path.write_bytes(idx_bytes(PIXELS[:, :, :, 0]))
        with pytest.raises(InputError, match="no labels file train-labels-idx1-ubyte"):
            load_dataset(path)
        (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.zeros(3, np.uint8)))
        with pytest.raises(InputError, match="for 12 images"):
            load_dataset(path)
        (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(b"\x1f\x8bnonsense")
        with pytest.raises(InputError, match="damaged or foreign file"):
            load_dataset(tmp_path / "train-images-idx3-ubyte.gz")


class TestChoosing:
    def test_the_same_rows_as_from_memory(self, tmp_path: Path) -> None:
        x, y = np.random.default_rng(1).normal(size=(50, 3)), np.arange(50)
        np.savez(tmp_path / "d.npz", x=x, y=y)
        columns = {"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "label": y}
        pq.write_table(pa.table(columns), tmp_path / "d.parquet", row_group_size=7)
        for choice in ({"limit": 9}, {"limit": None}, {"limit": 4, "seed": 5}):
            pairs = [
                select_splits(DataSelection(tmp_path / name, holdout=0.3, **choice))  # type: ignore[arg-type]
                for name in ("d.npz", "d.parquet")
            ]
            for left, right in zip(*pairs, strict=True):
                np.testing.assert_array_equal(left.items, right.items)
                np.testing.assert_array_equal(left.targets, right.targets)
                np.testing.assert_array_equal(left.indices, right.indices)

    def test_a_nonfinite_cell_is_named_by_its_row_in_the_file(self, tmp_path: Path) -> None:
        x = np.zeros(30)
        x[17] = np.nan
        pq.write_table(pa.table({"a": x, "label": [0] * 30}), tmp_path / "d.parquet")
        rows = load_dataset(tmp_path / "d.parquet").main
        assert len(rows.taken(np.arange(17)).loaded()) == 17
        with pytest.raises(InputError, match=r"column 'a', index \[17\]"):
            rows.taken(np.array([20, 17])).loaded()

    @pytest.mark.slow
    def test_a_million_rows_are_not_held(self, tmp_path: Path) -> None:
        width = 60
        path = tmp_path / "d.parquet"
        schema = pa.schema([(f"f{i}", pa.float64()) for i in range(width)] + [("y", pa.int64())])
        generator = np.random.default_rng(0)
        with pq.ParquetWriter(path, schema, compression="none") as writer:
            block = generator.normal(size=(width, 50_000)).round(2)
            table = pa.table([*block, generator.integers(3, size=50_000)], schema=schema)
            for _ in range(20):
                writer.write_table(table)
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(width, 8), nn.ReLU(), nn.Linear(8, 3))
        torch.save(module.state_dict(), tmp_path / "m.pt")
        code = (
            "import resource, sys\n"
            "from gencheck.cli.app import app\n"
            "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\n"
            "import torch, pyarrow.parquet, gencheck.audit.inputs\n"
            "before = peak()\n"
            "try: app(['concentrate', 'm.pt', 'd.parquet', '--holdout', '0.5', '--limit', '200',"
            " '--output', 'o.json'])\n"
            "except SystemExit as end: assert not end.code, end.code\n"
            "print('grew', peak() - before)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            check=False,
        )
        assert done.returncode == 0, done.stderr
        grown = int(done.stdout.rpartition("grew ")[2])
        # the table takes 488 MB; half of it would already be too much
        assert grown < 250 * 10**6
        document = json.loads((tmp_path / "o.json").read_text())
        assert document["data"] == {"sample": 200, "reference": 200, "task": "classification"}


class TestTransform:
    def choice(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> DataSelection:
        np.savez(tmp_path / "d.npz", x=PIXELS, y=np.arange(12))
        (tmp_path / "own_transform.py").write_text(body)
        monkeypatch.chdir(tmp_path)
        monkeypatch.delitem(sys.modules, "own_transform", raising=False)
        return DataSelection(tmp_path / "d.npz", holdout=0.5, transform="own_transform:change")

    def test_each_item_is_transformed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        body = "def change(item):\n    return item[:2, :, 0] / 100\n"
        sample, reference = select_splits(self.choice(tmp_path, monkeypatch, body))
        assert sample.items.shape == reference.items.shape == (6, 2, 4)
        np.testing.assert_allclose(sample.items, PIXELS[sample.indices][:, :2, :, 0] / 100)

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            ("def change(item):\n    return 1 / 0\n", "item .*ZeroDivisionError"),
            ("def change(item):\n    return item / 0.0\n", "not finite"),
            ("def change(item):\n    return 'text'\n", "finite numbers"),
            ("def change(item):\n    return item[: item[0, 0, 0] % 3]\n", "found shape"),
            ("change = 3\n", "found a int"),
            ("def other(item): ...\n", "--transform own_transform:change: found AttributeError"),
        ],
    )
    def test_its_mistakes_are_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, message: str
    ) -> None:
        with np.errstate(all="ignore"), pytest.raises(InputError, match=message):
            select_splits(self.choice(tmp_path, monkeypatch, body))


def test_the_digest_of_a_folder_follows_names_and_contents(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder / "sub").mkdir(parents=True)
        (tmp_path / folder / "sub" / "x").write_bytes(b"1")
        (tmp_path / folder / "y").write_bytes(b"2")
    assert sha256_of(tmp_path / "a") == sha256_of(tmp_path / "b")
    (tmp_path / "b" / "y").rename(tmp_path / "b" / "z")
    assert sha256_of(tmp_path / "a") != sha256_of(tmp_path / "b")


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))


class TestWrapping:
    @pytest.mark.parametrize(
        ("wrap", "notes"),
        [
            (
                lambda s: {"state_dict": s, "epoch": 3},
                ["the state dict under the key 'state_dict'"],
            ),
            (lambda s: {"model": s, "optimizer": {"lr": 1}}, ["under the key 'model'"]),
            (lambda s: {f"module.{k}": v for k, v in s.items()}, ["'module.' of DataParallel"]),
            (
                lambda s: {f"_orig_mod.{k}": v for k, v in s.items()},
                ["'_orig_mod.' of torch.compile"],
            ),
            (
                lambda s: {f"module._orig_mod.{k}": v for k, v in s.items()},
                ["'module.' of DataParallel", "'_orig_mod.' of torch.compile"],
            ),
            (
                lambda s: {"state_dict": {f"model.{k}": v for k, v in s.items()}},
                ["under the key 'state_dict'", "'model.' of Lightning"],
            ),
        ],
    )
    def test_is_recognised_and_recorded(
        self, tmp_path: Path, wrap: object, notes: list[str]
    ) -> None:
        module = network()
        torch.save(wrap(module.state_dict()), tmp_path / "m.pt")  # type: ignore[operator]
        subject = load_model(tmp_path / "m.pt", None, [(4,)])
        items = torch.randn(6, 4)
        with torch.no_grad():
            torch.testing.assert_close(subject.own_output(items), module(items))
        for note in notes:
            assert any(note in taken for taken in subject.notes), subject.notes

    def test_with_a_factory(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "own_factory.py").write_text(
            "from torch import nn\n"
            "class Net(nn.Module):\n"
            "    def __init__(self):\n"
            "        super().__init__()\n"
            "        self.model = nn.Linear(4, 2)\n"
            "    def forward(self, x):\n"
            "        return self.model(x)\n"
        )
        monkeypatch.chdir(tmp_path)
        state = {"model.weight": torch.ones(2, 4), "model.bias": torch.zeros(2)}
        for prefix in ("", "module.", "model."):
            # the model's own part is called model: that prefix is not taken off
            torch.save({prefix + k: v for k, v in state.items()}, tmp_path / "m.pt")
            subject = load_model(tmp_path / "m.pt", "own_factory:Net", [(4,)])
            assert subject.parameters == 10

    def test_two_readings_are_refused(self, tmp_path: Path) -> None:
        state = network().state_dict()
        torch.save({"state_dict": state, "model": state}, tmp_path / "m.pt")
        with pytest.raises(InputError, match="2 state dicts, under state_dict, model"):
            load_checkpoint(tmp_path / "m.pt")

    def test_a_prefix_that_not_every_name_has_stays(self, tmp_path: Path) -> None:
        state = {"module.0.weight": torch.ones(3, 4), "2.weight": torch.ones(2, 3)}
        torch.save(state, tmp_path / "m.pt")
        loaded = load_checkpoint(tmp_path / "m.pt")
        assert isinstance(loaded, StateDict)
        assert set(loaded.tensors) == set(state)


class TestShards:
    def write(self, folder: Path, state: dict[str, torch.Tensor]) -> Path:
        save_file = pytest.importorskip("safetensors.torch").save_file
        names = sorted(state)
        weight_map = {}
        for number, part in enumerate((names[:2], names[2:])):
            shard = f"model-{number}.safetensors"
            save_file({name: state[name].contiguous() for name in part}, folder / shard)
            weight_map |= dict.fromkeys(part, shard)
        index = folder / "model.safetensors.index.json"
        index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
        return index

    def test_are_put_together(self, tmp_path: Path) -> None:
        module = network()
        subject = load_model(self.write(tmp_path, module.state_dict()), None, [(4,)])
        items = torch.randn(6, 4)
        with torch.no_grad():
            torch.testing.assert_close(subject.own_output(items), module(items))

    def test_damage_is_named(self, tmp_path: Path) -> None:
        index = self.write(tmp_path, network().state_dict())
        text = index.read_text()
        index.write_text(text.replace("model-1", "../model-1"))
        with pytest.raises(InputError, match="shards that lie beside it"):
            load_checkpoint(index)
        index.write_text(text.replace("2.bias", "3.bias"))
        with pytest.raises(InputError, match="does not contain tensor"):
            load_checkpoint(index)
        index.write_text("{}")
        with pytest.raises(InputError, match="no weight_map"):
            load_checkpoint(index)
        index.write_text(text)
        (tmp_path / "model-0.safetensors").unlink()
        with pytest.raises(InputError, match=r"model-0\.safetensors: found no such file"):
            load_checkpoint(index)
