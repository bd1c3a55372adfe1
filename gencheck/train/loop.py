"""The standard phase: plain mini-batch training with the squared loss on one-hot targets."""

import torch
from torch import Tensor, nn

from gencheck.progress import SILENT, Progress


def train_standard(
    model: nn.Module,
    items: Tensor,
    targets: Tensor,
    epochs: int,
    seed: int,
    learning_rate: float = 1e-3,
    weight_decay: float = 0.0,
    batch_size: int = 32,
    progress: Progress = SILENT,
) -> None:
    """Minimise E‖h(x) − y‖² in place by Adam, the loss that the data-dependent bound speaks of.

    Parameters
    ----------
    items, targets
        Shapes (N, …) and (N, K), on the model's device and in its dtype.
    seed
        Seeds the order of the mini-batches; torch's global generator is left alone.
    """
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=weight_decay)
    model.train()
    progress.start("training", epochs, "epochs")
    for _ in range(epochs):
        order = torch.randperm(len(items), generator=generator)
        for batch in order.split(batch_size):
            optimiser.zero_grad()
            loss = (model(items[batch]) - targets[batch]).square().sum(1).mean()
            loss.backward()
            optimiser.step()
        progress.advance(1)
    progress.finish()
    model.eval()
