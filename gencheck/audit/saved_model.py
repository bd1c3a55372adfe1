"""From the content of a checkpoint to a module, and what a program in one may fail by."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import nn

from gencheck.errors import InputError
from gencheck.load.checkpoint import StateDict, built_model
from gencheck.load.files import plain_reason
from gencheck.load.hugging_face import PretrainedFolder, pretrained_model
from gencheck.load.parametrised import with_effective_weights
from gencheck.load.wrapping import aligned
from gencheck.network.frontend.chain import linear_chain


@contextmanager
def sound_program(path: Path) -> Iterator[None]:
    """A graph from a file may call operators with arguments that they do not take.

    Raises
    ------
    InputError
        It does.
    """
    try:
        yield
    except (
        RuntimeError,
        TypeError,
        LookupError,
        ValueError,
        AttributeError,
        ArithmeticError,
    ) as error:
        raise InputError(
            where=str(path),
            found=f"a program whose calls do not fit together ({plain_reason(error)})",
            required="an archive written by torch.export.save",
            remedy="Save the model again with torch.export.save.",
        ) from error


def module_of_state(
    state: StateDict | PretrainedFolder,
    factory: str | None,
    shapes: Iterable[tuple[int, ...]],
    where: str,
) -> tuple[nn.Module, tuple[str, ...], Iterable[tuple[int, ...]]]:
    """The module of what holds weights alone, what was assumed, and the item shapes to try on it."""
    if isinstance(state, PretrainedFolder):
        if factory is None:
            return (*pretrained_model(state), shapes)
        state = StateDict(state.weights(), ordered=False)
    if factory is not None:
        module, notes = built_model(factory, state, where)
        return module, (*state.notes, *notes), shapes
    tensors, computed = with_effective_weights(state.tensors, None, where)
    tensors, prefixes = aligned(tensors, None, state.under)
    chain = linear_chain(tensors, state.ordered, where)
    first = chain[0]
    assert isinstance(first, nn.Linear)
    note = "a plain chain of Linear weights; ReLU between the layers is assumed"
    return chain, (*state.notes, *computed, *prefixes, note), [(first.in_features,)]
