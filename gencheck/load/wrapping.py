"""What state dicts come wrapped in: keys of training scripts, prefixes of wrappers, shards."""

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from gencheck.errors import InputError, MissingDependency

SHARD_INDEX = ".safetensors.index.json"

# Keys under which training scripts keep the state dict beside optimiser, epoch and the like.
_KEYS = ("state_dict", "model")

# Prefixes that wrappers of modules put before every name, and who does.
_WRAPPERS = {"module.": "DataParallel", "_orig_mod.": "torch.compile"}

# Lightning's own, which a model may as well have for a part of its own.
_LIGHTNING = "model."


def unwrap(content: dict[Any, Any], path: Path) -> tuple[str | None, dict[Any, Any]]:
    """The state dict in what a checkpoint holds, and the key that it stood under.

    Raises
    ------
    InputError
        It can be read in two ways.
    """
    if all(isinstance(value, Tensor) for value in content.values()):
        return None, content
    nested = [key for key in _KEYS if _is_state(content.get(key))]
    if len(nested) > 1:
        raise InputError(
            where=str(path),
            found="state dicts under both 'state_dict' and 'model'",
            required="one state dict",
            remedy="Save the one to audit alone: torch.save(checkpoint[KEY], path).",
        )
    return (nested[0], content[nested[0]]) if nested else (None, content)


def _is_state(value: Any) -> bool:
    return isinstance(value, dict) and any(isinstance(v, Tensor) for v in value.values())


def without_prefixes(
    tensors: dict[str, Tensor], wanted: set[str] | None, under: str | None
) -> tuple[dict[str, Tensor], list[str]]:
    """The weights without prefixes that every name has, and a note for each prefix.

    Parameters
    ----------
    wanted
        The names that the model has, where they are known: nothing more is taken off once they are
        met, and Lightning's prefix is taken off where that meets them.
    under
        The key that the weights stood under; Lightning writes ``state_dict``.
    """
    notes: list[str] = []
    while tensors and set(tensors) != wanted:
        prefix = next((p for p in _WRAPPERS if _all_have(tensors, p)), None)
        who = _WRAPPERS.get(prefix or "", "")
        if prefix is None and _all_have(tensors, _LIGHTNING):
            bare = {name.removeprefix(_LIGHTNING) for name in tensors}
            if (wanted is None and under == "state_dict") or bare == wanted:
                prefix, who = _LIGHTNING, "Lightning"
        if prefix is None:
            break
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
        notes.append(f"prefix {prefix!r} of {who} taken off every name")
    return tensors, notes


def _all_have(tensors: dict[str, Tensor], prefix: str) -> bool:
    return all(name.startswith(prefix) and name != prefix for name in tensors)


def read_shards(index: Path) -> dict[str, Tensor]:
    """The weights of a sharded checkpoint, by the index file that names the shard of each.

    Raises
    ------
    InputError
        The index is damaged, a shard is missing or lies elsewhere, or lacks a tensor.
    MissingDependency
        The safetensors library is not installed.
    """
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise MissingDependency(
            library="safetensors", extra="safetensors", purpose=f"Reading {index}"
        ) from error
    by_shard: dict[str, list[str]] = {}
    for name, shard in _weight_map(index).items():
        by_shard.setdefault(shard, []).append(name)
    tensors: dict[str, Tensor] = {}
    for shard, names in by_shard.items():
        path = index.parent / shard
        # a name that leads elsewhere is refused, whatever lies there
        if Path(shard).name != shard or not path.is_file():
            raise InputError(
                where=str(index), found=f"shard {shard!r}", required="shards that lie beside it"
            )
        try:
            with safe_open(path, framework="pt") as file:
                for name in names:
                    tensors[name] = file.get_tensor(name)
        except (SafetensorError, OSError, ValueError) as error:
            raise InputError(
                where=str(path),
                found=f"a damaged shard, or one without a tensor ({error})",
                required=f"the tensors that {index.name} names",
            ) from error
    return tensors


def _weight_map(index: Path) -> dict[str, str]:
    try:
        found = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        sound = bool(found) and all(isinstance(shard, str) for shard in found.values())
    except (ValueError, KeyError, TypeError, AttributeError):
        sound = False
    if not sound:
        raise InputError(
            where=str(index),
            found="no weight_map",
            required='the index of a sharded checkpoint: {"weight_map": {name: shard}}',
        )
    weights: dict[str, str] = found
    return weights
