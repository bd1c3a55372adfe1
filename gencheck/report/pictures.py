"""What the items that a document names look like, which the document itself does not hold."""

from gencheck.audit.item_picture import ItemPicture
from gencheck.audit.result import ConcentrationResult, ItemShare
from gencheck.audit.warned import NamedItem


def pictures_of(result: ConcentrationResult) -> dict[tuple[str, int], ItemPicture]:
    """The pictures of the items of the attribution and of the warnings, by set and index."""
    items: list[ItemShare | NamedItem] = [*result.attribution]
    items += [item for each in result.warnings for item in each.items]
    return {(item.set, item.index): item.picture for item in items if item.picture is not None}
