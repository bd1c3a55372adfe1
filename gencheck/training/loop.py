"""Plain mini-batch training: the standard phase, and the freeze phase by gradient descent."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from gencheck.errors import InputError
from gencheck.progress import SILENT, Progress
from gencheck.training.augmentation import augment, require_images
from gencheck.training.layout import fastest_layout
from gencheck.training.state import (
    digest_of,
    machine_facts,
    model_facts,
    name_of,
    read_state,
    save_state,
)

# From logits of shape (m, K) to a scalar that is added to the loss.
Regulariser: TypeAlias = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Training:
    """How a phase is trained.

    Attributes
    ----------
    epochs, batch_size, learning_rate, weight_decay
        As everywhere; the learning rate falls to zero along a cosine where `cosine`.
    loss
        ``squared``: E‖h(x) − y‖² on one-hot targets, the loss that the data-dependent bound speaks
        of; ``cross-entropy`` of the softmax of h.
    optimiser
        ``adam`` (with decoupled weight decay) or ``sgd`` (with momentum 0.9).
    shift, flip
        Images are moved by up to so many pixels, and half of them mirrored, anew in every epoch.
    bfloat16
        Layers that take it multiply in bfloat16 (torch.autocast): weights, sums of gradients,
        normalisation and the loss stay in float32.
    """

    epochs: int = 10
    batch_size: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    loss: str = "squared"
    optimiser: str = "adam"
    cosine: bool = False
    shift: int = 0
    flip: bool = False
    bfloat16: bool = False

    @property
    def augmented(self) -> bool:
        """True where items are shifted or mirrored."""
        return self.shift > 0 or self.flip

    def plain(self) -> "Training":
        """The same on the items as they are: how the freeze phase is trained."""
        return replace(self, shift=0, flip=False, bfloat16=False)


def squared_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean over items of ‖h(x) − y‖², for targets y of shape (N, K)."""
    return (outputs - targets).square().sum(1).mean()


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "squared": squared_loss,
    "cross-entropy": functional.cross_entropy,
}


def _moving(model: nn.Module) -> list[nn.Parameter]:
    moving = [p for p in model.parameters() if p.requires_grad]
    if not moving:
        raise InputError(
            where="training",
            found="a model of which no parameter requires gradients",
            required="one or more that do",
            remedy="model.requires_grad_(True); the `gates` of a GatedNetwork stop requiring them.",
        )
    return moving


def _adam(model: nn.Module, training: Training) -> torch.optim.Optimizer:
    moving = _moving(model)
    return torch.optim.AdamW(moving, lr=training.learning_rate, weight_decay=training.weight_decay)


def _sgd(model: nn.Module, training: Training) -> torch.optim.Optimizer:
    moving = _moving(model)
    return torch.optim.SGD(
        moving, lr=training.learning_rate, weight_decay=training.weight_decay, momentum=0.9
    )


OPTIMISERS: dict[str, Callable[[nn.Module, Training], torch.optim.Optimizer]] = {
    "adam": _adam,
    "sgd": _sgd,
}


def fit(
    model: nn.Module,
    items: Tensor,
    targets: Tensor,
    training: Training,
    seed: int,
    regulariser: Regulariser | None = None,
    state: Path | None = None,
    progress: Progress = SILENT,
    stage: str = "training",
) -> list[float]:
    """Minimise the mean loss over the items, in place; the mean training loss of each epoch.

    Parameters
    ----------
    items, targets
        Shapes (N, …) and (N, K), on the model's device and in its dtype.
    seed
        Seeds the order of the mini-batches and what the model itself draws (dropout); torch's
        global generators are put back afterwards.
    regulariser
        Added to the loss of each mini-batch, from its logits.
    state
        A file that is written after each epoch, in one piece; where it exists already, training
        goes on from it and ends as if it had never been interrupted. It holds what decides the
        result (digests of items, labels and initial weights, options, versions), all compared.

    Raises
    ------
    InputError
        The state belongs to another training or cannot be written, the loss is no longer finite, or
        items that are no images were to be shifted or mirrored.
    """
    if training.augmented:
        require_images(tuple(items.shape[1:]), training.shift, "--shift or --flip")
    generator = torch.Generator().manual_seed(seed)
    optimiser = OPTIMISERS[training.optimiser](model, training)
    moving = _Moving(model, optimiser, generator, items.device)
    facts: dict[str, str] = {}
    if state is not None:
        facts = {
            **_option_facts(training, seed, regulariser, stage),
            "items": digest_of(items),
            "labels": digest_of(targets),
            **model_facts(model),
            **machine_facts(items.device),
        }
    losses: list[float] = []
    devices = [items.device] if items.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), fastest_layout(model, items):
        torch.manual_seed(seed)
        if state is not None:
            losses = moving.restored(read_state(state, facts))
        model.train()
        progress.start(stage, training.epochs - len(losses), "epochs")
        for epoch in range(len(losses), training.epochs):
            _set_rate(optimiser, training, epoch)
            losses.append(
                _epoch(
                    model,
                    items,
                    targets=targets,
                    training=training,
                    optimiser=optimiser,
                    generator=generator,
                    regulariser=regulariser,
                )
            )
            if state is not None:
                save_state(state, facts, moving.content() | {"losses": losses})
            progress.advance(1)
        progress.finish()
    model.eval()
    return losses


@dataclass(frozen=True)
class _Moving:
    """All that an epoch changes: what has to be as it was for the next one to be the same."""

    model: nn.Module
    optimiser: torch.optim.Optimizer
    order: torch.Generator
    device: torch.device

    def content(self) -> dict[str, Any]:
        on_cuda = self.device.type == "cuda"
        return {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "order": self.order.get_state(),
            "random": torch.get_rng_state(),
            "cuda random": torch.cuda.get_rng_state(self.device) if on_cuda else None,
        }

    def restored(self, content: dict[str, Any] | None) -> list[float]:
        """The losses of the epochs before; none, and nothing changed, without content."""
        if content is None:
            return []
        self.model.load_state_dict(content["model"])
        self.optimiser.load_state_dict(content["optimiser"])
        self.order.set_state(content["order"])
        torch.set_rng_state(content["random"])
        if content["cuda random"] is not None:
            torch.cuda.set_rng_state(content["cuda random"], self.device)
        losses: list[float] = content["losses"]
        return losses


def _option_facts(
    training: Training, seed: int, regulariser: Regulariser | None, stage: str
) -> dict[str, str]:
    options = {name: str(value) for name, value in asdict(training).items()}
    return {"stage": stage, **options, "seed": str(seed), "regulariser": name_of(regulariser)}


def _epoch(
    model: nn.Module,
    items: Tensor,
    targets: Tensor,
    training: Training,
    optimiser: torch.optim.Optimizer,
    generator: torch.Generator,
    regulariser: Regulariser | None,
) -> float:
    total = torch.zeros((), dtype=torch.float64)
    order = torch.randperm(len(items), generator=generator)
    for chosen in order.split(training.batch_size):
        batch = chosen.to(items.device)
        own = items[batch]
        if training.augmented:
            own = augment(own, training.shift, training.flip, generator)
        with torch.autocast(items.device.type, torch.bfloat16, enabled=training.bfloat16):
            outputs = model(own)
        outputs = outputs.to(targets.dtype)
        loss = LOSSES[training.loss](outputs, targets[batch])
        total += loss.detach().double().cpu() * len(batch)
        if regulariser is not None:
            loss = loss + regulariser(outputs)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    mean = float(total) / len(items)
    if not torch.isfinite(total):
        raise InputError(
            where="training",
            found=f"a loss of {mean}",
            required="a finite loss",
            remedy="Lower --learning-rate.",
        )
    return mean


def _set_rate(optimiser: torch.optim.Optimizer, training: Training, epoch: int) -> None:
    share = 0.5 * (1 + torch.cos(torch.tensor(torch.pi * epoch / training.epochs)).item())
    for group in optimiser.param_groups:
        group["lr"] = training.learning_rate * (share if training.cosine else 1.0)
