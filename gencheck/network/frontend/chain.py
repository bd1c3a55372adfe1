"""A plain chain of Linear weights as a module, for a state dict that came without its model."""

import re

from torch import Tensor, nn

from gencheck.errors import InputError


def linear_chain(tensors: dict[str, Tensor], ordered: bool, where: str) -> nn.Sequential:
    """Linear, ReLU, Linear, …, Linear from weights ``PREFIX.weight`` and ``PREFIX.bias``.

    A state dict does not say what stands between the layers: ReLU is assumed, and the caller
    records that.

    Parameters
    ----------
    ordered
        True where the order of `tensors` is the model's own. Otherwise the layers are put in the
        order of the one number that their names differ in, and refused where there is none.

    Raises
    ------
    InputError
        The weights are not those of such a chain.
    """
    layers = _layers(tensors, where)
    prefixes = list(layers) if ordered else _numbered(list(layers), where)
    modules: list[nn.Module] = []
    for before, prefix in zip([None, *prefixes], prefixes, strict=False):
        weight = layers[prefix]
        if before is not None:
            if layers[before].shape[0] != weight.shape[1]:
                raise _no_chain(
                    where,
                    f"{prefix}.weight of shape {tuple(weight.shape)} after {before}.weight of "
                    f"shape {tuple(layers[before].shape)}",
                )
            modules.append(nn.ReLU())
        modules.append(_linear(weight, tensors.get(f"{prefix}.bias")))
    return nn.Sequential(*modules).eval()


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    out, width = weight.shape
    layer = nn.Linear(width, out, bias=bias is not None, dtype=weight.dtype)
    layer.weight = nn.Parameter(weight)
    if bias is not None:
        layer.bias = nn.Parameter(bias)
    return layer


def _layers(tensors: dict[str, Tensor], where: str) -> dict[str, Tensor]:
    layers: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        prefix, _, kind = name.rpartition(".")
        if not tensor.is_floating_point():
            raise _no_chain(where, f"{name} of {str(tensor.dtype).removeprefix('torch.')}")
        if kind == "weight" and tensor.ndim == 2:
            layers[prefix] = tensor
        elif kind != "bias" or tensor.ndim != 1:
            raise _no_chain(where, f"{name} of shape {tuple(tensor.shape)}")
    for name, tensor in tensors.items():
        prefix, _, kind = name.rpartition(".")
        if kind == "bias" and (prefix not in layers or len(tensor) != len(layers[prefix])):
            raise _no_chain(where, f"{name} of shape {tuple(tensor.shape)} without its weight")
    if not layers:
        raise _no_chain(where, "no weight")
    return layers


def _numbered(prefixes: list[str], where: str) -> list[str]:
    """The prefixes in the order of the one number that they differ in."""
    shapes = {re.sub(r"\d+", "#", prefix) for prefix in prefixes}
    numbers = [tuple(int(n) for n in re.findall(r"\d+", prefix)) for prefix in prefixes]
    differing = (
        {i for n in numbers for i in range(len(n)) if n[i] != numbers[0][i]}
        if (len(shapes) == 1)
        else set()
    )
    if len(prefixes) > 1 and len(differing) != 1:
        raise _no_chain(where, f"layers {', '.join(prefixes)}, whose order the file does not say")
    return [prefix for _, prefix in sorted(zip(numbers, prefixes, strict=True))]


def _no_chain(where: str, found: str) -> InputError:
    return InputError(
        where=where,
        found=found,
        required="the weights of a plain chain of Linear layers, or --model",
        remedy="Name the function that builds the model with --model MODULE:FACTORY.",
    )
