"""`gencheck data-indep`: the data-independent margin bound, from numbers."""

import math
from typing import TYPE_CHECKING, Annotated

import typer

from gencheck.cli.deliver import deliver, errors_as_exit_codes
from gencheck.cli.options import AsJson, Debug, Output
from gencheck.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType

    from gencheck.report.json import Document


def data_indep(
    d_y: Annotated[int, typer.Option(metavar="K", help="Classes.", show_default=False)],
    c_sigma: Annotated[
        float,
        typer.Option(metavar="C", help="C_σ ≥ √E‖z‖² of the path features.", show_default=False),
    ],
    c_w: Annotated[
        float,
        typer.Option(metavar="C", help="C_w ≥ ‖w_k‖₂ of the path weights.", show_default=False),
    ],
    margin_loss: Annotated[
        float, typer.Option(metavar="R", help="The ramp loss at margin ρ on the m_σ items.")
    ] = 0.0,
    rho: Annotated[float, typer.Option(metavar="R", help="The margin ρ.")] = 1.0,
    m_sigma: Annotated[
        str | None, typer.Option(metavar="N", help="Items of the freeze phase.")
    ] = None,
    m: Annotated[
        str | None,
        typer.Option("--m", metavar="N", help="Instead: all training items, with --alpha."),
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option(
            metavar="A", help="The share of them that trained the gates; m_σ = (1 − A) m."
        ),
    ] = None,
    delta: Annotated[
        float, typer.Option(metavar="D", help="The bound holds with probability 1 − D.")
    ] = 0.05,
    max_risk: Annotated[
        float | None, typer.Option(metavar="X", help="Fail (exit 1) above this risk.")
    ] = None,
    as_json: AsJson = False,
    output: Output = None,
    debug: Debug = False,
) -> None:
    """Bound the true risk of a two-phase network by its margin and norms, whatever the data.

    Example: gencheck data-indep --m 50000 --alpha 0.1 --d-y 10 --c-sigma 0.1 --c-w 0.1 --delta 0.1
    """
    with errors_as_exit_codes(debug):
        from gencheck.bounds.margin import ASSUMES, SOURCE, independent_bound
        from gencheck.checks import require_between
        from gencheck.gate import Gate, maximum_check
        from gencheck.report.json import document

        require_between("--d-y", d_y, 2, 1e9)
        for name, value in (("--rho", rho), ("--c-sigma", c_sigma), ("--c-w", c_w)):
            require_between(name, value, 0, open_low=True)
        require_between("--margin-loss", margin_loss, 0, 1)
        require_between("--delta", delta, 0, 1, open_low=True, open_high=True)
        items = _freeze_items(m_sigma, m, alpha)
        bound = independent_bound(items, rho, d_y, c_sigma, c_w, delta, margin_loss)
        if bound.risk == math.inf:
            raise InputError(
                where="--c-sigma, --c-w and --rho",
                found="a bound past 1e308",
                required="numbers that keep it in the range of floats",
            )
        checks = maximum_check("max-risk", max_risk, bound.risk)
        inputs = {
            "margin_loss": margin_loss,
            "rho": rho,
            "m_sigma": items,
            "m": m,
            "alpha": alpha,
            "d_y": d_y,
            "c_sigma": c_sigma,
            "c_w": c_w,
            "delta": delta,
            "max_risk": max_risk,
        }
        body = {
            "certainty": "certified",
            "bound": {
                "risk": bound.risk,
                "slack": bound.slack,
                "terms": {"rademacher": bound.rademacher, "confidence": bound.confidence},
                "vacuous": bound.vacuous,
                "assumes": ASSUMES,
                "source": SOURCE,
            },
        }
        gate = Gate(tuple(checks)) if checks else None
        deliver(document("data-indep", inputs, body, gate), _report, as_json, output)


def _freeze_items(m_sigma: str | None, m: str | None, alpha: float | None) -> int:
    """m_σ as given, or ⌊(1 − α) m⌋, a product that is whole up to rounding taken as whole."""
    from gencheck.bounds.validation import count_of
    from gencheck.checks import require_between, whole_number

    if m_sigma is not None:
        if m is not None or alpha is not None:
            raise InputError(
                where="--m-sigma",
                found="--m or --alpha beside it",
                required="either --m-sigma, or --m and --alpha",
            )
        return whole_number("--m-sigma", m_sigma)
    if m is None or alpha is None:
        raise InputError(
            where="--m-sigma",
            found="nothing",
            required="the items of the freeze phase, or --m and --alpha",
        )
    require_between("--alpha", alpha, 0, 1, open_high=True)
    total = whole_number("--m", m)
    items = total - count_of(total, alpha)
    if items < 1:
        raise InputError(
            where="--m and --alpha", found=f"{items} items left", required="at least one"
        )
    return items


def _report() -> "Callable[[Document], RenderableType]":
    from gencheck.report.terminal_bounds import render_data_indep

    return render_data_indep
