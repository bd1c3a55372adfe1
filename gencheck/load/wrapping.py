"""What state dicts come wrapped in: keys of training scripts, prefixes of wrappers, other tensors."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from gencheck.errors import InputError
from gencheck.load.files import listed, shortened

# Prefixes that wrappers of modules put before every name, and who does.
_WRAPPERS = {"module.": "DataParallel or AveragedModel", "_orig_mod.": "torch.compile"}

# Lightning's own, which a model may as well have for a part of its own.
_LIGHTNING = "model."

# Parts of training that keep tensors beside the weights; no output depends on them.
_BESIDE = frozenset({"criterion", "loss", "loss_fn", "loss_function", "objective", "n_averaged"})


def unwrap(
    content: dict[Any, Any], path: Path, key: str | None = None
) -> tuple[str | None, dict[Any, Any]]:
    """The state dict in what a checkpoint holds, and the key that it stood under.

    Training scripts keep it beside optimiser, epoch and the like: what holds tensors under names,
    and nothing else, is a state dict.

    Parameters
    ----------
    key
        Where it stands; keys of dictionaries within dictionaries are joined by dots.

    Raises
    ------
    InputError
        There are several and no key, or the key is not there.
    """
    nested = _states(content)
    if key is not None:
        if key not in nested:
            raise InputError(
                where=f"{path}, --key {shortened(key, 80)}",
                found="no state dict under it",
                required=f"one of {listed(nested)}",
            )
        return key, nested[key]
    if not nested or all(isinstance(value, Tensor) for value in content.values()):
        return None, content
    if len(nested) > 1:
        raise InputError(
            where=str(path),
            found=f"{len(nested)} state dicts, under {listed(nested)}",
            required="one state dict",
            remedy=f"Name the one to audit with --key, such as --key {next(iter(nested))}.",
        )
    ((only, state),) = nested.items()
    return only, state


def _states(content: Mapping[Any, Any], before: str = "", depth: int = 3) -> dict[str, Any]:
    """The state dicts within a dictionary, by their keys joined with dots."""
    found: dict[str, Any] = {}
    for key, value in content.items():
        # what has parameter groups is an optimiser, whose state stands under the weights' names
        if isinstance(value, dict) and isinstance(key, str) and "param_groups" not in value:
            name = f"{before}{key}"
            if _is_state(value):
                found[name] = value
            elif depth > 1:
                found |= _states(value, f"{name}.", depth - 1)
    return found


def _is_state(value: dict[Any, Any]) -> bool:
    """True for tensors under names; numbers alone, as scores are kept, are no weights."""
    tensors = [v for k, v in value.items() if isinstance(k, str) and isinstance(v, Tensor)]
    return len(tensors) == len(value) and any(tensor.ndim > 0 for tensor in tensors)


def aligned(
    tensors: dict[str, Tensor], wanted: set[str] | None, under: str | None
) -> tuple[dict[str, Tensor], list[str]]:
    """The weights under the model's own names, and a note for each prefix or tensor taken off.

    Parameters
    ----------
    wanted
        The names that the model has, where they are known: nothing more is taken off once they are
        met, and any prefix is where that meets them.
    under
        The key that the weights stood under; Lightning writes ``state_dict``.
    """
    tensors, notes = _without_beside(tensors, wanted)
    while tensors and set(tensors) != wanted:
        prefix, who = _prefix_of(tensors, wanted, under)
        if prefix is None:
            break
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
        notes.append(f"prefix {prefix!r}{who} taken off every name")
        tensors, more = _without_beside(tensors, wanted)
        notes += more
    return tensors, notes


def _prefix_of(
    tensors: dict[str, Tensor], wanted: set[str] | None, under: str | None
) -> tuple[str | None, str]:
    for prefix, who in _WRAPPERS.items():
        if _all_have(tensors, prefix):
            return prefix, f" of {who}"
    if wanted is None:
        lightning = under == "state_dict" and _all_have(tensors, _LIGHTNING)
        return (_LIGHTNING, " of Lightning") if lightning else (None, "")
    common = _common(tensors)
    while common:
        if {name.removeprefix(common) for name in tensors} == wanted:
            return common, " of Lightning" if common == _LIGHTNING else ""
        common = _parent(common)
    return None, ""


def _without_beside(
    tensors: dict[str, Tensor], wanted: set[str] | None
) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors without those of a criterion, or an average's count, that the model has not."""
    beside = [
        name for name in tensors if name.split(".")[0] in _BESIDE and name not in (wanted or set())
    ]
    if not beside or len(beside) == len(tensors):
        return tensors, []
    kept = {name: tensor for name, tensor in tensors.items() if name not in beside}
    return kept, [f"left out, as no part of the model: {listed(beside, 5)}"]


def _all_have(tensors: dict[str, Tensor], prefix: str) -> bool:
    return all(name.startswith(prefix) and name != prefix for name in tensors)


def _common(names: Mapping[str, Any] | set[str]) -> str:
    """The longest prefix of whole parts, its dot included, that all names have."""
    parts = [name.split(".")[:-1] for name in names]
    shared: list[str] = []
    for column in zip(*parts, strict=False):
        if len(set(column)) > 1:
            break
        shared.append(column[0])
    return "".join(f"{part}." for part in shared)


def _parent(prefix: str) -> str:
    return "".join(f"{part}." for part in prefix.split(".")[:-2])


def common_prefix(tensors: dict[str, Tensor], wanted: set[str]) -> str:
    """In words, the first part that all names have and those of the model have not; else empty."""
    first = _common(tensors).split(".")[0]
    if not first or any(name.startswith(f"{first}.") for name in wanted):
        return ""
    return f"all {len(tensors)} names begin with {shortened(first, 80)}.; "
