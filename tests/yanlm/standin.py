"""A tiny model and its batches with YanModel's contract, and ways to train it in processes that can be killed."""

import json
import os
import random
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from yanlm.seeding import generators, row_normal, row_seed
from yanlm.training import checkpoints
from yanlm.training import stage_state as _stage_state
from yanlm.training.loop import TrainSettings, make_accelerator, train_stage

VOCABULARY, WIDTH = 20, 8


class Output(NamedTuple):
    loss: Any
    parts: dict


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.linear = nn.Linear(WIDTH, WIDTH)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x):
        return x + self.dropout(torch.tanh(self.linear(self.norm(x))))


class StandIn(nn.Module):
    """Embedding, two blocks, tied head; noise from the seeds of the rows; stage 2 freezes the embedding."""

    def __init__(self, dropout=0.0):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.embedding = nn.Embedding(VOCABULARY, WIDTH)
            self.blocks = nn.ModuleList([Block(), Block()])
            self.head = nn.Linear(WIDTH, VOCABULARY, bias=False)
        self.head.weight = self.embedding.weight
        self.register_buffer("scale", torch.ones(()))
        for block in self.blocks:
            block.dropout.p = dropout

    def prepare_stage(self, stage):
        for parameter in self.parameters():
            parameter.requires_grad_(True)
        self.embedding.weight.requires_grad_(stage == 1)

    @staticmethod
    def counts(batch):
        return torch.stack([batch["target_mask"].sum(), batch["slot_mask"].sum()]).float()

    def forward(self, *, stage, seeds, totals, **batch):
        x = self.embedding(batch["source_ids"]) * self.scale
        noise = row_normal(generators(seeds, stage), batch["source_mask"], WIDTH)
        x = x + 0.1 * noise.to(x)
        for block in self.blocks:
            x = block(x)
        each = F.cross_entropy(self.head(x).transpose(1, 2), batch["target_ids"], reduction="none")
        ce = (each * batch["target_mask"]).sum() / totals[0]
        slots = (each.gather(1, batch["slots"]) * batch["slot_mask"]).sum() / totals[1]
        return Output(loss=ce + slots, parts={"ce": ce.detach(), "slots": slots.detach()})


class StandInDraw:
    """Rows of 2 to 12 tokens, so that no two processes see equally many; a function of seed and step alone."""

    def __init__(self, rows, rank=0, world=1, accumulate=1, seed=0, wait=0.0):
        self.rows, self.rank, self.world, self.accumulate, self.seed = rows, rank, world, accumulate, seed
        self.wait = wait
        self.taken = 0

    def state_dict(self):
        return {"taken": self.taken}

    def load_state_dict(self, state):
        self.taken = state["taken"]

    def next(self):
        step, part = divmod(self.taken, self.accumulate)
        self.taken += 1
        time.sleep(self.wait)
        share = range(self.rows)[part * self.world + self.rank :: self.accumulate * self.world]
        seeds = [row_seed(self.seed, step, row) for row in share]
        texts = [self.text(random.Random(seed)) for seed in seeds]
        length = max(map(len, texts))
        target = torch.tensor([text + [0] * (length - len(text)) for text in texts])
        mask = torch.tensor([[True] * len(text) + [False] * (length - len(text)) for text in texts])
        slots = torch.tensor([[len(text) // 2, 0] for text in texts])
        source = target.clone().scatter_(1, slots[:, :1], VOCABULARY - 1)
        batch = dict(source_ids=source, source_mask=mask, target_ids=target, target_mask=mask)
        batch |= dict(slots=slots, slot_mask=torch.tensor([[True, False]] * len(texts)))
        spans = dict(span_positions=slots[:, :1], span_lengths=torch.ones_like(slots[:, :1]))  # for the length head
        return {**batch, **spans, "collapsed_ids": source, "collapsed_mask": mask}, seeds

    @staticmethod
    def text(rng):
        first = rng.randrange(VOCABULARY - 1)
        return [(first + 3 * place) % (VOCABULARY - 1) for place in range(rng.randint(2, 12))]


def language_model(backbone, **options):
    """A real one, as small; options go to its configuration."""
    from yanlm.config import YanConfig
    from yanlm.modeling.yan import YanModel

    sizes = dict(vocab_size=VOCABULARY + 1, d_model=16, num_heads=2, encoder_layers=2, flow_layers=2, cross_layers=[0])
    torch.manual_seed(0)
    ids = dict(pad_token_id=VOCABULARY, mask_token_id=VOCABULARY - 1)
    return YanModel(YanConfig(**sizes, **ids, backbone=backbone, **options))


def run(
    folder,
    settings,
    resume=False,
    stage=1,
    model=None,
    backbone="",
    options=None,
    wait=0.0,
    slow_disk=0.0,
    full_from=None,
    device="cpu",
):
    """Train in this process, alone or as one of several; ``settings`` are keywords of TrainSettings."""
    settings = TrainSettings(**settings)
    accelerator = make_accelerator(settings.precision, device)
    if slow_disk:
        finish = checkpoints.finish
        checkpoints.finish = lambda path: (time.sleep(slow_disk), finish(path))
    if full_from is not None and accelerator.is_main_process:
        fill_disk(checkpoints, full_from)
    share = (accelerator.process_index, accelerator.num_processes)
    draw = StandInDraw(settings.batch_size, *share, settings.accumulate, wait=wait)
    if model is None:
        model = language_model(backbone, **(options or {})) if backbone else StandIn()
    result = train_stage(model, stage, draw, settings, folder, accelerator=accelerator, resume=resume)
    return model, result


def fill_disk(module, step):
    """Let saves from this step on meet a full disk."""
    save = module.save_checkpoint

    def full(*_):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    def watched(folder, at, tensors, state):
        module.save_file = full if at >= step else save_file
        return save(folder, at, tensors, state)

    _stage_state.save_checkpoint = watched


def child(rank, world, port, environment, report, folder, settings, keywords):
    """One process of a run: ends with 0 done, 130 interrupted, 3 checkpoint error (its text is in the report file)."""
    torch.set_num_threads(1)
    if world > 1:
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": str(rank), "LOCAL_RANK": str(rank)}
        os.environ.update({**address, "WORLD_SIZE": str(world), "LOCAL_WORLD_SIZE": str(world), **environment})
    code = 0
    try:
        model, result = run(folder, settings, **keywords)
        weights = {name: value.double().flatten().tolist() for name, value in model.state_dict().items()}
        Path(f"{report}{rank}").write_text(
            json.dumps({"steps": result.steps, "tokens": result.tokens, "model": weights})
        )
    except KeyboardInterrupt:
        code = 130
    except checkpoints.CheckpointError as error:
        Path(f"{report}{rank}").write_text(str(error))
        code = 3
    if world > 1:
        torch.distributed.destroy_process_group()
    sys.exit(code)


if __name__ == "__main__":  # under torchrun and accelerate launch: FOLDER SETTINGS
    torch.set_num_threads(1)
    device = "cpu" if torch.accelerator.is_available() else "auto"  # auto, unless two would share one GPU
    run(sys.argv[1], json.loads(sys.argv[2]), device=device)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
