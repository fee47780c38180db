"""Experts that answer for spans or whole texts, and the likelihood of a text under all of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import TEXT_ROWS

from yanlm.modeling.yan import YanModel
from yanlm.nn.slots import slot_groups
from yanlm.objectives.likelihood import drawn_likelihood, text_likelihood
from yanlm.objectives.settings import Stage1, Stage2
from yanlm.objectives.stage2 import stage2_loss
from yanlm.tokenization.examples import Builder

Make = Callable[..., YanModel]


class Parts:
    """Stands for a condition: a mask and a scope."""

    def __init__(self, mask: Any, scope: Any) -> None:
        self.mask, self.scope = mask, scope


class Table:
    """A decoder whose latent of one number is the negative log-likelihood itself."""

    def loss(self, z: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return z.squeeze(-1)


@pytest.fixture
def batch(tokenizer: Any) -> dict[str, torch.Tensor]:
    rows = [{"text": text} for text in TEXT_ROWS]
    return Builder(tokenizer, max_length=48).batch(rows, [1, 2, 3], with_lengths=True)


@given(st.lists(st.floats(0.01, 5), min_size=8, max_size=8), st.lists(st.floats(-2, 2), min_size=2, max_size=2))
@settings(max_examples=50, deadline=None)
def test_likelihood_is_the_sum_over_experts(losses: list[float], gate: list[float]) -> None:
    ends = torch.tensor(losses, dtype=torch.float64).reshape(1, 4, 2, 1)
    logits = torch.tensor(gate, dtype=torch.float64).expand(1, 4, 2)
    mask = torch.tensor([[True, True, True, False]])
    pi = torch.softmax(logits[0, 0], -1)
    at = ends[0, :, :, 0]
    cases = {
        "token": (None, -sum(math.log(float((pi * (-at[i]).exp()).sum())) for i in range(3)) / 3),
        "sequence": (torch.zeros(1, 4).long(), -math.log(float((pi * (-at[:3].sum(0)).exp()).sum())) / 3),
    }
    for scope, wanted in cases.values():
        nll, posterior = text_likelihood(Table(), ends, logits, torch.zeros(1, 4).long(), Parts(mask, scope))  # type: ignore[arg-type]
        assert float(nll) == pytest.approx(wanted, abs=1e-5)
        assert torch.allclose(posterior.sum(-1), torch.ones(1, 4, dtype=posterior.dtype))
    shared = text_likelihood(Table(), ends, logits, torch.zeros(1, 4).long(), Parts(mask, cases["sequence"][0]))[1]  # type: ignore[arg-type]
    assert torch.allclose(shared[0, 0], shared[0, 2])


def test_one_expert_is_cross_entropy(make_model: Make, batch: dict[str, torch.Tensor]) -> None:
    model = make_model(num_experts=1)
    labels = batch["target_ids"].gather(1, batch["slots"])
    z = torch.randn(*labels.shape, 1, 16, generator=torch.Generator().manual_seed(0))
    nll, _ = text_likelihood(
        model.decoder,
        z,
        torch.zeros(*labels.shape, 1),
        labels,
        Parts(batch["slot_mask"], None),  # type: ignore[arg-type]
    )
    keep = batch["slot_mask"]
    wanted = torch.nn.functional.cross_entropy(model.decoder(z.squeeze(2)[keep]), labels[keep])
    assert nll.item() == pytest.approx(wanted.item(), rel=1e-5)


@pytest.mark.parametrize("scope", ["span", "sequence"])
@pytest.mark.parametrize("samples", [1, 3])
def test_a_group_is_written_by_one_expert(
    make_model: Make, batch: dict[str, torch.Tensor], scope: str, samples: int
) -> None:
    model = make_model(scope=scope, num_experts=4)
    seen: set[int] = set()
    for seed in range(8):
        out = model.generate(
            batch["source_ids"],
            slots=batch["slots"],
            source_mask=batch["source_mask"],
            slot_mask=batch["slot_mask"],
            samples=samples,
            seeds=[seed, seed + 100, seed + 200],
        )
        groups = slot_groups(batch["slots"], scope)
        assert out.assignment is not None and groups is not None
        for row in range(3):
            for sample in range(samples):
                chosen: dict[int, int] = {}
                for group, expert, there in zip(
                    groups[row].tolist(), out.assignment[row, sample].tolist(), batch["slot_mask"][row], strict=True
                ):
                    if there:
                        assert chosen.setdefault(group, expert) == expert
                        seen.add(expert)
    assert len(seen) > 1  # it is drawn, not fixed


GROUPS = {"token": None, "span": torch.tensor([[0, 0, 1, 2]]), "sequence": torch.zeros(1, 4).long()}


@pytest.mark.parametrize("scope", GROUPS)
@given(st.lists(st.floats(0.01, 5), min_size=8, max_size=8), st.lists(st.floats(-2, 2), min_size=8, max_size=8))
@settings(max_examples=25, deadline=None)
def test_one_drawn_expert_has_the_gradient_of_all_in_expectation(
    scope: str, losses: list[float], gate: list[float]
) -> None:
    """Fisher's identity: the drawn experts' gradients, weighted by how likely they are drawn, are the likelihood's."""
    ends = torch.tensor(losses, dtype=torch.float64).reshape(1, 4, 2, 1).requires_grad_()
    logits = torch.tensor(gate, dtype=torch.float64).reshape(1, 4, 2).requires_grad_()
    labels, cond = torch.zeros(1, 4).long(), Parts(torch.tensor([[True, True, True, False]]), GROUPS[scope])
    nll, posterior = text_likelihood(Table(), ends, logits, labels, cond)  # type: ignore[arg-type]
    wanted = torch.autograd.grad(nll, (ends, logits))
    groups = range(3) if cond.scope is None else cond.scope[0, :3].tolist()
    got = [torch.zeros_like(ends), torch.zeros_like(logits)]
    for draw in itertools.product(range(2), repeat=max(groups) + 1):
        index = torch.tensor([[draw[group] for group in groups] + [0]])
        chance = math.prod(float(posterior[0, list(groups).index(g), k]) for g, k in enumerate(draw))
        end = ends.take_along_dim(index[..., None, None], -2).squeeze(-2)
        loss = drawn_likelihood(Table(), end, logits, posterior, labels, cond)  # type: ignore[arg-type]
        for total, part in zip(got, torch.autograd.grad(loss, (ends, logits)), strict=True):
            total += chance * part
    torch.testing.assert_close(got, list(wanted), atol=1e-6, rtol=1e-5)  # the gate is float32


@pytest.mark.parametrize("ce", ["mixture", "posterior"])
def test_it_learns_two_right_answers_that_go_together(ce: str) -> None:
    """Two words are both a or both b: one expert a text writes them so, one expert a token cannot."""
    torch.manual_seed(0)
    from yanlm.config import YanConfig
    from yanlm.tokenization.tokenizer import train_tokenizer

    tokenizer = train_tokenizer(["x a x a x b x b"] * 4, 262)
    builder = Builder(tokenizer, max_length=16)
    rows = [{"source": "x <mask> x <mask>", "target": [word, word]} for word in ("a", "b")]
    agree = {}
    for scope in ("token", "sequence"):
        ids = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
        config = YanConfig(
            **ids, mask_token_id=tokenizer.mask_token_id, d_model=32, num_heads=2, encoder_layers=1, flow_layers=1,
            cross_layers=(0,), num_experts=2, scope=scope, max_length=16, d_time=8, sigma=1.0,
            experts="trunk" if scope == "sequence" else "heads",
        )  # fmt: skip
        with torch.random.fork_rng():
            torch.manual_seed(1)
            model = YanModel(config)
        model.stage1 = Stage1(mmd=0.0, noise=0.0)
        model.stage2 = Stage2(ce=ce, freeze="none", length=0.0, balance=0.1)
        model.prepare_stage(2)
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
        batch = builder.batch(rows * 8, list(range(16)))
        for step in range(120):
            seeds = [1000 * step + i for i in range(16)]
            loss, _ = stage2_loss(model, batch, model.stage2, model.stage1, seeds, model.counts(batch))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        one = {name: x[:1] for name, x in batch.items()}
        out = model.generate(one["source_ids"], slots=one["slots"], steps=1, samples=64, seeds=[0])
        pairs = [tuple(pair) for pair in out.tokens[0].tolist()]
        agree[scope] = sum(a == b for a, b in pairs) / 64
        assert len(set(pairs)) > 1  # both answers occur
    assert agree["sequence"] > 0.95
    assert agree["token"] < 0.8
