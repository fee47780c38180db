"""What is proposed where all samples are alike is taken by the model, and makes them differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from yanlm.generation.capabilities import CAPABILITIES, DENOISING, Capabilities
from yanlm.generation.options import GenerationOptions
from yanlm.generation.variety import are_alike, for_variety
from yanlm.modeling.yan import YanModel
from yanlm.writer import Writer


@pytest.mark.parametrize("can", [*CAPABILITIES.values(), DENOISING], ids=lambda can: f"{can.method} {can.denoises}")
@pytest.mark.parametrize(
    "chosen", [{}, {"temperature": 1.0}, {"z0_scale": 2.0}, {"reread": True}, {"sampler": "diffusion"}]
)
def test_the_model_takes_what_is_proposed_and_it_is_new(can: Capabilities, chosen: dict[str, Any]) -> None:
    options = GenerationOptions(samples=4, **chosen)
    try:
        can.check(options)
    except ValueError:
        pytest.skip("this model does not take these options")
    proposed = for_variety(can, options)
    assert proposed and all(getattr(options, name) != value for name, value in proposed.items())
    can.check(replace(options, **proposed))
    assert for_variety(can, replace(options, **proposed)) != proposed, "there is always more"


def test_which_option_is_raised_and_by_how_much() -> None:
    def proposed(can: Capabilities, **chosen: Any) -> dict[str, Any]:
        return for_variety(can, GenerationOptions(samples=4, **chosen))

    assert proposed(CAPABILITIES["mdlm"], temperature=0.5) == {"temperature": 1.0}
    assert proposed(CAPABILITIES["mdlm"], temperature=2.0) == {"temperature": 3.0}
    flow, once = CAPABILITIES["flow"], replace(CAPABILITIES["flow"], reread=False)
    assert proposed(once, z0_scale=0.5) == {"z0_scale": 1.0} and proposed(once, z0_scale=2.0) == {"z0_scale": 3.0}
    assert proposed(flow) == {"z0_scale": 1.5} and proposed(flow, z0_scale=1.4) == {"z0_scale": 1.5 * 1.4}
    assert proposed(flow, z0_scale=1.5) == {"reread": True, "temperature": 1.0}
    assert proposed(flow, reread=True, temperature=1.0) == {"temperature": 1.5}


def test_a_masked_model_writes_other_words_with_it(make_model: Callable[..., YanModel], tokenizer: Any) -> None:
    writer = Writer(make_model(method="mdlm"), tokenizer)
    options = GenerationOptions(samples=6)
    [out] = writer.write("the <mask> sat on <mask>", length=3, options=options)
    assert are_alike(out.samples)
    [out] = writer.write(
        "the <mask> sat on <mask>", length=3, options=options, **for_variety(writer.model.can, options)
    )
    assert not are_alike(out.samples)
