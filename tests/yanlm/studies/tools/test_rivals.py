"""Models to be timed beside a flow."""

from __future__ import annotations

import pytest
import torch

from yanlm.config import ARConfig
from yanlm.modeling.autoregressive import ARModel
from yanlm.studies.tools.models import Named, fresh_models, size_of
from yanlm.studies.tools.rivals import PUBLISHED, described, rivals
from yanlm.studies.tools.timing import question


@pytest.fixture(scope="module")
def flow() -> Named:
    return fresh_models("tiny", ["flow"], 24)[0]


def test_the_reference_writes_what_the_flow_writes_and_leaves_it_alone(flow: Named) -> None:
    flow.model.to(torch.bfloat16)
    [plain] = rivals(flow, ["reference"], 24, torch.bfloat16)
    assert flow.model.dtype == torch.bfloat16 and next(iter(plain.model.parameters())).dtype == torch.float32
    asked = question(flow.model.config, 8, 1.0, 0, 2)
    tokens = plain.model.generate(**asked, seeds=[0, 1]).tokens
    assert torch.equal(tokens, flow.model.float().generate(**asked, seeds=[0, 1]).tokens)


def test_published_sizes() -> None:
    with torch.device("meta"):
        sizes = {
            name: size_of(ARModel(ARConfig(**options, pad_token_id=1, mask_token_id=2, method=name, max_length=511)))
            for name, options in PUBLISHED.items()
        }
    assert sizes["gpt2"] == pytest.approx(124e6, rel=0.01) and sizes["bart"] == pytest.approx(139e6, rel=0.01)


def test_names(flow: Named) -> None:
    assert [named.label for named in rivals(flow, ["mdlm", "mdlm"], 24, torch.float32)] == ["mdlm"]
    assert described(rivals(flow, ["mdlm"], 24, torch.float32)[0]).startswith("mdlm: ")
    with pytest.raises(ValueError, match="against must be one of bart, gpt2, mdlm, reference, got 'elmo'"):
        rivals(flow, ["elmo"], 24, torch.float32)
