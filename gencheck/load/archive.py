"""The files inside a ``.pt2`` archive, read as JSON and raw numbers; no pickle is ever run."""

import io
import json
import zipfile
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gencheck.element_types import ELEMENT_TYPES
from gencheck.errors import InputError
from gencheck.load.files import reading, require_archive_fits, shortened
from gencheck.memory import require_memory


def read_archive(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The program's JSON document, and its weights and constants by fully qualified name.

    Raises
    ------
    InputError
        Not an archive of exactly one program as torch.export.save writes it (torch 2.8 or later),
        or a weight that only a pickle could restore.
    """
    require_archive_fits(path)
    remedy = "Save the model again with torch.export.save(torch.export.export(…), path)."
    with reading(path, "an archive written by torch.export.save", remedy):
        if not zipfile.is_zipfile(path):
            raise ValueError("no zip archive")
        with zipfile.ZipFile(path) as archive:
            return _read(archive, path)


def _read(archive: zipfile.ZipFile, path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    names = archive.namelist()
    programs = [n for n in names if n.endswith(".json") and "/models/" in n]
    if "serialized_exported_program.json" in names:
        raise InputError(
            where=str(path),
            found="the archive layout of torch 2.7 and older",
            required="the layout of torch 2.8 or later",
            remedy="Load it there and save it again, or pass a state dict with --model.",
        )
    if len(programs) != 1:
        raise InputError(
            where=str(path),
            found=f"{len(programs)} programs",
            required="an archive of one program written by torch.export.save",
        )
    root, program = programs[0].split("/models/")
    document = json.loads(archive.read(programs[0]))
    model = program.removesuffix(".json")
    weights: dict[str, Tensor] = {}
    for folder, kind in (("weights", "weights"), ("constants", "constants")):
        config = f"{root}/data/{folder}/{model}_{kind}_config.json"
        if config in names:
            entries = json.loads(archive.read(config))["config"]
            # a weight that two modules share is one tensor under two names
            shared: dict[str, Tensor] = {}
            for fqn, entry in entries.items():
                same = json.dumps(entry, sort_keys=True)
                if same not in shared:
                    shared[same] = _tensor(archive, f"{root}/data/{folder}/", fqn, entry, path)
                weights[fqn] = shared[same]
    return document, weights


def _tensor(
    archive: zipfile.ZipFile, folder: str, fqn: str, entry: dict[str, Any], path: Path
) -> Tensor:
    if entry.get("use_pickle"):
        return _unpickled(archive.read(folder + entry["path_name"]), fqn, path)
    meta = entry["tensor_meta"]
    if meta["dtype"] not in ELEMENT_TYPES:
        raise InputError(
            where=f"{path}, {shortened(fqn, 80)}",
            found=f"element type {meta['dtype']}",
            required="a floating-point, integer or boolean weight",
        )
    raw = bytearray(archive.read(folder + entry["path_name"]))
    dtype = ELEMENT_TYPES[meta["dtype"]]
    flat = torch.frombuffer(raw, dtype=dtype) if raw else torch.empty(0, dtype=dtype)
    sizes, strides = (tuple(int(i["as_int"]) for i in meta[key]) for key in ("sizes", "strides"))
    declared = prod(sizes) * flat.element_size()
    require_memory(declared, f"{path}, {shortened(fqn, 80)}", f"a weight of shape {sizes}")
    return flat.as_strided(sizes, strides, int(meta["storage_offset"]["as_int"])).clone()


def _unpickled(raw: bytes, fqn: str, path: Path) -> Tensor:
    try:
        tensor = torch.load(io.BytesIO(raw), weights_only=True)
    except Exception as error:
        raise InputError(
            where=f"{path}, {fqn}",
            found="a pickle that is more than a plain tensor",
            required="plain tensors; nothing in a checkpoint may run code",
        ) from error
    if not isinstance(tensor, Tensor):
        raise ValueError(f"{fqn} is no tensor")
    return tensor
