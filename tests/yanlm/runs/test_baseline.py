"""Trained baselines in a run: settings, sizes, reports, lengths."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from yanlm.analysis.inspection import inspect_folder
from yanlm.config import AUTOREGRESSIVE, BASELINES, MASKED, YanConfig
from yanlm.evaluation.report import evaluate, example_of
from yanlm.modeling.autoregressive import ARModel
from yanlm.modeling.description import FLOW_SETTINGS as FLOW_OPTIONS
from yanlm.modeling.description import count_parameters
from yanlm.modeling.io import save_model
from yanlm.modeling.yan import YanModel
from yanlm.runs.baseline import encoder_denoises, for_denoiser
from yanlm.runs.presets import PRESETS, get_preset
from yanlm.runs.settings import from_dict, resolve
from yanlm.runs.setup import stage_model
from yanlm.tokenization.examples import Builder
from yanlm.writer import Writer

SIZES = {"d_model": 16, "num_heads": 2, "encoder_layers": 2, "flow_layers": 1, "cross_layers": [0], "max_length": 48}
ROWS = [{"text": "the cat sat on the mat and the dog ran"}, {"text": "the red house near a small river"}]


def built(name: str, tokenizer: Any, folder: Path, **options: Any) -> Any:
    settings = resolve({"minutes": 1, "baseline": name, "model": SIZES, **options})
    return stage_model(settings, 1, folder, tokenizer).eval()


@pytest.fixture(params=BASELINES)
def model(request: pytest.FixtureRequest, tokenizer: Any, tmp_path: Path) -> Any:
    return built(request.param, tokenizer, tmp_path)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", BASELINES)
def test_settings_of_a_baseline(name: str, preset: str) -> None:
    settings, own = resolve({"preset": preset, "baseline": name}), get_preset(preset)
    assert settings.baseline == name and settings.stages == (1,)
    assert settings.stage_minutes(1) == settings.minutes
    if "steps1" in own.length:
        assert (settings.steps1, settings.steps2) == (own.length["steps1"] + own.length["steps2"], None)
    assert (settings.recipe1.lr, settings.recipe1.batch_size) == (own.recipe1.lr, own.recipe1.batch_size)
    masking = settings.recipe1.masking
    assert masking.clean == 0, "a row without a slot teaches these nothing"
    if name in AUTOREGRESSIVE:
        assert masking == own.recipe2.masking
    elif name == "mdlm":
        assert masking.rate == (0.05, 1.0) and masking.tail == own.recipe2.masking.tail
    else:
        assert masking.rate == own.recipe1.masking.rate
    assert from_dict(json.loads(json.dumps(settings.to_dict()))) == settings


def test_own_settings_win() -> None:
    own = {"masking": {"rate": [0.2, 0.3]}, "batch_size": 4}
    settings = resolve({"minutes": 1, "baseline": "mlm", "recipe1": own})
    assert settings.recipe1.masking.rate == (0.2, 0.3) and settings.recipe1.masking.clean == 0
    assert settings.recipe1.batch_size == 4


def test_vfm_is_the_flow_with_one_expert() -> None:
    settings = resolve({"minutes": 1, "baseline": "vfm"})
    assert settings == resolve({"minutes": 1, "model": {"num_experts": 1}})
    with pytest.raises(ValueError, match="one expert"):
        resolve({"minutes": 1, "baseline": "vfm", "model": {"num_experts": 4}})


DENOISES: dict[str, Any] = {"model": {"denoiser": "encoder"}}


@pytest.mark.parametrize("extra", [{}, {"baseline": "vfm"}])
def test_a_flow_whose_encoder_denoises_has_one_stage(extra: dict[str, Any]) -> None:
    settings, own = resolve(DENOISES | {"minutes": 3} | extra), get_preset("tiny")
    assert settings.stages == (1,) and settings.denoises and settings.stage_minutes(1) == 3
    assert settings.recipe1.masking == dataclasses.replace(own.recipe1.masking, clean=0.0)
    assert settings.kind == "flow, denoised by its encoder" and from_dict(settings.to_dict()) == settings
    assert encoder_denoises(DENOISES) and not encoder_denoises(DENOISES | {"baseline": "mlm"})
    assert not resolve(DENOISES | {"minutes": 3, "baseline": "mlm"}).denoises
    with_mask = {"recipe1": {"masking": {"clean": 0.5}}, "denoising": {"plain": 0.5}}
    chosen = resolve(DENOISES | {"minutes": 3} | with_mask)
    assert chosen.recipe1.masking.clean == chosen.denoising.plain == 0.5


def test_two_stages_of_steps_are_one() -> None:
    preset = dataclasses.replace(get_preset("tiny"), length={"steps1": 3, "steps2": 4})
    assert for_denoiser(preset, {})[0].length == {"steps1": 7}


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "name": ({"baseline": "t5", "minutes": 1}, "baseline must be one of"),
    "stage": ({"baseline": "mlm", "minutes": 1, "stage": "2"}, "baseline mlm has one stage"),
    "steps": ({"baseline": "gpt2", "steps1": 1, "steps2": 1}, "baseline gpt2 has one stage"),
    "no steps": ({"baseline": "gpt2", "steps2": 1}, "baseline gpt2 has one stage"),
    "objective": ({"baseline": "bart", "minutes": 1, "stage2": {"objective": "consistent"}}, "leave out objective"),
    "source": ({"baseline": "bart", "minutes": 1, "stage1": {"known": 0.1}}, "leave out known"),
    "denoising": ({"baseline": "mdlm", "minutes": 1, "denoising": {"plain": 0.5}}, "denoising is.*leave out plain"),
    "no denoiser": ({"minutes": 1, "denoising": {"plain": 0.5}}, "denoising is of a flow with denoiser='encoder'"),
    "table of a trunk": (DENOISES | {"stage2": {"ce": "rollout"}}, "stage2 is of a flow behind.*leave out ce"),
    "recipe of a trunk": (DENOISES | {"recipe2": {"lr": 0.1}}, "recipe2 is of a flow behind.*leave out lr"),
    "stage 2": (DENOISES | {"minutes": 1, "stage": "2"}, "a flow with denoiser='encoder' has one stage"),
    "steps 2": (DENOISES | {"steps1": 1, "steps2": 1}, "a flow with denoiser='encoder' has one stage"),
    "kind of rows": (DENOISES | {"minutes": 1, "denoising": {"plain": 2.0}}, "denoising: plain"),
    "mmd": ({"baseline": "gpt2", "minutes": 1, "stage1": {"known": 0.1, "mmd": 0.0}}, "leave out mmd"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_settings_are_named(name: str) -> None:
    options, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        resolve(options)


def test_gpt2_learns_a_share_of_its_source() -> None:
    assert resolve({"minutes": 1, "baseline": "gpt2", "stage1": {"known": 0.1}}).stage1.known == 0.1


def test_sizes_follow_the_flow(tokenizer: Any, tmp_path: Path, model: Any) -> None:
    settings = resolve({"minutes": 1, "model": SIZES})
    flow = count_parameters(stage_model(settings, 1, tmp_path, tokenizer))["total"]
    parts = count_parameters(model)
    assert sum(size for part, size in parts.items() if part != "total") == parts["total"]
    assert parts["total"] == sum(p.numel() for p in model.parameters())
    assert model.config.d_model == 16 and model.config.stage == 0 and model.config.form == "slots"
    if model.config.method in MASKED:
        assert isinstance(model, YanModel) and model.config.encoder_layers == 3 and model.flow is None
        assert list(parts) == ["embedding", "encoder", "decoder", "total"]
    else:
        layer = parts["total"] / model.config.layers
        assert isinstance(model, ARModel) and abs(parts["total"] - flow) < layer
        assert list(parts) == ["embedding", "layers", "total"]


def test_flow_options_are_not_a_baseline_s(tokenizer: Any, tmp_path: Path) -> None:
    sizes = {**SIZES, "form": "separate", "align": False, "num_experts": 3, "pad_to": 5, "sigma": 0.5}
    for name in BASELINES:
        config = built(name, tokenizer, tmp_path, model=sizes).config
        assert (config.form, config.pad_to) == ("slots", 5)
        ids = {option: getattr(config, option) for option in ("vocab_size", "pad_token_id", "mask_token_id")}
        for option in {*FLOW_OPTIONS} - {"pad_to"} if name in MASKED else ():
            assert getattr(config, option) == getattr(YanConfig(**ids), option)


def test_a_seed_decides_the_weights(tokenizer: Any, tmp_path: Path, model: Any) -> None:
    same, other = (built(model.config.method, tokenizer, tmp_path, seed=seed) for seed in (0, 1))
    for name, value in model.state_dict().items():
        assert torch.equal(same.state_dict()[name], value), name
    assert any(not torch.equal(other.state_dict()[name], value) for name, value in model.state_dict().items())


def test_init_takes_the_same_kind_alone(tokenizer: Any, tmp_path: Path, model: Any) -> None:
    method = model.config.method
    save_model(tmp_path / "old", model, tokenizer)
    again = built(method, tokenizer, tmp_path, init=str(tmp_path / "old"))
    assert all(torch.equal(again.state_dict()[name], value) for name, value in model.state_dict().items())
    for other in ({}, {"baseline": "mlm" if method != "mlm" else "bart"}):
        settings = resolve({"minutes": 1, "init": str(tmp_path / "old"), **other})
        with pytest.raises(ValueError, match=f"holds a model of kind {method}, and {other.get('baseline', 'flow')}"):
            stage_model(settings, 1, tmp_path, tokenizer)


def test_a_report(model: Any, builder: Builder) -> None:
    report = evaluate(model, builder, ROWS, ROWS, examples=1)
    method = model.config.method
    assert report["method"] == method
    assert list(report["by_steps"]) == (["tokens"] if method in AUTOREGRESSIVE else ["1", "2", "3", "8"])
    assert all(scores["copied_accuracy"] == 1 for scores in report["by_steps"].values())
    assert not {"one_pass", "reconstruction", "experts", "effective_experts"} & report.keys()
    assert len(report["examples"]) == 1
    assert report == evaluate(model, builder, ROWS, ROWS, examples=1, flow=False), "it needs no second stage"
    assert set(example_of(model, builder, ROWS[0], flow=False)) == {"source", "filled", "truth", "masks"}


@pytest.mark.parametrize("name", BASELINES)
def test_writing(name: str, tokenizer: Any, tmp_path: Path) -> None:
    sizes = {**SIZES, "max_span": 4}  # fresh weights would like their answers long
    model = built(name, tokenizer, tmp_path, model=sizes)
    model.config.stage = 1
    writer = Writer(model, tokenizer)
    many = ["the <mask> sat", "a <mask><mask> near the <mask> house", "the dog"]
    together = writer.write(many, seed=3, samples=2, temperature=1.0)
    assert together == writer.write(many, seed=3, samples=2, temperature=1.0, batch_size=1)
    assert [len(one.fills[0]) for one in together] == [1, 3, 1]
    assert together != writer.write(many, seed=4, samples=2, temperature=1.0)
    assert writer.write(["the <mask> sat on <mask>"], length=2)[0].tokens == 4
    with pytest.raises(ValueError, match="z0_scale is an option of the flow"):
        writer.write(many, z0_scale=0.5)


def test_what_has_no_latents_is_not_inspected(model: Any, tokenizer: Any, tmp_path: Path) -> None:
    save_model(tmp_path, model, tokenizer)
    file = tmp_path / "more.txt"
    file.write_text("".join(f"the cat number {i} sat on the mat and the dog ran\n" for i in range(600)))
    if model.config.method in AUTOREGRESSIVE:
        with pytest.raises(ValueError, match=f"holds a {model.config.method} model, which has no latents"):
            inspect_folder(tmp_path, data=[str(file)])
    else:
        assert inspect_folder(tmp_path, data=[str(file)], tokens=60)["dim"] == 16
