"""Training from a data file to a folder: data, architecture, phases, and the record of all of it."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from gencheck.atomic import write_whole
from gencheck.errors import InputError
from gencheck.load.digest import sha256_of
from gencheck.load.prepare import prepared, target_rows
from gencheck.load.run_folder import GATES, MODEL, SOLUTION, SPLIT, WEIGHTS
from gencheck.load.split import Array
from gencheck.network.frontend.lowering import lower
from gencheck.network.frontend.trace import trace
from gencheck.progress import SILENT, Progress
from gencheck.training.files import require_safetensors, save_model
from gencheck.training.folder import claim
from gencheck.training.loop import Regulariser, fit
from gencheck.training.path_ridge import path_ridge
from gencheck.training.phases import phase_positions, two_phase
from gencheck.training.regularisers.darc import DARC1
from gencheck.training.request import (
    TrainRequest,
    build_model,
    class_count,
    identity,
    select_data,
)
from gencheck.training.ridge_facts import RidgeFacts, ridge_facts


@dataclass(frozen=True)
class Fit:
    """How well outputs fit a set: mean squared loss and 0-1 error."""

    items: int
    risk: float
    error: float


@dataclass(frozen=True)
class Phase:
    """One phase: its mean loss by epoch, and its fit on its own items and on the test items."""

    losses: list[float]
    train: Fit
    test: Fit | None


@dataclass(frozen=True)
class TrainResult:
    """What a run made: sizes, phases, files with their SHA-256, what decided it, seconds."""

    parameters: int
    item_shape: tuple[int, ...]
    outputs: int
    preprocessing: list[str]
    train_count: int
    test_count: int
    standard: Phase
    freeze: Phase | None
    ridge: RidgeFacts | None
    digests: dict[str, str]
    identity: dict[str, str]
    seconds: float


@dataclass(frozen=True)
class _Data:
    """Items and targets on the run's device, and the position of each item in its file."""

    items: Tensor
    targets: Tensor
    indices: Array

    def __getitem__(self, part: Array) -> "_Data":
        chosen = torch.from_numpy(part).to(self.items.device)
        return _Data(self.items[chosen], self.targets[chosen], self.indices[part])


def train(choice: TrainRequest, progress: Progress = SILENT) -> TrainResult:
    """Train as chosen and write checkpoints, split and solution into the folder `choice.out`.

    The folder is unfinished, and refused by every reader, until the record of this result is written
    into it. A run that was killed goes on from the last finished epoch when it is started again.

    Raises
    ------
    InputError, UnsupportedModel, MissingDependency
        As the readers, the factory, the tracer and the phases raise them; the folder holds another
        run, or cannot be written.
    """
    started = time.perf_counter()
    if choice.safetensors:
        require_safetensors()
    main, test = select_data(choice)
    outputs = class_count(main, test)
    model, shape = build_model(choice, tuple(main.items.shape[1:]), outputs)
    steps: list[str] = []
    sets = []
    for split in (main, test):
        if split is not None:
            items, taken = prepared(split, shape, "float32")
            steps += [step for step in taken if step not in steps]
            rows = torch.from_numpy(target_rows(split, "classification", outputs))
            values = torch.from_numpy(items).to(choice.device)
            sets.append(_Data(values, rows.to(choice.device), split.indices))
    own, unseen = sets[0], (sets[1] if test is not None else None)
    facts = identity(choice, model, shape, _named(own, "") | _named(unseen, "test "))
    claim(choice.out, facts, choice.overwrite)
    model = model.to(choice.device)
    if choice.alpha is None:
        made = _plain(choice, model, own, unseen, progress)
    elif choice.solver == "ridge":
        made = _ridge(choice, model, own, unseen, progress)
    else:
        made = _two_phase(choice, model, own, unseen, progress)
    return TrainResult(
        parameters=sum(p.numel() for p in model.parameters()),
        item_shape=shape,
        outputs=outputs,
        preprocessing=steps,
        train_count=len(own.items),
        test_count=0 if unseen is None else len(unseen.items),
        standard=made.standard,
        freeze=made.freeze,
        ridge=made.ridge,
        digests={name: sha256_of(choice.out / name) for name in made.files},
        identity=facts,
        seconds=time.perf_counter() - started,
    )


@dataclass(frozen=True)
class _Made:
    standard: Phase
    freeze: Phase | None
    ridge: RidgeFacts | None
    files: list[str]


def _plain(
    choice: TrainRequest,
    model: nn.Module,
    own: _Data,
    unseen: _Data | None,
    progress: Progress,
) -> _Made:
    state = choice.out / "standard.state"
    losses = fit(
        model,
        own.items,
        targets=own.targets.float(),
        training=choice.training,
        seed=choice.seed,
        regulariser=_regulariser(choice),
        state=state,
        progress=progress,
        stage="standard",
    )
    files = save_model(model, tuple(own.items.shape[1:]), choice.out / MODEL, choice.safetensors)
    return _Made(_phase(model, losses, own, unseen), None, None, files)


def _two_phase(
    choice: TrainRequest,
    model: nn.Module,
    own: _Data,
    unseen: _Data | None,
    progress: Progress,
) -> _Made:
    assert choice.alpha is not None
    run = two_phase(
        model,
        (own.items, own.targets.float()),
        alpha=choice.alpha,
        training=choice.training,
        freeze=choice.freeze,
        seed=choice.seed,
        regulariser=_regulariser(choice),
        folder=choice.out,
        progress=progress,
    )
    shape = tuple(own.items.shape[1:])
    files = save_model(run.gates, shape, choice.out / GATES, choice.safetensors)
    files += save_model(run.weights, shape, choice.out / WEIGHTS, choice.safetensors)
    files += _save_split(choice, own[run.standard], own[run.freeze], unseen)
    standard = _phase(run.gates, run.standard_losses, own[run.standard], unseen)
    freeze = None
    if len(run.freeze):
        freeze = _phase(run.network, run.freeze_losses, own[run.freeze], unseen)
    return _Made(standard, freeze, None, files)


def _ridge(
    choice: TrainRequest,
    model: nn.Module,
    own: _Data,
    unseen: _Data | None,
    progress: Progress,
) -> _Made:
    assert choice.alpha is not None
    first, second = phase_positions(len(own.items), choice.alpha, choice.seed)
    if not len(second):
        raise InputError(
            where="--alpha", found="1 with --solver ridge", required="items for the freeze phase"
        )
    shape = tuple(own.items.shape[1:])
    graph = trace(model, shape)
    lower(graph)  # refused before any training, not after half of it
    standard, frozen = own[first], own[second]
    losses = fit(
        model,
        standard.items,
        targets=standard.targets.float(),
        training=choice.training,
        seed=choice.seed,
        regulariser=_regulariser(choice),
        state=choice.out / "standard.state",
        progress=progress,
        stage="standard",
    )
    network = lower(trace(model, shape))
    test_items = frozen.items[:0] if unseen is None else unseen.items
    solved = path_ridge(
        network,
        frozen.items,
        targets=frozen.targets.cpu(),
        test_items=test_items,
        plan=choice.ridge,
        progress=progress,
    )
    targets = frozen.targets if unseen is None else torch.cat([frozen.targets, unseen.targets])
    facts = ridge_facts(network, solved, targets.cpu(), len(second), choice.ridge)
    files = save_model(model, shape, choice.out / GATES, choice.safetensors)
    files += _save_split(choice, standard, frozen, unseen)
    files += _save_arrays(
        choice.out / SOLUTION,
        coefficients=solved.solution.coefficients.numpy(),
        landmarks=frozen.indices[solved.landmarks.numpy()],
        exponent=np.array(solved.exponent),
        centred=np.array(choice.ridge.centred),
    )
    count = len(second)
    own_fit = _fit_of(solved.outputs[:count], frozen.targets.cpu())
    test_fit = None if unseen is None else _fit_of(solved.outputs[count:], unseen.targets.cpu())
    return _Made(
        _phase(model, losses, standard, unseen),
        Phase([], own_fit, test_fit),
        facts,
        files,
    )


def _phase(model: nn.Module, losses: list[float], own: _Data, unseen: _Data | None) -> Phase:
    test = None if unseen is None else _fit_of(_outputs(model, unseen.items), unseen.targets.cpu())
    return Phase(losses, _fit_of(_outputs(model, own.items), own.targets.cpu()), test)


def _outputs(model: nn.Module, items: Tensor) -> Tensor:
    model.eval()
    with torch.no_grad():
        return torch.cat([model(part).double().cpu() for part in items.split(1024)])


def _fit_of(outputs: Tensor, targets: Tensor) -> Fit:
    wrong = outputs.argmax(1) != targets.argmax(1)
    risk = (outputs - targets).square().sum(1).mean()
    return Fit(len(outputs), float(risk), float(wrong.double().mean()))


def _regulariser(choice: TrainRequest) -> Regulariser | None:
    return DARC1(choice.darc1) if choice.darc1 else None


def _named(data: _Data | None, prefix: str) -> dict[str, Tensor]:
    """Items, labels and positions by name."""
    if data is None:
        return {}
    positions = torch.from_numpy(data.indices)
    return {
        f"{prefix}items": data.items,
        f"{prefix}labels": data.targets,
        f"{prefix}split": positions,
    }


def _save_split(
    choice: TrainRequest, standard: _Data, freeze: _Data, unseen: _Data | None
) -> list[str]:
    """Which items of the file each phase had, and which were held out of it."""
    apart = standard.indices[:0]
    if choice.holdout is not None and unseen is not None:
        apart = unseen.indices
    return _save_arrays(
        choice.out / SPLIT, standard=standard.indices, freeze=freeze.indices, held_out=apart
    )


def _save_arrays(path: Path, **arrays: Array) -> list[str]:
    write_whole(path, lambda buffer: np.savez(buffer, allow_pickle=False, **arrays), "--out")
    return [path.name]
