"""Checkpoints: torch.export programs and state dicts, without running anything they contain."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from gencheck.errors import InputError
from gencheck.load.archive import read_archive
from gencheck.load.closed_pickle import read_lightning
from gencheck.load.code import named_attribute
from gencheck.load.files import shortened, suffix_of
from gencheck.load.hugging_face import (
    PretrainedFolder,
    is_pretrained_folder,
    read_pretrained_folder,
)
from gencheck.load.parametrised import with_effective_weights
from gencheck.load.pickled import export_lines, read_pickled
from gencheck.load.shards import SHARD_INDEX, read_safetensors, read_shards
from gencheck.load.weights import require_weights
from gencheck.load.wrapping import aligned, common_prefix, unwrap


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


def load_checkpoint(
    path: Path, key: str | None = None
) -> SavedProgram | StateDict | PretrainedFolder:
    """The content of a checkpoint, by its suffix; of a folder with a config.json, that.

    Parameters
    ----------
    key
        The key that the weights stand under, where a file holds several state dicts.

    Raises
    ------
    InputError
        Missing, damaged or of an unknown kind, or a pickle that would run code; several state dicts
        and no `key`, or a key that is not there; a weight that is sparse, quantised, of a type that
        is not computed with, or too large for memory.
    MissingDependency
        ``.safetensors`` without the safetensors library.
    """
    if is_pretrained_folder(path) and key is None:
        return read_pretrained_folder(path)
    if path.name.endswith(SHARD_INDEX) and path.is_file():
        suffix = SHARD_INDEX
    else:
        if path.suffix.lower() == ".onnx":
            raise _onnx(path)
        suffix = suffix_of(path, _LOADERS, "a checkpoint file")
    if key is not None and suffix not in _PICKLED:
        raise InputError(
            where=f"--key {key}",
            found=f"{path.name}, which holds weights alone",
            required="--key only with " + ", ".join(sorted(_PICKLED)),
        )
    if suffix in _PICKLED:
        return _state_of(_PICKLED[suffix](path), path, key)
    content = _LOADERS[suffix](path) if suffix != SHARD_INDEX else _shards(path)
    require_weights(content.weights if isinstance(content, SavedProgram) else content.tensors, path)
    return content


def _program(path: Path) -> SavedProgram:
    return SavedProgram(*read_archive(path))


def _shards(path: Path) -> StateDict:
    return StateDict(read_shards(path), ordered=False)


def _safetensors(path: Path) -> StateDict:
    return StateDict(read_safetensors(path), ordered=False)


def _state_of(content: Any, path: Path, key: str | None) -> StateDict:
    if not isinstance(content, dict) or not content:
        raise InputError(
            where=str(path),
            found=f"a {type(content).__name__}" if content else "nothing",
            required="a state dict: names and tensors",
        )
    if path.suffix.lower() == ".ckpt" and key is None and isinstance(content, dict):
        # Lightning's own place; callbacks may keep tensors under names of theirs
        key = "state_dict" if content.get("state_dict") else None
    under, wrapped = unwrap(content, path, key)
    for name, value in wrapped.items():
        if not isinstance(value, Tensor):
            raise InputError(
                where=f"{path}, key {shortened(repr(name), 80)}",
                found=f"a {type(value).__name__}",
                required="a tensor",
                remedy="Save the state dict alone: torch.save(model.state_dict(), path).",
            )
    tensors = {str(k): v.detach() for k, v in wrapped.items()}
    require_weights(tensors, path)
    notes = () if under is None else (f"the state dict under the key {under!r}",)
    return StateDict(tensors, ordered=True, notes=notes, under=under)


def _onnx(path: Path) -> InputError:
    return InputError(
        where=str(path),
        found="an ONNX file (suffix '.onnx'), which is not read",
        required="a .pt2 program, or a state dict with --model",
        remedy=export_lines("model = Net()  # the module that the ONNX file was exported from"),
    )


_PICKLED: dict[str, Callable[[Path], Any]] = {
    ".pt": read_pickled,
    ".pth": read_pickled,
    ".ckpt": read_lightning,
}

_LOADERS: dict[str, Callable[[Path], Any]] = {
    ".pt2": _program,
    ".safetensors": _safetensors,
    **_PICKLED,
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
    wanted = set(module.state_dict())
    effective, computed = with_effective_weights(state.tensors, wanted, where)
    tensors, notes = aligned(effective, wanted, state.under)
    _refuse_mismatch(module, tensors, where, factory)
    module.load_state_dict(tensors)
    return module.eval(), (*computed, *notes)


def _refuse_mismatch(
    module: nn.Module, tensors: dict[str, Tensor], where: str, factory: str
) -> None:
    wanted = module.state_dict()
    problems = [f"{n} is missing" for n in wanted if n not in tensors]
    problems += [f"{shortened(n, 80)} is not in the model" for n in tensors if n not in wanted]
    for name, own in wanted.items():
        given = tensors.get(name, own)
        if given.shape != own.shape:
            problems.append(
                f"{name} has shape {tuple(given.shape)}, the model wants {tuple(own.shape)}"
            )
        elif own.is_floating_point() and not given.is_floating_point():
            problems.append(f"{name} is of {given.dtype}, the model wants floating-point numbers")
    if problems:
        shown = "; ".join(problems[:5]) + (f"; and {len(problems) - 5} more" * (len(problems) > 5))
        raise InputError(
            where=where,
            found=f"{common_prefix(tensors, set(wanted))}{shown}",
            required=f"the weights of the model that {factory} builds",
        )
