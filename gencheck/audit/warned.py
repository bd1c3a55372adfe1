"""A warning as plain data."""

from dataclasses import dataclass, field

from gencheck.audit.item_picture import ItemPicture


@dataclass(frozen=True)
class NamedItem:
    """One item that a warning speaks of.

    Attributes
    ----------
    set, index
        Where it is, as in `ItemShare`.
    label
        Its class; None where the targets are values.
    detail
        What is said of it: the predicted class, or the items that are the same.
    file, class_name
        The name of its file, and of its class, where the data have them.
    picture
        What it looks like, where it is a picture of small size.
    """

    set: str
    index: int
    label: int | None
    detail: str
    file: str | None = None
    class_name: str | None = None
    picture: ItemPicture | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Warned:
    """A warning: its name, a sentence that says what it means and what to do, how many, and which."""

    name: str
    message: str
    count: int | None = None
    items: tuple[NamedItem, ...] = field(default=())
