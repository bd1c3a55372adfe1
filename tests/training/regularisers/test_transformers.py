"""The mixin of the Hugging Face Trainer against a plain loop that has the term in its loss."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gencheck import DARC1

transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

ITEMS = torch.randn((32, 4), generator=torch.Generator().manual_seed(0))
LABELS = torch.randint(3, (32,), generator=torch.Generator().manual_seed(1))


class Classifier(nn.Module):
    """Says its loss as models of transformers do, the mean over its own batch."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.head = nn.Linear(4, 3)

    def forward(self, items: Tensor, labels: Tensor) -> Any:
        logits = self.head(items)
        loss = nn.functional.cross_entropy(logits, labels)
        return transformers.modeling_outputs.SequenceClassifierOutput(loss=loss, logits=logits)


class Counting(Classifier):
    """Takes the number of items of all accumulated batches, and divides by it."""

    def forward(self, items: Tensor, labels: Tensor, **kwargs: Any) -> Any:
        logits = self.head(items)
        count = kwargs.get("num_items_in_batch")
        loss = nn.functional.cross_entropy(logits, labels, reduction="sum")
        loss = loss / (len(labels) if count is None else count)
        return transformers.modeling_outputs.SequenceClassifierOutput(loss=loss, logits=logits)


def trainer(model: nn.Module, folder: Path, accumulate: int) -> Any:
    from gencheck.training.regularisers.transformers import DARCTrainerMixin

    class WithTerm(DARCTrainerMixin, transformers.Trainer):
        darc_term = DARC1(0.5)

        def _get_train_sampler(self, *arguments: Any) -> Any:
            return torch.utils.data.SequentialSampler(ITEMS)

    return WithTerm(
        model=model,
        args=transformers.TrainingArguments(
            output_dir=str(folder),
            per_device_train_batch_size=8,
            gradient_accumulation_steps=accumulate,
            num_train_epochs=2,
            learning_rate=0.1,
            lr_scheduler_type="constant",
            optim="sgd",
            max_grad_norm=0,
            use_cpu=True,
            report_to=[],
            save_strategy="no",
            disable_tqdm=True,
        ),
        train_dataset=[
            {"items": item, "labels": label} for item, label in zip(ITEMS, LABELS, strict=True)
        ],
    )


def by_hand(lam: float, accumulate: int) -> Tensor:
    model, term = Classifier(), DARC1(lam)
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    for step in range(8):
        part = slice(8 * (step % 4), 8 * (step % 4) + 8)
        logits = model.head(ITEMS[part])
        loss = nn.functional.cross_entropy(logits, LABELS[part]) + term(logits)
        (loss / accumulate).backward()
        if (step + 1) % accumulate == 0:
            optimiser.step()
            optimiser.zero_grad()
    return model.head.weight.detach()


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("kind", [Classifier, Counting])
def test_training_is_that_of_a_plain_loop(
    kind: type[Classifier], accumulate: int, tmp_path: Path
) -> None:
    model = kind()
    trainer(model, tmp_path, accumulate).train()
    assert torch.allclose(model.head.weight, by_hand(0.5, accumulate), atol=1e-6)
    assert not torch.allclose(model.head.weight, by_hand(0.0, accumulate), atol=1e-3)


def test_evaluation_has_no_term(tmp_path: Path) -> None:
    model = Classifier()
    own = trainer(model, tmp_path, 1)
    model.eval()
    batch = {"items": ITEMS, "labels": LABELS}
    assert own.compute_loss(model, batch).item() == model(**batch).loss.item()
