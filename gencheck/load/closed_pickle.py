"""Pickles from which only tensors are taken: objects of other classes stay closed."""

import io
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gencheck.load.files import reading, require_archive_fits
from gencheck.load.pickled import refuse_torchscript

# Storages by the class that a pickle names.
_STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


def read_lightning(path: Path) -> Any:
    """What a Lightning checkpoint holds, but for objects of classes other than tensors.

    Hyper-parameters and callbacks may be objects of any class. None of these classes is imported
    and no function is called but those that put tensors together: each such object becomes an
    `Unopened`.

    Raises
    ------
    InputError
        Damaged, or no file that Lightning's Trainer writes.
    """
    require_archive_fits(path)
    refuse_torchscript(path)
    required = "a checkpoint that Lightning's Trainer wrote"
    with reading(path, required), zipfile.ZipFile(path) as archive:
        name = next((n for n in archive.namelist() if n.endswith("/data.pkl")), None)
        if name is None:
            raise ValueError("an archive without data.pkl")
        folder = name.removesuffix("data.pkl")
        order = f"{folder}byteorder"
        if order in archive.namelist() and archive.read(order) != b"little":
            raise ValueError("numbers in big-endian order")
        return _ClosedUnpickler(archive, folder).load()


class Unopened:
    """What stands for an object of a class that is not imported; it takes anything, keeps nothing."""

    def __new__(cls, *_args: Any, **_kwargs: Any) -> "Unopened":
        """An object that ignores what it is made of."""
        return super().__new__(cls)

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        pass

    def __setstate__(self, _state: Any) -> None:
        pass

    def __setitem__(self, _key: Any, _value: Any) -> None:
        pass

    def __hash__(self) -> int:
        return id(self)

    def append(self, _value: Any) -> None:
        """Take an item of a list-like object."""

    def extend(self, _values: Any) -> None:
        """Take items of a list-like object."""

    def add(self, _value: Any) -> None:
        """Take an item of a set-like object."""


class _ClosedUnpickler(pickle.Unpickler):
    def __init__(self, archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(io.BytesIO(archive.read(f"{folder}data.pkl")))
        self.archive, self.folder = archive, folder
        self.storages: dict[str, Tensor] = {}
        # made anew for each file, since a pickle can write attributes onto what it names
        self.opened: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch", "Size"): torch.Size,
            ("torch._utils", "_rebuild_tensor_v2"): _tensor_maker(),
            ("torch._utils", "_rebuild_parameter"): lambda data, *_rest: data,
            **{("torch", name): dtype for name, dtype in _STORAGES.items()},
        }

    def find_class(self, module: str, name: str, /) -> Any:
        return self.opened.get((module, name), Unopened)

    def persistent_load(self, identity: Any) -> Any:
        _, dtype, key, *_ = identity
        if not isinstance(dtype, torch.dtype):
            return Unopened()
        if key not in self.storages:
            raw = bytearray(self.archive.read(f"{self.folder}data/{key}"))
            flat = torch.frombuffer(raw, dtype=dtype) if raw else torch.empty(0, dtype=dtype)
            self.storages[key] = flat
        return self.storages[key]


def _tensor_maker() -> Any:
    def tensor(storage: Any, offset: int, size: Any, stride: Any, *_rest: Any) -> Any:
        """A view of a storage; torch refuses one that does not lie within it."""
        if not isinstance(storage, Tensor):
            return Unopened()
        return storage.as_strided(tuple(size), tuple(stride), offset)

    return tensor
