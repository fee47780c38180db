"""One stage of the stand-in in this process, and what its results are compared by."""

import math

import torch
from standin import StandIn, StandInDraw

from yanlm.training.loop import train_stage
from yanlm.training.schedule import TrainSettings

BASE = {"steps": 20, "batch_size": 8, "lr": 0.01, "warmup": 3, "save_every": 6, "log_every": 1}


def train(folder, *, model=None, draw=None, stage=1, resume=False, extra=None, **options):
    """The model and what train_stage says of it; options are hooks and settings."""
    hooks = {name: options.pop(name) for name in ("on_step", "on_log", "on_sample", "on_note") if name in options}
    settings = TrainSettings(**{**BASE, **options})
    model = StandIn() if model is None else model
    draw = StandInDraw(settings.batch_size, accumulate=settings.accumulate) if draw is None else draw
    return model, train_stage(model, stage, draw, settings, folder, resume=resume, extra_state=extra, **hooks)


def curve(result):
    return [(record["step"], record["loss"], record["parts"]["slots"]) for record in result.history]


def equal_weights(a, b, tolerance=1e-6):
    return all(
        torch.allclose(x, y, atol=tolerance, rtol=0) for x, y in zip(a.parameters(), b.parameters(), strict=True)
    )


class Poisoned(StandIn):
    """Its loss is NaN in step ``fatal`` and later, as long as ``ill``."""

    ill, calls, fatal = True, 0, 9

    def forward(self, **keywords):
        output = super().forward(**keywords)
        self.calls += 1
        if self.ill and self.calls >= self.fatal:
            output = output._replace(loss=output.loss * math.nan)
        return output
