"""What a model supports, by its kind. Code asks this instead of the kind's name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from yanlm.generation.options import DEFAULTS, FLOW_OPTIONS, GenerationOptions


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What a model supports, as :attr:`yanlm.YanModel.can`.

    Attributes:
        method: Name of its kind: ``flow``, ``mlm``, ``mdlm``, ``gpt2`` or ``bart``.
        generate: Whether the generating part is trained; not if a flow has only gone through stage 1.
        write: Whether it fills slots freely; several models that answer together choose among known answers only.
        steps: Whether the number of steps can be chosen; not if tokens are written one by one.
        refine: Whether it was trained for more than one step.
        noise: Whether it starts from noise: samples differ without a temperature, and there is a ``z0_scale``.
        routing: Whether there are experts to route, and so the options ``routing`` and ``solver``.
        temperature: Whether tokens can be drawn at a temperature; for a flow behind its encoder only if it rereads.
        order: Whether slots are filled in turns whose order can be chosen; for a flow if it rereads, or by diffusion.
        reread: Whether it can read what it wrote after each step.
        lengths: Whether it decides the length of a span while writing (``generate_free``); others predict it.
        latents: Whether its encoder has a latent for every token.
        denoises: Whether its encoder is the denoiser of its flow: it takes ``candidates``, and fills slots by masked
            diffusion too.
        reconstruct: Whether its decoder was trained to reproduce the text that its encoder reads.
        one_pass: Whether that decoder also fills slots, from the encoder's own states there.
        reads_once: Whether its source is read once, before the first step, unless it rereads.
        stages: Stages of its training.
    """

    method: str
    generate: bool = True
    write: bool = True
    steps: bool = True
    refine: bool = True
    noise: bool = False
    routing: bool = False
    temperature: bool = True
    order: bool = True
    reread: bool = False
    lengths: bool = False
    latents: bool = True
    denoises: bool = False
    reconstruct: bool = False
    one_pass: bool = False
    reads_once: bool = False
    stages: int = 1

    def check_trained(self) -> None:
        """Check that there is something to generate with.

        Raises:
            ValueError: The model has no trained flow.
        """
        if not self.generate:
            raise ValueError(
                "this model went through stage 1 alone and has no flow yet: yanlm train --stage 2 --init DIR"
            )

    def draws(self, options: GenerationOptions) -> bool:
        """Whether other seeds give other results: it starts from noise, or tokens or an order are drawn."""
        return options.draws or (self.noise and options.sampler == "flow")

    def check(self, options: GenerationOptions, choosing: bool = False) -> None:
        """Check that the model takes all options that are not at their defaults.

        Args:
            options: Options of a generation.
            choosing: Whether one of several known answers is chosen, and nothing is written.

        Raises:
            ValueError: It does not take one of them.
        """
        if options.sampler == "diffusion" and self.denoises:
            for name, default in FLOW_OPTIONS.items():
                if name != "sampler" and getattr(options, name) != default:
                    raise ValueError(f"{name} is an option of the flow, and sampler='diffusion' has none: leave it out")
            return CAPABILITIES["mdlm"].check(replace(options, sampler="flow"), choosing)
        for name in ("candidates", "perturb", "sampler"):
            if self.noise and not self.denoises and getattr(options, name) != FLOW_OPTIONS[name]:
                raise ValueError(
                    f"{name} needs a flow whose denoiser is the encoder (denoiser='encoder'): leave it out"
                )
        if options.candidates > 1 and (choosing or options.reread):
            raise ValueError("candidates are whole results to choose from: leave out reread and known answers")
        if self.denoises and options.solver != "euler":
            raise ValueError(f"solver must be euler where the encoder denoises, got {options.solver!r}")
        for name, default in FLOW_OPTIONS.items():
            if not self.noise and getattr(options, name) != default:
                raise ValueError(f"{name} is an option of the flow, and this is a {self.method} model: leave it out")
        if options.reread and not self.reread:
            raise ValueError(
                "reread needs a model of form='slots': in the other one masks are not where tokens are written"
            )
        if options.temperature and not (self.temperature or options.reread):
            raise ValueError("temperature goes with reread=True where there is a flow; z0_scale changes its diversity")
        if options.order != DEFAULTS.order and not (self.order or options.reread):
            remedy = "set reread=True" if self.reread else "leave it out"
            remedy += ", or sampler='diffusion'" * self.denoises
            raise ValueError(
                f"order goes with models that fill slots in turns, and this {self.method} model does not: {remedy}"
            )
        if choosing and options.order != DEFAULTS.order:
            raise ValueError(
                f"order is of slots that are written, and choices are compared: leave out {options.order!r}"
            )
        if choosing and options.temperature:
            raise ValueError(
                f"temperature draws words, and choices are compared: leave out one, got {options.temperature}"
            )
        if choosing and options.reread:
            raise ValueError("reread writes words, and choices are compared: leave out one")


_TOKEN_BY_TOKEN: dict[str, Any] = {"steps": False, "refine": False, "order": False, "lengths": True, "latents": False}

CAPABILITIES = {
    "flow": Capabilities(
        method="flow",
        noise=True,
        routing=True,
        temperature=False,
        order=False,
        reread=True,
        reconstruct=True,
        one_pass=True,
        reads_once=True,
        stages=2,
    ),
    "mlm": Capabilities(method="mlm", refine=False),
    "mdlm": Capabilities(method="mdlm"),
    "gpt2": Capabilities(method="gpt2", **_TOKEN_BY_TOKEN),
    "bart": Capabilities(method="bart", **_TOKEN_BY_TOKEN),
}
"""What a trained model of each kind supports in the slots form."""

DENOISING = Capabilities(
    method="flow", noise=True, routing=True, order=False, reread=True, denoises=True, one_pass=True
)
"""What a flow whose denoiser is the encoder supports."""


def capabilities(config: Any) -> Capabilities:
    """What a model of this :class:`yanlm.YanConfig` or :class:`yanlm.config.ARConfig` supports.

    Example:
        >>> from yanlm.config import YanConfig
        >>> capabilities(YanConfig()).reread, capabilities(YanConfig(method="mlm")).reread
        (True, False)
    """
    denoises = config.method == "flow" and config.denoiser == "encoder"
    can = DENOISING if denoises else CAPABILITIES[config.method]
    in_place = config.form == "slots"
    return replace(
        can,
        generate=can.stages == 1 or config.stage != 1,
        reread=can.reread and in_place,
        one_pass=can.one_pass and in_place,
    )
