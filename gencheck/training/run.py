"""Training from a data file to a folder: data, architecture, phases, and the record of all of it."""

import time
from dataclasses import dataclass, replace
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
from gencheck.network.ir import Network
from gencheck.progress import SILENT, Progress
from gencheck.spectral.ranks import ALONE, Ranks
from gencheck.training.files import require_safetensors, save_model
from gencheck.training.folder import claim
from gencheck.training.loop import Regulariser, fit
from gencheck.training.path_ridge import PathRidge, path_ridge
from gencheck.training.phases import phase_positions, two_phase
from gencheck.training.regularisers.darc import DARC1
from gencheck.training.request import (
    TrainRequest,
    build_model,
    class_count,
    identity,
    select_data,
)
from gencheck.training.result import Fit, Phase, TrainResult
from gencheck.training.ridge_facts import RidgeFacts, ridge_facts


@dataclass(frozen=True)
class _Data:
    """Items and targets on the run's device, and the position of each item in its file."""

    items: Tensor
    targets: Tensor
    indices: Array

    def __getitem__(self, part: Array) -> "_Data":
        chosen = torch.from_numpy(part).to(self.items.device)
        return _Data(self.items[chosen], self.targets[chosen], self.indices[part])


def train(request: TrainRequest, progress: Progress = SILENT, ranks: Ranks = ALONE) -> TrainResult:
    """Train as chosen and write checkpoints, split and solution into the folder `request.out`.

    The folder is unfinished, and refused by every reader, until the record of this result is written
    into it. A run that was killed goes on from the last finished epoch when it is started again.
    Where `ranks` share the kernel of a ridge solution, the first of them trains, writes, and has the
    result; the others' has neither losses nor files.

    Raises
    ------
    InputError, UnsupportedModel, MissingDependency
        As the readers, the factory, the tracer and the phases raise them; the folder holds another
        run, or cannot be written.
    """
    started = time.perf_counter()
    if request.safetensors:
        require_safetensors()
    main, test = select_data(request)
    outputs = class_count(main, test)
    model, shape = build_model(request, tuple(main.items.shape[1:]), outputs)
    steps: list[str] = []
    sets = []
    for split in (main, test):
        if split is not None:
            items, taken = prepared(split, shape, "float32")
            steps += [step for step in taken if step not in steps]
            rows = torch.from_numpy(target_rows(split, "classification", outputs))
            values = torch.from_numpy(items).to(request.device)
            sets.append(_Data(values, rows.to(request.device), split.indices))
    own, unseen = sets[0], (sets[1] if test is not None else None)
    facts = identity(request, model, shape, _named(own, "") | _named(unseen, "test "))
    # each rank of a machine has a device of its own
    ranks.require_agreement({name: fact for name, fact in facts.items() if name != "device"})
    if ranks.number == 0:
        claim(request.out, facts, request.overwrite)
    model = model.to(request.device)
    made = _Run(request, model, own, unseen, progress=progress, ranks=ranks).made()
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
        digests={name: sha256_of(request.out / name) for name in made.files},
        identity=facts,
        seconds=time.perf_counter() - started,
    )


@dataclass(frozen=True)
class _Made:
    standard: Phase
    freeze: Phase | None
    ridge: RidgeFacts | None
    files: list[str]


@dataclass(frozen=True)
class _Run:
    """What was asked for, the model, its own items, and those that tell how good it is."""

    request: TrainRequest
    model: nn.Module
    own: _Data
    unseen: _Data | None
    progress: Progress
    ranks: Ranks

    def made(self) -> _Made:
        """Train, and write all files but the record."""
        if self.request.alpha is None:
            return self._plain()
        return self._ridge() if self.request.solver == "ridge" else self._two_phase()

    @property
    def _shape(self) -> tuple[int, ...]:
        return tuple(self.own.items.shape[1:])

    @property
    def _regulariser(self) -> Regulariser | None:
        return DARC1(self.request.darc1) if self.request.darc1 else None

    def _plain(self) -> _Made:
        losses = self._standard_losses(self.own)
        files = self._save_model(self.model, MODEL)
        return _Made(self._phase(self.model, losses, self.own), None, None, files)

    def _two_phase(self) -> _Made:
        assert self.request.alpha is not None
        run = two_phase(
            self.model,
            (self.own.items, self.own.targets.float()),
            alpha=self.request.alpha,
            training=self.request.training,
            freeze=self.request.freeze,
            seed=self.request.seed,
            regulariser=self._regulariser,
            folder=self.request.out,
            progress=self.progress,
        )
        standard, frozen = self.own[run.standard], self.own[run.freeze]
        files = self._save_model(run.gates, GATES) + self._save_model(run.weights, WEIGHTS)
        files += self._save_split(standard, frozen)
        freeze = None
        if len(run.freeze):
            freeze = self._phase(run.network, run.freeze_losses, frozen)
        return _Made(self._phase(run.gates, run.standard_losses, standard), freeze, None, files)

    def _ridge(self) -> _Made:
        assert self.request.alpha is not None
        first, second = phase_positions(len(self.own.items), self.request.alpha, self.request.seed)
        if not len(second):
            raise InputError(
                where="--alpha",
                found="1 with --solver ridge",
                required="items for the freeze phase",
            )
        # refused before any training, not after half of it
        lower(trace(self.model, self._shape))
        self.request.ridge.require_shareable(len(second), self.ranks)
        standard, frozen = self.own[first], self.own[second]
        losses = self._standard_losses(standard)
        network = lower(trace(self.model, self._shape))
        solved = self._solved(network, frozen)
        targets = frozen.targets.cpu()
        freeze = Phase([], _fit_of(solved.outputs[: len(second)], targets), None)
        if self.unseen is not None:
            unseen = self.unseen.targets.cpu()
            freeze = replace(freeze, test=_fit_of(solved.outputs[len(second) :], unseen))
            targets = torch.cat([targets, unseen])
        facts = ridge_facts(network, solved, targets, len(second), self.request.ridge)
        files = []
        if self.ranks.number == 0:
            files = self._save_model(self.model, GATES) + self._save_split(standard, frozen)
            files += self._save_solution(solved, frozen)
        return _Made(self._phase(self.model, losses, standard), freeze, facts, files)

    def _solved(self, network: Network, frozen: _Data) -> PathRidge:
        return path_ridge(
            network,
            frozen.items,
            targets=frozen.targets.cpu(),
            test_items=frozen.items[:0] if self.unseen is None else self.unseen.items,
            plan=self.request.ridge,
            progress=self.progress,
            ranks=self.ranks,
        )

    def _standard_losses(self, part: _Data) -> list[float]:
        """Train the model on `part`, which the first rank does for all; its losses by epoch."""
        losses: list[float] = []
        if self.ranks.number == 0:
            losses = fit(
                self.model,
                part.items,
                targets=part.targets.float(),
                training=self.request.training,
                seed=self.request.seed,
                regulariser=self._regulariser,
                state=self.request.out / "standard.state",
                progress=self.progress,
                stage="standard",
            )
        held = [slice(0, 1), *[slice(0, 0)] * (self.ranks.size - 1)]
        for tensor in self.model.state_dict().values():
            self.ranks.completed(tensor[None], held)
        return losses

    def _phase(self, model: nn.Module, losses: list[float], own: _Data) -> Phase:
        sets = (own,) if self.unseen is None else (own, self.unseen)
        fits = [_fit_of(_outputs(model, part.items), part.targets.cpu()) for part in sets]
        return Phase(losses, fits[0], fits[1] if len(fits) > 1 else None)

    def _save_model(self, model: nn.Module, name: str) -> list[str]:
        return save_model(model, self._shape, self.request.out / name, self.request.safetensors)

    def _save_split(self, standard: _Data, freeze: _Data) -> list[str]:
        """Which items of the file each phase had, and which were held out of it."""
        apart = standard.indices[:0]
        if self.request.holdout is not None and self.unseen is not None:
            apart = self.unseen.indices
        return _save_arrays(
            self.request.out / SPLIT,
            standard=standard.indices,
            freeze=freeze.indices,
            held_out=apart,
        )

    def _save_solution(self, solved: PathRidge, frozen: _Data) -> list[str]:
        return _save_arrays(
            self.request.out / SOLUTION,
            coefficients=solved.solution.coefficients.numpy(),
            landmarks=frozen.indices[solved.landmarks.numpy()],
            exponent=np.array(solved.exponent),
            centred=np.array(self.request.ridge.centred),
        )


def _outputs(model: nn.Module, items: Tensor) -> Tensor:
    model.eval()
    with torch.no_grad():
        return torch.cat([model(part).double().cpu() for part in items.split(1024)])


def _fit_of(outputs: Tensor, targets: Tensor) -> Fit:
    wrong = outputs.argmax(1) != targets.argmax(1)
    risk = (outputs - targets).square().sum(1).mean()
    return Fit(len(outputs), float(risk), float(wrong.double().mean()))


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


def _save_arrays(path: Path, **arrays: Array) -> list[str]:
    write_whole(path, lambda buffer: np.savez(buffer, allow_pickle=False, **arrays), "--out")
    return [path.name]
