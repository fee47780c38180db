"""Values of settings are of the types that the classes say, or are told by their names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yanlm.config import YanConfig
from yanlm.objectives.settings import Stage1, Stage2
from yanlm.runs.parsing import fields_of, parsed
from yanlm.runs.presets import Recipe
from yanlm.runs.settings import RunSettings, resolve
from yanlm.tokenization.masking import Masking

KINDS = {"": RunSettings, "model": YanConfig, "stage1": Stage1, "stage2": Stage2, "recipe1": Recipe}


def table(where: str, name: str, value: Any) -> dict[str, Any]:
    """Settings in which one has this value."""
    return {**{"minutes": 1.0}, name: value} if not where else {"minutes": 1.0, where: {name: value}}


@pytest.mark.parametrize("where", KINDS)
@pytest.mark.parametrize("value", [{"a": 1}, [{"a": 1}], object(), [[1]]], ids=["table", "tables", "object", "lists"])
def test_no_setting_takes_what_is_no_value(where: str, value: Any) -> None:
    for name in fields_of(KINDS[where]):
        if name in ("model", "stage1", "stage2", "recipe1", "recipe2", "masking"):
            continue
        with pytest.raises(ValueError, match=name) as caught:
            resolve(table(where, name, value))
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 1000


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.floats(),
    st.text(max_size=3),
    st.lists(st.one_of(st.integers(-2, 2), st.floats(), st.text(max_size=2)), max_size=3),
    st.dictionaries(st.sampled_from(["rate", "lr", "x"]), st.integers(), max_size=2),
)


@given(st.sampled_from([(where, name) for where, kind in KINDS.items() for name in fields_of(kind)]), VALUES)
def test_any_value_is_taken_or_told_in_a_line(place: tuple[str, str], value: Any) -> None:
    try:
        settings = resolve(table(*place, value))
    except ValueError as error:
        assert "\n" not in str(error)
    else:
        assert isinstance(settings, RunSettings)


WRONG: list[tuple[str, str, Any, str]] = [
    ("", "data", 5, "data must be a list of strings, got 5"),
    ("", "data", [5], r"data\[0\] must be a string, got 5"),
    ("", "preset", 1, "preset must be a string"),
    ("", "minutes", "5", "minutes must be a number, got '5'"),
    ("", "steps1", 1.5, "steps1 must be a whole number"),
    ("", "save_every", True, "save_every must be a whole number, got True"),
    ("", "weights", ["a"], r"weights\[0\] must be a number"),
    ("", "model", [1], r"model must be a table of settings, got \[1\]"),
    ("", "model", 5, "model must be a table"),
    ("", "recipe1", [], "recipe1 must be a table"),
    ("model", "mask_token", 5, "model has no setting 'mask_token'; it has align,"),
    ("model", "dtype", "float33", "model has no setting 'dtype'"),
    ("model", "cross_layers", "0", r"model\.cross_layers must be a list of whole numbers, got '0'"),
    ("model", "d_model", 16.0, r"model\.d_model must be a whole number, got 16\.0"),
    ("model", "d_model", 15, "model: d_model must be an even multiple"),
    ("model", "align", 1, r"model\.align must be true or false"),
    ("stage2", "beta", [1.0], r"stage2\.beta must be a list of 2 numbers"),
    ("stage1", "bandwidths", 0.5, r"stage1\.bandwidths must be a list of numbers"),
    ("recipe1", "batch_size", "8", r"recipe1\.batch_size must be a whole number, got '8'"),
    ("recipe1", "lr", "fast", r"recipe1\.lr must be a number"),
    ("recipe1", "lr", -1, "recipe1: lr must"),
    ("recipe1", "lr", float("nan"), "recipe1: lr must"),
    ("recipe1", "bucket", 0, "recipe1: bucket must"),
    ("recipe1", "schedule", "linear", "recipe1: schedule must be one of"),
    ("recipe1", "masking", 5, r"recipe1\.masking must be a table"),
    ("recipe1", "masking", {"spans": [1.5]}, r"recipe1\.masking\.spans\[0\] must be a whole number"),
    ("recipe1", "masking", {"rate": [0.5, 0.1]}, r"recipe1\.masking: rate must go from"),
    ("", "precision", "fp8", "precision must be one of"),
    ("", "patience", 0, "patience must"),
]


@pytest.mark.parametrize(("where", "name", "value", "message"), WRONG, ids=[f"{w}.{n}-{v}" for w, n, v, _ in WRONG])
def test_wrong_values_are_named(where: str, name: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        resolve(table(where, name, value))


def test_numbers_of_numpy_are_numbers() -> None:
    values = parsed(Recipe, "recipe", {"batch_size": np.int64(8), "lr": np.float32(0.5), "warmup": 3})
    assert values == {"batch_size": 8, "lr": 0.5, "warmup": 3} and type(values["batch_size"]) is int


def test_lists_become_what_the_class_holds() -> None:
    assert parsed(Masking, "m", {"rate": [0, 1], "spans": [1, 2, 3]}) == {"rate": (0.0, 1.0), "spans": (1, 2, 3)}
    assert parsed(Stage2, "s", {"beta": None})["beta"] is None
    assert parsed(YanConfig, "m", {"cross_layers": (0, 1)})["cross_layers"] == [0, 1]
