"""What the commands of yanlm study share: lists in options, a file of settings, the number of threads."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from moefm_cli.common import UsageError
from moefm_cli.yanlm.study_run import floats, integers, names, set_threads


@pytest.fixture
def threads() -> Iterator[int]:
    before = torch.get_num_threads()
    yield before
    torch.set_num_threads(before)


def test_lists_have_commas_between_their_parts() -> None:
    assert integers("--steps", "1, 2,8") == [1, 2, 8] and floats("--scale", "0.5,1") == [0.5, 1.0]
    assert names("flow, mdlm ,K = 1") == ["flow", "mdlm", "K = 1"]


@pytest.mark.parametrize("text", ["", "1,", "few", "1.5", "1;2"])
def test_other_lists_are_named_with_their_option(text: str) -> None:
    with pytest.raises(UsageError, match=f"--steps must be whole numbers with commas between them, got '{text}'"):
        integers("--steps", text)
    if text != "1.5":
        with pytest.raises(UsageError, match="--scale must be numbers with commas"):
            floats("--scale", text)


def test_threads_are_set_or_refused(threads: int) -> None:
    set_threads(threads + 1)
    assert torch.get_num_threads() == threads + 1
    with pytest.raises(UsageError, match="--threads must be at least 1, got 0"):
        set_threads(0)
