"""Convolutions in the order of memory that a CPU goes through fastest."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from gencheck.training.gated import GatedNetwork


@contextmanager
def fastest_layout(model: nn.Module, items: Tensor) -> Iterator[None]:
    """Within: the weights of `model` with channels last, where that is faster and the model takes it.

    A convolution with such weights hands its outputs on in the same order, so that no batch is put
    into blocks and back. Values are the same; sums are rounded in another order. Afterwards the
    weights are as files have them.

    Parameters
    ----------
    items
        Shape (N, …); two of them are run through the model, in eval mode.
    """
    if not _is_faster(model, items):
        yield
        return
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    try:
        if not _runs(model, items[:2]):
            model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        yield
    finally:
        model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]


def _is_faster(model: nn.Module, items: Tensor) -> bool:
    # a gated network is traced, and a trace holds what was done for one order
    if isinstance(model, GatedNetwork) or items.device.type != "cpu" or items.dim() != 4:
        return False
    return any(isinstance(module, nn.Conv2d) for module in model.modules())


def _runs(model: nn.Module, items: Tensor) -> bool:
    """False where the model asks for one order of memory: ``view`` does."""
    was = model.training
    model.eval()
    try:
        with torch.no_grad():
            model(items)
    except RuntimeError:
        return False
    finally:
        model.train(was)
    return True
