"""Randomness of a row: from its seed alone, whatever is beside it."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from yanlm.seeding import EXPERT, NOISE, generators, kept, row_normal, row_seed, row_uniform, sample_streams

seeds = st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=4)


@given(seeds, st.lists(st.lists(st.booleans(), min_size=5, max_size=5), min_size=4, max_size=4))
def test_a_row_draws_the_same_alone_and_among_others(seeds, places):
    held = torch.tensor(places[: len(seeds)])
    together = row_normal(generators(seeds, NOISE), held, 3)
    shares = kept(torch.ones(len(seeds), 5, dtype=torch.bool), 0.5, seeds)
    uniforms = row_uniform(generators(seeds, EXPERT))
    for row, seed in enumerate(seeds):
        alone = torch.ones(1, int(held[row].sum()), dtype=torch.bool)
        assert torch.equal(together[row, held[row]], row_normal(generators([seed], NOISE), alone, 3)[0])
        assert together[row].any(-1).equal(held[row]), "noise is where it is asked for, wherever that is"
        assert torch.equal(shares[row], kept(torch.ones(1, 5, dtype=torch.bool), 0.5, [seed])[0])
        assert uniforms[row] == row_uniform(generators([seed], EXPERT))[0]


def test_streams_seeds_and_samples_differ():
    draws = [row_uniform(sample_streams([seed], 3, salt)) for seed in (1, 2) for salt in (NOISE, EXPERT)]
    assert len(torch.cat(draws).unique()) == 12
    assert torch.equal(row_uniform(sample_streams([1], 2, NOISE)), draws[0][:2]), "more samples changed the first"
    assert len({row_seed(seed, step, row) for seed in range(3) for step in range(3) for row in range(3)}) == 27


def test_all_or_nothing_is_kept():
    mask = torch.tensor([[True, False]])
    assert kept(mask, 1, [0]).all() and not kept(mask, 0, [0]).any()
