"""Folders that `save_pretrained` of transformers writes: config.json and weights in safetensors."""

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gencheck.errors import InputError, needing
from gencheck.load.files import listed, reading, require_archive_fits, shortened
from gencheck.load.shards import SHARD_INDEX, read_safetensors, read_shards
from gencheck.load.weights import require_weights

CONFIG = "config.json"
_WEIGHTS = "model.safetensors"

# What a configuration can ask for beyond an architecture: other files, other packages.
_ELSEWHERE = ("quantization_config", "use_pretrained_backbone", "use_timm_backbone")


@dataclass(frozen=True)
class PretrainedFolder:
    """A folder with a configuration and weights, of which nothing has been built yet."""

    path: Path
    config: dict[str, Any]

    def weights(self) -> dict[str, Tensor]:
        """The weights by name, from one file or from shards.

        Raises
        ------
        InputError, MissingDependency
            As their readers raise them; there are none in safetensors.
        """
        whole, index = self.path / _WEIGHTS, self.path / f"model{SHARD_INDEX}"
        if not whole.is_file() and not index.is_file():
            raise InputError(
                where=str(self.path),
                found=f"neither {whole.name} nor {index.name}",
                required="weights in safetensors",
                remedy="Save them so: model.save_pretrained(folder).",
            )
        found = read_safetensors(whole) if whole.is_file() else read_shards(index)
        require_weights(found, self.path)
        return found


def is_pretrained_folder(path: Path) -> bool:
    """True for a folder with a config.json."""
    return path.is_dir() and (path / CONFIG).is_file()


def read_pretrained_folder(path: Path) -> PretrainedFolder:
    """The folder's configuration.

    Raises
    ------
    InputError
        It is none, or the folder holds an adapter of another model.
    """
    required = "the config.json that save_pretrained writes"
    require_archive_fits(path / CONFIG)
    with reading(path / CONFIG, required):
        config = json.loads((path / CONFIG).read_text(encoding="utf-8"))
    if not isinstance(config, dict):
        raise InputError(
            where=str(path / CONFIG), found=f"a {type(config).__name__}", required=required
        )
    if (path / "adapter_config.json").exists():
        raise InputError(
            where=str(path),
            found="an adapter, whose model lies elsewhere",
            required="a whole model",
            remedy="Merge it and save that: model.merge_and_unload().save_pretrained(folder).",
        )
    return PretrainedFolder(path, config)


def pretrained_model(folder: PretrainedFolder) -> tuple[nn.Module, tuple[str, ...]]:
    """The model of the folder, built by the class of transformers that its configuration names.

    Only classes of that package are taken, whatever code the folder may hold, and only weights in
    the folder.

    Raises
    ------
    InputError
        The configuration names no such class or does not suit it, or weights are missing.
    MissingDependency
        transformers is not installed.
    """
    with needing("transformers", f"Building {folder.path}"):
        import transformers
    found = _architecture(folder, transformers)
    # the weights are read first by our own reader, which knows how much memory they may take
    stored = folder.weights()
    wide = any(tensor.dtype == torch.float64 for tensor in stored.values())
    required = f"a configuration and weights of {found.__name__}"
    with (
        reading(folder.path, required, _REMEDY),
        warnings.catch_warnings(),
        _quiet(transformers),
    ):
        warnings.simplefilter("ignore")
        config = found.config_class.from_dict(folder.config)
        config.use_cache = False
        model, info = found.from_pretrained(
            folder.path,
            config=config,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            attn_implementation="eager",
            dtype=torch.float64 if wide else torch.float32,
        )
    _require_all(info, folder.path, found.__name__)
    return model.eval(), _notes(info, found.__name__)


_REMEDY = "Save it anew with save_pretrained, or pass --model MODULE:FACTORY."


def _architecture(folder: PretrainedFolder, transformers: Any) -> Any:
    named = folder.config.get("architectures")
    name = named[0] if isinstance(named, list) and len(named) == 1 else named
    found = getattr(transformers, name, None) if isinstance(name, str) else None
    own = str(getattr(found, "__module__", "")).startswith("transformers.models.")
    if not (own and isinstance(found, type) and issubclass(found, transformers.PreTrainedModel)):
        raise InputError(
            where=str(folder.path / CONFIG),
            found=f"architectures {shortened(repr(named), 80)}",
            required="one model class of transformers; code beside the weights is not run",
            remedy=_REMEDY,
        )
    asked = [key for key in _ELSEWHERE if folder.config.get(key)]
    if asked:
        raise InputError(
            where=str(folder.path / CONFIG),
            found=listed(asked),
            required="a model whose architecture and weights are in transformers and in the folder",
            remedy=_REMEDY,
        )
    return found


def _require_all(info: dict[str, Any], path: Path, name: str) -> None:
    """Weights that were not in the files would be drawn at random."""
    for kind in ("missing_keys", "mismatched_keys"):
        keys = [str(key) for key in info.get(kind) or ()]
        if keys:
            raise InputError(
                where=str(path),
                found=f"{len(keys)} {kind.split('_')[0]} weights: {listed(sorted(keys), 5)}",
                required=f"all weights of {name}",
                remedy="Save the model after its head has been trained.",
            )


def _notes(info: dict[str, Any], name: str) -> tuple[str, ...]:
    left = sorted(str(key) for key in info.get("unexpected_keys") or ())
    built = f"built as {name} of transformers, from config.json"
    return (built, f"left out, as no part of {name}: {listed(left, 5)}") if left else (built,)


class _quiet:  # noqa: N801 - used as a statement
    """transformers without progress bars and warnings while a model is loaded."""

    def __init__(self, transformers: Any) -> None:
        self.logging = transformers.utils.logging

    def __enter__(self) -> None:
        self.before = self.logging.get_verbosity()
        self.bars = self.logging.is_progress_bar_enabled()
        self.logging.set_verbosity_error()
        self.logging.disable_progress_bar()

    def __exit__(self, *_error: object) -> None:
        self.logging.set_verbosity(self.before)
        if self.bars:
            self.logging.enable_progress_bar()
