"""The experiments by name; each module has a function ``run(options, progress)``."""

from importlib import import_module

from gencheck.errors import InputError
from gencheck.experiments.experiment import Experiment

# name on the command line: module. They are imported when run, so that a formula does not wait for torch.
EXPERIMENTS = {
    "validation-example": "validation_example",
    "independent-example": "independent_example",
    "linear-failure": "linear_failure",
    "paradox": "paradox",
    "two-phase": "two_phase",
    "certified-error": "certified_error",
    "data-dependent": "data_dependent",
    "darc1": "darc1",
    "random-labels": "random_labels",
    "ranking": "ranking",
}


def experiment_named(name: str) -> Experiment:
    """The experiment of that name.

    Raises
    ------
    InputError
        There is none; names those that there are.
    """
    if name not in EXPERIMENTS:
        raise InputError(
            where="NAME", found=repr(name), required=f"one of {', '.join(EXPERIMENTS)}"
        )
    run: Experiment = import_module(f"gencheck.experiments.{EXPERIMENTS[name]}").run
    return run
