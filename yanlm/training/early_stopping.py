"""Early stopping: the best weights on validation, and the number of checks without a better score."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from yanlm.files import replacing, sha256
from yanlm.training.checkpoints import CheckpointError, reason, reported

BEST_FILE = "best.safetensors"


class Best:
    """Keeps the weights of the check with the highest score in ``FOLDER/best.safetensors``.

    Args:
        folder: Folder of the stage.
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
        self._hash: str | None = None

    def take(self, score: float, step: int, weights: Mapping[str, Tensor]) -> None:
        """Receive the score of a step; keep the weights if it is the best."""
        if not score > self.score:  # also NaN
            self.misses += 1
            return
        with reported(self.path.parent, "keeping the best weights"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(self.path) as beside:
                # Tied weights are one tensor under two names, which the format refuses: each gets a copy.
                save_file({name: tensor.detach().cpu().clone() for name, tensor in weights.items()}, beside)
            self._hash = sha256(self.path)
        self.score, self.step, self.misses = score, step, 0

    @property
    def exhausted(self) -> bool:
        """Whether patience is exhausted."""
        return self.patience is not None and self.misses >= self.patience

    @property
    def whole(self) -> bool:
        """Whether the file holds the weights that scored best; of earlier versions, whether there is one."""
        if self.score == -math.inf:
            return True
        return self.path.is_file() and self._hash in (None, sha256(self.path))

    def give(self, model: nn.Module) -> None:
        """Put the best weights into ``model``, if there were any.

        Raises:
            CheckpointError: They cannot be read.
        """
        if self.score == -math.inf:
            return
        try:
            model.load_state_dict(load_file(self.path))
        except (OSError, RuntimeError, SafetensorError) as error:
            raise CheckpointError(f"cannot read the best weights, {self.path}: {reason(error)}; resume") from error

    def state_dict(self) -> dict[str, Any]:
        """What a resumed stage needs to know."""
        score = self.score if self.score > -math.inf else None
        return {"score": score, "step": self.step, "misses": self.misses, "hash": self._hash}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from that."""
        self.score = -math.inf if state["score"] is None else float(state["score"])
        self.step, self.misses, self._hash = int(state["step"]), int(state["misses"]), state.get("hash")
