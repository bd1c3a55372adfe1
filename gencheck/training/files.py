"""The files that a training run leaves: programs and weights."""

import warnings
from pathlib import Path

import torch
from torch import nn

from gencheck.errors import MissingDependency


def require_safetensors() -> None:
    """Do nothing where weights can be written.

    Raises
    ------
    MissingDependency
        The safetensors library is not installed.
    """
    try:
        import safetensors.torch  # noqa: F401
    except ImportError as error:
        raise MissingDependency(
            library="safetensors", extra="safetensors", purpose="Writing the weights"
        ) from error


def save_model(
    module: nn.Module, shape: tuple[int, ...], stem: Path, safetensors: bool = True
) -> list[str]:
    """Write ``STEM.pt2`` (graph and weights, any batch) and ``STEM.safetensors``; their names."""
    save_program(module, shape, stem.with_suffix(".pt2"))
    if not safetensors:
        return [f"{stem.name}.pt2"]
    from safetensors.torch import save_file

    state = {
        name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()
    }
    temporary = stem.with_suffix(".safetensors.part")
    save_file(state, temporary)
    temporary.replace(stem.with_suffix(".safetensors"))
    return [f"{stem.name}.pt2", f"{stem.name}.safetensors"]


def save_program(module: nn.Module, shape: tuple[int, ...], path: Path) -> None:
    """Write the torch.export program of `module`, in eval mode, for items of `shape`."""
    module = module.eval()
    example = next(module.parameters())
    batch = torch.export.Dim("batch")
    items = torch.zeros((2, *shape), dtype=example.dtype, device=example.device)
    temporary = path.with_name(f"part-{path.name}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(module, (items,), dynamic_shapes=({0: batch},))
        torch.export.save(program, temporary)
    temporary.replace(path)
