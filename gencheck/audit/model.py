"""The model under audit: its network, its own output, and how it was read."""

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor, nn

from gencheck.audit.lowering import lowered_or_advised, taken_off_notes
from gencheck.audit.saved_model import module_of_state, sound_program
from gencheck.errors import InputError
from gencheck.load.checkpoint import SavedProgram, StateDict, load_checkpoint
from gencheck.load.hugging_face import PretrainedFolder
from gencheck.network.computed import Embed
from gencheck.network.frontend.archive import from_archive
from gencheck.network.frontend.aten import AtenGraph, run
from gencheck.network.frontend.extents import require_bounded
from gencheck.network.frontend.lowering import lower, may_run
from gencheck.network.frontend.plain_copy import plain_copy, require_numbers
from gencheck.network.frontend.tail import head_of, tail_of
from gencheck.network.frontend.trace import first_traceable, trace
from gencheck.network.gated_run import gated_output, require_same_architecture
from gencheck.network.ir import Network
from gencheck.network.pair import with_gates_of


@dataclass(frozen=True)
class AuditedModel:
    """A model as the audit sees it.

    Attributes
    ----------
    network
        The gated linear network.
    own_output
        The model's own output on items of shape (N, *network.input_shape), by torch's own kernels.
    parameters
        The number of its parameters.
    notes
        What was assumed in reading it.
    item_shape, whole_numbers
        What the model takes: the shape of one item, and whether it consists of whole numbers.
    head
        Where the audit starts at a layer: what computes the tensor entering it from the model's
        items, in the dtype asked for. None where the whole model is audited.
    gates
        The network of the same structure that decides the gates, after two-phase training; None
        where `network` decides them itself.
    """

    network: Network
    own_output: Callable[[Tensor], Tensor]
    parameters: int
    notes: tuple[str, ...]
    item_shape: tuple[int, ...]
    whole_numbers: bool = False
    head: Callable[[Tensor, torch.dtype], Tensor] | None = None
    gates: Network | None = None

    @property
    def vocabulary(self) -> int | None:
        """How many tokens it knows, where its items are tokens that it embeds itself."""
        tables = [len(node.weight) for node in self.network.nodes if isinstance(node, Embed)]
        return min(tables, default=None)


def model_of_module(
    module: nn.Module,
    shapes: Iterable[tuple[int, ...]],
    notes: tuple[str, ...] = (),
    from_layer: str | None = None,
    gates: nn.Module | None = None,
    *,
    output: str | None = None,
) -> AuditedModel:
    """A live module, which is copied, never changed.

    Parameters
    ----------
    shapes
        Item shapes to try; the first one that the module runs on is taken.
    from_layer
        Audit the tail from this layer on, with the tensor entering it as x.
    gates
        A module of the same architecture that decides the gates.
    output
        The name or number of the output to audit, where the forward returns several.

    Raises
    ------
    InputError
        The module runs on none of the shapes, has no such layer, or differs from `gates`.
    UnsupportedModel
        The module has operations outside the path view.
    """
    require_numbers(module)
    parameters = sum(p.numel() for p in module.parameters())
    module = plain_copy(module)
    graph = first_traceable(module, list(shapes), output, logits=True)
    if gates is not None:
        refuse_tail_with_gates(from_layer)
        other = trace(
            plain_copy(gates), graph.input_shape, graph.whole_numbers, output=output, logits=True
        )
        return _subject_of_pair(graph, other, parameters, notes)
    # what the module itself returns are the logits only where nothing was chosen or taken off
    if from_layer is not None or graph.taken_off or graph.part_of_output:
        return _subject_of_graph(graph, parameters, notes, from_layer)
    copies: dict[tuple[torch.dtype, torch.device], nn.Module] = {}

    def own_output(items: Tensor) -> Tensor:
        key = (items.dtype, items.device)
        if key not in copies:
            copies[key] = copy.deepcopy(module).eval().to(dtype=items.dtype, device=items.device)
        with torch.no_grad():
            made = copies[key](items.long() if graph.whole_numbers else items)
        assert isinstance(made, Tensor)
        return made

    network = lowered_or_advised(graph)
    shape, tokens = graph.input_shape, graph.whole_numbers
    return AuditedModel(network, own_output, parameters, notes, shape, whole_numbers=tokens)


_Saved: TypeAlias = SavedProgram | StateDict | PretrainedFolder


def refuse_tail_with_gates(from_layer: str | None) -> None:
    """Do nothing without a layer to start from.

    Raises
    ------
    InputError
        There is one: it is not decided which of two networks would compute what enters it.
    """
    if from_layer is not None:
        raise InputError(
            where="--from with --gates",
            found=f"both (--from {from_layer})",
            required="one of them",
            remedy="Audit the whole two-phase network, or the tail of one of its checkpoints.",
        )


def _subject_of_pair(
    weights: AtenGraph, gates: AtenGraph, parameters: int, notes: tuple[str, ...]
) -> AuditedModel:
    """A two-phase network: the gates of one traced model under the weights of another."""
    require_same_architecture(weights, gates)
    deciding = lower(gates)
    network = with_gates_of(lowered_or_advised(weights), deciding)

    def own_output(items: Tensor) -> Tensor:
        return gated_output(weights, gates, items)

    return AuditedModel(
        network,
        own_output,
        parameters,
        (*notes, *taken_off_notes(weights)),
        weights.input_shape,
        whole_numbers=weights.whole_numbers,
        gates=deciding,
    )


def _subject_of_graph(
    graph: AtenGraph, parameters: int, notes: tuple[str, ...], from_layer: str | None
) -> AuditedModel:
    whole = graph
    head: Callable[[Tensor, torch.dtype], Tensor] | None = None
    if from_layer is not None:
        before = head_of(whole, from_layer)

        def head(items: Tensor, dtype: torch.dtype) -> Tensor:
            return run(before, items, may_run, dtype=dtype).to(dtype)

        kind = torch.int64 if whole.whole_numbers else torch.float32
        probe = torch.zeros((whole.batch or 2, *whole.input_shape), dtype=kind)
        graph = tail_of(whole, from_layer, tuple(head(probe, torch.float32).shape[1:]))

    def own_output(items: Tensor) -> Tensor:
        # the tokens of a text reach a network as numbers of the run's dtype
        given = items.long() if graph.whole_numbers and from_layer is None else items
        return run(graph, given, may_run, dtype=items.dtype)

    return AuditedModel(
        lowered_or_advised(graph),
        own_output,
        parameters,
        (*notes, *taken_off_notes(graph)),
        whole.input_shape,
        whole_numbers=whole.whole_numbers,
        head=head,
    )


def load_model(
    path: Path,
    factory: str | None,
    shapes: Iterable[tuple[int, ...]],
    from_layer: str | None = None,
    gates: Path | None = None,
    *,
    key: str | None = None,
    output: str | None = None,
) -> AuditedModel:
    """The model in a checkpoint file.

    Parameters
    ----------
    factory
        ``MODULE:FACTORY`` for a state dict that is no plain chain of Linear weights.
    shapes
        Item shapes to try where the checkpoint does not say its own.
    from_layer
        Audit the tail from this layer on, with the tensor entering it as x.
    gates
        The checkpoint of the network that decides the gates, of the same kind and architecture.
    key
        The key that the weights stand under, where a checkpoint holds several state dicts.
    output
        The name or number of the output to audit, where the forward returns several.

    Raises
    ------
    InputError, UnsupportedModel, MissingDependency
        As the readers of the file, the factory and the tracer raise them.
    """
    if gates is not None:
        refuse_tail_with_gates(from_layer)
        pair = load_checkpoint(path, key), load_checkpoint(gates, key)
        return _load_pair(pair, (path, gates), factory, list(shapes), output=output)
    checkpoint = load_checkpoint(path, key)
    if isinstance(checkpoint, SavedProgram):
        if factory is not None:
            raise InputError(
                where="--model",
                found=f"a factory for {path}, which brings its own graph",
                required="--model only with a state dict",
            )
        graph = from_archive(checkpoint.document, checkpoint.weights, str(path), output)
        with sound_program(path):
            require_bounded(graph)
            model = _subject_of_graph(graph, graph.parameter_count, (), from_layer)
        return _guarded(model, path)
    module, notes, shapes = module_of_state(checkpoint, factory, shapes, str(path))
    return model_of_module(module, shapes, notes, from_layer, output=output)


def _guarded(model: AuditedModel, path: Path) -> AuditedModel:
    """With an own output that answers for the program in the file."""

    def own_output(items: Tensor) -> Tensor:
        with sound_program(path):
            return model.own_output(items)

    return replace(model, own_output=own_output)


def _load_pair(
    pair: tuple[_Saved, _Saved],
    paths: tuple[Path, Path],
    factory: str | None,
    shapes: list[tuple[int, ...]],
    *,
    output: str | None,
) -> AuditedModel:
    (one, two), (path, gates) = pair, paths
    if isinstance(one, SavedProgram) and isinstance(two, SavedProgram) and factory is None:
        graphs = [
            from_archive(program.document, program.weights, str(where), output)
            for program, where in ((one, path), (two, gates))
        ]
        with sound_program(path):
            for graph in graphs:
                require_bounded(graph)
            model = _subject_of_pair(graphs[0], graphs[1], graphs[0].parameter_count, ())
        return _guarded(model, path)
    if isinstance(one, SavedProgram) or isinstance(two, SavedProgram):
        raise InputError(
            where=f"{path} and --gates {gates}",
            found="a program and a state dict, or programs with --model",
            required="two .pt2 programs, or two state dicts",
        )
    module, notes, wanted = module_of_state(one, factory, shapes, str(path))
    deciding, *_ = module_of_state(two, factory, shapes, str(gates))
    return model_of_module(module, wanted, notes, gates=deciding, output=output)
