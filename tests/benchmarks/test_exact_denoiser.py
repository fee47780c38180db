"""The exact denoiser: its probabilities are Bayes', and noise that is believed lets one pass decide."""

from __future__ import annotations

import math
from types import ModuleType

import pytest
import torch


@pytest.fixture(scope="module")
def lists(benchmark_file: ModuleType) -> object:
    torch.manual_seed(0)
    return benchmark_file.Exact(benchmark_file.answers("shuffle"), 0)


def test_all_answers_are_listed(benchmark_file: ModuleType) -> None:
    assert [len(benchmark_file.answers(task)) for task in ("latin", "sudoku", "shuffle")] == [576, 288, 120]


def test_probabilities_follow_from_the_densities(benchmark_file: ModuleType, lists: object) -> None:
    t, width = 0.15, math.sqrt(benchmark_file.WIDTH)
    z = torch.randn(4, 5, 5, generator=torch.Generator().manual_seed(1))
    means = t * width * torch.nn.functional.one_hot(lists.right).float()
    log = torch.distributions.Normal(means, 1 - t).log_prob(z.unsqueeze(1)).sum((-2, -1))
    wanted = torch.einsum("na,alv->nlv", log.softmax(-1), lists.one)
    assert torch.allclose(lists(z, t, torch.full((4, 5), -1)), wanted, atol=1e-4)


def test_written_words_are_believed(lists: object) -> None:
    written = torch.tensor([[2, -1, -1, 0, -1]])
    p = lists(torch.zeros(1, 5, 5), 0.0, written)
    assert torch.allclose(p[0, 1], torch.tensor([0, 1 / 3, 0, 1 / 3, 1 / 3]), atol=1e-6) and p[0, 0, 2] == 1


@pytest.mark.parametrize("task", ["latin", "shuffle"])
def test_one_pass_decides_if_it_believes_its_noise(benchmark_file: ModuleType, task: str) -> None:
    torch.manual_seed(0)
    denoiser = benchmark_file.Exact(benchmark_file.answers(task), benchmark_file.GIVEN[task])
    share, many = {}, {}
    for perturb in (0.0, 0.5, 2.0):
        texts = benchmark_file.write(denoiser, 1, perturb, 600, reread=False)
        share[perturb], many[perturb] = benchmark_file.right(denoiser, texts)
    assert share[0.0] < 0.3 < share[2.0] - 0.4 and share[0.0] + 0.2 < share[0.5]
    assert many[2.0] > 0.6 * min(len(denoiser.right), 600)
