"""Settings of the objectives: the autoencoder, Eq. (8), the latent flow, Eq. (11), and the encoder that denoises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from moefm.checks import check_choice, check_count, check_not_negative, check_positive, check_share

if TYPE_CHECKING:
    from moefm.paths import TimeSampler


def _not_negative(settings: Any, names: Sequence[str]) -> None:
    for name in names:
        check_not_negative(name, getattr(settings, name))


@dataclass(frozen=True)
class Stage1:
    r"""Settings of the autoencoder's objective, :math:`CE + \lambda_{MMD} MMD + \lambda_{Scale} Scale`, Eq. (8).

    Attributes:
        slot: Weight of the cross-entropy at masked positions, decoded from the encoder's state there. With ``None`` a
            masked token counts like any other, in one mean over all tokens, Eq. (9).
        known: Share of the unmasked tokens that is decoded. They are drawn at random and weighted up to stand for the
            others. With a large vocabulary a small share saves half of the time of a step. With 0 only masked tokens
            are learned.
        mmd: Weight of the maximum mean discrepancy to a standard normal.
        scale: Weight of the mean square of the latents.
        noise: Largest standard deviation of the noise on the latents; each text draws its own below it.
        mmd_tokens: Largest number of latents from which the discrepancy is estimated.
        bandwidths: Kernel bandwidths, appendix A.4.
    """

    slot: float | None = 1.0
    known: float = 1.0
    mmd: float = 1.0
    scale: float = 0.01
    noise: float = 0.2
    mmd_tokens: int = 1024
    bandwidths: tuple[float, ...] = (0.2, 0.5, 1.0, 2.0, 5.0)

    def __post_init__(self) -> None:
        """Check the weights."""
        _not_negative(self, ("mmd", "scale", "noise", *(() if self.slot is None else ("slot",))))
        check_count("mmd_tokens", self.mmd_tokens, minimum=2)
        check_share("known", self.known)


@dataclass(frozen=True)
class Stage2:
    r"""Settings of the flow's objective, :math:`\alpha_{MoE-FM} NLL + \alpha_{CE} CE`, Eq. (11).

    Attributes:
        objective: Routing loss: the ``paper``'s Eq. (5), or ``consistent`` (:func:`moefm.consistent_moefm_loss`).
        ce: Latents to decode for the cross-entropy. ``unrolled``: through the whole ODE (the paper's). ``onestep``: the
            estimate of z1 from a single evaluation on the true path. ``rollout``: that estimate from the sampler's
            state at t. ``mixture``: the likelihood of the text under the mixture of what all experts write at t = 0
            (:func:`yanlm.objectives.likelihood.text_likelihood`), and the rollout of the expert that wrote it.
            ``posterior``: the same with gradients through that one expert only
            (:func:`yanlm.objectives.likelihood.drawn_likelihood`), also for the velocity part. If experts read the
            source, this takes less than half the time. The gate then learns from the likelihood, and ``gate`` is
            ignored.
        draw: Distribution that the expert of the one-step cross-entropy is drawn from: ``gate`` or
            ``responsibilities``.
        units: Units of the likelihood. ``nats``: Eq. (5) unchanged. ``dimension``: its velocity part becomes a mean
            square error per dimension, and the gate part stays in nats. In d dimensions the gate then weighs
            :math:`d / 2\\sigma^2` times more relative to the velocity than in Eq. (5).
        flow: Weight of the velocity part.
        gate: Weight of the gate part.
        ce_weight: Weight of the cross-entropy.
        steps: Euler steps of the unrolled ODE.
        random_steps: Draw the number of steps from 1 to ``steps`` for every batch.
        zero_share: Share of times that are exactly 0; the rest are uniform, or Beta(a, b) with ``beta``.
        beta: Parameters (a, b) of the times, or ``None``.
        latent: Weight of the mean square error of the drawn expert's z1.
        entropy: Weight that favours a sharp routing of each token.
        balance: Weight that favours an even use of the experts.
        freeze: ``all`` of the autoencoder, only the ``decoder``, or ``none``; unfrozen parts keep their stage 1 loss.
        length: Weight of the length head's cross-entropy, whose gradient stays inside the head.
        reveal: Share of the rows in which some slots show their tokens, as many as masked diffusion would show. It
            prepares a model for reading what it wrote (:func:`yanlm.generation.rereading.reread`). The loss stays a
            mean over all slots.
    """

    objective: str = "paper"
    ce: str = "rollout"
    draw: str = "gate"
    units: str = "dimension"
    flow: float = 1.0
    gate: float = 0.1
    ce_weight: float = 1.0
    steps: int = 4
    random_steps: bool = False
    zero_share: float = 0.5
    beta: tuple[float, float] | None = None
    latent: float = 0.0
    entropy: float = 0.0
    balance: float = 0.0
    freeze: str = "all"
    length: float = 1.0
    reveal: float = 0.0

    def __post_init__(self) -> None:
        """Check weights and choices."""
        check_choice("objective", self.objective, ("paper", "consistent"))
        check_choice("ce", self.ce, ("onestep", "rollout", "unrolled", "mixture", "posterior"))
        if self.ce == "posterior" and self.objective != "paper":
            raise ValueError("ce='posterior' has a routing loss of its own: leave objective at 'paper'")
        check_choice("draw", self.draw, ("gate", "responsibilities"))
        check_choice("units", self.units, ("dimension", "nats"))
        if self.units == "nats" and (self.objective != "paper" or self.ce == "posterior"):
            raise ValueError(
                "units='nats' is for the likelihood of Eq. (5): it needs objective='paper', and ce is not 'posterior'"
            )
        check_choice("freeze", self.freeze, ("all", "decoder", "none"))
        _not_negative(self, ("flow", "gate", "ce_weight", "latent", "entropy", "balance", "length"))
        check_count("steps", self.steps)
        check_share("reveal", self.reveal)
        check_share("zero_share", self.zero_share)
        for name, value in zip(("a", "b"), self.beta or (), strict=False):
            check_positive(f"beta's {name}", value)

    @property
    def time(self) -> TimeSampler:
        """The distribution of training times."""
        from moefm.paths import BetaTime, UniformTime, ZeroInflatedTime

        base = UniformTime() if self.beta is None else BetaTime(*self.beta)
        return ZeroInflatedTime(self.zero_share, base)


@dataclass(frozen=True)
class Denoising:
    r"""Settings of the objective of a flow whose denoiser is the encoder; it is trained in one stage.

    Rows are of three kinds, so that one network answers in three ways: with *plain* masks (one pass), with plain masks
    while other slots show their tokens (masked diffusion), and with noisy vectors at the masks (the flow).

    Attributes:
        times: Times of the noisy rows. ``information`` places them where tokens are decided
            (:class:`moefm.InformationTime`), ``uniform`` spreads them over [0, 1].
        zero_share: Share of the noisy rows whose time is exactly 0, the first evaluation of every sampler.
        plain: Share of the rows whose masks carry no noise.
        reveal: Share of the rows, noisy or not, in which some slots show their tokens, as masked diffusion shows them.
        consistent: Experts keep the shares they have at t = 0, as in :func:`moefm.consistent_moefm_loss`, at the cost
            of another evaluation of all experts. Otherwise every time has its own posterior, as in Eq. (5).
        gradient: Gradients through ``all`` experts, or through one ``drawn`` from the posterior
            (:func:`moefm.drawn_categorical_loss`). ``auto`` is all if the experts are heads.
        balance: Weight that favours an even use of the experts.
        length: Weight of the length head's cross-entropy, whose gradient stays inside the head.
        student_steps: Train a student with this many steps of the model that training starts from, instead of all of
            the above; 0 for none (:mod:`yanlm.objectives.distilling`).
        teacher_steps: Steps of the teacher; of a student's, a multiple of its own.
        reflow: Share of the rows that learn, in place of the data, what the model that training starts from writes
            from the same noise; 0 for none (:mod:`yanlm.objectives.reflow`).
        pairs: With ``reflow``, how many noises each row of the data has.
    """

    times: str = "information"
    zero_share: float = 0.0
    plain: float = 0.25
    reveal: float = 0.25
    consistent: bool = False
    gradient: str = "auto"
    balance: float = 0.0
    length: float = 1.0
    student_steps: int = 0
    teacher_steps: int = 16
    reflow: float = 0.0
    pairs: int = 1

    def __post_init__(self) -> None:
        """Check weights and choices."""
        check_count("teacher_steps", self.teacher_steps)
        check_count("pairs", self.pairs)
        if check_count("student_steps", self.student_steps, minimum=0) and self.teacher_steps % self.student_steps:
            raise ValueError(f"student_steps must divide teacher_steps={self.teacher_steps}, got {self.student_steps}")
        check_choice("times", self.times, ("information", "uniform"))
        check_choice("gradient", self.gradient, ("auto", "all", "drawn"))
        _not_negative(self, ("balance", "length"))
        for name in ("zero_share", "plain", "reveal", "reflow"):
            check_share(name, getattr(self, name))
        if self.student_steps and self.reflow:
            raise ValueError("give student_steps or reflow: a teacher is followed or its words are learned")
        if not isinstance(self.consistent, bool):
            raise ValueError(f"consistent must be true or false, got {self.consistent!r}")

    @property
    def taught(self) -> bool:
        """Whether the model that training starts from is its teacher."""
        return bool(self.student_steps or self.reflow)
