"""Checkpoints: torch.export programs and state dicts, without running anything they contain."""

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gencheck.errors import InputError, MissingDependency
from gencheck.load.archive import read_archive
from gencheck.load.code import named_attribute
from gencheck.load.files import suffix_of
from gencheck.load.wrapping import SHARD_INDEX, read_shards, unwrap, without_prefixes


@dataclass(frozen=True)
class SavedProgram:
    """A ``.pt2`` archive: its JSON document, and weights by fully qualified name."""

    document: dict[str, Any]
    weights: dict[str, Tensor]


@dataclass(frozen=True)
class StateDict:
    """Weights by name, in the file's order; `ordered` where that order is the model's own.

    `notes` say how the file was unwrapped; `under` is the key that the weights stood under.
    """

    tensors: dict[str, Tensor]
    ordered: bool
    notes: tuple[str, ...] = ()
    under: str | None = None


def load_checkpoint(path: Path) -> SavedProgram | StateDict:
    """The content of a checkpoint, by its suffix.

    Raises
    ------
    InputError
        Missing, damaged or of an unknown kind, or a pickle that would run code; a state dict in a
        wrapping that can be read in two ways.
    MissingDependency
        ``.safetensors`` without the safetensors library.
    """
    if path.name.endswith(SHARD_INDEX) and path.is_file():
        return StateDict(read_shards(path), ordered=False)
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
    under, wrapped = unwrap(content, path)
    for name, value in wrapped.items():
        if not isinstance(value, Tensor):
            raise InputError(
                where=f"{path}, key {name!r}",
                found=f"a {type(value).__name__}",
                required="a tensor",
                remedy="Save the state dict alone: torch.save(model.state_dict(), path).",
            )
    tensors = {str(k): v.detach() for k, v in wrapped.items()}
    notes = () if under is None else (f"the state dict under the key {under!r}",)
    return StateDict(tensors, ordered=True, notes=notes, under=under)


_LOADERS: dict[str, Callable[[Path], SavedProgram | StateDict]] = {
    ".pt2": _program,
    ".safetensors": _safetensors,
    ".pt": _pickled,
    ".pth": _pickled,
}


def built_model(factory: str, state: StateDict, where: str) -> tuple[nn.Module, tuple[str, ...]]:
    """The model that the user's own FACTORY builds, with the checkpoint's weights, and notes.

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
    required = "MODULE:FACTORY, an importable function without arguments"
    found = named_attribute(factory, "--model", required)
    try:
        module = found()
    except Exception as error:
        raise InputError(
            where=f"--model {factory}",
            found=f"{type(error).__name__}: {error}",
            required=required,
        ) from error
    if not isinstance(module, nn.Module):
        raise InputError(
            where=f"--model {factory}",
            found=f"a {type(module).__name__}",
            required="a factory that returns a torch.nn.Module",
        )
    tensors, notes = without_prefixes(state.tensors, set(module.state_dict()), state.under)
    _refuse_mismatch(module, tensors, where, factory)
    module.load_state_dict(tensors)
    return module.eval(), tuple(notes)


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
