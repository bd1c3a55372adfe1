"""What a training run starts from: data, architecture, options, and the record of them."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gencheck.errors import InputError
from gencheck.load.code import named_attribute
from gencheck.load.dataset import load_dataset
from gencheck.load.digest import sha256_of
from gencheck.load.prepare import candidate_shapes, held_out, shuffled
from gencheck.load.split import Rows, Split
from gencheck.training.architectures import named_architecture
from gencheck.training.files import exported
from gencheck.training.loop import Training
from gencheck.training.path_ridge import RidgeOptions
from gencheck.training.state import digest_of, machine_facts, model_facts

# A label beyond is a name (a hash, a date), and no number of an output.
_MOST_CLASSES = 100_000


@dataclass(frozen=True)
class TrainRequest:
    """What to train, on what, and how.

    Attributes
    ----------
    data, x_key, y_key, holdout, limit
        As for an audit: the train split is trained on, the test split (or what is held out) tells.
    architecture
        ``mlp:WIDTH,…``, ``lenet``, ``resnet20`` or ``MODULE:FACTORY``.
    alpha
        The share of the items for the standard phase; None for plain training.
    solver
        Of the freeze phase: ``sgd`` (mini-batches) or ``ridge`` (closed form in path space).
    darc1
        λ of the DARC1 term in the loss of both phases; 0 for none.
    safetensors
        Write the weights as ``.safetensors`` beside each program.
    overwrite
        Start afresh, whatever the folder holds.
    """

    data: Path
    architecture: str
    out: Path
    x_key: str | None = None
    y_key: str | None = None
    holdout: float | None = None
    limit: int | None = None
    alpha: float | None = None
    solver: str = "sgd"
    training: Training = field(default_factory=Training)
    freeze: Training = field(default_factory=Training)
    ridge: RidgeOptions = field(default_factory=RidgeOptions)
    darc1: float = 0.0
    seed: int = 0
    device: str = "cpu"
    safetensors: bool = True
    overwrite: bool = False


def select_data(request: TrainRequest) -> tuple[Split, Split | None]:
    """The items to train on, and those to tell by where there are some.

    Raises
    ------
    InputError
        As the readers raise it.
    """
    data = load_dataset(request.data, request.x_key, request.y_key)
    main: Split | Rows = data.main
    test: Split | Rows | None = data.test
    if request.holdout is not None:
        main, test = held_out(main, request.holdout, request.seed)
    main = shuffled(main, request.limit, request.seed)
    return main.loaded(), None if test is None else test.loaded()


def class_count(main: Split, test: Split | None) -> int:
    """The number of classes: one more than the largest label.

    Raises
    ------
    InputError
        Targets are not whole-number labels of at least two classes.
    """
    targets = main.targets if test is None else np.concatenate([main.targets, test.targets])
    whole = targets.ndim == 1 and targets.dtype.kind in "biu"
    if not whole or targets.min() < 0 or targets.max() < 1:
        raise InputError(
            where=main.where,
            found=f"targets of type {targets.dtype} and shape {targets.shape}",
            required="one whole-number label an item, from 0 on, of at least two classes",
        )
    count = int(targets.max()) + 1
    if count > _MOST_CLASSES:
        raise InputError(
            where=main.where,
            found=f"the label {count - 1}",
            required=f"labels below {_MOST_CLASSES}: they number the outputs of the network",
            remedy="Number the classes 0, 1, 2, … and save the labels again.",
        )
    return count


def build_model(
    request: TrainRequest, stored: tuple[int, ...], outputs: int
) -> tuple[nn.Module, tuple[int, ...]]:
    """The model to train, its weights drawn from the seed, and the shape of the items it takes.

    Raises
    ------
    InputError
        The architecture is unknown, its factory fails, or it does not fit the items.
    """
    name = request.architecture
    known = name.startswith("mlp:") or ":" not in name
    if known:
        return named_architecture(name, stored, outputs, request.seed)
    required = "MODULE:FACTORY, an importable function without arguments"
    factory = named_attribute(name, "--arch", required)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(request.seed)
        try:
            module = factory()
        except Exception as error:
            raise InputError(
                where=f"--arch {name}", found=f"{type(error).__name__}: {error}", required=required
            ) from error
    if not isinstance(module, nn.Module):
        raise InputError(
            where=f"--arch {name}",
            found=f"a {type(module).__name__}",
            required="a factory that returns a torch.nn.Module",
        )
    return module, _accepted_shape(module, stored, outputs, name)


def _accepted_shape(
    module: nn.Module, stored: tuple[int, ...], outputs: int, name: str
) -> tuple[int, ...]:
    """The first shape that the module runs on and answers with one output a class."""
    module.eval()
    for shape in candidate_shapes(stored):
        try:
            with torch.no_grad():
                made = module(torch.zeros((2, *shape)))
        except (RuntimeError, ValueError, TypeError, IndexError):
            continue
        if tuple(made.shape) == (2, outputs):
            return shape
    raise InputError(
        where=f"--arch {name}",
        found=f"a model that does not take items of shape {stored}, or has not {outputs} outputs",
        required=f"a model from such items to {outputs} outputs, one for each class",
    )


def request_record(request: TrainRequest) -> dict[str, Any]:
    """Everything that is needed to repeat the run, as plain data."""
    return {
        "data": {"path": str(request.data), "sha256": sha256_of(request.data)},
        "x_key": request.x_key,
        "y_key": request.y_key,
        "holdout": request.holdout,
        "limit": request.limit,
        "arch": request.architecture,
        "alpha": request.alpha,
        "solver": request.solver if request.alpha is not None else None,
        "training": asdict(request.training),
        "freeze": asdict(request.freeze) if request.solver == "sgd" else asdict(request.ridge),
        "darc1": request.darc1,
        "seed": request.seed,
        "device": request.device,
        "out": str(request.out),
    }


def identity(
    request: TrainRequest, model: nn.Module, shape: tuple[int, ...], sets: Mapping[str, Tensor]
) -> dict[str, str]:
    """Everything that decides the result of a run, by name.

    Parameters
    ----------
    model
        With the weights that training starts from.
    sets
        Items, labels and positions of every set, by name.
    """
    record = request_record(request)
    facts = {name: record[name] for name in ("arch", "alpha", "solver", "darc1", "seed")}
    facts |= {name: record[name] for name in ("holdout", "limit")}
    for phase in ("training", "freeze"):
        facts |= {f"{phase} {name}": value for name, value in record[phase].items()}
    if ":" in request.architecture and not request.architecture.startswith("mlp:"):
        # the user's code may compute another function of the same weights
        graph = str(exported(model, shape).graph)
        facts["forward"] = hashlib.sha256(graph.encode()).hexdigest()
    return {
        **{name: str(value) for name, value in facts.items()},
        **{name: digest_of(values) for name, values in sets.items()},
        **model_facts(model),
        **machine_facts(request.device),
        "safetensors": str(request.safetensors),
    }
