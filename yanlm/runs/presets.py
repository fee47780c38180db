"""Presets: a model, its two objectives and how each stage is trained, under one name."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from moefm.checks import check_choice, check_count
from yanlm.objectives.settings import Denoising, Stage1, Stage2
from yanlm.tokenization.masking import Masking
from yanlm.tokenization.specs import trained_size
from yanlm.training.schedule import TrainSettings


@dataclass(frozen=True)
class Recipe:
    """How one stage is trained, apart from its length: optimizer, batch and masking.

    The rows of ``bucket`` consecutive batches are sorted by length together (:class:`yanlm.data.loader.RowStream`):
    with texts of very different lengths a batch then has less padding, and a minute has more steps. ``None`` is
    ``yanlm.runs.batches.SORTED``, or 1 if there are several sources or rows come from a stream.
    """

    batch_size: int = 32
    bucket: int | None = None
    optimizer: str = "adamw"
    lr: float = 1e-3
    warmup: int = 100
    schedule: str = "wsd"
    weight_decay: float = 0.01
    clip: float | None = 1.0
    ema: float | None = None
    decay_all: bool = False
    masking: Masking = field(default_factory=Masking)

    def __post_init__(self) -> None:
        """Check as the loop will, before any data is read."""
        if self.bucket is not None:
            check_count("bucket", self.bucket)
        shared = {f.name for f in fields(self)} & {f.name for f in fields(TrainSettings)}
        TrainSettings(steps=1, **{name: getattr(self, name) for name in shared})


@dataclass(frozen=True)
class Preset:
    """A named starting point.

    Attributes:
        model: Options of :class:`yanlm.YanConfig`; the vocabulary comes from the tokenizer.
        tokenizer: ``bpe:SIZE`` (trained on the user's text) or what :func:`yanlm.tokenization.tokenizer.load_tokenizer`
            takes.
        stage1: Objective of stage 1.
        stage2: Objective of stage 2.
        recipe1: Training of stage 1.
        recipe2: Training of stage 2.
        share1: Share of the time for stage 1 if both stages share ``--minutes``.
        denoising: Objective of a model whose encoder is the flow's denoiser.
        length: Default length of a run: ``minutes``, or ``steps1`` and ``steps2``.
    """

    model: dict[str, Any]
    tokenizer: str
    stage1: Stage1
    stage2: Stage2
    recipe1: Recipe
    recipe2: Recipe
    share1: float = 0.4
    denoising: Denoising = field(default_factory=Denoising)
    length: dict[str, Any] = field(default_factory=lambda: {"minutes": 5.0})

    @property
    def vocabulary(self) -> dict[str, int]:
        """Options of a model that follow from the tokenizer, if that is trained: its size, padding and mask."""
        size = trained_size(self.tokenizer)
        return {"vocab_size": size, "pad_token_id": size - 2, "mask_token_id": size - 1} if size else {}


# Stage 1 sees texts from whole to 40% masked: the encoder has to give clean texts latents that can be read back, and
# learns most from what it must guess. Stage 2 sees damage nearer to what it will be asked to repair.
_DAMAGED = Masking(rate=(0.10, 0.40), clean=0.10, tail=0.05)
_INFILL = Masking(rate=(0.05, 0.30), tail=0.10)
# Assignments at the paper's sigma of .1 are all or nothing in hundreds of dimensions; ours is .1 a dimension.
_SIGMA = {"tiny": 1.0, "small": 2.0, "base": 3.0}

# The encoder goes on learning in stage 2: frozen, it would stay where stage 1 left it, and the flow with it.
_JOINT = Stage2(freeze="none", balance=0.1)

_PAPER: dict[str, Any] = {
    "vocab_size": 128258,
    "pad_token_id": 128256,
    "mask_token_id": 128257,
    "d_model": 512,
    "num_heads": 8,
    "cross_layers": (0, 1, 2, 4),
    "num_experts": 6,
    "sigma": 0.1,
    "positions": "learned",
    "max_length": 2048,
    "form": "separate",
    "align": False,
    "prediction": "velocity",
    "tie_word_embeddings": False,
    "d_time": 64,
}
_PAPER_RECIPE = Recipe(batch_size=32, bucket=1, lr=1e-4, warmup=1000, schedule="constant", decay_all=True, clip=None)
_PAPER_STAGE1 = Stage1(slot=None, mmd=1.0, scale=0.01, noise=0.1, mmd_tokens=2000)
_PAPER_STAGE2 = Stage2(objective="paper", ce="unrolled", units="nats", steps=4, zero_share=0.0, gate=1.0)


def _paper(backbone: str, encoder_layers: int, flow_layers: int, steps: int) -> Preset:
    """The paper gives the steps of both stages together (Table 3); a fifth of them for stage 1 is our choice."""
    sizes = {"backbone": backbone, "encoder_layers": encoder_layers, "flow_layers": flow_layers}
    length = {"steps1": steps // 5, "steps2": steps - steps // 5}
    recipes = (_PAPER_RECIPE, _PAPER_RECIPE)
    return Preset(_PAPER | sizes, "llama3", _PAPER_STAGE1, _PAPER_STAGE2, *recipes, 0.2, length=length)


PRESETS: dict[str, Preset] = {
    "tiny": Preset(
        {
            "d_model": 128,
            "num_heads": 4,
            "encoder_layers": 3,
            "flow_layers": 2,
            "cross_layers": (0, 1),
            "conv": 9,
            "sigma": _SIGMA["tiny"],
        },
        "bpe:512",
        Stage1(mmd_tokens=256),
        _JOINT,
        Recipe(batch_size=8, lr=1.5e-3, masking=_DAMAGED),
        Recipe(batch_size=8, lr=1.5e-3, masking=_INFILL),
    ),
    "small": Preset(
        {
            "d_model": 384,
            "num_heads": 6,
            "encoder_layers": 6,
            "flow_layers": 4,
            "cross_layers": (0, 1, 2, 3),
            "conv": 9,
            "sigma": _SIGMA["small"],
            "max_length": 512,
        },
        "bpe:8192",
        Stage1(),
        _JOINT,
        Recipe(batch_size=64, lr=6e-4, warmup=500, masking=_DAMAGED),
        Recipe(batch_size=64, lr=6e-4, warmup=500, masking=_INFILL),
        length={"minutes": 60.0},
    ),
    "base": Preset(
        {
            "d_model": 768,
            "num_heads": 12,
            "encoder_layers": 8,
            "flow_layers": 6,
            "cross_layers": (0, 1, 2, 4),
            "conv": 9,
            "sigma": _SIGMA["base"],
            "max_length": 1024,
            "num_experts": 6,
        },
        "bpe:32768",
        Stage1(),
        _JOINT,
        Recipe(batch_size=64, lr=3e-4, warmup=1000, masking=_DAMAGED),
        Recipe(batch_size=64, lr=3e-4, warmup=1000, masking=_INFILL),
        length={"minutes": 1440.0},
    ),
    "paper-transformer": _paper("transformer", 6, 8, 820_000),
    "paper-mamba": _paper("mamba", 4, 6, 600_000),
}


def get_preset(name: str) -> Preset:
    """Return the preset of that name.

    Raises:
        ValueError: There is none.

    Example:
        >>> get_preset("paper-mamba").model["encoder_layers"]
        4
    """
    check_choice("preset", name, PRESETS)
    return PRESETS[name]
