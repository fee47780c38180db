"""Random draws of experts, and the router of a sampling run."""

import pytest
import torch

from moefm.drawing import Router, draw_expert, draw_uniforms
from moefm.finite import NotFiniteError

NOT_A_GATE = {
    "only -inf": [-torch.inf, -torch.inf, -torch.inf],
    "inf": [0.0, torch.inf, 0.0],
    "nan": [0.0, torch.nan, 0.0],
}


def test_draws_have_the_probabilities_of_the_gate(gen):
    pi = torch.tensor([0.1, 0.0, 0.6, 0.3, 0.0])
    n = 20_000
    drawn = draw_expert(pi.log().expand(n, 5), gen())
    share = torch.bincount(drawn, minlength=5) / n
    assert share[1] == 0 and share[4] == 0
    assert (share - pi).abs().max() < 3 * (0.25 / n) ** 0.5


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_draws_are_made_in_float32(gen, randn, dtype):
    logits = randn(500, 6, dtype=dtype)
    assert torch.equal(draw_expert(logits, gen()), draw_expert(logits.float(), gen()))


def test_certain_experts_are_drawn_for_certain(gen):
    wanted = torch.arange(300) % 4
    logits = torch.nn.functional.one_hot(wanted, 4).double().log()
    assert torch.equal(draw_expert(logits, gen()), wanted)


@pytest.mark.parametrize(
    "scope, groups",
    [(-1, 40), (0, 30), ((0, 1), 1), (torch.arange(30).div(10, rounding_mode="floor").repeat(40, 1), 120)],
)
def test_a_group_shares_one_draw(gen, scope, groups):
    drawn = draw_expert(torch.zeros(40, 30, 1000), gen(), scope)  # 1000 experts: hardly any coincidence
    assert drawn.shape == (40, 30)
    if isinstance(scope, torch.Tensor):
        assert (drawn[:, :10] == drawn[:, :1]).all() and (drawn[:, 20:] == drawn[:, 20:21]).all()
    assert 0.8 * groups <= len(drawn.unique()) <= groups


def test_token_level_draws_are_independent(gen):
    assert len(draw_expert(torch.zeros(5, 4, 1000), gen()).unique()) > 15


def test_router_pools_over_scope_and_mask(make_field, randn):
    field, z = make_field(2, 4), randn(3, 5, 2)
    mask = torch.ones(3, 5, dtype=torch.bool)
    mask[:, 3:] = False
    pooled = Router(scope=-1, mask=mask).logits(field, field.trunk(z, 0.0))
    expected = field.gate(z, 0.0)[:, :3].mean(1, keepdim=True).expand(3, 5, 4)
    torch.testing.assert_close(pooled, expected)


@pytest.mark.parametrize("value, row", NOT_A_GATE.items(), ids=NOT_A_GATE)
def test_no_expert_is_drawn_where_the_gate_is_no_distribution(value, row):
    logits = torch.zeros(4, 3)
    logits[2] = torch.tensor(row)
    for draw in (draw_expert, Router().draw):
        with pytest.raises(NotFiniteError, match=f"gate logits must .*got {value} in row 2"):
            draw(logits)
    mask = torch.tensor([True, True, False, True])
    assert Router(mask=mask).draw(logits).shape == (4,)  # padding may hold anything
    with pytest.raises(NotFiniteError, match=r"in row 2"):
        Router(mask=~mask).draw(logits)


def test_masked_experts_are_allowed(gen):
    logits = torch.tensor([-torch.inf, 0.0, -torch.inf]).expand(50, 3)
    assert (draw_expert(logits, gen()) == 1).all()


def test_a_router_that_cannot_look_raises_a_doubt(make_field, randn, monkeypatch):
    """As on an accelerator: NaN where there is no distribution, 0 elsewhere and in padding."""
    field, z, mask = make_field(2, 3), randn(4, 2), torch.tensor([True, True, True, False])
    bad = torch.tensor([[0.0] * 3, *NOT_A_GATE.values()])
    monkeypatch.setattr(field, "gate_logits", lambda features: bad)
    monkeypatch.setattr("moefm.drawing.can_look", lambda values: False)
    router = Router(mask=mask)
    assert router.logits(field, field.trunk(z, 0.0)) is bad
    assert router.doubt.isnan().flatten().tolist() == [False, True, True, False]
    assert router.doubt[[0, 3]].tolist() == [[0.0], [0.0]]


def test_draws_with_a_generator_a_row_do_not_depend_on_the_padding(gen):
    """Neither the draws of one run nor those of the next with the same generators."""
    logits, drawn = torch.zeros(3, 6, 1000), []
    for length in (2, 6):
        generators = [gen(s) for s in range(3)]
        for _ in range(2):
            router = Router(generators)
            drawn.append([router.draw(logits[:, :length])[:, :2] for _ in range(3)])
    short, long = [*drawn[0], *drawn[1]], [*drawn[2], *drawn[3]]
    assert all(torch.equal(a, b) for a, b in zip(short, long, strict=True))
    assert len(torch.stack(long).unique()) > 30  # of 36: every draw is new
    assert torch.equal(short[0], draw_expert(logits[:, :2], [gen(s) for s in range(3)]))


def test_every_draw_of_a_router_is_new(gen):
    router, logits = Router(gen()), torch.zeros(20, 8)
    assert not torch.equal(router.draw(logits), router.draw(logits))


@pytest.mark.parametrize("u, drawn", [(0.0, 1), (1 - 2**-24, 3)])
def test_the_rarest_draws_do_not_give_an_impossible_expert(monkeypatch, u, drawn):
    monkeypatch.setattr("moefm.drawing.uniform", lambda shape, generator, device: torch.full(tuple(shape), u))
    logits = torch.tensor([-torch.inf, 0.0, -torch.inf, 0.3, -torch.inf])
    assert (draw_expert(logits.expand(7, 5)) == drawn).all()


@pytest.mark.parametrize("many", [False, True], ids=["one generator", "one a row"])
def test_uniforms_drawn_ahead_are_those_of_the_generators(many):
    def generators():
        return [torch.Generator().manual_seed(i) for i in range(6)] if many else torch.Generator().manual_seed(3)

    logits = torch.zeros(6, 5, 50)
    ahead, on_the_way = Router(uniforms=draw_uniforms(2, (6, 5), generators())), Router(generators())
    for _ in range(2):
        assert torch.equal(ahead.draw(logits), on_the_way.draw(logits))
    with pytest.raises(ValueError, match="uniforms must hold a row for every draw, got 2"):
        ahead.draw(logits)
