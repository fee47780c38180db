"""Texts, and tiny models whose latents are looked at."""

import torch

from yanlm.config import YanConfig
from yanlm.modeling.yan import YanModel

TEXTS = [f"the cat number {i} sat on the mat, and the dog {i * 7} on the bed." for i in range(60)]


ROWS = [{"text": text} for text in TEXTS]


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def tiny(tokenizer, **options):
    sizes = {"d_model": 16, "num_heads": 2, "encoder_layers": 1, "flow_layers": 1, "cross_layers": [0], "d_state": 4}
    ids = {"pad_token_id": tokenizer.pad_token_id, "mask_token_id": tokenizer.mask_token_id}
    torch.manual_seed(0)
    return YanModel(YanConfig(vocab_size=len(tokenizer), **(sizes | ids | options))).eval()
