"""Noisy code words."""

import torch
from toy_runs import seeded

from moefm import InformationTime
from moefm_toy.codes import DIM, SPREAD, WORDS, code_words, draw_codes


def test_points_lie_about_code_words_that_are_far_apart():
    words = code_words()
    assert torch.equal(words, code_words()) and len(words.unique(dim=0)) == WORDS
    assert torch.cdist(words, words).fill_diagonal_(torch.inf).min() > 12
    points = draw_codes(4000, seeded())
    distance, word = torch.cdist(points, words).min(-1)
    assert abs(distance.square().mean() / DIM - SPREAD**2) < 0.002
    assert word.bincount(minlength=WORDS).min() > 180


def test_they_are_told_apart_in_a_short_time():
    time = InformationTime.from_codebook(code_words(), uniform=0.001, generator=seeded())
    assert time.cdf(torch.tensor(0.04)) < 0.05 and time.cdf(torch.tensor(0.28)) > 0.95
