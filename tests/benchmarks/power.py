"""Level and power of what `concentrate` relabels, beside the maximum mean discrepancy (MMD).

    export GENCHECK_DATA=FOLDER
    python -m tests.benchmarks.power mnist.npz rows.csv --kinds none --replicates 1000
    python -m tests.benchmarks.power mnist.npz rows.csv
    python -m tests.benchmarks.power mnist.npz rows.csv --counts 200 --in-reference

Five dense networks with two hidden layers of 128 are trained on 10,000 items (cross-entropy, five seeds).
Each has a pool of 2,500 items that it never saw, and for each kind of shift the same items spoilt; the
path kernels of the pool are formed once. A replicate draws a sample S and a reference T of n items each
from the pool of the network whose turn it is, with no item in both, spoils S in one way (or T, with
--in-reference: β1 asks what T has that S lacks, which is not the same), and takes the p-values of every
statistic under 200 relabellings, by the code that an audit runs, from their part of the kernel. With
nothing spoilt S and T are exchangeable, given the pool.

Beside them, on the same items: two of the statistics under the network before its training, and the
permutation test of the MMD on pixels and on the last hidden layer, which is that of alibi-detect's
`MMDDrift` (`tests.benchmarks.mmd` compares the two). Rows are appended to the file as they come, those
that are there already are not computed again, and the table of all rows in the file is printed at the
end: the share of replicates with p ≤ 0.05.
"""

import argparse
import csv
import os
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from gencheck.audit.model import AuditedModel, model_of_module
from gencheck.audit.options import AuditOptions
from gencheck.audit.permutation_facts import LEVEL
from gencheck.audit.question import Labelled, Question
from gencheck.audit.relabelled import feature_means, relabelled_statistics
from gencheck.bounds.paired import holm
from gencheck.experiments.experiment import ExperimentOptions
from gencheck.experiments.images import labelled_images
from gencheck.spectral.beta1.lanczos import top_eigenvalue
from gencheck.spectral.kernel.gram import Gram
from gencheck.spectral.kernel.tiles import Tile
from gencheck.spectral.permutation import norms_of_differences, relabel, step_down_max_t
from gencheck.training.architectures import mlp
from gencheck.training.loop import Training, fit
from tests.benchmarks.mmd import mmd_p_value, squared_distances
from tests.benchmarks.shifts import IN_REFERENCE, KINDS, Chosen, drawn_sets

NETWORKS, TRAINING_ITEMS, POOL, WIDTHS = 5, 10_000, 2_500, (128, 128)
COUNTS = (50, 200, 500)
STATISTICS = (
    *("beta1", "beta1_normalised", "v_l2", "v_frobenius"),
    *("zero_one_gap", "squared_gap", "cross_entropy_gap", "label_means"),
    "feature_means",
)
UNTRAINED = ("v_frobenius", "feature_means")
COLUMNS = (
    *STATISTICS,
    *("max-T", "holm"),
    *(f"untrained {name}" for name in UNTRAINED),
    *("mmd pixels", "mmd embeddings"),
)

Row = tuple[str, int, int]


class ManyColumns(Gram):
    """A Gram matrix in one tile that multiplies many columns at a time in float32, twice as fast.

    β1's null values are then off by some 10⁻⁷ of them, far less than they differ by.
    """

    def __init__(self, block: Tensor, exponent: int) -> None:
        whole = slice(0, len(block))
        super().__init__([Tile(whole, whole)], [block.double()], len(block), exponent)
        self.single = block

    def matmul(self, right: Tensor) -> Tensor:
        if right.shape[1] == 1:
            return self.blocks[0] @ right
        return (self.single @ right.to(self.single.dtype)).double()


@dataclass(frozen=True)
class View:
    """What one network makes of the pool's items: their path kernel and its outputs."""

    model: AuditedModel
    kernel: Tensor
    exponent: int
    outputs: Tensor

    @classmethod
    def of(cls, model: AuditedModel, items: Tensor, options: AuditOptions) -> "View":
        half = len(items) // 2
        sets = [Labelled(part, part.new_zeros((len(part), 1))) for part in items.split(half)]
        whole = Question(
            model=model, sample=sets[0], reference=sets[1], task="classification", options=options
        )
        kernel = whole.kernel()
        features = kernel.features(whole.entering())
        gram = kernel.gram(features)
        return cls(model, gram.dense(), gram.exponent, features.outputs)

    def asked(
        self, sets: tuple[Chosen, Chosen], options: AuditOptions
    ) -> tuple[Question, ManyColumns]:
        """The question and the Gram matrix of S and T, rows of the pool."""
        classes = self.outputs.shape[1]
        # the items themselves are not needed: their kernel is there
        sample, reference = (
            Labelled(each.rows, functional.one_hot(each.labels, classes).double()) for each in sets
        )
        question = Question(
            model=self.model,
            sample=sample,
            reference=reference,
            task="classification",
            options=options,
        )
        rows = _rows(sets)
        return question, ManyColumns(self.kernel[rows][:, rows], self.exponent)

    def p_values(self, sets: tuple[Chosen, Chosen], options: AuditOptions) -> dict[str, float]:
        """Of every statistic, and over all of them: as an audit has it, and by Holm's rule."""
        question, gram = self.asked(sets, options)
        top = top_eigenvalue(gram, question.difference.weights(), options.seed)
        found = relabelled_statistics(
            question, gram, self.outputs[_rows(sets)], observed=top.value, sup=None, paths=None
        )
        nulls = {name: null for name in STATISTICS if (null := found[name].null) is not None}
        own = {name: null.p_value for name, null in nulls.items()}
        over_all = {
            "max-T": min(step_down_max_t(list(nulls.values()))),
            "holm": min(holm(list(own.values()))),
        }
        return own | over_all

    def two_p_values(self, sets: tuple[Chosen, Chosen], options: AuditOptions) -> dict[str, float]:
        """Of ‖V‖_F and of the mean features alone, under the same relabellings."""
        question, gram = self.asked(sets, options)
        weights = question.difference.weights()
        permuted = relabel(weights, options.permutations, options.seed)
        labels = torch.cat([weights[:, None], permuted], 1)
        norms = norms_of_differences(gram, question.difference.targets, labels)[1]
        means = feature_means(gram, labels).null
        assert means is not None
        return {"v_frobenius": norms.p_value, "feature_means": means.p_value}


def _rows(sets: tuple[Chosen, Chosen]) -> Tensor:
    return torch.cat([each.rows for each in sets])


class Study:
    """The networks, their pools, and the rows of one kind of shift under one network."""

    def __init__(self, data: Path, permutations: int) -> None:
        images = labelled_images(ExperimentOptions(data))
        generator = torch.Generator().manual_seed(0)
        order = torch.randperm(len(images.train_items), generator=generator)
        own = order[:TRAINING_ITEMS]
        self.pools = order[TRAINING_ITEMS:][: NETWORKS * POOL].split(POOL)
        self.images, self.permutations = images, permutations
        targets = functional.one_hot(images.train_labels[own], images.classes).float()
        self.networks = [self._network(seed) for seed in range(NETWORKS)]
        for seed, network in enumerate(self.networks):
            training = Training(5, 64, loss="cross-entropy")
            fit(network, images.train_items[own], targets, training, seed)

    def errors(self) -> list[float]:
        """The share of its own pool that each network takes for another class."""
        images, found = self.images, []
        for network, own in zip(self.networks, self.pools, strict=True):
            with torch.no_grad():
                classes = network(images.train_items[own]).argmax(1)
            found.append(float((classes != images.train_labels[own]).float().mean()))
        return found

    def _network(self, seed: int) -> nn.Sequential:
        torch.manual_seed(seed)
        return mlp(tuple(self.images.train_items.shape[1:]), WIDTHS, self.images.classes)

    def _options(self, seed: int) -> AuditOptions:
        return AuditOptions(
            permutations=self.permutations,
            beta2_permutation_budget=0.0,
            gates_independent=True,
            seed=seed,
        )

    def rows(self, kind: str, network: int, wanted: list[Row]) -> Iterator[dict[str, float]]:
        """p-values by column of each wanted row."""
        items, labels = (
            each[self.pools[network]]
            for each in (self.images.train_items, self.images.train_labels)
        )
        change = KINDS[kind.removesuffix(IN_REFERENCE)].change
        if change is not None:
            items = torch.cat([items, change(items, torch.Generator().manual_seed(network))])
        module = self.networks[network]
        trained, new = (
            View.of(model_of_module(each, [tuple(items.shape[1:])]), items, self._options(0))
            for each in (module, self._network(network))
        )
        with torch.no_grad():
            spaces = {"pixels": items, "embeddings": module[:-1](items)}
        distances = {name: squared_distances(space) for name, space in spaces.items()}
        for _, count, replicate in wanted:
            words = [*kind.encode(), count, replicate]
            seed = int(np.random.SeedSequence(words).generate_state(1)[0])
            sets = drawn_sets(kind, labels, count, torch.Generator().manual_seed(seed))
            options, rows = self._options(seed), _rows(sets)
            untrained = new.two_p_values(sets, options)
            yield (
                trained.p_values(sets, options)
                | {f"untrained {name}": untrained[name] for name in UNTRAINED}
                | {
                    f"mmd {name}": mmd_p_value(each[rows][:, rows], self.permutations, seed)
                    for name, each in distances.items()
                }
            )


def read_rows(file: Path) -> dict[Row, dict[str, float]]:
    if not file.exists():
        return {}
    with file.open(newline="") as stream:
        return {
            (row["kind"], int(row["n"]), int(row["replicate"])): {c: float(row[c]) for c in COLUMNS}
            for row in csv.DictReader(stream)
        }


def tables(rows: dict[Row, dict[str, float]]) -> None:
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
        shares = [np.mean([row[name] <= LEVEL for row in found]) for name in COLUMNS]
        text = " | ".join(f"{share:.{digits}f}" for share in shares)
        print(f"| {count} | {kind} | {len(found)} | {text} |")


def main() -> None:
    """Compute the rows that are missing, and print the tables of all."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path, help="pictures with labels, in the folder GENCHECK_DATA")
    parser.add_argument("rows", type=Path, help="a CSV file, appended to")
    parser.add_argument("--kinds", nargs="*", choices=list(KINDS), default=list(KINDS)[1:])
    parser.add_argument("--counts", nargs="*", type=int, default=list(COUNTS))
    parser.add_argument("--replicates", type=int, default=200)
    parser.add_argument("--in-reference", action="store_true", help="spoil T in place of S")
    parser.add_argument("--permutations", type=int, default=200)
    asked = parser.parse_args()
    rows = read_rows(asked.rows)
    missing: dict[tuple[str, int], list[Row]] = defaultdict(list)
    for kind in (name + IN_REFERENCE * asked.in_reference for name in asked.kinds):
        for count in asked.counts:
            for replicate in range(asked.replicates):
                if (kind, count, replicate) not in rows:
                    missing[kind, replicate % NETWORKS].append((kind, count, replicate))
    if missing:
        folder = os.environ.get("GENCHECK_DATA") or sys.exit("GENCHECK_DATA names no folder")
        study = Study(Path(folder) / asked.data, asked.permutations)
        print("errors of the networks: " + ", ".join(f"{error:.1%}" for error in study.errors()))
        with asked.rows.open("a", newline="") as stream:
            writer = csv.writer(stream)
            if not rows:
                writer.writerow(["kind", "n", "replicate", *COLUMNS])
            for (kind, network), keys in missing.items():
                for key, row in zip(keys, study.rows(kind, network, keys), strict=True):
                    rows[key] = row
                    writer.writerow([*key, *(row[name] for name in COLUMNS)])
                stream.flush()
    tables(rows)


if __name__ == "__main__":
    main()
