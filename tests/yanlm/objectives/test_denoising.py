"""The loss of a denoising encoder: kinds of rows, rows on their own, one expert or all, what it learns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from toys import DENOISERS, HEADS, MARKS, TEXT_ROWS

from yanlm.modeling.yan import YanModel
from yanlm.nn.noise import first_time
from yanlm.objectives.denoising import denoising_loss
from yanlm.objectives.settings import Denoising
from yanlm.tokenization.examples import Builder
from yanlm.tokenization.masking import Masking

Make = Callable[..., YanModel]
SEEDS = [11, 12, 13]


@pytest.fixture
def batch(tokenizer: Any) -> dict[str, torch.Tensor]:
    rows = [{"text": text} for text in TEXT_ROWS]
    return Builder(tokenizer, max_length=48, masking=Masking(rate=(0.4, 0.6))).batch(rows, [1, 2, 3], with_lengths=True)


def loss_of(model: YanModel, batch: Any, seeds: list[int] = SEEDS, **settings: Any) -> Any:
    return denoising_loss(model, batch, Denoising(**settings), seeds, model.counts(batch))


@pytest.mark.parametrize("kind", [{"num_experts": 1}, HEADS, MARKS, MARKS | {"experts": "continuum"}], ids=str)
@pytest.mark.parametrize("settings", [{}, {"gradient": "all"}, {"gradient": "drawn"}, {"consistent": True}], ids=str)
def test_every_way_trains_every_part(make_model: Make, batch: Any, kind: Any, settings: Any) -> None:
    model = make_model(denoiser="encoder", **kind).train()
    total, parts = loss_of(model, batch, plain=0.5, reveal=0.5, balance=0.1, seeds=[1, 5, 3], **settings)
    total.backward()
    assert {"plain", "denoise", "length"} <= set(parts) and total.isfinite()
    assert not [name for name, parameter in model.named_parameters() if parameter.grad is None]


@pytest.mark.parametrize(
    "settings", [{"length": 0.0}, {"plain": 1.0}, {"plain": 0.0}, {"plain": 1.0, "length": 0.0}], ids=str
)
@pytest.mark.parametrize("kind", DENOISERS)
def test_all_that_trains_gets_a_gradient_from_every_batch(
    make_model: Make, batch: Any, kind: str, settings: dict[str, float]
) -> None:
    """Several processes wait for each of these gradients."""
    model = make_model(denoiser="encoder", **DENOISERS[kind])
    model.denoising = Denoising(reveal=0.5, **settings)
    model.prepare_stage(1)
    for seeds in ([1, 2, 3], [4, 5, 6]):
        model.train().zero_grad()
        model(**batch, stage=1, seeds=seeds).loss.backward()
        for name, parameter in model.named_parameters():
            assert parameter.requires_grad == (parameter.grad is not None), name


def test_plain_rows_alone_are_a_masked_language_model(make_model: Make, batch: Any) -> None:
    model = make_model(denoiser="encoder", **HEADS)
    total, parts = loss_of(model, batch, plain=1.0, reveal=0.0, length=0.0)
    mlm = make_model(method="mlm")
    mlm.load_state_dict({n: x for n, x in model.state_dict().items() if not n.startswith("flow.")})
    batch = {name: x for name, x in batch.items() if not name.startswith(("collapsed", "span"))}
    wanted = mlm(stage=1, seeds=SEEDS, **batch).loss
    assert torch.allclose(total, wanted, rtol=1e-5) and set(parts) == {"plain"}


@pytest.mark.parametrize("kind", [HEADS, MARKS], ids=str)
def test_parts_are_what_the_loss_is_made_of(make_model: Make, batch: Any, kind: Any) -> None:
    model = make_model(denoiser="encoder", **kind)
    for seeds in ([1, 2, 3], [4, 5, 6], [7, 8, 9]):
        settings = {"plain": 0.4, "length": 0.5, "gradient": "all", "balance": 0.1}
        total, parts = loss_of(model, batch, seeds, **settings)
        assert list(parts) == ["plain", "denoise", "balance", "length"], "the same names, whatever rows are there"
        sums = 0.4 * parts["plain"] + 0.6 * parts["denoise"] + 0.1 * parts["balance"]
        assert torch.allclose(sums + 0.5 * parts["length"], total, rtol=1e-5)
        assert not any(part.requires_grad for part in parts.values())


@pytest.mark.parametrize("kind", [HEADS, MARKS], ids=str)
def test_bfloat16_is_about_as_good(make_model: Make, batch: Any, kind: Any) -> None:
    model = make_model(denoiser="encoder", **kind).train()
    wanted = loss_of(model, batch, times="uniform")[0]
    with torch.autocast("cpu", torch.bfloat16):
        total = loss_of(model, batch)[0]
    total.backward()
    assert torch.allclose(total, wanted, rtol=0.05)
    information = model.denoiser.information
    assert information.errors.dtype == torch.float32 and information.errors.isfinite().all()


def test_rows_without_noise_leave_no_parameter_out(make_model: Make, batch: Any) -> None:
    model = make_model(denoiser="encoder", **MARKS).train()
    total, parts = loss_of(model, batch, plain=1 - 1e-6)
    total.backward()
    assert parts["denoise"] == 0 < parts["plain"]
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert not [name for name, gradient in gradients.items() if gradient is None], "processes would wait for them"
    assert not any(gradient.any() for name, gradient in gradients.items() if name.startswith("flow."))


def test_a_row_is_the_same_alone(make_model: Make, batch: Any) -> None:
    model = make_model(denoiser="encoder", **MARKS)
    settings: dict[str, Any] = {"length": 0.0, "plain": 0.3, "reveal": 0.5, "times": "uniform"}
    totals = model.counts(batch)
    names = [name for name in batch if not name.startswith(("collapsed", "span"))]
    whole = denoising_loss(model, batch, Denoising(**settings), SEEDS, totals)[0]
    parts = [
        denoising_loss(model, {n: batch[n][i : i + 1] for n in names}, Denoising(**settings), [seed], totals)[0]
        for i, seed in enumerate(SEEDS)
    ]
    assert torch.allclose(whole, torch.stack(parts).sum(), rtol=1e-4)


def test_only_information_time_is_measured(make_model: Make, batch: Any) -> None:
    for times, seen in (("uniform", False), ("information", True)):
        model = make_model(denoiser="encoder", **HEADS)
        loss_of(model, batch, times=times, plain=0.0)
        assert not model.denoiser.information.counts.any(), "an evaluation leaves it as it was"
        loss_of(model.train(), batch, times=times, plain=0.0)
        assert bool(model.denoiser.information.counts.any()) == seen


def test_every_masked_word_has_noise_beside_words_that_are_shown(
    make_model: Make, batch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever in a row they are. A word without noise would give itself away."""
    model = make_model(denoiser="encoder")
    read, holes = model.denoiser.trunk, 0

    def trunk(z: torch.Tensor, t: Any, places: Any, perturb: float | None) -> Any:
        nonlocal holes
        assert z.any(-1)[places.mask].all()
        holes += int((places.mask.diff(dim=1).count_nonzero(1) > 1).sum())
        return read(z, t, places, perturb)

    monkeypatch.setattr(model.denoiser, "trunk", trunk)
    for seed in range(8):
        loss_of(model, batch, [seed, seed + 8, seed + 16], plain=0.0, reveal=1.0, zero_share=1.0)
    assert holes, "no row had a shown word between masked ones"


def test_drawn_experts_have_the_gradient_of_all(make_model: Make, batch: Any) -> None:
    """In the mean over seeds, at times of exactly 0 and with the noise of each seed."""
    settings: dict[str, Any] = {"plain": 0.0, "reveal": 0.0, "length": 0.0, "zero_share": 1.0}
    model = make_model(denoiser="encoder", **MARKS)
    sums = {"all": 0.0, "drawn": 0.0}
    for seed in range(40):
        for gradient in sums:
            model.zero_grad()
            loss_of(model, batch, [seed, 100 + seed, 200 + seed], gradient=gradient, **settings)[0].backward()
            sums[gradient] = sums[gradient] + model.denoiser.inputs.weight.grad.clone()
    cosine = torch.nn.functional.cosine_similarity(sums["all"].flatten(), sums["drawn"].flatten(), dim=0)
    assert cosine > 0.9


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"times": "now"}, "times"),
        ({"plain": 2.0}, "plain"),
        ({"gradient": "some"}, "gradient"),
        ({"consistent": 1}, "consistent"),
    ],
)
def test_settings_out_of_range(settings: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Denoising(**settings)


def test_rows_whose_words_follow_the_noise_are_read_as_a_sampler_reads_them(make_model: Make, batch: Any) -> None:
    """Their first times count as zero; what it adds to the noise of other rows is nothing."""
    model, asked = make_model(denoiser="encoder", perturb=1.0), []
    read, first = model.denoiser.trunk, first_time(1.0, model.denoiser.dim)

    def trunk(z: torch.Tensor, t: torch.Tensor, cond: Any, perturb: float | None) -> Any:
        asked.append((t, perturb))
        return read(z, t, cond, perturb)

    model.denoiser.trunk = trunk
    settings: dict[str, Any] = {"plain": 0.0, "reveal": 0.0, "length": 0.0, "zero_share": 0.0, "times": "uniform"}
    coupled = {"noise": torch.zeros(*batch["slots"].shape, model.denoiser.dim), "coupled": torch.arange(3) < 2}
    early = 0
    for seeds in ([1, 2, 3], [4, 5, 6], [7, 8, 9]):
        asked.clear()
        loss_of(model, batch, seeds, **settings)
        loss_of(model, {**batch, **coupled}, seeds, **settings)
        [(u, own), (t, other)] = asked
        assert own == 0.0 and other is None
        wanted = torch.where(coupled["coupled"] & (u < first), 0.0, u)
        assert torch.equal(t, wanted)
        early += int((t != u).sum())
    assert early
