"""Damaged, oversized and misnamed data files: refused in words, within the memory allowed."""

import csv
import gzip
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from gencheck.errors import InputError
from gencheck.load.dataset import load_dataset
from gencheck.load.idx import read_idx
from gencheck.load.prepare import prepared
from gencheck.load.run_folder import read_run_folder
from gencheck.load.table import read_table
from gencheck.memory import memory_limit
from tests.training.data import seal

SMALL = 10 * 2**20


def idx(path: Path, shape: tuple[int, ...], content: bytes | None = None) -> Path:
    head = bytes([0, 0, 8, len(shape)]) + np.array(shape, ">u4").tobytes()
    raw = head + (bytes(int(np.prod(shape))) if content is None else content)
    path.write_bytes(gzip.compress(raw, 1) if path.suffix == ".gz" else raw)
    return path


RECORD = {"schema": "gencheck.train/1", "inputs": {"data": {"sha256": "0"}}}


class TestRunFolders:
    @pytest.fixture
    def run(self, tmp_path: Path) -> Path:
        rows = np.arange(4)
        np.savez(tmp_path / "split.npz", standard=rows, freeze=rows, held_out=rows)
        for name in ("gates", "weights"):
            (tmp_path / f"{name}.pt2").touch()
        seal(tmp_path, RECORD)
        return tmp_path

    def test_a_sound_one_is_read(self, run: Path) -> None:
        assert read_run_folder(run).held_out.tolist() == [0, 1, 2, 3]

    @pytest.mark.parametrize("at", range(0, 700, 23))
    def test_any_damaged_byte_of_the_split_is_an_input_error(self, at: int, run: Path) -> None:
        raw = bytearray((run / "split.npz").read_bytes())
        raw[at] ^= 0xFF
        (run / "split.npz").write_bytes(raw)
        with pytest.raises(InputError, match=r"split\.npz: found another file than the run wrote"):
            read_run_folder(run)
        # and where the record was made to fit the damage
        seal(run, RECORD)
        # a byte that only pads the archive changes nothing
        try:
            read = read_run_folder(run)
        except InputError:
            return
        assert read.freeze.tolist() == [0, 1, 2, 3]

    @pytest.mark.parametrize(
        ("array", "found"),
        [
            (np.zeros((2, 2), int), "shape"),
            (np.array([-1, 2]), "int64"),
            (np.array([0.5]), "float64"),
            (np.array([], int), "no item"),
        ],
    )
    def test_positions_are_a_row_of_whole_numbers(
        self, array: np.ndarray, found: str, run: Path
    ) -> None:
        np.savez(run / "split.npz", standard=np.arange(2), freeze=array, held_out=np.arange(0))
        seal(run, RECORD)
        with pytest.raises(InputError, match=found):
            read_run_folder(run)

    @pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half", b"\x93NUMPY", None])
    def test_a_damaged_ridge_solution(self, content: bytes | None, run: Path) -> None:
        from gencheck.guarantees.run_solution import read_solution

        path = run / "ridge.npz"
        np.savez(path, coefficients=np.zeros((2, 2)), landmarks=np.arange(2), centred=True)
        if content is not None:
            path.write_bytes(content)
        two_phase = SimpleNamespace(folder=SimpleNamespace(solution=path))
        with pytest.raises(InputError, match=r"ridge\.npz"):
            read_solution(two_phase)  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        "text", ["[" * 100_000, '{"schema": ' * 50_000, "[]", "3", '{"schema": 1, "inputs": 2}', ""]
    )
    def test_a_record_of_any_other_kind(self, text: str, run: Path) -> None:
        (run / "run.json").write_text(text)
        with pytest.raises(InputError, match=r"without a sound run\.json"):
            read_run_folder(run)


class TestIdx:
    def test_sixty_five_axes(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="65 axes"):
            read_idx(idx(tmp_path / "train-images-idx3-ubyte", (1,) * 65, b"\0"))

    def test_sizes_whose_product_is_beyond_floats(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="takes"):
            read_idx(idx(tmp_path / "train-images-idx3-ubyte", (2**32 - 1,) * 32, b"\0"))

    def test_a_gzip_is_unpacked_no_further_than_its_header_says(self, tmp_path: Path) -> None:
        path = idx(tmp_path / "train-images-idx3-ubyte.gz", (2, 2, 2), bytes(30 * 2**20))
        with memory_limit(SMALL), pytest.raises(InputError, match="9 or more bytes"):
            read_idx(path)

    def test_a_gzip_that_declares_more_than_memory_is_not_unpacked(self, tmp_path: Path) -> None:
        path = idx(tmp_path / "train-images-idx3-ubyte.gz", (3_000_000, 32, 32), b"\0")
        with memory_limit(SMALL), pytest.raises(InputError, match="at most 10 MiB, what --memory"):
            read_idx(path)

    @pytest.mark.parametrize("suffix", ["", ".gz"])
    def test_a_sound_one_is_read(self, suffix: str, tmp_path: Path) -> None:
        path = idx(tmp_path / f"train-images-idx3-ubyte{suffix}", (2, 2), b"\1\2\3\4")
        assert read_idx(path).tolist() == [[1, 2], [3, 4]]


def folder_named(path: Path) -> str:
    path.mkdir()
    return "a folder"


def dangling(path: Path) -> str:
    path.symlink_to(path.parent / "nowhere")
    return "a link to nothing"


def pipe(path: Path) -> str:
    os.mkfifo(path)
    return "a pipe or a device"


@pytest.mark.parametrize("make", [folder_named, dangling, pipe])
def test_an_image_that_is_no_file_is_named(make: Callable[[Path], str], tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        image.new("L", (2, 2)).save(tmp_path / name / "a.png")
    found = make(tmp_path / "cat" / "b.png")
    with pytest.raises(InputError, match=rf"b\.png: found {found}"):
        load_dataset(tmp_path)


@pytest.mark.parametrize("make", [folder_named, dangling, pipe])
@pytest.mark.parametrize("name", ["d.npz", "d.csv", "train-images-idx3-ubyte"])
def test_a_data_file_that_is_no_file_is_named(
    make: Callable[[Path], str], name: str, tmp_path: Path
) -> None:
    found = make(tmp_path / name)
    with pytest.raises(InputError, match=name) as caught:
        load_dataset(tmp_path / name)
    assert found in str(caught.value) or "a folder without class folders" in str(caught.value)


def test_more_images_than_memory_are_refused_after_the_first(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    (tmp_path / "cat").mkdir()
    image.new("RGB", (500, 500)).save(tmp_path / "cat" / "0.png")
    for i in range(1, 40):
        (tmp_path / "cat" / f"{i}.png").write_bytes((tmp_path / "cat" / "0.png").read_bytes())
    with memory_limit(SMALL), pytest.raises(InputError, match="40 images of 28"):
        load_dataset(tmp_path).main.loaded()


class TestSizes:
    def test_a_compressed_archive_of_zeros(self, tmp_path: Path) -> None:
        np.savez_compressed(tmp_path / "d.npz", x=np.zeros((4, 2**20)), y=np.arange(4))
        with memory_limit(SMALL), pytest.raises(InputError, match=r"array 'x'.* of 32 MiB"):
            load_dataset(tmp_path / "d.npz")

    def test_an_array_whose_header_promises_more_than_there_is(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "s.npz", x=np.zeros((4, 4)), y=np.arange(4))
        with (
            zipfile.ZipFile(tmp_path / "s.npz") as old,
            zipfile.ZipFile(tmp_path / "d.npz", "w") as new,
        ):
            for name in old.namelist():
                new.writestr(name, old.read(name).replace(b"(4, 4)", b"(4,10**15)"[:6]))
        with pytest.raises(InputError, match=r"d\.npz"):
            load_dataset(tmp_path / "d.npz")

    def test_many_rows_in_few_bytes_of_parquet(self, tmp_path: Path) -> None:
        pa = pytest.importorskip("pyarrow")
        import pyarrow.parquet as pq

        column = pa.array(np.zeros(2_000_000, np.int8))
        pq.write_table(pa.table({"x": column, "y": column}), tmp_path / "d.parquet")
        assert (tmp_path / "d.parquet").stat().st_size < 20_000
        with memory_limit(SMALL), pytest.raises(InputError, match=r"2000000 rows of 30\.5 MiB"):
            load_dataset(tmp_path / "d.parquet")
        with memory_limit(SMALL), pytest.raises(InputError, match="2000000 rows"):
            read_table(tmp_path / "d.parquet")
        # the positions fit, the features do not; some of the rows do
        with memory_limit(40 * 2**20):
            rows = load_dataset(tmp_path / "d.parquet").main
            with pytest.raises(InputError, match=r"rows of 1 features of 91\.6 MiB"):
                rows.loaded()
            assert len(rows.taken(np.arange(10)).loaded()) == 10

    def test_a_table_larger_than_memory(self, tmp_path: Path) -> None:
        (tmp_path / "d.csv").write_text("a,label\n" + "1,2\n" * 600_000)
        with memory_limit(SMALL), pytest.raises(InputError, match="a table of"):
            load_dataset(tmp_path / "d.csv")

    def test_items_larger_than_memory_once_converted(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "d.npz", x=np.zeros((4, 2**20), np.uint8), y=np.arange(4))
        split = load_dataset(tmp_path / "d.npz").main.loaded()
        with memory_limit(SMALL), pytest.raises(InputError, match="4 items of 32 MiB"):
            prepared(split, (2**20,), "float64")

    def test_the_checks_of_wide_tables_are_linear(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Counted(str):
            compared = 0

            def __eq__(self, other: object) -> bool:
                Counted.compared += 1
                return str.__eq__(self, other)

            __hash__ = str.__hash__

        from gencheck.load import table

        names = [Counted(f"c{i}") for i in range(3000)]
        table._refuse_repeated(tmp_path, names)
        assert Counted.compared < 30_000
        with pytest.raises(InputError, match="a column name twice"):
            table._refuse_repeated(tmp_path, [*names, Counted("c7")])

    def test_a_message_does_not_list_all_columns(self, tmp_path: Path) -> None:
        with (tmp_path / "d.csv").open("w", newline="") as handle:
            writer = csv.writer(handle)
            writer.writerow([f"column{i}" for i in range(5000)])
            writer.writerow(range(5000))
        with pytest.raises(InputError) as caught:
            load_dataset(tmp_path / "d.csv", y_key="absent")
        assert len(str(caught.value)) < 1000
        assert "(4980 more)" in str(caught.value)


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".csv", ".parquet", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"\xff\xfe\0", b"PK\x03\x04 half", b"\x93NUMPY\x01\0"])
def test_foreign_bytes_under_any_suffix(suffix: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"d{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"d\."):
        (read_table if suffix == ".npy" else load_dataset)(path)
