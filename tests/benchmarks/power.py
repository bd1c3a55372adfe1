"""Level and power of what `concentrate` relabels, beside alibi-detect's MMD, on MNIST.

    python -m pip install alibi-detect
    export GENCHECK_DATA=FOLDER
    python -m tests.benchmarks.power rows.csv --counts 50 200
    python -m tests.benchmarks.power rows.csv --counts 500 --replicates 20
    python -m tests.benchmarks.power rows.csv --counts 200 --replicates 50 --in-reference --without-mmd
    python -m tests.benchmarks.power rows.csv --counts 50 --replicates 1000 --kinds none

Each replicate draws a sample S and a reference T of n items each from 60,000 items that no network was
trained on, spoils S in one way (or T, with --in-reference: β1 asks what T has that S lacks, which is not
the same), and asks `gencheck.audit.run.audit` (200 relabellings) for the p-value
of every statistic and for Holm's over all. The networks, 784-128-128-10, are five of five seeds, taken in
turn. Beside them, on the same items: the same audit under a network that was never trained, and
`MMDDrift` of alibi-detect (unbiased MMD², Gaussian kernel, median heuristic, 200 permutations) on pixels
and on the last hidden layer. Rows are appended to the file as they come, those that are there already are
not computed again, and the tables of all rows in the file are printed at the end: the share of replicates
with p ≤ 0.05.
"""

import argparse
import csv
import math
import os
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from gencheck.audit.model import AuditedModel, model_of_module
from gencheck.audit.options import AuditOptions
from gencheck.audit.question import Labelled
from gencheck.audit.result import LEVEL, PermutationFacts
from gencheck.audit.run import audit
from gencheck.training.loop import Training, fit

NETWORKS, TRAINING_ITEMS, CLASSES, SIDE = 5, 10_000, 10, 28
COUNTS = (50, 200, 500)
STATISTICS = (
    *("beta1", "beta1_normalised", "v_l2", "v_frobenius"),
    *("zero_one_gap", "squared_gap", "cross_entropy_gap", "label_means"),
    "feature_means",
)
UNTRAINED = ("v_frobenius", "feature_means")
COLUMNS = (
    *STATISTICS,
    "holm",
    *(f"untrained {name}" for name in UNTRAINED),
    *("mmd pixels", "mmd embeddings"),
)
IN_REFERENCE = " in T"
# A set is spoilt by choosing among so many times its items.
SPARE = 4


@dataclass(frozen=True)
class Draw:
    """Items that a sample of n may be made of, in random order: pixels (SPARE n, 784) and labels."""

    items: Tensor
    labels: Tensor
    count: int
    generator: torch.Generator

    def plain(self) -> tuple[Tensor, Tensor]:
        return self.items[: self.count].clone(), self.labels[: self.count].clone()

    def weighted(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """n items without repetition, class k with odds `weights[k]`."""
        chosen = torch.multinomial(
            weights[self.labels], self.count, replacement=False, generator=self.generator
        )
        return self.items[chosen], self.labels[chosen]


def _images(change: Callable[[Tensor, torch.Generator], Tensor]) -> Callable[[Draw], Any]:
    """A way to spoil the pictures of a set and nothing else."""

    def spoilt(draw: Draw) -> tuple[Tensor, Tensor]:
        items, labels = draw.plain()
        changed = change(items.view(-1, 1, SIDE, SIDE), draw.generator)
        return changed.reshape(items.shape), labels

    return spoilt


def label_noise(draw: Draw) -> tuple[Tensor, Tensor]:
    """10 % of the labels replaced by another class."""
    items, labels = draw.plain()
    wrong = slice(0, draw.count // 10)
    shift = torch.randint(1, CLASSES, labels[wrong].shape, generator=draw.generator)
    labels[wrong] = (labels[wrong] + shift) % CLASSES
    return items, labels


def duplicates(draw: Draw) -> tuple[Tensor, Tensor]:
    """Half of the items, each twice."""
    items, labels = draw.plain()
    half = draw.count // 2
    return items[:half].repeat(2, 1), labels[:half].repeat(2)


def foreign(draw: Draw) -> tuple[Tensor, Tensor]:
    """5 % of the pictures with their pixels in another order, the same for all, labels kept."""
    items, labels = draw.plain()
    order = torch.randperm(SIDE * SIDE, generator=torch.Generator().manual_seed(0))
    some = max(1, draw.count // 20)
    items[:some] = items[:some][:, order]
    return items, labels


def turned(images: Tensor, degrees: float) -> Tensor:
    angle = torch.tensor(degrees).deg2rad()
    cos, sin = float(angle.cos()), float(angle.sin())
    matrix = torch.tensor([[cos, -sin, 0.0], [sin, cos, 0.0]]).expand(len(images), 2, 3)
    grid = functional.affine_grid(matrix, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)


def blurred(images: Tensor) -> Tensor:
    line = torch.tensor([1.0, 2.0, 1.0]) / 4
    return functional.conv2d(images, (line[:, None] * line)[None, None], padding=1)


_HALF_RARE = torch.cat([torch.ones(5), torch.full((5,), 1 / 3)])
_NO_THREE = torch.tensor([float(k != 3) for k in range(CLASSES)])

# What is done to S. Strengths were fixed before the first row was computed.
KINDS: dict[str, tuple[str, Callable[[Draw], tuple[Tensor, Tensor]]]] = {
    "none": ("nothing: the level", Draw.plain),
    "label noise": ("10 % of labels wrong", label_noise),
    "imbalance": ("classes 5 to 9 a third as likely", lambda draw: draw.weighted(_HALF_RARE)),
    "class missing": ("no item of class 3", lambda draw: draw.weighted(_NO_THREE)),
    "brightness": ("pixels × 0.8", _images(lambda images, _: images * 0.8)),
    "blur": ("3 × 3 binomial filter", _images(lambda images, _: blurred(images))),
    "noise": (
        "pixels + normal noise of 0.1, cut to [0, 1]",
        _images(lambda x, g: (x + 0.1 * torch.randn(x.shape, generator=g)).clamp(0, 1)),
    ),
    "rotation": ("10°", _images(lambda images, _: turned(images, 10.0))),
    "duplicates": ("half of the items, each twice", duplicates),
    "foreign": ("5 % of items with permuted pixels", foreign),
}


@dataclass(frozen=True)
class Judge:
    """A trained network, the same one before its training, and what its last hidden layer says."""

    trained: AuditedModel
    untrained: AuditedModel
    embedding: nn.Module


def judge(items: Tensor, labels: Tensor, seed: int) -> Judge:
    torch.manual_seed(seed)
    module = nn.Sequential(
        *(nn.Linear(SIDE * SIDE, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU()),
        nn.Linear(128, CLASSES),
    )
    untrained = model_of_module(module, [(SIDE * SIDE,)])
    targets = functional.one_hot(labels, CLASSES).float()
    fit(module, items, targets, Training(5, 64, loss="cross-entropy"), seed)
    return Judge(model_of_module(module, [(SIDE * SIDE,)]), untrained, module[:-1])


def p_values(
    model: AuditedModel, sets: list[tuple[Tensor, Tensor]], permutations: int, seed: int
) -> PermutationFacts:
    labelled = [Labelled(x, functional.one_hot(y, CLASSES).double()) for x, y in sets]
    options = AuditOptions(
        permutations=permutations, beta2_budget=0.0, top=0, gates_independent=True, seed=seed
    )
    found = audit(model, labelled[0], labelled[1], "classification", options).permutation
    assert found is not None
    return found


class Study:
    """The items, the networks, and one row at a time."""

    def __init__(self, permutations: int, *, with_mmd: bool) -> None:
        folder = os.environ.get("GENCHECK_DATA") or sys.exit("GENCHECK_DATA names no folder")
        with np.load(Path(folder) / "mnist.npz") as archive:
            arrays = {key: torch.from_numpy(archive[key]) for key in archive.files}
        items = torch.cat([arrays["x_train"], arrays["x_test"]]).flatten(1).float() / 255
        labels = torch.cat([arrays["y_train"], arrays["y_test"]]).long()
        self.items, self.labels = items[TRAINING_ITEMS:], labels[TRAINING_ITEMS:]
        self.permutations, self.with_mmd = permutations, with_mmd
        own = items[:TRAINING_ITEMS], labels[:TRAINING_ITEMS]
        self.judges = [judge(*own, seed) for seed in range(NETWORKS)]

    def mmd(self, sample: Tensor, reference: Tensor) -> float:
        """The p-value of alibi-detect's MMDDrift, as its documentation has it; NaN where left out."""
        if not self.with_mmd:
            return math.nan
        detector = import_module("alibi_detect.cd").MMDDrift(
            reference.numpy(), backend="pytorch", n_permutations=self.permutations, device="cpu"
        )
        return float(detector.predict(sample.numpy())["data"]["p_val"])

    def row(self, kind: str, count: int, replicate: int) -> dict[str, float]:
        """p-values by column."""
        seed = int(np.random.SeedSequence([*kind.encode(), count, replicate]).generate_state(1)[0])
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(self.items), generator=generator)[: (SPARE + 1) * count]
        x, y = self.items[order], self.labels[order]
        spoil = KINDS[kind.removesuffix(IN_REFERENCE)][1]
        sets = [spoil(Draw(x[count:], y[count:], count, generator)), (x[:count], y[:count])]
        if kind.endswith(IN_REFERENCE):
            sets.reverse()
        by = self.judges[replicate % NETWORKS]
        trained = p_values(by.trained, sets, self.permutations, seed)
        untrained = p_values(by.untrained, sets, self.permutations, seed)
        torch.manual_seed(seed)
        with torch.no_grad():
            embedded = [by.embedding(items) for items, _ in sets]
        return (
            {name: trained.statistics[name].p_value or 1.0 for name in STATISTICS}
            | {"holm": trained.p_value}
            | {f"untrained {k}": untrained.statistics[k].p_value or 1.0 for k in UNTRAINED}
            | {
                f"mmd {name}": self.mmd(*pair)
                for name, pair in (("pixels", [x for x, _ in sets]), ("embeddings", embedded))
            }
        )


def read_rows(file: Path) -> dict[tuple[str, int, int], dict[str, float]]:
    if not file.exists():
        return {}
    with file.open(newline="") as stream:
        return {
            (row["kind"], int(row["n"]), int(row["replicate"])): {c: float(row[c]) for c in COLUMNS}
            for row in csv.DictReader(stream)
        }


def tables(rows: dict[tuple[str, int, int], dict[str, float]]) -> None:
    """The share of p ≤ 0.05 for each n and kind, and how many replicates stand behind it."""
    cells: dict[tuple[int, str], list[dict[str, float]]] = defaultdict(list)
    for (kind, count, _), values in rows.items():
        cells[count, kind].append(values)
    names = [name + where for where in ("", IN_REFERENCE) for name in KINDS]
    print("| n | kind | replicates | " + " | ".join(COLUMNS) + " |")
    print("|" + "---|" * (3 + len(COLUMNS)))
    for (count, kind), found in sorted(
        cells.items(), key=lambda e: (e[0][0], names.index(e[0][1]))
    ):
        digits = 3 if kind == "none" else 2
        text = " | ".join(_share([row[name] for row in found], digits) for name in COLUMNS)
        print(f"| {count} | {kind} | {len(found)} | {text} |")


def _share(values: list[float], digits: int) -> str:
    there = [value for value in values if not math.isnan(value)]
    return f"{np.mean([v <= LEVEL for v in there]):.{digits}f}" if there else "–"


def main() -> None:
    """Compute the rows that are missing, and print the tables of all."""
    parser = argparse.ArgumentParser()
    parser.add_argument("rows", type=Path, help="a CSV file, appended to")
    parser.add_argument("--kinds", nargs="*", choices=list(KINDS), default=list(KINDS)[1:])
    parser.add_argument("--counts", nargs="*", type=int, default=list(COUNTS))
    parser.add_argument("--replicates", type=int, default=100)
    parser.add_argument("--in-reference", action="store_true", help="spoil T in place of S")
    parser.add_argument("--without-mmd", action="store_true", help="it is the slowest")
    parser.add_argument("--permutations", type=int, default=200)
    arguments = parser.parse_args()
    rows = read_rows(arguments.rows)
    wanted = [
        (kind + IN_REFERENCE * arguments.in_reference, count, replicate)
        for count in arguments.counts
        for replicate in range(arguments.replicates)
        for kind in arguments.kinds
    ]
    missing = [key for key in wanted if key not in rows]
    if missing:
        study = Study(arguments.permutations, with_mmd=not arguments.without_mmd)
        with arguments.rows.open("a", newline="") as stream:
            writer = csv.writer(stream)
            if not rows:
                writer.writerow(["kind", "n", "replicate", *COLUMNS])
            for key in missing:
                rows[key] = study.row(*key)
                writer.writerow([*key, *(rows[key][name] for name in COLUMNS)])
                stream.flush()
    tables(rows)


if __name__ == "__main__":
    main()
