"""The Lightning callback against a plain loop that has the term in its loss."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gencheck import DARC1
from gencheck.errors import InputError

lightning = pytest.importorskip("lightning.pytorch")
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*pytree.*"),
]

ITEMS = torch.randn((32, 4), generator=torch.Generator().manual_seed(0))
LABELS = torch.randint(3, (32,), generator=torch.Generator().manual_seed(1))


class Classifier(lightning.LightningModule):
    def __init__(self, as_dict: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.head = nn.Linear(4, 3)
        self.as_dict = as_dict

    def forward(self, items: Tensor) -> Tensor:
        logits: Tensor = self.head(items)
        return logits

    def training_step(self, batch: Any, index: int) -> Any:
        loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
        return {"loss": loss} if self.as_dict else loss

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.1)


def fitted(model: Classifier, *callbacks: Any, accumulate: int = 1) -> Tensor:
    dataset = torch.utils.data.TensorDataset(ITEMS, LABELS)
    lightning.Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accumulate_grad_batches=accumulate,
        callbacks=list(callbacks),
    ).fit(model, torch.utils.data.DataLoader(dataset, batch_size=8))
    return model.head.weight.detach().clone()


def by_hand(term: nn.Module | None, accumulate: int = 1) -> Tensor:
    model = Classifier()
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    for step in range(8):
        part = slice(8 * (step % 4), 8 * (step % 4) + 8)
        logits = model(ITEMS[part])
        loss = nn.functional.cross_entropy(logits, LABELS[part])
        ((loss if term is None else loss + term(logits)) / accumulate).backward()
        if (step + 1) % accumulate == 0:
            optimiser.step()
            optimiser.zero_grad()
    return model.head.weight.detach()


@pytest.mark.parametrize("layer", ["", "head"])
@pytest.mark.parametrize("as_dict", [False, True])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_training_is_that_of_a_plain_loop(layer: str, as_dict: bool, accumulate: int) -> None:
    from gencheck.training.regularisers.lightning import DARCCallback

    model = Classifier(as_dict)
    found = fitted(model, DARCCallback(DARC1(0.5), layer), accumulate=accumulate)
    assert torch.allclose(found, by_hand(DARC1(0.5), accumulate), atol=1e-6)
    assert not torch.allclose(found, by_hand(None, accumulate), atol=1e-3)
    # afterwards the module is its own again
    assert "training_step" not in vars(model)
    assert not model.head._forward_hooks


def test_refused_layers() -> None:
    from gencheck.training.regularisers.lightning import DARCCallback

    with pytest.raises(
        InputError, match="layer of DARCCallback: found 'tail'; required: one of head"
    ):
        fitted(Classifier(), DARCCallback(DARC1(0.5), "tail"))
    model = Classifier()
    model.unused = nn.Linear(4, 3)
    with pytest.raises(InputError, match="no output of it in training_step"):
        fitted(model, DARCCallback(DARC1(0.5), "unused"))
    assert "training_step" not in vars(model)
