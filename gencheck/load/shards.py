"""Checkpoints in several files, with an index that names the file of each weight."""

import json
from pathlib import Path

from torch import Tensor

from gencheck.errors import InputError, needing
from gencheck.load.files import reading, require_archive_fits, require_file, shortened

SHARD_INDEX = ".safetensors.index.json"

_REQUIRED = 'the index of a sharded checkpoint: {"weight_map": {name: shard}}'


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The weights of one file by name, in no order of the model's.

    Raises
    ------
    InputError
        It is damaged, or does not fit into memory.
    MissingDependency
        The safetensors library is not installed.
    """
    with needing("safetensors", f"Reading {path}"):
        from safetensors import safe_open
    require_archive_fits(path)
    with reading(path, "a .safetensors file"), safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def read_shards(index: Path) -> dict[str, Tensor]:
    """The weights of a sharded checkpoint, by the index file that names the shard of each.

    Raises
    ------
    InputError
        The index is damaged, a shard is missing or lies elsewhere, or lacks a tensor.
    MissingDependency
        The safetensors library is not installed.
    """
    with needing("safetensors", f"Reading {index}"):
        from safetensors import safe_open
    by_shard: dict[str, list[str]] = {}
    for name, shard in _weight_map(index).items():
        by_shard.setdefault(shard, []).append(name)
    tensors: dict[str, Tensor] = {}
    for shard, names in by_shard.items():
        path = index.parent / shard
        # a name that leads elsewhere is refused, whatever lies there
        if Path(shard).name != shard:
            raise InputError(
                where=str(index),
                found=f"shard {shortened(repr(shard), 80)}",
                required="shards that lie beside it",
            )
        require_file(path, f"a shard that {index.name} names, beside it")
        require_archive_fits(path)
        with (
            reading(path, f"the tensors that {index.name} names"),
            safe_open(path, framework="pt") as file,
        ):
            for name in names:
                tensors[name] = file.get_tensor(name)
    return tensors


def _weight_map(index: Path) -> dict[str, str]:
    with reading(index, _REQUIRED):
        document = json.loads(index.read_text(encoding="utf-8"))
    found = document.get("weight_map") if isinstance(document, dict) else None
    if not (isinstance(found, dict) and found and all(isinstance(s, str) for s in found.values())):
        raise InputError(where=str(index), found="no weight_map", required=_REQUIRED)
    weights: dict[str, str] = found
    return weights
