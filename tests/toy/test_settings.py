"""Where the randomness of a run comes from."""

import torch

from moefm_toy.settings import generator


def test_streams_of_a_seed_and_of_its_neighbours_differ():
    draws = {tuple(torch.rand(3, generator=generator(s, k)).tolist()) for s in range(4) for k in range(6)}
    assert len(draws) == 24
