"""Which model an audit is about, and which items of which files are its sample and its reference."""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

from gencheck.errors import InputError
from gencheck.load.code import named_attribute
from gencheck.load.dataset import DataFile, load_dataset
from gencheck.load.normalise import Normalisation
from gencheck.load.prepare import held_out, shuffled
from gencheck.load.resize import Resize
from gencheck.load.run_folder import RunFolder, positions_of
from gencheck.load.split import Rows, Split, Transform


@dataclass(frozen=True)
class ModelSelection:
    """Which model, from which files.

    Attributes
    ----------
    checkpoint
        A checkpoint file, a Hugging Face folder, or the folder of a two-phase run: its two programs,
        and as the sample the items of its freeze phase where the data are the run's own.
    factory
        ``MODULE:FACTORY`` for a state dict that is no plain chain of Linear weights.
    from_layer
        The tail of the model from this layer on.
    key
        The key that the weights stand under, where a checkpoint holds several state dicts.
    output
        The name or number of the output to audit, where the forward returns several.
    gates
        The checkpoint that decides the gates; to name it is to declare that it saw neither set.
    gates_independent
        Declared by the user: the gates saw neither set.
    """

    checkpoint: Path
    factory: str | None = None
    from_layer: str | None = None
    key: str | None = None
    output: str | None = None
    gates: Path | None = None
    gates_independent: bool = False

    @property
    def gates_may_be_independent(self) -> bool:
        """True where they are declared so; of a run's folder its data tell, once they are read."""
        return self.gates_independent or self.gates is not None or self.checkpoint.is_dir()


@dataclass(frozen=True)
class DataSelection:
    """Which items are the sample S and which the reference T.

    Attributes
    ----------
    path
        The data file; S is its main or train split.
    reference
        A second file for T: its test split where it has one, else its main split.
    holdout
        Instead, the fraction of S that is set aside as T at random.
    x_key, y_key
        Names of arrays or columns.
    limit
        At most so many items of each set, after a seeded shuffle.
    task
        ``auto``, ``classification`` or ``regression``.
    transform
        ``MODULE:FUNCTION`` of the user's that makes the model's item of a stored one.
    normalise
        What is taken from every channel of the model's item, and what it is divided by.
    resize
        The size that stored images are brought to, before anything else.
    """

    path: Path
    reference: Path | None = None
    holdout: float | None = None
    x_key: str | None = None
    y_key: str | None = None
    limit: int | None = None
    seed: int = 0
    task: str = "auto"
    transform: str | None = None
    normalise: Normalisation | None = None
    resize: Resize | None = None

    def loaded(self, split: Split | Rows) -> Split:
        """The chosen items, read, resized and transformed as asked."""
        resize = None if self.resize is None else self.resize.applied
        return split.loaded(_transform(self.transform), resize)


def select_splits(selection: DataSelection, run: RunFolder | None = None) -> tuple[Split, Split]:
    """The sample and the reference, before any preparation.

    Parameters
    ----------
    run
        A two-phase run on these data: the sample (and what is held out of it) are the items of its
        freeze phase; what the run held out itself is the reference where no other is asked for.

    Raises
    ------
    InputError
        There is nothing to take as the reference, or two answers to that question.
    """
    data = load_dataset(selection.path, selection.x_key, selection.y_key)
    main, apart = (data.main, None) if run is None else _parts_of_run(data.main, run)
    if selection.reference is not None and selection.holdout is not None:
        raise InputError(
            where="--reference and --holdout", found="both", required="one of them at most"
        )
    if selection.holdout is not None:
        sample, reference = held_out(main, selection.holdout, selection.seed)
    else:
        sample, reference = main, _reference(selection, data, apart)
    sample, reference = (
        selection.loaded(shuffled(split, selection.limit, selection.seed))
        for split in (sample, reference)
    )
    if sample.items.shape[1:] != reference.items.shape[1:]:
        raise InputError(
            where=reference.where,
            found=f"items of shape {reference.items.shape[1:]}",
            required=f"the sample's item shape {sample.items.shape[1:]}",
            remedy=f"See which is the model's: the sample is {sample.where}.",
        )
    return sample, reference


def _transform(name: str | None) -> Transform | None:
    if name is None:
        return None
    found = named_attribute(
        name, "--transform", "MODULE:FUNCTION, an importable function of one item"
    )
    if not callable(found):
        raise InputError(
            where=f"--transform {name}",
            found=f"a {type(found).__name__}",
            required="a function of one item",
        )
    return cast(Transform, found)


def _parts_of_run(main: Split | Rows, run: RunFolder) -> tuple[Split | Rows, Split | Rows | None]:
    """The items of the freeze phase, and those that the run held out."""
    freeze = main.taken(positions_of(run.freeze, main.indices, main.where))
    if not len(run.held_out):
        return freeze, None
    return freeze, main.taken(positions_of(run.held_out, main.indices, main.where))


def _reference(
    selection: DataSelection, data: DataFile, apart: Split | Rows | None
) -> Split | Rows:
    if selection.reference is not None:
        other = load_dataset(selection.reference, selection.x_key, selection.y_key)
        return other.test or other.main
    if apart is not None:
        return apart
    if data.test is None:
        raise InputError(
            where=str(selection.path),
            found="no test split to take as the reference",
            required="arrays x_test and y_test, --reference FILE, or --holdout FRACTION",
        )
    return data.test
