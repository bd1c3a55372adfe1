"""Effective weights of state dicts that hold parametrised ones: norms, spectral norms, masks."""

import re
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from gencheck.errors import InputError

_NEW = re.compile(r"(?:(.*)\.)?parametrizations\.(\w+)\.(original[01]?|[0-9]+\..+)")
_OLD = re.compile(r"(.*?)\.?(\w+)_(g|v|u|orig|mask)")

# The parts of a parametrised weight, under the names that torch gives them, and what they stand for.
_KINDS: dict[frozenset[str], str] = {
    frozenset({"g", "v"}): "weight_norm",
    frozenset({"original0", "original1"}): "weight_norm",
    frozenset({"orig", "mask"}): "a pruning mask",
    frozenset({"orig", "u", "v"}): "spectral_norm",
    frozenset({"orig", "u"}): "spectral_norm",
    frozenset({"original", "0._u", "0._v"}): "spectral_norm",
}

_REMEDY = (
    "Save the effective weights: torch.nn.utils.parametrize.remove_parametrizations(layer, "
    "'weight') (or torch.nn.utils.remove_weight_norm, remove_spectral_norm, prune.remove), then "
    "torch.save(model.state_dict(), path)."
)


def with_effective_weights(
    tensors: dict[str, Tensor], wanted: set[str] | None, where: str
) -> tuple[dict[str, Tensor], list[str]]:
    """The weights with those that were parametrised computed from their parts, and notes.

    - weight_norm: w = g v / ‖v‖, the norm over all axes where g has one entry;
    - spectral_norm: w = v / (uᵀ V r) with the stored singular vectors u, r, as in eval mode;
    - pruning: w = v ∘ mask.

    Parameters
    ----------
    wanted
        The names that the model has, where they are known: parts that the model itself has are left
        to it.

    Raises
    ------
    InputError
        A parametrisation that is none of these.
    """
    if wanted is not None and _groups(wanted):
        return tensors, []
    made: dict[str, Tensor] = {}
    kinds: dict[str, str] = {}
    groups = _groups(tensors)
    member = {full: name for name, parts in groups.items() for full in parts.values()}
    for full, tensor in tensors.items():
        name = member.get(full)
        if name is None:
            made[full] = tensor
        elif name not in made:
            kind = _KINDS.get(frozenset(groups[name]))
            if kind is None:
                raise _unknown(where, name, groups[name])
            parts = {part: tensors[key] for part, key in groups[name].items()}
            made[name] = _effective(parts, kind, f"{where}, {name}")
            kinds[name] = kind
    counts = {kind: list(kinds.values()).count(kind) for kind in dict.fromkeys(kinds.values())}
    return made, [f"{n} effective weights computed from {kind}" for kind, n in counts.items()]


def _groups(tensors: Iterable[str]) -> dict[str, dict[str, str]]:
    """For the name of each parametrised weight, the full names of its parts."""
    tensors = set(tensors)
    groups: dict[str, dict[str, str]] = {}
    for full in tensors:
        if match := _NEW.fullmatch(full):
            name = f"{match[1]}.{match[2]}" if match[1] else match[2]
            groups.setdefault(name, {})[match[3]] = full
    for full in tensors:
        if (match := _OLD.fullmatch(full)) and not _NEW.fullmatch(full):
            name = f"{match[1]}.{match[2]}" if match[1] else match[2]
            parts = {
                part: f"{name}_{part}"
                for part in ("g", "v", "u", "orig", "mask")
                if f"{name}_{part}" in tensors
            }
            # names that merely end like this are ordinary ones
            if name not in tensors and frozenset(parts) in _KINDS:
                groups[name] = parts
    return groups


def _effective(parts: dict[str, Tensor], kind: str, where: str) -> Tensor:
    compute: dict[str, Callable[[dict[str, Tensor], str], Tensor]] = {
        "weight_norm": _normed,
        "a pruning mask": _masked,
        "spectral_norm": _spectral,
    }
    try:
        return compute[kind](parts, where)
    except RuntimeError as error:
        shapes = ", ".join(f"{part} {tuple(tensor.shape)}" for part, tensor in parts.items())
        raise InputError(
            where=where, found=f"parts of shapes {shapes}", required=f"the parts of {kind}"
        ) from error


def _normed(parts: dict[str, Tensor], where: str) -> Tensor:
    scale = parts["g"] if "g" in parts else parts["original0"]
    direction = parts["v"] if "v" in parts else parts["original1"]
    axes = [axis for axis in range(direction.ndim) if scale.ndim == 0 or scale.shape[axis] == 1]
    norm = torch.linalg.vector_norm(direction, dim=axes, keepdim=True) if axes else direction.abs()
    return direction * (scale / norm)


def _masked(parts: dict[str, Tensor], where: str) -> Tensor:
    return parts["orig"] * parts["mask"].to(parts["orig"].dtype)


def _spectral(parts: dict[str, Tensor], where: str) -> Tensor:
    weight = parts["orig"] if "orig" in parts else parts["original"]
    u = parts["u"] if "u" in parts else parts["0._u"]
    v = parts["v"] if "v" in parts else parts.get("0._v")
    fitting = [axis for axis in (0, 1) if axis < weight.ndim and weight.shape[axis] == len(u)]
    if v is None or not fitting or (len(fitting) > 1 and weight.ndim > 2):
        raise InputError(
            where=where,
            found="spectral_norm parts from which the effective weight does not follow alone",
            required="singular vectors u and v of a weight, one axis of which has the length of u",
            remedy=_REMEDY,
        )
    axis = fitting[0]
    matrix = weight.movedim(axis, 0).reshape(len(u), -1)
    return weight / torch.dot(u, matrix @ v)


def _unknown(where: str, name: str, parts: dict[str, str]) -> InputError:
    return InputError(
        where=f"{where}, {name}",
        found=f"a parametrisation stored as {', '.join(sorted(parts))}",
        required="a weight, or the parts of weight_norm, spectral_norm or a pruning mask",
        remedy=_REMEDY,
    )
