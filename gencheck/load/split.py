"""Items with targets, in memory or still in their file; read when they are chosen."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gencheck.errors import InputError
from gencheck.load.files import listed

Array = NDArray[Any]
Transform = Callable[[Array], Any]
# An image and its place to the image in another size.
Resizing = Callable[[Array, str], Array]


@dataclass(frozen=True)
class Names:
    """What items and classes are called where they come from.

    Attributes
    ----------
    files
        The name of an item's file, where it has one, by the item's position in what was given.
    classes
        The name of each class, by its label.
    """

    files: Mapping[int, str]
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Split:
    """Items and targets from one place.

    Attributes
    ----------
    items
        Shape (N, …), as stored.
    targets
        Shape (N,) or (N, K), as stored.
    where
        File and arrays, for messages.
    indices
        The position of each item in its file, shape (N,).
    notes
        What reading them involved, for the record.
    names
        What items and classes are called; None where they have numbers alone.
    """

    items: Array
    targets: Array
    where: str
    indices: Array
    notes: tuple[str, ...] = ()
    names: Names | None = None

    def __len__(self) -> int:
        return len(self.items)

    def taken(self, order: Array) -> "Split":
        """The items at the positions `order`."""
        items, targets = self.items[order], self.targets[order]
        return replace(self, items=items, targets=targets, indices=self.indices[order])

    def loaded(self, transform: Transform | None = None, resize: Resizing | None = None) -> "Split":
        """Itself, or with `resize` and then `transform` applied to each item.

        Raises
        ------
        InputError
            As `transformed` raises it, or an item is none that `resize` takes.
        """
        items = self.items
        if transform is None and items.dtype == object:
            raise InputError(
                where=self.where,
                found=f"texts such as {str(items[0])[:40]!r}",
                required="numbers, such as the tokens of each text in a list of one length",
                remedy="Write tokens into the file, or pass --transform MODULE:FUNCTION, which makes "
                "an array of a text.",
            )
        if resize is not None:
            pairs = zip(items, self.indices.tolist(), strict=True)
            items = np.stack([resize(item, f"{self.where}, item {at}") for item, at in pairs])
        if transform is not None:
            items = transformed(list(items), self.indices, transform, self.where)
        return replace(self, items=items)


@dataclass(frozen=True)
class Chosen:
    """What was read for some rows: items of one shape or of several, targets, notes, file names."""

    items: Array | list[Array]
    targets: Array
    notes: tuple[str, ...] = ()
    files: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Rows:
    """Items that are still in their file.

    Attributes
    ----------
    read
        Reads the items at some positions of the file, given in increasing order, each resized as soon
        as it is read where that is asked for: images of full size need not fit into memory together.
    where
        The file, for messages.
    indices
        The positions of the items chosen so far, shape (N,).
    names
        What items and classes are called, as in `Split`.
    """

    read: Callable[[Array, Resizing | None], Chosen]
    where: str
    indices: Array
    names: Names | None = None

    def __len__(self) -> int:
        return len(self.indices)

    def taken(self, order: Array) -> "Rows":
        """The items at the positions `order`, not read yet."""
        return replace(self, indices=self.indices[order])

    def loaded(self, transform: Transform | None = None, resize: Resizing | None = None) -> Split:
        """The items, read now; only those chosen are ever held.

        Raises
        ------
        InputError
            They cannot be read, are not finite, or differ in shape; names the row in the file.
        """
        positions, back = np.unique(self.indices, return_inverse=True)
        chosen = self.read(positions, resize)
        if transform is not None:
            items = transformed(list(chosen.items), positions, transform, self.where)
        else:
            items = stack_items(chosen.items, positions, self.where)
        return Split(
            items=items[back],
            targets=chosen.targets[back],
            where=self.where,
            indices=self.indices,
            notes=chosen.notes,
            names=self._names(chosen),
        )

    def _names(self, chosen: Chosen) -> Names | None:
        """The names, with those of files that came with the items."""
        if not chosen.files:
            return self.names
        known = Names({}, ()) if self.names is None else self.names
        return replace(known, files={**known.files, **chosen.files})


def stack_items(items: Array | Sequence[Array], indices: Array, where: str) -> Array:
    """Items of one shape as one array.

    Raises
    ------
    InputError
        One differs in shape from the first; names it.
    """
    if isinstance(items, np.ndarray):
        return items
    for index, item in zip(indices.tolist(), items, strict=True):
        if item.shape != items[0].shape:
            raise InputError(
                where=f"{where}, item {index}",
                found=f"shape {item.shape}",
                required=f"the shape {items[0].shape} of item {int(indices[0])}",
                remedy="Bring the items to one shape in the file, images with --resize, others with "
                "--transform.",
            )
    return np.stack(items)


def transformed(items: Sequence[Array], indices: Array, transform: Transform, where: str) -> Array:
    """What `transform` makes of each item, as one array.

    Raises
    ------
    InputError
        It fails on an item, or returns something that is not finite numbers of one shape.
    """
    made: list[Array] = []
    for index, item in zip(indices.tolist(), items, strict=True):
        try:
            result = np.asarray(transform(item))
        except Exception as error:
            raise InputError(
                where=f"--transform on {where}, item {index}",
                found=f"{type(error).__name__}: {error}",
                required=f"a function that takes one item, {_kind(item)}, and returns an array",
            ) from error
        if result.dtype.kind not in "biuf" or not np.isfinite(result).all():
            raise InputError(
                where=f"--transform on {where}, item {index}",
                found=f"a result of {result.dtype}, or one that is not finite",
                required="finite numbers",
            )
        made.append(result)
    return stack_items(made, indices, f"--transform on {where}")


def _kind(item: Array | str) -> str:
    if isinstance(item, str):
        return "a text"
    return f"a NumPy array of {item.dtype} and shape {item.shape}"


def require_same_classes(splits: Sequence[Split]) -> None:
    """Refuse folders whose classes have other names: a label would be another class in each.

    Raises
    ------
    InputError
        Two splits name their classes, and differently.
    """
    named = [(s, s.names.classes) for s in splits if s.names is not None and s.names.classes]
    for split, classes in named[1:]:
        first, expected = named[0]
        if classes != expected:
            raise InputError(
                where=split.where,
                found=f"the classes {listed(classes)}",
                required=f"those of {first.where}: {listed(expected)}",
                remedy="Name them alike; in a folder of images a class without any takes an empty one.",
            )
