"""How many models were counted, beside how many the best was chosen from."""

import math
from typing import TYPE_CHECKING

from gencheck.arguments import log_of_count
from gencheck.errors import InputError

if TYPE_CHECKING:
    from gencheck.guarantees.evidence import ValidationRequest


def require_all_counted(request: "ValidationRequest", seen: int, what: str) -> None:
    """Do nothing where as many models are counted as the best was chosen from, or none by a number.

    Raises
    ------
    InputError
        Fewer are: the best of several would be taken for one of fewer.
    """
    log_models = request.log_n_models
    if request.n_models is not None:
        log_models = log_of_count("--n-models", request.n_models)
    # e^L of a whole number comes back a little less than itself
    if log_models is not None and log_models < math.log(seen) - 1e-9:
        raise InputError(
            where="--n-models",
            found=f"{math.exp(log_models):.6g}, for the best of {seen:,} {what}",
            required=f"{seen:,} or more",
            remedy="Leave it out to count those; give more where more were tried. Of a study, --count "
            "trials says that each trial's last score was taken, --val-error E that another model was.",
        )
