"""Tell how far to trust this score, this data set, this checkpoint.

The public names are imported when first used, so that a validation bound does not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gencheck.version import __version__

if TYPE_CHECKING:
    from gencheck.audit.options import AuditOptions
    from gencheck.bounds.evidence import Evidence
    from gencheck.bounds.margin import independent_bound
    from gencheck.bounds.validation import validation_bounds
    from gencheck.errors import GencheckError, UnsupportedModel
    from gencheck.guarantees.drawn_classifier import DrawnClassifier
    from gencheck.interactive import Audit, audit_module
    from gencheck.spectral.kernel.path_kernel import PathKernel
    from gencheck.training.gated import GatedNetwork
    from gencheck.training.phases import two_phase
    from gencheck.training.regularisers.darc import DARC, DARC1

__all__ = [
    "DARC",
    "DARC1",
    "Audit",
    "AuditOptions",
    "DrawnClassifier",
    "Evidence",
    "GatedNetwork",
    "GencheckError",
    "PathKernel",
    "UnsupportedModel",
    "__version__",
    "audit_module",
    "independent_bound",
    "two_phase",
    "validation_bounds",
]

_HOMES = {
    "DARC": "gencheck.training.regularisers.darc",
    "DARC1": "gencheck.training.regularisers.darc",
    "Audit": "gencheck.interactive",
    "AuditOptions": "gencheck.audit.options",
    "DrawnClassifier": "gencheck.guarantees.drawn_classifier",
    "Evidence": "gencheck.bounds.evidence",
    "GatedNetwork": "gencheck.training.gated",
    "GencheckError": "gencheck.errors",
    "PathKernel": "gencheck.spectral.kernel.path_kernel",
    "UnsupportedModel": "gencheck.errors",
    "audit_module": "gencheck.interactive",
    "independent_bound": "gencheck.bounds.margin",
    "two_phase": "gencheck.training.phases",
    "validation_bounds": "gencheck.bounds.validation",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'gencheck' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
