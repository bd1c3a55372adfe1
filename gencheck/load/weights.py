"""Weights that can be computed with: dense, of ordinary types, and no larger than memory."""

from pathlib import Path

import torch
from torch import Tensor

from gencheck.element_types import ELEMENT_TYPES
from gencheck.errors import InputError
from gencheck.load.files import shortened
from gencheck.memory import require_memory

_TYPES = frozenset(ELEMENT_TYPES.values())


def require_weights(tensors: dict[str, Tensor], path: Path) -> None:
    """Do nothing where every tensor is dense, of a type that is computed with, and all fit memory.

    The memory is what their shapes say: a weight that repeats one number along an axis takes none in
    the file and all of it in a product.

    Raises
    ------
    InputError
        Names the first tensor that is not, or says how much they take together.
    """
    for name, tensor in tensors.items():
        found = _strangeness(tensor)
        if found:
            raise InputError(
                where=f"{path}, {shortened(name, 80)}",
                found=found,
                required="a dense weight of 16, 32 or 64 bits, or whole numbers",
                remedy="Convert it (.to_dense(), .dequantize(), .float()) and save again.",
            )
    total = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    require_memory(total, str(path), f"{len(tensors)} weights, by their shapes,")


def _strangeness(tensor: Tensor) -> str:
    """Why a tensor cannot be computed with; empty where it can."""
    if tensor.layout != torch.strided:
        return f"a sparse tensor ({str(tensor.layout).removeprefix('torch.')})"
    if tensor.is_quantized:
        return f"a quantised tensor ({str(tensor.dtype).removeprefix('torch.')})"
    if tensor.device.type == "meta":
        return "a tensor without numbers (on the meta device)"
    if tensor.dtype not in _TYPES:
        return f"element type {str(tensor.dtype).removeprefix('torch.')}"
    return ""
