"""Configurations of the models: sizes, backbone, and what the flow predicts."""

from __future__ import annotations

from typing import Any, ClassVar

from transformers import PretrainedConfig

from moefm.checks import check_choice, check_count, check_not_negative, check_positive
from yanlm.config_keys import check_experts, check_options, known_options
from yanlm.kinds import AUTOREGRESSIVE as AUTOREGRESSIVE
from yanlm.kinds import BASELINES as BASELINES
from yanlm.kinds import MASKED as MASKED

BACKBONES = ("transformer", "mamba")
POSITIONS = ("rotary", "learned")
PREDICTIONS = ("velocity", "data")
FORMS = ("slots", "separate")
METHODS = ("flow", "mlm", "mdlm")
EXPERTS = ("heads", "trunk", "source", "continuum")
SCOPES = ("token", "span", "sentence", "sequence")
DENOISERS = ("trunk", "encoder")
SLOT_INPUTS = ("mean", "vector")
FEW_TOKENS = 1024  # largest vocabulary of which slots show means by default: of thousands a mean says too little early
_CHOICES: dict[str, tuple[str, ...]] = {
    **{"backbone": BACKBONES, "positions": POSITIONS, "prediction": PREDICTIONS, "form": FORMS},
    **{"method": METHODS, "scope": SCOPES, "experts": EXPERTS, "denoiser": DENOISERS},
    "slot_input": SLOT_INPUTS,
}

_COUNTS = ("encoder_layers", "flow_layers", "num_experts", "d_time", "max_span", "d_state", "d_conv", "expand")


def check_new_size(config: Any, size: int | None) -> None:
    """Check that a vocabulary of a new ``size`` still has the padding and the mask of a configuration.

    Raises:
        ValueError: It does not.
    """
    for name in ("pad_token_id", "mask_token_id"):
        if size is not None and (id := getattr(config, name)) is not None and size <= id:
            raise ValueError(f"new_num_tokens must be above {name} = {id}, got {size}")


class YanConfig(PretrainedConfig):
    """Configuration of :class:`yanlm.YanModel`, saved as ``config.json``.

    Args:
        vocab_size: V, the padding and mask tokens included.
        d_model: Width d of states, latents and layers.
        num_heads: Attention heads.
        encoder_layers: Blocks of the encoder.
        flow_layers: Blocks of the flow's trunk.
        cross_layers: Trunk blocks (from 0) that attend to the source.
        ffn_mult: Width of feed-forward layers and experts over d.
        backbone: Token mixer of every block, ``transformer`` (self-attention) or ``mamba`` (bidirectional).
        positions: ``rotary`` or ``learned`` (one table for encoder and flow, the paper's).
        max_length: Longest text in tokens.
        method: ``flow``, or a baseline with the same blocks and no flow: ``mlm`` (masked language model, one pass) or
            ``mdlm`` (masked diffusion, unmasking in steps).
        num_experts: K.
        scope: Which slots share one expert: each ``token`` has its own (the paper's), each ``span`` of adjacent slots,
            all slots of a ``sentence``, or the whole ``sequence``.
        sentence_ends: Tokens that end a sentence, for the scope ``sentence``; they come from the tokenizer.
        denoiser: What predicts the tokens from noise: a ``trunk`` behind the encoder (the paper's), or the ``encoder``
            itself, which sees the noisy vectors in place of the masks (:mod:`yanlm.nn.denoiser`).
        latent_dim: Width e of the token vectors that carry the noise if the encoder is the denoiser; 0 uses the
            encoder's own embeddings, so that a noisy vector looks like the token to it.
        slot_input: What an encoder that denoises is shown in a slot: the ``mean`` vector of the tokens that the noisy
            vector may stand for (:func:`yanlm.nn.noise.mean_vectors`), or the ``vector``, default above 1024 tokens.
        perturb: How strongly an encoder that denoises follows its noise at t = 0, before anything is decided
            (:func:`yanlm.nn.noise.reading`): 0 not at all, 1 as much as a random draw.
        experts: ``heads`` on a shared trunk (the paper's). ``trunk``: each expert also modulates the whole trunk, so it
            can attend to other things in the source. ``source``: each expert also makes the encoder read the source
            again, with its own mark on the masks. Both need ``scope="sequence"`` behind an encoder. In an encoder that
            denoises: ``heads``; ``source``, marks on the slots that enter at ``expert_layer``; or ``continuum``, marks
            that depend on a number in [0, 1], of which ``num_experts`` are drawn.
        expert_layer: Block of the encoder at which marks enter: the blocks before it are shared.
        sigma: Standard deviation of the mixture components, Eq. (4).
        prediction: What an expert outputs: the ``velocity``, or the ``data`` z1 from which the velocity follows.
        form: ``slots`` (text with mask slots, filled in place) or ``separate`` (the paper's source and target).
        align: Add the encoder's state at each slot to the flow's input; needs the slots form.
        conv: Odd width of a depthwise convolution before self-attention, 0 for none (the paper's). It lets a token see
            its neighbours before it attends, so that connecting facts to names is learned many times faster.
        d_time: Width of the time embedding.
        dropout: Dropout of the decoder's input and the feed-forward layers, in training.
        max_span: Longest span that the length head can predict.
        longest_span: Largest number of tokens behind one mask in training, 0 if unknown.
        stage: Last stage in which the weights were trained; 0 if they are untrained.
        pad_to: Slots given to an answer whose end the model was trained to mark with padding, 0 if it was not.
        tie_word_embeddings: Decode with the embedding's weight.
        pad_token_id: Id of ``<|padding|>``.
        mask_token_id: Id of ``<|mask|>``.
        d_state: State size N of the Mamba mixers.
        d_conv: Convolution width of the Mamba mixers.
        expand: Inner width of the Mamba mixers over d.

    Raises:
        ValueError: An option is unknown or out of range.

    Example:
        >>> YanConfig(d_model=64, num_heads=4, num_experts=6).num_experts
        6
    """

    model_type = "yan"
    attribute_map: ClassVar[dict[str, str]] = {
        "hidden_size": "d_model",
        "num_attention_heads": "num_heads",
        "num_hidden_layers": "flow_layers",
    }

    vocab_size: int = 4096
    d_model: int = 128
    num_heads: int = 4
    encoder_layers: int = 3
    flow_layers: int = 2
    cross_layers: list[int] | tuple[int, ...] = (0, 1)
    ffn_mult: int = 4
    backbone: str = "transformer"
    positions: str = "rotary"
    max_length: int = 256
    method: str = "flow"
    num_experts: int = 4
    scope: str = "token"
    sentence_ends: list[int] | tuple[int, ...] = ()
    experts: str = "heads"
    denoiser: str = "trunk"
    latent_dim: int = 0
    slot_input: str | None = None
    perturb: float = 0.5
    expert_layer: int = 0
    sigma: float = 0.1
    prediction: str = "data"
    form: str = "slots"
    align: bool = True
    conv: int = 0
    d_time: int = 64
    dropout: float = 0.0
    max_span: int = 32
    longest_span: int = 0
    pad_to: int = 0
    stage: int = 0
    tie_word_embeddings: bool = True
    pad_token_id: int | None = 4094
    mask_token_id: int | None = 4095
    d_state: int = 16
    d_conv: int = 4
    expand: int = 2

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """Configuration of a config.json; what it holds for other models is left out."""
        old = {"slot_input": "vector"}  # there was nothing else when this key was not yet written
        return super().from_dict(old | known_options(cls, config_dict), **kwargs)

    def __post_init__(self, **kwargs: Any) -> None:
        check_options(self, kwargs)
        super().__post_init__(**kwargs)
        if self.slot_input is None:
            self.slot_input = "mean" if self.vocab_size <= FEW_TOKENS else "vector"
        for name in _COUNTS:
            check_count(name, getattr(self, name))
        check_positive("sigma", self.sigma)
        check_count("latent_dim", self.latent_dim, minimum=0)
        check_not_negative("perturb", self.perturb)
        if check_count("conv", self.conv, minimum=0) and self.conv % 2 == 0:
            raise ValueError(f"conv must be odd, or 0 for none, got {self.conv}")
        for name, choices in _CHOICES.items():
            check_choice(name, getattr(self, name), choices)
        for name in ("align", "tie_word_embeddings"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be true or false, got {getattr(self, name)!r}")
        check_experts(self)
        if self.d_model % self.num_heads or (self.d_model // self.num_heads) % 2:
            raise ValueError(f"d_model must be an even multiple of num_heads={self.num_heads}, got {self.d_model}")
        layers = self.cross_layers if isinstance(self.cross_layers, list | tuple) else [None]
        if any(not isinstance(layer, int) or not 0 <= layer < self.flow_layers for layer in layers):
            raise ValueError(f"cross_layers must lie in 0 .. {self.flow_layers - 1}, got {self.cross_layers}")
        self.cross_layers = list(self.cross_layers)
        if self.align and self.form != "slots":
            raise ValueError("align needs form='slots': a separate target has no state of the source at its positions")


class ARConfig(PretrainedConfig):
    """Configuration of :class:`ARModel`, saved as ``config.json``.

    Args:
        method: ``gpt2`` (one stack reads the source and writes on) or ``bart`` (an encoder reads, a decoder writes).
        vocab_size: V, the padding and mask tokens included.
        d_model: Width.
        num_heads: Attention heads.
        layers: Number of layers; for ``bart`` half of them, rounded up, belong to the encoder.
        ffn_mult: Width of feed-forward layers over d.
        max_length: Longest text in tokens.
        dropout: Dropout of all layers, in training.
        longest_span: As in :class:`YanConfig`.
        stage: 1 once the model is trained.
        pad_to: Slots given to an answer whose end the model was trained to mark with padding, 0 if it was not.
        pad_token_id: Id of ``<|padding|>``, which ends what is written.
        mask_token_id: Id of ``<|mask|>``, which begins it and separates its spans.

    Raises:
        ValueError: An option is unknown or out of range.

    Example:
        >>> ARConfig(method="bart", layers=5).form
        'slots'
    """

    model_type = "yan-ar"
    form = "slots"

    method: str = "gpt2"
    vocab_size: int = 4096
    d_model: int = 128
    num_heads: int = 4
    layers: int = 4
    ffn_mult: int = 4
    max_length: int = 256
    dropout: float = 0.0
    longest_span: int = 0
    stage: int = 0
    pad_to: int = 0
    pad_token_id: int | None = 4094
    mask_token_id: int | None = 4095

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """Configuration of a config.json; what it holds for other models is left out."""
        return super().from_dict(known_options(cls, config_dict), **kwargs)

    def __post_init__(self, **kwargs: Any) -> None:
        check_options(self, kwargs)
        super().__post_init__(**kwargs)
        check_choice("method", self.method, AUTOREGRESSIVE)
        check_count("layers", self.layers, minimum=2 if self.method == "bart" else 1)
        if self.d_model % self.num_heads:
            raise ValueError(f"d_model must be a multiple of num_heads={self.num_heads}, got {self.d_model}")
        for name in ("pad_token_id", "mask_token_id"):  # they end and separate what is written
            if not 0 <= (-1 if (id := getattr(self, name)) is None else id) < self.vocab_size:
                raise ValueError(f"{name} must lie in 0 .. {self.vocab_size - 1}, got {id}")


def register() -> None:
    """Make ``AutoConfig`` know the configurations; called when transformers' list of models is imported."""
    from transformers import AutoConfig

    for kind in (YanConfig, ARConfig):
        AutoConfig.register(kind.model_type, kind, exist_ok=True)
