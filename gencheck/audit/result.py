"""What an audit found: plain data, no computation, no printing."""

from dataclasses import dataclass

from gencheck.audit.class_errors import ClassErrors
from gencheck.audit.image_grid import Picture
from gencheck.audit.item_picture import ItemPicture
from gencheck.audit.kernel_facts import CacheFacts, KernelFacts
from gencheck.audit.permutation_facts import PermutationFacts
from gencheck.audit.warned import Warned
from gencheck.bounds.concentrated import GapBound
from gencheck.bounds.magnitude import Magnitude, total


@dataclass(frozen=True)
class ModelFacts:
    """What the audited network is; `smooth` where some gate is not piecewise constant.

    `gates` says of each computed gate where it is, of what kind, and by what rule it is the gate.
    """

    parameters: int
    log10_paths: float
    input_shape: tuple[int, ...]
    outputs: int
    operations: dict[str, int]
    smooth: bool
    gates: tuple[dict[str, str], ...] = ()


@dataclass(frozen=True)
class DataFacts:
    """How many items of which kind: m in the sample, n in the reference."""

    sample: int
    reference: int
    task: str


@dataclass(frozen=True)
class Beta1:
    """β1 = λ_max(E_T[zzᵀ] − E_S[zzᵀ]) with the interval that the solver's residual gives."""

    value: Magnitude
    lower: Magnitude
    upper: Magnitude
    residual: Magnitude
    iterations: int
    method: str


@dataclass(frozen=True)
class Argmax:
    """The output and the path, in words, at which the lower end of β2 is attained."""

    output: int
    path: tuple[str, ...]


@dataclass(frozen=True)
class Beta2:
    """β2 = max_k ‖E_S[y_k z] − E_T[y_k z]‖_∞, an interval that is a point where `exact`.

    Attributes
    ----------
    argmax
        Where the lower end is attained; its path is empty where no path was looked for.
    stopped_by_clock
        True where the time that was allowed decided the interval: another run may find another one.
    """

    value: float
    lower: float
    upper: float
    exact: bool
    argmax: Argmax
    stopped_by_clock: bool = False


@dataclass(frozen=True)
class PathNorms:
    """Σ_k‖w_k‖₂² and Σ_k‖w_k‖₁ of the path weights, and their parts by output."""

    l2_squared: Magnitude
    l1: Magnitude
    l2_squared_per_output: tuple[Magnitude, ...]
    l1_per_output: tuple[Magnitude, ...]


@dataclass(frozen=True)
class GapFacts:
    """The squared-loss risks on both sets, their difference and its three terms; 0-1 errors too.

    Attributes
    ----------
    reference_error_interval
        Clopper and Pearson's for the true error where T comes from, level 95 %.
    error_gap_interval
        For the true error where T comes from less that where S comes from, level 95 % at least: the
        ends of two such intervals of level 97.5 %. It speaks of a model that neither set trained.
    softmax
        The squared loss of the probabilities softmax(h) against one-hot targets on S and on T; None
        where it was not asked for.
    """

    sample_risk: float
    reference_risk: float
    gap: float
    terms: tuple[float, float, float]
    sample_error: float | None
    reference_error: float | None
    reference_error_interval: tuple[float, float] | None = None
    error_gap_interval: tuple[float, float] | None = None
    softmax: tuple[float, float] | None = None


@dataclass(frozen=True)
class ItemShare:
    """One item's part in β1.

    Attributes
    ----------
    set
        ``sample`` or ``reference``.
    index
        Its position in the set's file, counted from 0 in the split that the set is.
    label
        Its class, or the value or values to regress.
    share
        Its term over β1; all items' shares add up to 1, those of the sample are negative.
    tokens
        The words of a text, where a vocabulary was given.
    file, class_name
        The name of its file, and of its class, where the data have them.
    picture
        What it looks like; None where it is no picture, or one too large for a report.
    """

    set: str
    index: int
    label: int | float | tuple[float, ...]
    share: float
    tokens: tuple[str, ...] | None = None
    file: str | None = None
    class_name: str | None = None
    picture: ItemPicture | None = None


@dataclass(frozen=True)
class Direction:
    """Where on the input the direction u of path space lies that attains β1, with ‖u‖ = 1.

    Attributes
    ----------
    energy
        Σ_p u_p² over the paths that start at each input coordinate, flat.
    elsewhere
        The same over the paths that start at biases and constants.
    captured
        The sum of both: ‖Pu‖² for the projector P on the span of the items that were used.
    items
        How many those are.
    picture
        How the coordinates lie in a picture, if they do.
    mean
        The mean of all items, as such a picture.
    """

    energy: tuple[float, ...]
    elsewhere: float
    captured: float
    items: int
    picture: Picture | None
    mean: ItemPicture | None = None


@dataclass(frozen=True)
class Certified:
    """What holds for the distribution itself with probability `confidence` over the draw of S.

    Attributes
    ----------
    beta1, beta2, beta3
        Upper bounds on β1, β2 and β3 with the distribution in place of the reference.
    square_bound
        B ≥ ‖z‖² for every input.
    bound
        Upper bound on the population risk in squared loss, never clamped.
    zero_one
        Upper bound on the population 0-1 error; None for regression.
    beta1_forms
        β1's bound in each of its forms, by name.
    forms
        The form taken for each beta.
    assumptions
        What must hold, one statement each.
    vacuous
        True where the bound says nothing.
    """

    confidence: float
    delta: float
    beta1: Magnitude
    beta2: float
    beta3: float
    square_bound: Magnitude
    bound: Magnitude
    zero_one: Magnitude | None
    beta1_forms: dict[str, Magnitude]
    forms: dict[str, str]
    assumptions: tuple[str, ...]
    vacuous: bool


@dataclass(frozen=True)
class ConcentrationResult:
    """What `concentrate` measures; all but `certified` is an estimate against the reference set."""

    model: ModelFacts
    data: DataFacts
    beta1: Beta1
    beta2: Beta2
    beta3: float
    v_l2: tuple[Magnitude, ...]
    path_norms: PathNorms
    gap: GapFacts
    bound: GapBound
    tightest: GapBound
    largest_loss: float
    self_check: float
    seconds: dict[str, float]
    pairs_per_second: float
    flops: float
    nbytes: float
    kernel: KernelFacts
    tiles: CacheFacts | None = None
    certified: Certified | None = None
    v_l2_lower: tuple[Magnitude, ...] | None = None
    permutation: PermutationFacts | None = None
    attribution: tuple[ItemShare, ...] = ()
    direction: Direction | None = None
    warnings: tuple[Warned, ...] = ()
    classes: tuple[ClassErrors, ...] = ()

    @property
    def v_frobenius(self) -> Magnitude:
        """‖V‖_F = √(Σ_k ‖v_k‖₂²), all outputs together; its upper end where those are intervals."""
        return total([norm * norm for norm in self.v_l2]).sqrt()
