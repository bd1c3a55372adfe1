"""Copies of a live module: one with plain weights, as the forward pass computes them; what is a copy."""

import copy
import hashlib
import pickle
from types import SimpleNamespace

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune
from torch.nn.utils.spectral_norm import SpectralNorm, remove_spectral_norm
from torch.nn.utils.weight_norm import WeightNorm, remove_weight_norm

from gencheck.errors import InputError
from gencheck.network.frontend.aten import RMS_EPS


def plain_copy(module: nn.Module) -> nn.Module:
    """A copy in eval mode in which weight_norm, spectral_norm, masks and the like are applied.

    The output is that of the module in eval mode. Each parametrised weight is one tensor, as the
    path view reads weights; the module itself is not changed.
    """
    # weights that hooks have computed are no leaves of a graph, and only leaves can be copied
    memo = {
        id(value): value.detach().clone()
        for part in module.modules()
        for value in vars(part).values()
        if isinstance(value, Tensor) and not value.is_leaf
    }
    made = copy.deepcopy(module, memo).eval()
    with torch.no_grad():
        for part in made.modules():
            _apply_hooks(part)
            if parametrize.is_parametrized(part):
                _apply_parametrizations(part)
            if isinstance(part, nn.RMSNorm) and part.eps is None:
                # in another precision torch would take another, and the module be another function
                part.eps = RMS_EPS
    return made


def require_numbers(module: nn.Module) -> None:
    """Do nothing where every parameter has numbers.

    Raises
    ------
    InputError
        One has none; names it.
    """
    for name, parameter in module.named_parameters():
        if isinstance(parameter, nn.UninitializedParameter) or parameter.is_meta:
            raise InputError(
                where=f"model, {name}",
                found="a parameter without numbers (lazy, or on the device meta)",
                required="one with numbers",
                remedy="Run the module on one batch, or load its weights, before the audit.",
            )


def parametrised_weights(module: nn.Module) -> dict[str, Tensor]:
    """The weights that parametrizations compute, by the names that `plain_copy` gives them.

    As they are now, and differentiable with respect to what they are computed from.
    """
    return {
        f"{path}.{name}".lstrip("."): getattr(part, name)
        for path, part in module.named_modules(remove_duplicate=False)
        if parametrize.is_parametrized(part)
        for name in part.parametrizations
    }


def _apply_parametrizations(part: nn.Module) -> None:
    """Put the effective weights in the place of their parts.

    A copy shares its class, made for the module it was copied from, and torch's own way of removing
    parametrizations changes that class; so the copy goes back to the class that it was made of.
    """
    lists = part.parametrizations
    assert isinstance(lists, nn.ModuleDict)
    effective = {name: getattr(part, name).detach().clone() for name in lists}
    learned = {name for name in lists if any(True for _ in lists[name].parameters(recurse=False))}
    del part.parametrizations
    part.__class__ = type(part).__bases__[0]
    for name, value in effective.items():
        if name in learned:
            part.register_parameter(name, nn.Parameter(value))
        else:
            part.register_buffer(name, value)


def _apply_hooks(part: nn.Module) -> None:
    for hook in list(part._forward_pre_hooks.values()):
        if isinstance(hook, WeightNorm):
            remove_weight_norm(part, hook.name)
        elif isinstance(hook, SpectralNorm):
            remove_spectral_norm(part, hook.name)
        elif isinstance(hook, prune.BasePruningMethod):
            prune.remove(part, hook._tensor_name)


def differ_in_numbers_alone(one: nn.Module, other: nn.Module) -> bool:
    """True where nothing but the entries of tensors can differ, so that one trace serves both.

    False also where that cannot be told, as of a module that cannot be pickled.
    """
    skeleton = _skeleton(one)
    return skeleton is not None and skeleton == _skeleton(other)


def _skeleton(module: nn.Module) -> str | None:
    """A digest of the module as it is pickled, with shape, dtype and identity in each tensor's place."""
    # with the tensors, of which one that ended would leave its identity to another
    numbers: dict[int, tuple[int, Tensor]] = {}

    class Pickler(pickle.Pickler):
        def persistent_id(self, value: object) -> object:
            if not isinstance(value, Tensor):
                return None
            number, _ = numbers.setdefault(id(value), (len(numbers), value))
            return number, type(value).__name__, tuple(value.shape), str(value.dtype)

    digest = hashlib.sha256()
    # nothing is kept: a module may hold a whole data set
    buffer = SimpleNamespace(write=digest.update)
    try:
        Pickler(buffer).dump(module)
    except Exception:
        # whatever a module holds that does not let itself be pickled
        return None
    return digest.hexdigest()
