"""The stages of an audit that ask the same of every view of the kernel: β2, and β1's direction."""

from gencheck.audit.attribution import top_direction
from gencheck.audit.beta1 import Moments
from gencheck.audit.image_grid import picture_of
from gencheck.audit.question import Question
from gencheck.audit.result import Direction
from gencheck.spectral.beta2.deadline import Deadline
from gencheck.spectral.beta2.sup_norm import SupNorm, sup_norms
from gencheck.spectral.kernel.path_kernel import PathFeatures, PathKernel


def sup_norms_of(question: Question, kernel: PathKernel, features: PathFeatures) -> SupNorm:
    """β2's interval, and the path that attains its lower end."""
    seconds = question.options.beta2_budget
    if seconds == 0:
        return SupNorm.unsearched(question.difference.targets.shape[1])
    return sup_norms(
        # whole windows at a time, whatever the executor: the search is then many times quicker
        kernel.windows,
        features.factors,
        question.difference.target_weights(),
        budget=question.options.beta2_operations,
        gates_lie_in_unit_interval=question.network.gates_lie_in_unit_interval,
        seed=question.options.seed,
        progress=question.progress,
        deadline=Deadline(seconds),
        ranks=kernel.ranks,
    )


def direction_of(
    question: Question, kernel: PathKernel, features: PathFeatures, moments: Moments
) -> Direction | None:
    """Where on the input β1's direction lies."""
    stored = question.sample.stored_shape if question.model.head is None else None
    picture = picture_of(question.network.input_shape, stored)
    return top_direction(question, kernel, features.factors, moments, picture)
