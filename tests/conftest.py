"""Settings for all tests: offline, one thread, the same hypothesis examples every time."""

import functools
import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # before any library that reads it
os.environ.setdefault("GOMP_SPINCOUNT", "0")  # a test of two threads must not hold up the others: before torch

import hypothesis
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))  # tests of both packages share pretend_gpu.py
from pretend_gpu import PretendGPU, pretend_gpu

torch.set_num_threads(1)

hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, max_examples=30)
hypothesis.settings.register_profile("search", deadline=None, max_examples=500)  # HYPOTHESIS_PROFILE=search
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_collection_finish() -> None:
    """Take what is loaded out of garbage collections: each end of a training asks for one, which took half a second."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def rooms_are_made_once() -> Iterator[None]:
    """``builtin:rooms`` is the same in every training, and 20,000 rows take a second."""
    from yanlm.data.builtin import rooms

    made = functools.cache(rooms.rooms_rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rooms, "rooms_rows", lambda *args, **options: [dict(row) for row in made(*args, **options)])
        yield


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of two flows and two baselines, never trained: flow, encoder (it denoises), mlm, gpt2."""
    from yanlm.config import YanConfig
    from yanlm.data.builtin.rooms import rooms_rows
    from yanlm.modeling.autoregressive import ARModel
    from yanlm.modeling.build import baseline_config
    from yanlm.modeling.io import save_model
    from yanlm.modeling.yan import YanModel
    from yanlm.tokenization.tokenizer import train_tokenizer

    sizes = {
        "d_model": 16,
        "num_heads": 2,
        "encoder_layers": 1,
        "flow_layers": 1,
        "cross_layers": [0],
        "max_length": 96,
    }
    root = tmp_path_factory.mktemp("models")
    tokenizer = train_tokenizer([" ".join(row.values()) for row in rooms_rows("train", 50)], 400)
    ids = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    flow = YanConfig(**sizes, **ids, mask_token_id=tokenizer.mask_token_id, stage=2)
    kinds = {"flow": flow, "mlm": baseline_config("mlm", flow), "gpt2": baseline_config("gpt2", flow)}
    denoises = {"denoiser": "encoder", "num_experts": 2, "experts": "source", "scope": "sequence", "stage": 1}
    kinds["encoder"] = YanConfig(**flow.to_diff_dict() | denoises)
    for name, config in kinds.items():
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            save_model(root / name, ARModel(config) if name == "gpt2" else YanModel(config), tokenizer)
    return root


@pytest.fixture
def gpu() -> Iterator[PretendGPU]:
    """Tensors can be on ``cuda``, and follow its rules."""
    with pretend_gpu() as mode:
        yield mode
