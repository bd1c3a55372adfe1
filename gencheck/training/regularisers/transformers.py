"""DARC in the Hugging Face Trainer: a mixin that adds a term to the training loss."""

from typing import Any

from torch import nn

from gencheck.errors import InputError, needing

with needing("transformers", "The DARC mixin of the Trainer"):
    from transformers import Trainer


class DARCTrainerMixin(Trainer):
    """Adds ``darc_term(logits)`` to the loss of a Trainer while its model trains.

    ``class MyTrainer(DARCTrainerMixin): darc_term = DARC1(1e-3)``; another Trainer may stand after it
    in the list of bases. The model's outputs must have ``logits``; for token classifiers every token
    is an item. Evaluation losses stay as they are. Where the trainer's own loss is already divided by
    the items of all accumulated batches, the term is divided by the number of those batches.

    Attributes
    ----------
    darc_term
        `DARC1` or `DARC`, or any function of the logits with a scalar result.
    """

    darc_term: nn.Module

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """The trainer's own loss, plus the term where the model trains.

        Raises
        ------
        InputError
            The model's outputs have no logits.
        """
        loss, outputs = super().compute_loss(
            model, inputs, return_outputs=True, num_items_in_batch=num_items_in_batch
        )
        if model.training:
            logits = outputs.get("logits") if isinstance(outputs, dict) else None
            if logits is None:
                raise InputError(
                    where="outputs of the model in DARCTrainerMixin",
                    found=type(outputs).__name__,
                    required="outputs with logits of shape (…, K)",
                )
            added = self.darc_term(logits.flatten(0, -2))
            if self._is_scaled(num_items_in_batch):
                added = added / self.current_gradient_accumulation_steps
            loss = loss + added
        return (loss, outputs) if return_outputs else loss

    def _is_scaled(self, num_items_in_batch: Any) -> bool:
        """True where the trainer's own loss is a share of all accumulated batches' mean."""
        said = getattr(self, "loss_is_scaled_for_ga", None)
        if said is not None:
            return bool(said)
        counted = self.model_accepts_loss_kwargs and num_items_in_batch is not None
        return bool(counted or self.compute_loss_func is not None)
