"""Our generation writes what the plain one writes, token for token."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moefm.routing import ROUTINGS
from yanlm.config import YanConfig
from yanlm.modeling.yan import YanModel

KINDS: dict[str, dict[str, Any]] = {
    "paper": {
        "positions": "learned", "prediction": "velocity", "form": "separate", "align": False,
        "tie_word_embeddings": False,
    },
    "slots": {"conv": 3},
    "span": {"scope": "span", "align": False},
    "sequence": {"scope": "sequence", "positions": "learned"},
    "one expert": {"num_experts": 1},
}  # fmt: skip
SIZES = {
    "vocab_size": 90, "pad_token_id": 88, "mask_token_id": 89, "d_model": 16, "num_heads": 2, "encoder_layers": 2,
    "flow_layers": 2, "cross_layers": [1], "max_length": 24, "d_time": 8, "d_state": 4,
}  # fmt: skip


@pytest.fixture(scope="module")
def reference(benchmark_file: ModuleType) -> ModuleType:
    return benchmark_file


@pytest.fixture(scope="module")
def make_model() -> Callable[[str, str], YanModel]:
    """Models whose weights are large enough that experts differ and no word is always the answer."""
    kept: dict[tuple[str, str], YanModel] = {}

    def make(kind: str, backbone: str) -> YanModel:
        if (kind, backbone) not in kept:
            with torch.random.fork_rng([]), torch.no_grad():
                torch.manual_seed(0)
                model = YanModel(YanConfig(**SIZES | {"backbone": backbone, "num_experts": 5} | KINDS[kind])).eval()
                for parameter in model.parameters():
                    parameter.add_(0.3 * torch.randn_like(parameter))
            kept[kind, backbone] = model
        return kept[kind, backbone]

    return make


def asked(config: YanConfig, rows: list[list[int]], padding: int) -> dict[str, Any]:
    """Texts as generation takes them, -1 for a slot, with ``padding`` columns of nothing behind the longest."""
    length = max(map(len, rows)) + padding
    places = [
        [i for i, id in enumerate(row) if id < 0] if config.form == "slots" else [*range(len(row))] for row in rows
    ]
    slots = max(map(len, places)) + padding
    pad, mask = config.pad_token_id, config.mask_token_id
    return {
        "source_ids": torch.tensor([[mask if id < 0 else id for id in r] + [pad] * (length - len(r)) for r in rows]),
        "source_mask": torch.tensor([[i < len(row) for i in range(length)] for row in rows]),
        "slots": torch.tensor([row + [0] * (slots - len(row)) for row in places]),
        "slot_mask": torch.tensor([[i < len(row) for i in range(slots)] for row in places]),
    }


texts = st.lists(st.integers(0, 87) | st.just(-1), min_size=1, max_size=12).filter(lambda ids: -1 in ids)


@pytest.mark.parametrize("backbone", ["transformer", "mamba"])
@pytest.mark.parametrize("kind", KINDS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=10)
@given(
    routing=st.sampled_from(sorted(ROUTINGS)),
    steps=st.integers(1, 4),
    rows=st.lists(texts, min_size=1, max_size=4),
    padding=st.integers(0, 3),
    seed=st.integers(0, 2**40),
)
def test_tokens_are_equal(
    reference: ModuleType,
    make_model: Callable[[str, str], YanModel],
    kind: str,
    backbone: str,
    routing: str,
    steps: int,
    rows: list[list[int]],
    padding: int,
    seed: int,
) -> None:
    model = make_model(kind, backbone)
    batch = asked(model.config, rows, padding)
    chosen: dict[str, Any] = {"seeds": [seed + row for row in range(len(rows))], "steps": steps, "routing": routing}
    plain, ours = reference.Reference(model).generate(**batch, **chosen), model.generate(**batch, **chosen)
    assert torch.equal(plain.tokens, ours.tokens) and plain.nfe == ours.nfe
    if ours.assignment is not None:
        held = batch["slot_mask"].unsqueeze(1)
        assert torch.equal(plain.assignment[held], ours.assignment[held])


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "one expert"])
def test_words_and_experts_differ(reference: ModuleType, make_model: Callable[[str, str], YanModel], kind: str) -> None:
    """Else equality would say little."""
    model = make_model(kind, "transformer")
    rows = [[-1, 3, -1, 4, -1, 5] * 4 for _ in range(4)]
    out = reference.Reference(model).generate(**asked(model.config, rows, 0), seeds=[1, 2, 3, 4])
    assert len(out.tokens.unique()) > 3 and len(out.assignment.unique()) > 1


@pytest.mark.parametrize("backbone", ["transformer", "mamba"])
def test_wanted_words_alone(reference: ModuleType, make_model: Callable[[str, str], YanModel], backbone: str) -> None:
    model = make_model("paper", backbone)
    batch = asked(model.config, [[1, -1, 3, 4], [-1, 5, 6, 7, -1, -1]], 1)
    wanted = batch["slot_mask"] & (batch["slots"] % 3 == 0)
    plain = reference.Reference(model).generate(**batch, wanted=wanted, seeds=[1, 2])
    assert torch.equal(plain.tokens, model.generate(**batch, wanted=wanted, seeds=[1, 2]).tokens)
    assert bool((plain.tokens.squeeze(1)[~wanted] == model.config.pad_token_id).all())


def test_masks_may_be_left_out(reference: ModuleType, make_model: Callable[[str, str], YanModel]) -> None:
    plain = reference.Reference(make_model("paper", "mamba"))
    batch = asked(plain.config, [[1, -1, 3], [-1, 5, 6]], 0)
    bare = {name: batch[name] for name in ("source_ids", "slots")}
    assert torch.equal(plain.generate(**batch, seeds=[1, 2]).tokens, plain.generate(**bare, seeds=[1, 2]).tokens)


@pytest.mark.parametrize(
    "options",
    [
        {"method": "mlm"},
        {"experts": "trunk", "scope": "sequence"},
        {"denoiser": "encoder", "scope": "sequence", "experts": "source"},
    ],
)
def test_other_kinds_are_refused(reference: ModuleType, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="the reference generates from a flow"):
        reference.Reference(YanModel(YanConfig(**SIZES | options)))
