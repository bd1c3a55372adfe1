"""Copies on a device of what every pass reads again: weights and indices go there once."""

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from gencheck.network.windows import Index

# By what was copied, as long as that lives; then by device and dtype.
_COPIES = WeakIdKeyDictionary()


def on_device(source: Tensor | Index, like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """`source` where `like` is, as it is or in another dtype; copied there the first time.

    A copy from pageable memory holds up the host, and with it every pass. `source` must not change.
    """
    tensor = source if isinstance(source, Tensor) else torch.from_numpy(source)
    if tensor.device == like.device:
        return tensor.to(dtype or tensor.dtype)
    copies = _COPIES.setdefault(source, {})
    key = (like.device, dtype)
    if key not in copies:
        copies[key] = tensor.to(like.device, dtype)
    copied: Tensor = copies[key]
    return copied
