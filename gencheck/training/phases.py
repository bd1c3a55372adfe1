"""Two-phase training: gates from a first part of the items, weights from the rest."""

import copy
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from gencheck.arguments import require_between
from gencheck.errors import InputError
from gencheck.load.split import Array
from gencheck.progress import SILENT, Progress
from gencheck.training.gated import GatedNetwork
from gencheck.training.loop import Regulariser, Training, fit

SOURCE = "Kawaguchi, Kaelbling & Bengio, Generalization in Deep Learning (arXiv 1710.05468)"


@dataclass(frozen=True)
class TwoPhase:
    """What two-phase training leaves.

    Attributes
    ----------
    network
        Gates of the standard phase, weights of the freeze phase.
    standard, freeze
        Positions of the items of each phase, in increasing order.
    standard_losses, freeze_losses
        The mean training loss of each epoch.
    """

    network: GatedNetwork
    standard: Array
    freeze: Array
    standard_losses: list[float]
    freeze_losses: list[float]

    @property
    def gates(self) -> nn.Module:
        """The network after the standard phase, unchanged since."""
        return self.network.gates

    @property
    def weights(self) -> nn.Module:
        """The network whose weights moved in the freeze phase."""
        return self.network.weights


def phase_positions(count: int, alpha: float, seed: int) -> tuple[Array, Array]:
    """Which of `count` items train the gates, and which the weights: round(αm) drawn at random, the rest.

    Raises
    ------
    InputError
        `alpha` is not in (0, 1], or leaves no item for the standard phase.
    """
    require_between("--alpha", alpha, 0, 1, open_low=True)
    standard = round(alpha * count)
    if standard < 1:
        raise InputError(
            where="--alpha",
            found=f"{alpha:g} of {count} items",
            required="at least one item for the standard phase",
        )
    order = np.random.default_rng(seed).permutation(count)
    return np.sort(order[:standard]), np.sort(order[standard:])


def two_phase(
    model: nn.Module,
    data: tuple[Tensor, Tensor],
    alpha: float = 0.1,
    training: Training | None = None,
    freeze: Training | None = None,
    seed: int = 0,
    regulariser: Regulariser | None = None,
    folder: Path | None = None,
    progress: Progress = SILENT,
) -> TwoPhase:
    """Train `model` on αm items, then its weights alone on the other (1 − α) m with the gates held.

    The gates of the freeze phase are those that a frozen copy of the network after the standard phase
    sets for each item. They are independent of the items of the freeze phase, which is what the
    data-independent bound and the certified concentration ask for. With α = 1 it is standard
    training.

    Parameters
    ----------
    model
        Copied, never changed.
    data
        Items of shape (m, …) and targets of shape (m, K), on the model's device, in its dtype.
    alpha
        The share of the items that trains the gates.
    training, freeze
        How each phase is trained; the second by default like the first, never with augmentation.
    seed
        Seeds the split and both phases.
    regulariser
        Added to the loss of both phases, from the logits of a mini-batch.
    folder
        Where states are kept so that a run that was killed goes on.

    Raises
    ------
    InputError
        `alpha` is out of range, a state belongs to another run, a loss is not finite, or the freeze
        phase was to augment its items.
    UnsupportedModel
        The network has operations outside the path view.
    """
    items, targets = data
    training = training or Training()
    freeze = freeze or training.plain()
    if freeze.augmented:
        raise InputError(
            where="two_phase, freeze",
            found=f"shift={freeze.shift}, flip={freeze.flip}",
            required="the freeze phase's items as they are: the bounds speak of those",
            remedy="Augment the standard phase: training=Training(shift=…).",
        )
    standard_part, freeze_part = phase_positions(len(items), alpha, seed)
    gates = copy.deepcopy(model)
    # refused before any training, not after half of it
    untrained = GatedNetwork(copy.deepcopy(model), copy.deepcopy(model))
    untrained(items[:2])

    def losses(module: nn.Module, part: Array, how: Training, stage: str) -> list[float]:
        chosen = torch.from_numpy(part).to(items.device)
        state = None if folder is None else folder / f"{stage}.state"
        return fit(
            module,
            items[chosen],
            targets=targets[chosen],
            training=how,
            seed=seed,
            regulariser=regulariser,
            state=state,
            progress=progress,
            stage=stage,
        )

    first = losses(gates, standard_part, training, "standard")
    network = GatedNetwork(gates, copy.deepcopy(gates), like=untrained)
    if not len(freeze_part):
        freeze = replace(freeze, epochs=0)
    second = losses(network, freeze_part, freeze, "freeze")
    return TwoPhase(network, standard_part, freeze_part, first, second)
