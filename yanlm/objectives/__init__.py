"""Training losses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from yanlm.faces import named

if TYPE_CHECKING:
    from yanlm.objectives.likelihood import text_likelihood as text_likelihood
    from yanlm.objectives.masked import masked_loss as masked_loss
    from yanlm.objectives.settings import Stage1 as Stage1
    from yanlm.objectives.settings import Stage2 as Stage2
    from yanlm.objectives.stage1 import stage1_loss as stage1_loss
    from yanlm.objectives.stage2 import stage2_loss as stage2_loss

_HOMES = {
    "Stage1": "settings",
    "Stage2": "settings",
    "masked_loss": "masked",
    "stage1_loss": "stage1",
    "stage2_loss": "stage2",
    "text_likelihood": "likelihood",
}

__all__ = ["Stage1", "Stage2", "masked_loss", "stage1_loss", "stage2_loss", "text_likelihood"]


def __getattr__(name: str) -> Any:
    return named(__name__, _HOMES, name)
