"""Options that generate and evaluate share: numbers that are checked, and help that says who takes them."""

import pytest

from moefm_cli.common import UsageError
from moefm_cli.yanlm.generation_options import check_counts


def test_numbers_of_options_are_at_least_1():
    check_counts({"steps": 1, "limit": None})
    with pytest.raises(UsageError, match="--batch-size must be at least 1, got 0"):
        check_counts({"steps": 1, "batch_size": 0})


@pytest.mark.parametrize("command", ["generate", "evaluate"])
def test_help_says_which_models_take_an_option(yanlm, command):
    words = " ".join("".join(c if c not in "│╭╮╰╯─" else " " for c in yanlm(command, "--help")[1]).split())
    assert "For baselines, flows whose encoder denoises, and --reread" in words
    assert "For masked models, --sampler diffusion and --reread" in words
    assert "--candidates" in words and "the most probable is kept" in words
