"""Tell how far to trust this score, this data set, this checkpoint.

The public names are imported when first used, so that a validation bound does not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gencheck.audit import AuditOptions
    from gencheck.bounds.margin import independent_bound
    from gencheck.bounds.validation import Evidence, validation_bounds
    from gencheck.errors import GencheckError, UnsupportedModel
    from gencheck.modules import audit_module
    from gencheck.train.darc import DARC, DARC1

__version__ = "0.1.0"

__all__ = [
    "DARC",
    "DARC1",
    "AuditOptions",
    "Evidence",
    "GencheckError",
    "UnsupportedModel",
    "__version__",
    "audit_module",
    "independent_bound",
    "validation_bounds",
]

_HOMES = {
    "DARC": "gencheck.train.darc",
    "DARC1": "gencheck.train.darc",
    "AuditOptions": "gencheck.audit",
    "Evidence": "gencheck.bounds.validation",
    "GencheckError": "gencheck.errors",
    "UnsupportedModel": "gencheck.errors",
    "audit_module": "gencheck.modules",
    "independent_bound": "gencheck.bounds.margin",
    "validation_bounds": "gencheck.bounds.validation",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'gencheck' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
