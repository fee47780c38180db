"""The model that a server answers with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from yanlm.modeling.io import SHIPPED
from yanlm.serving.fields import Fields
from yanlm.serving.refusal import Refusal
from yanlm.serving.served import Served, model_name


def test_names_of_models() -> None:
    assert model_name(SHIPPED) == "yanlm"
    assert model_name(Path("/runs/tales/stage1")) == "tales"


def test_facts_say_what_a_page_can_offer(make_served: Callable[..., Served]) -> None:
    assert make_served().facts["experts"] == 2 and make_served().facts["reread"]
    plain = make_served({"method": "mdlm"}).facts
    assert (plain["experts"], plain["reread"], plain["method"]) == (0, False, "mdlm")


@pytest.mark.parametrize(
    ("config", "asked", "field"),
    [({}, {"temperature": 1}, "temperature"), ({"method": "mdlm"}, {"z0_scale": 0.5}, "z0_scale")],
)
def test_options_that_the_model_does_not_take(
    make_served: Callable[..., Served], config: dict[str, Any], asked: dict[str, Any], field: str
) -> None:
    with pytest.raises(Refusal) as refusal:
        make_served(config).options(Fields(asked))
    assert refusal.value.field == field
