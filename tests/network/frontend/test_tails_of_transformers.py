"""The classifiers of transformers, with random weights: each is audited from its own last layers on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gencheck.audit.api import audit_module
from gencheck.audit.model import load_model, model_of_module

transformers = pytest.importorskip("transformers")

_SIZES: dict[str, Any] = {
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "num_labels": 3,
}
_TEXT: dict[str, Any] = {"vocab_size": 20, "max_position_embeddings": 12}
_IMAGE: dict[str, Any] = {"image_size": 4, "patch_size": 2, "num_channels": 1}

# The configuration, the layer that the classifier starts at, and the shape of one item.
MODELS: dict[str, tuple[Callable[[], Any], str, tuple[int, ...]]] = {
    "BertForSequenceClassification": (
        lambda: transformers.BertConfig(**_SIZES, **_TEXT),
        "whole.classifier",
        (5,),
    ),
    "RobertaForSequenceClassification": (
        lambda: transformers.RobertaConfig(**_SIZES, **_TEXT, pad_token_id=1),
        "whole.classifier",
        (5,),
    ),
    "DistilBertForSequenceClassification": (
        lambda: transformers.DistilBertConfig(
            dim=8, n_layers=1, n_heads=2, hidden_dim=8, num_labels=3, **_TEXT
        ),
        "whole.pre_classifier",
        (5,),
    ),
    "GPT2ForSequenceClassification": (
        lambda: transformers.GPT2Config(
            vocab_size=20,
            n_positions=12,
            n_embd=8,
            n_layer=1,
            n_head=2,
            num_labels=3,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
        ),
        "whole.score",
        (5,),
    ),
    "ViTForImageClassification": (
        lambda: transformers.ViTConfig(**_SIZES, **_IMAGE),
        "whole.classifier",
        (1, 4, 4),
    ),
    "DeiTForImageClassification": (
        lambda: transformers.DeiTConfig(**_SIZES, **_IMAGE),
        "whole.classifier",
        (1, 4, 4),
    ),
}


class Logits(nn.Module):
    """The logits of a model that returns an output object."""

    def __init__(self, whole: nn.Module) -> None:
        super().__init__()
        self.whole = whole

    def forward(self, x: Tensor) -> Tensor:
        return self.whole(x).logits


def built(name: str) -> nn.Module:
    """The model with random weights, the scores of its classes spread."""
    torch.manual_seed(0)
    return Logits(getattr(transformers, name)(MODELS[name][0]())).eval()


def drawn(name: str, count: int) -> np.ndarray:
    shape, generator = MODELS[name][2], np.random.default_rng(0)
    if len(shape) == 1:
        return generator.integers(0, 20, size=(count, *shape))
    return generator.normal(size=(count, *shape)).astype(np.float32)


@pytest.mark.parametrize("name", MODELS)
def test_audited_at_its_own_classifier(name: str) -> None:
    module, layer = built(name), MODELS[name][1]
    x, y = drawn(name, 16), np.arange(16) % 3
    result = audit_module(module, (x[:8], y[:8]), (x[8:], y[8:]), from_layer=layer)
    # RoBERTa's classifier takes the first token itself
    assert result.model.input_shape == ((5, 8) if name.startswith("Roberta") else (8,))
    with torch.no_grad():
        outputs = module(torch.from_numpy(x[:8])).double()
    losses = (outputs - torch.eye(3, dtype=torch.float64)[torch.from_numpy(y[:8])]).square()
    assert result.gap.sample_risk == pytest.approx(float(losses.sum(1).mean()), rel=1e-5)


def test_a_saved_program_that_keeps_the_last_token_that_is_not_padding(tmp_path: Path) -> None:
    name = "GPT2ForSequenceClassification"
    module, items = built(name), torch.from_numpy(drawn(name, 6))
    items[:3, 3:] = 0
    program = torch.export.export(module, (items[:3],))
    torch.export.save(program, tmp_path / "m.pt2")
    own = model_of_module(module, [(5,)], from_layer="whole.score")
    for subject in (own, load_model(tmp_path / "m.pt2", None, [], "whole.score")):
        assert subject.head is not None
        with torch.no_grad():
            output = subject.own_output(subject.head(items, torch.float32))
            torch.testing.assert_close(output, module(items))
