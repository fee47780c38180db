"""Early stopping: the weights that did best on validation, and how long nothing has been better."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from yanlm.training.checkpoints import reported

BEST_FILE = "best.safetensors"


class Best:
    """Keeps the weights of the check with the highest score in ``FOLDER/best.safetensors``.

    Args:
        folder: Of the stage.
        patience: Checks without a better score after which training stops; ``None`` for never.

    Attributes:
        score: The best so far, ``-inf`` before the first check.
        step: Its step.
        misses: Checks since.

    Example:
        >>> import tempfile
        >>> best = Best(Path(tempfile.mkdtemp()), patience=2)
        >>> layer = nn.Linear(1, 1)
        >>> for step, score in enumerate([0.5, 0.7, 0.6, 0.7]):
        ...     best.take(score, step, layer.state_dict())
        >>> best.step, best.exhausted
        (1, True)
    """

    def __init__(self, folder: Path, patience: int | None) -> None:
        self.path, self.patience = folder / BEST_FILE, patience
        self.score, self.step, self.misses = -math.inf, 0, 0

    def take(self, score: float, step: int, weights: Mapping[str, Tensor]) -> None:
        """Hear the score of a step; keep the weights if it is the best."""
        from safetensors.torch import save_file

        if not score > self.score:  # also NaN
            self.misses += 1
            return
        with reported(self.path.parent, "keep the best weights"):
            partial = self.path.with_suffix(".partial")
            # Tied weights are one tensor under two names, which the format refuses: each gets a copy.
            save_file({name: tensor.detach().cpu().clone() for name, tensor in weights.items()}, partial)
            partial.replace(self.path)
        self.score, self.step, self.misses = score, step, 0

    @property
    def exhausted(self) -> bool:
        """Whether patience is over."""
        return self.patience is not None and self.misses >= self.patience

    def give(self, model: nn.Module) -> None:
        """Put the best weights into ``model``, if there were any."""
        from safetensors.torch import load_file

        if self.score > -math.inf:
            model.load_state_dict(load_file(self.path))

    def state_dict(self) -> dict[str, Any]:
        """What a resumed stage needs to know."""
        return {"score": self.score if self.score > -math.inf else None, "step": self.step, "misses": self.misses}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what was known."""
        self.score = -math.inf if state["score"] is None else float(state["score"])
        self.step, self.misses = state["step"], state["misses"]
