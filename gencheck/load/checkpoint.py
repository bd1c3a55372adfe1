"""Checkpoints: torch.export programs and state dicts, without running anything they contain."""

import importlib
import pickle
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gencheck.errors import InputError, MissingDependency
from gencheck.load.archive import read_archive
from gencheck.load.files import suffix_of


@dataclass(frozen=True)
class SavedProgram:
    """A ``.pt2`` archive: its JSON document, and weights by fully qualified name."""

    document: dict[str, Any]
    weights: dict[str, Tensor]


@dataclass(frozen=True)
class StateDict:
    """Weights by name, in the file's order; `ordered` where that order is the model's own."""

    tensors: dict[str, Tensor]
    ordered: bool


def load_checkpoint(path: Path) -> SavedProgram | StateDict:
    """The content of a checkpoint, by its suffix.

    Raises
    ------
    InputError
        Missing, damaged or of an unknown kind, or a pickle that would run code.
    MissingDependency
        ``.safetensors`` without the safetensors library.
    """
    return _LOADERS[suffix_of(path, _LOADERS, "a checkpoint file")](path)


def _program(path: Path) -> SavedProgram:
    return SavedProgram(*read_archive(path))


def _safetensors(path: Path) -> StateDict:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise MissingDependency(
            library="safetensors", extra="safetensors", purpose=f"Reading {path}"
        ) from error
    try:
        return StateDict(dict(load_file(path)), ordered=False)
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(
            where=str(path), found=f"a damaged file ({error})", required="a .safetensors file"
        ) from error


def _pickled(path: Path) -> StateDict:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).split("\n", 1)[0]
        raise InputError(
            where=str(path),
            found=f"a pickle that would have to run code, so it was not loaded ({reason})",
            required="a state dict of plain tensors, as torch.save(model.state_dict(), path) writes",
            remedy="Save the state dict alone, or export the model with torch.export.save.",
        ) from error
    except Exception as error:
        raise InputError(
            where=str(path),
            found=f"a damaged or foreign file ({type(error).__name__})",
            required="a file written by torch.save",
        ) from error
    if not isinstance(content, dict) or not content:
        raise InputError(
            where=str(path),
            found=f"a {type(content).__name__}" if content else "nothing",
            required="a state dict: names and tensors",
        )
    for name, value in content.items():
        if not isinstance(value, Tensor):
            raise InputError(
                where=f"{path}, key {name!r}",
                found=f"a {type(value).__name__}",
                required="a tensor",
                remedy="Save the state dict alone: torch.save(model.state_dict(), path).",
            )
    return StateDict({str(k): v.detach() for k, v in content.items()}, ordered=True)


_LOADERS: dict[str, Callable[[Path], SavedProgram | StateDict]] = {
    ".pt2": _program,
    ".safetensors": _safetensors,
    ".pt": _pickled,
    ".pth": _pickled,
}


def built_model(factory: str, state: StateDict, where: str) -> nn.Module:
    """The model that the user's own FACTORY builds, with the checkpoint's weights.

    Parameters
    ----------
    factory
        ``MODULE:FACTORY``; the module is imported with the working directory on the path. This is
        the one place that runs the user's code, and only because the user named it.

    Raises
    ------
    InputError
        The factory cannot be imported or called, or its weights differ from the checkpoint's.
    """
    module_name, _, attribute = factory.partition(":")
    try:
        module = _called(module_name, attribute)
    except Exception as error:
        raise InputError(
            where=f"--model {factory}",
            found=f"{type(error).__name__}: {error}",
            required="MODULE:FACTORY, an importable function without arguments",
        ) from error
    if not isinstance(module, nn.Module):
        raise InputError(
            where=f"--model {factory}",
            found=f"a {type(module).__name__}",
            required="a factory that returns a torch.nn.Module",
        )
    _refuse_mismatch(module, state.tensors, where, factory)
    module.load_state_dict(state.tensors)
    return module.eval()


def _called(module_name: str, attribute: str) -> Any:
    if not attribute:
        raise ValueError("no ':' in it")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    return getattr(importlib.import_module(module_name), attribute)()


def _refuse_mismatch(
    module: nn.Module, tensors: dict[str, Tensor], where: str, factory: str
) -> None:
    wanted = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    given = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    problems = [f"{n} is missing" for n in wanted if n not in given]
    problems += [f"{n} is not in the model" for n in given if n not in wanted]
    problems += [
        f"{n} has shape {given[n]}, the model wants {wanted[n]}"
        for n in wanted
        if n in given and given[n] != wanted[n]
    ]
    if problems:
        shown = "; ".join(problems[:5]) + (f"; and {len(problems) - 5} more" * (len(problems) > 5))
        raise InputError(
            where=where, found=shown, required=f"the weights of the model that {factory} builds"
        )
