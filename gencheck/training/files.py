"""The files that a training run leaves: programs and weights."""

import warnings
from pathlib import Path

import torch
from torch import nn

from gencheck.atomic import write_whole
from gencheck.errors import needing


def require_safetensors() -> None:
    """Do nothing where weights can be written.

    Raises
    ------
    MissingDependency
        The safetensors library is not installed.
    """
    with needing("safetensors", "Writing the weights"):
        import safetensors.torch  # noqa: F401


def save_model(
    module: nn.Module, shape: tuple[int, ...], stem: Path, safetensors: bool = True
) -> list[str]:
    """Write ``STEM.pt2`` (graph and weights, any batch) and ``STEM.safetensors``; their names.

    Raises
    ------
    InputError
        The folder cannot be written, or is full.
    """
    program, path = exported(module, shape), stem.with_suffix(".pt2")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_whole(path, lambda buffer: torch.export.save(program, buffer), "the trained model,")
    if not safetensors:
        return [path.name]
    from safetensors.torch import save

    state = {
        name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()
    }
    weights = stem.with_suffix(".safetensors")
    write_whole(weights, save(state), "the trained model,")
    return [path.name, weights.name]


def exported(module: nn.Module, shape: tuple[int, ...]) -> torch.export.ExportedProgram:
    """The torch.export program of `module`, put into eval mode, for any batch of items of `shape`."""
    module = module.eval()
    like = next(module.parameters())
    batch = torch.export.Dim("batch")
    items = torch.zeros((2, *shape), dtype=like.dtype, device=like.device)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.export.export(module, (items,), dynamic_shapes=({0: batch},))
