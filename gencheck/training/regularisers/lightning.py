"""DARC in Lightning: a callback that adds a term to the loss of every training step."""

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from gencheck.errors import InputError, needing

with needing("lightning", "The DARC callback"):
    from lightning.pytorch import Callback, LightningModule, Trainer

if TYPE_CHECKING:
    from torch.utils.hooks import RemovableHandle


class DARCCallback(Callback):
    """Adds ``term(logits)`` to the loss that ``training_step`` returns, for one fit.

    ``Trainer(callbacks=[DARCCallback(DARC1(1e-3), layer="head")])``. The logits are what the layer
    last put out in the step, of shape (m, K). Accumulated batches and mixed precision treat the sum
    as they would the loss alone.

    Parameters
    ----------
    term
        `DARC1` or `DARC`, or any function of the logits with a scalar result.
    layer
        The name of the submodule whose output is the logits; empty for the LightningModule itself,
        where ``training_step`` calls ``self(x)``.
    """

    def __init__(self, term: nn.Module, layer: str = "") -> None:
        self.term, self.layer = term, layer
        self._logits: Tensor | None = None
        self._hook: RemovableHandle | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to watch the layer and to add the term.

        Raises
        ------
        InputError
            The module has no such layer.
        """
        layers = dict(pl_module.named_modules())
        if self.layer not in layers:
            raise InputError(
                where="layer of DARCCallback",
                found=repr(self.layer),
                required=f"one of {', '.join(name for name in layers if name)}, or empty",
            )
        self._hook = layers[self.layer].register_forward_hook(self._keep)
        step = pl_module.training_step

        def step_with_term(*arguments: Any, **options: Any) -> Any:
            self._logits = None
            return self._with_term(step(*arguments, **options))

        # an attribute of this one object: the class, and other objects of it, stay as they are
        pl_module.__dict__["training_step"] = step_with_term

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the module as it was."""
        self._restore(pl_module)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Leave the module as it was."""
        self._restore(pl_module)

    def _restore(self, pl_module: LightningModule) -> None:
        pl_module.__dict__.pop("training_step", None)
        if self._hook is not None:
            self._hook.remove()
            self._hook = None
        self._logits = None

    def _keep(self, module: nn.Module, arguments: Any, output: Any) -> None:
        self._logits = output

    def _with_term(self, outcome: Any) -> Any:
        if outcome is None:  # Lightning's way to skip a batch
            return None
        if self._logits is None:
            raise InputError(
                where=f"DARCCallback, layer {self.layer!r}",
                found="no output of it in training_step",
                required="a layer that the step calls as a module",
                remedy="Name the layer that puts out the logits with layer=.",
            )
        added = self.term(self._logits)
        self._logits = None
        if isinstance(outcome, Tensor):
            return outcome + added
        return {**outcome, "loss": outcome["loss"] + added}
