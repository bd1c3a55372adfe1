"""The classifier that PAC-Bayes in path space certifies, as a thing one can hold and ask."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gencheck.atomic import write_whole
from gencheck.audit.model import load_model
from gencheck.bounds.path_space import Features, Posterior
from gencheck.errors import InputError
from gencheck.guarantees.path_space import Span
from gencheck.load.digest import sha256_of
from gencheck.load.files import reading
from gencheck.load.split import Array
from gencheck.network.ir import Network
from gencheck.spectral.kernel.path_kernel import PathKernel

_BATCH = 4096
_ARRAYS = ("landmarks", "basis", "exponent", "scale", "shrinkage", "mean", "gates_sha256")


@dataclass(frozen=True)
class DrawnClassifier:
    """A Gaussian over path weights, asked through kernel values: its mean, or weights drawn from it.

    >>> classifier = gencheck.DrawnClassifier.load("run", "classifier.npz")
    >>> classifier.predict(items)            # the posterior's mean: `pac-bayes-mean`
    >>> classifier.predict(items, seed=7)    # weights drawn anew for every item: `pac-bayes-drawn`

    Attributes
    ----------
    network
        The standard phase's network, which decides the gates and gives h⁰.
    span, posterior
        The features that the posterior moved along, and the Gaussian.
    """

    network: Network
    span: Span
    posterior: Posterior

    def distribution(self, items: Tensor | Array) -> tuple[Array, Array]:
        """The mean of each output, shape (N, K), and the deviation that all share, shape (N,).

        Parameters
        ----------
        items
            As the network takes them, shape (N, *input_shape), float32.

        Raises
        ------
        InputError
            They have another shape.
        """
        items = torch.as_tensor(items)
        if tuple(items.shape[1:]) != tuple(self.network.input_shape):
            raise InputError(
                where="DrawnClassifier",
                found=f"items of shape {tuple(items.shape[1:])}",
                required=f"items of shape {tuple(self.network.input_shape)}",
            )
        parts = [self._of_batch(part) for part in items.split(_BATCH)]
        means, deviations = zip(*parts, strict=True)
        return np.concatenate(means), np.concatenate(deviations)

    def _of_batch(self, items: Tensor) -> tuple[Array, Array]:
        kernel, marks = PathKernel.of(self.network), len(self.span.landmarks)
        pooled = kernel.features(torch.cat([self.span.landmarks, items.to(self.span.landmarks)]))
        columns, diagonal = kernel.columns(pooled, marks), kernel.diagonal(pooled)
        shift = torch.tensor(diagonal.exponent - self.span.exponent)
        squares = torch.ldexp(diagonal.mantissa.double(), shift).numpy()
        coordinates = self.span.coordinates(columns)
        features = Features(coordinates[marks:], squares[marks:], pooled.outputs.numpy()[marks:])
        return self.posterior.outputs(features), np.sqrt(self.posterior.variances(features))

    def predict(self, items: Tensor | Array, seed: int | None = None) -> Array:
        """Labels, shape (N,): of the mean, or with a seed of weights drawn anew for every item.

        A seed and an item's place among the items decide its draw.

        Raises
        ------
        InputError
            As `distribution` raises it.
        """
        means, deviations = self.distribution(items)
        if seed is not None:
            noise = np.random.default_rng(seed).normal(size=means.shape)
            means = means + deviations[:, None] * noise
        labels: Array = means.argmax(1)
        return labels

    def save(self, path: Path, gates: Path) -> None:
        """Write all but the network into an .npz, in one piece; `gates` is the file of the network.

        Raises
        ------
        InputError
            The file cannot be written.
        """
        arrays = {
            "landmarks": self.span.landmarks.numpy(),
            "basis": self.span.basis.numpy(),
            "exponent": np.array(self.span.exponent),
            "scale": np.array(self.posterior.scale),
            "shrinkage": self.posterior.shrinkage,
            "mean": self.posterior.mean,
            "gates_sha256": np.array(sha256_of(gates)),
        }
        write_whole(path, lambda buffer: np.savez(buffer, allow_pickle=False, **arrays), "--save")

    @staticmethod
    def load(run: str | Path, path: str | Path) -> "DrawnClassifier":
        """The classifier that `gencheck certify RUN DATA --save PATH` wrote.

        Raises
        ------
        InputError
            The file is none of a classifier, or belongs to another run.
        """
        gates = Path(run) / "gates.pt2"
        with (
            reading(path, "the file that gencheck certify RUN DATA --save FILE.npz wrote"),
            Path(path).open("rb") as handle,
            np.load(handle, allow_pickle=False) as arrays,
        ):
            found = {name: arrays[name] for name in _ARRAYS}
        if not gates.is_file() or str(found["gates_sha256"]) != sha256_of(gates):
            found_gates = "other gates (SHA-256 differs)" if gates.is_file() else "no gates.pt2"
            raise InputError(
                where=f"{path}, for the run {run}",
                found=found_gates,
                required="the run that it was certified for",
            )
        landmarks = torch.from_numpy(found["landmarks"])
        network = load_model(gates, None, [tuple(landmarks.shape[1:])]).network
        span = Span(landmarks, torch.from_numpy(found["basis"]), int(found["exponent"]))
        posterior = Posterior(float(found["scale"]), found["shrinkage"], found["mean"])
        return DrawnClassifier(network, span, posterior)
