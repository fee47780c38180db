"""Studies: every one at toy size; they can be gone on with, and refuse what does not fit."""

from __future__ import annotations

import json
import shutil
import statistics
from pathlib import Path
from typing import Any

import pytest
import torch

from yanlm.config import YanConfig
from yanlm.modeling.build import baseline_config
from yanlm.modeling.build import fresh_model as _fresh
from yanlm.modeling.io import save_model
from yanlm.runs.settings import resolve
from yanlm.studies import ablation, datasets, diversity, latents, lengths, steps, table
from yanlm.studies.tools import models, table_page, timing, variants
from yanlm.studies.tools import study as common
from yanlm.tokenization.tokenizer import train_tokenizer

WORDS = """the cat sat on the mat and the dog ran to the red house near a small river in the old town""".split()  # noqa: SIM905
TEXTS = [f"{i} " + " ".join(WORDS[i % 7 :: 1 + i % 3] * 3) + " ." for i in range(240)]
SMALL = {"d_model": 16, "num_heads": 2, "encoder_layers": 2, "flow_layers": 2, "max_length": 48, "d_time": 8}


@pytest.fixture(scope="module")
def toys(tmp_path_factory: Any) -> Path:
    """Folders of models of every method with random weights, and texts."""
    root: Path = tmp_path_factory.mktemp("toys")
    tokenizer = train_tokenizer(TEXTS, 320)
    ids = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    flow = YanConfig(**SMALL, **ids, mask_token_id=tokenizer.mask_token_id, stage=2)
    for method in ("flow", "gpt2", "mdlm", "mlm"):
        config = flow if method == "flow" else baseline_config(method, flow)
        config.stage = 2 if method == "flow" else 1
        save_model(root / method, _fresh(config, 0), tokenizer)
    (root / "own.txt").write_text("\n".join(TEXTS))
    return root


def whole(document: dict[str, Any], out: Path) -> bool:
    """The files are there, the page shows the figure, and the JSON is what was returned."""
    kept = json.loads((out / "results.json").read_text())
    page, figure = Path(document["files"]["page"]), Path(document["files"]["figure"])
    assert f"]({figure.name})" in page.read_text() and "|---" in page.read_text()
    assert figure.read_bytes()[:4] == b"\x89PNG" and figure.stat().st_size > 5000
    return bool(kept == {name: value for name, value in json.loads(json.dumps(document)).items() if name != "files"})


def test_a_stopped_study_goes_on(tmp_path: Path) -> None:
    study = common.Study(tmp_path, "steps", {"rows": 3, "models": {"a": "1"}})
    study.piece("one", lambda: 1)
    with pytest.raises(KeyboardInterrupt):
        study.piece("two", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
    again = common.Study(tmp_path, "steps", {"rows": 3, "models": {"b": "2"}})
    assert again.piece("one", lambda: 1 / 0) == 1 and again.piece("two", lambda: 2) == 2
    assert again.settings["models"] == {"a": "1", "b": "2"}


def test_another_study_or_setting_is_refused(tmp_path: Path) -> None:
    common.Study(tmp_path, "steps", {"rows": 3, "models": {"a": "1"}}).piece("one", lambda: 1)
    for name, settings, message in (
        ("lengths", {"rows": 3}, "study 'steps'"),
        ("steps", {"rows": 4, "models": {}}, "another rows"),
        ("steps", {"rows": 3, "models": {"a": "2"}}, "another models a"),
    ):
        with pytest.raises(ValueError, match=message):
            common.Study(tmp_path, name, settings)
    (tmp_path / "results.json").write_text("[]")
    with pytest.raises(ValueError, match="damaged"):
        common.Study(tmp_path, "steps", {})


def test_labels_of_models(toys: Path) -> None:
    assert list(models.named_folders([str(toys / "flow"), f"gpt={toys / 'gpt2'}"])) == ["flow", "gpt"]
    for specs, message in (
        ([], "--model"),
        ([f"a={toys / 'flow'}", f"a={toys / 'mlm'}"], "twice"),
        (["nowhere"], "nowhere"),
        (["=x"], "LABEL=DIR"),
    ):
        with pytest.raises(ValueError, match=message):
            models.named_folders(specs)


def test_equal_names_are_told_apart_by_their_folders(toys: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        shutil.copytree(toys / "flow", tmp_path / name / "run" / "stage2")
    assert list(models.named_folders([str(tmp_path / name / "run") for name in ("a", "b")])) == ["a/run", "b/run"]


def test_steps(toys: Path, tmp_path: Path) -> None:
    given: dict[str, Any] = {"models": [str(toys / m) for m in ("flow", "gpt2", "mdlm", "mlm")], "rows": 4}
    given |= {"data": [str(toys / "own.txt")], "task": "infill", "seeds": (0, 1)}
    document = steps.steps_study(tmp_path, steps=[1], **given)
    assert whole(document, tmp_path)
    found = document["summary"]
    assert {label: list(runs) for label, runs in found["by_model"].items()} == {
        "flow": ["1"],
        "mdlm": ["1"],
        "flow, reread": ["1"],
    }
    assert found["by_model"]["flow, reread"] == found["by_model"]["flow"], "one step is the same"
    assert set(found["flat"]) == {"flow, one pass", "gpt2", "mlm", "best guess: unigram"}
    assert len(found["by_model"]["flow"]["1"]) == 2 and len(found["by_model"]["mdlm"]["1"]) == 1
    more = steps.steps_study(tmp_path, steps=[1, 2], **given)
    assert more["pieces"].items() > document["pieces"].items()
    assert set(more["pieces"]) - set(document["pieces"]) == {
        f"flow, {how}seed {s}, T = 2" for s in (0, 1) for how in ("", "reread True, ")
    } | {"mdlm, seed 0, T = 2"}
    with pytest.raises(ValueError, match="metric must be one of"):
        steps.steps_study(tmp_path / "other", steps=[1], metric="colour", **given)


def test_diversity(toys: Path, tmp_path: Path) -> None:
    given: dict[str, Any] = {"models": [str(toys / "flow"), str(toys / "gpt2")], "data": [str(toys / "own.txt")]}
    given |= {"rows": 4, "steps": [1], "z0_scales": [0.5, 2.0], "routings": ["argmax"], "temperatures": [1.0]}
    document = diversity.diversity_study(tmp_path, samples=2, **given)
    assert whole(document, tmp_path)
    points = document["summary"]["points"]
    assert [(p["model"], p["steps"], p.get("z0_scale")) for p in points] == [
        ("flow", 1, 0.5), ("flow", 1, 2.0), ("gpt2", None, None),
    ]  # fmt: skip
    assert all({"masked_accuracy", "distinct_2", "self_bleu"} <= set(point) for point in points)
    assert any("SemDist" in note for note in document["notes"])
    for change, message in (({"routings": ["best"]}, "routing"), ({"z0_scales": [0.0]}, "z0_scale")):
        with pytest.raises(ValueError, match=message):
            diversity.diversity_study(tmp_path / "other", samples=2, **(given | change))
    with pytest.raises(ValueError, match="samples"):
        diversity.diversity_study(tmp_path / "other", samples=1, **given)


def test_latents(toys: Path, tmp_path: Path) -> None:
    data = [str(toys / "own.txt")]
    document = latents.latents_study(tmp_path, [str(toys / "flow"), str(toys / "mlm")], data, tokens=50)
    assert whole(document, tmp_path)
    assert set(document["summary"]) == {"flow", "mlm"} and document["summary"]["mlm"]["tokens"] == 50
    again = latents.latents_study(tmp_path, [str(toys / "flow"), str(toys / "mlm")], data, tokens=50)
    assert again["pieces"] == document["pieces"]
    with pytest.raises(ValueError, match="gpt2 and has no latents"):
        latents.latents_study(tmp_path / "other", [str(toys / "gpt2")], data)


def test_lengths_of_fresh_models(tmp_path: Path, monkeypatch: Any) -> None:
    turns: list[str] = []
    once = timing._once
    monkeypatch.setattr(timing, "_once", lambda one, *rest: (turns.append(one.label), once(one, *rest))[1])
    given: dict[str, Any] = {"preset": "tiny", "methods": ["flow", "gpt2", "mdlm"], "repeats": 2, "mdlm_steps": [2, 0]}
    document = lengths.lengths_study(tmp_path, [4, 6], **given)
    assert whole(document, tmp_path)
    found = document["summary"]
    assert found["reference"] == "flow, T = 3"
    assert list(found["by_model"]) == ["flow, T = 1", "flow, T = 3", "gpt2", "mdlm, T = 2", "mdlm, T = L"]
    assert all(len(run["seconds"]) == 2 for runs in found["by_model"].values() for run in runs.values())
    assert found["by_model"]["flow, T = 3"]["4"]["ratio"] == 1.0
    assert {label: runs["6"]["nfe"] for label, runs in found["by_model"].items()} == {
        "flow, T = 1": 1, "flow, T = 3": 3, "gpt2": 6, "mdlm, T = 2": 2, "mdlm, T = L": 6,
    }  # fmt: skip
    warm_up, first, second = turns[:5], turns[5:10], turns[10:15]
    assert warm_up == first != second and set(first) == set(second)  # interleaved, from another start
    before = len(turns)
    again = lengths.lengths_study(tmp_path, [4, 6], **given)
    assert len(turns) == before and again["summary"] == found


def test_lengths_leave_out_what_does_not_fit(toys: Path, tmp_path: Path) -> None:
    trained = [str(toys / "flow"), str(toys / "mlm")]
    document = lengths.lengths_study(tmp_path, [8, 4000], models=trained, repeats=1, rate=0.5, clock="cpu")
    assert set(document["summary"]["by_model"]["flow, T = 3"]) == {"8"}
    assert document["summary"]["by_model"]["mlm"]["8"]["nfe"] == 1
    assert "flow is left out at 4000 tokens, which its context does not hold" in document["notes"]
    for change, message in (
        ({"models": [], "preset": None}, "--preset"),
        ({"rate": 0.0}, "rate"),
        ({"clock": "sun"}, "clock"),
        ({"repeats": 0}, "repeats"),
    ):
        with pytest.raises(ValueError, match=message):
            lengths.lengths_study(tmp_path / "other", [8], **({"models": trained} | change))  # type: ignore[arg-type]


def test_what_is_slow_is_timed_once(toys: Path, tmp_path: Path) -> None:
    document = lengths.lengths_study(tmp_path, [8], models=[str(toys / "flow")], repeats=3, slow=1e-9)
    assert all(len(runs["8"]["seconds"]) == 1 for runs in document["summary"]["by_model"].values())
    assert any("timed once" in note for note in document["notes"])


@pytest.mark.parametrize("rate", [0.25, 1.0])
@pytest.mark.parametrize("form", ["slots", "separate"])
def test_questions_of_a_length(form: str, rate: float) -> None:
    config = YanConfig(form=form, align=False)
    asked = timing.question(config, 40, rate, 0)
    masks = int((asked["source_ids"] == config.mask_token_id).sum())
    if form == "separate":
        assert asked["slots"].tolist() == [list(range(40))] and (masks == 1) == (rate == 1)
    else:
        assert asked["source_ids"].shape == (1, 40) and masks == asked["slots"].shape[1]
        assert masks == pytest.approx(40 * rate, abs=1)
        assert bool((asked["source_ids"].gather(1, asked["slots"]) == config.mask_token_id).all())


def test_variants_change_one_thing() -> None:
    base = resolve({})
    found = variants.variants(base)
    assert found["base"] == {} and "K = 4" not in found and "objective = paper" not in found
    assert {name.split(" = ")[0] for name in found} == {"base", *variants.CHOICES}
    assert all(sum(len(table) for table in options.values()) == 1 for name, options in found.items() if options)
    alone = {name for name, options in found.items() if not variants.shares_stage1(options)}
    assert alone == {"noise = 0", "mmd = 0"}
    for options in found.values():
        resolve({"minutes": 1} | options)
    assert "K = 4" in variants.variants(resolve({"model": {"num_experts": 2}}))
    assert list(variants.variants(base, ["ce = one"])) == ["base", "ce = onestep"]
    with pytest.raises(ValueError, match="no variant begins with 'colour'"):
        variants.variants(base, ["colour"])


def test_ablation(toys: Path, tmp_path: Path, monkeypatch: Any) -> None:
    trained: list[tuple[str, int, int]] = []
    train = ablation.train

    def heard(settings: Any, folder: Path, **options: Any) -> Any:
        trained.append((settings.stage, settings.model.get("num_experts", 4), settings.seed))
        return train(settings, folder, **options)

    monkeypatch.setattr(ablation, "train", heard)
    options = {"tokenizer": "bpe:300", "steps1": 2, "steps2": 2, "recipe1": {"batch_size": 2}}
    options |= {"model": SMALL | {"cross_layers": [0]}, "recipe2": {"batch_size": 2}}
    given: dict[str, Any] = {"options": options, "only": ["K = 1", "mmd"], "steps": [1], "rows": 4}
    document = ablation.ablation_study(tmp_path, [str(toys / "own.txt")], seeds=[0], **given)
    assert whole(document, tmp_path)
    assert trained == [("1", 4, 0), ("2", 4, 0), ("2", 1, 0), ("both", 4, 0)]
    found = document["summary"]["by_variant"]
    assert list(found) == ["base", "K = 1", "mmd = 0"]
    assert found["K = 1"]["experts"] == [1.0]
    assert found["base"]["training_steps"] == [2] and found["mmd = 0"]["training_steps"] == [2, 2]
    assert not (tmp_path / "run").exists()
    ablation.ablation_study(tmp_path, [str(toys / "own.txt")], seeds=[0], **given)
    assert len(trained) == 4
    with pytest.raises(ValueError, match="another options"):
        ablation.ablation_study(tmp_path, [str(toys / "own.txt")], minutes=1.0, **given)
    with pytest.raises(ValueError, match="leave out baseline"):
        ablation.ablation_study(tmp_path / "other", [], options={"baseline": "gpt2"})


FLOW_ALONE = ["flow, one pass", "flow, reread, T = 6", "flow, one pass, reread, T = 6"]


def test_table(toys: Path, tmp_path: Path, monkeypatch: Any) -> None:
    small = {"model": SMALL | {"cross_layers": [0]}, "tokenizer": "bpe:300", "steps": 2, "recipe1": {"batch_size": 2}}
    small |= {"stage1": {"known": 0.5}}  # an objective of the flow, which mlm and gpt2 have not
    small |= {"methods": {"mlm": {"model": {"encoder_layers": 9}}}}
    given: dict[str, Any] = {"sets": [f"infill={toys / 'own.txt'}", f"completion={toys / 'own.txt'}"], "seeds": [0]}
    given |= {"methods": ["flow", "mlm"], "text": [str(toys / "own.txt")], "steps": [6], "rows": 4}
    given["options"] = small | {"finetune": {"check_rows": 4, "recipe": {"batch_size": 2}}}
    begun: list[str | None] = []
    train = table.train

    def heard(settings: Any, folder: Path, **options: Any) -> Any:
        begun.append(settings.task)
        return train(settings, folder, **options)

    monkeypatch.setattr(table, "train", heard)
    document = table.table_study(tmp_path, **given)
    assert whole(document, tmp_path)
    assert begun == [None, "infill", None, "infill", "completion", "completion"]  # each method begins once
    infill, completion = document["summary"].values()
    assert list(infill["columns"]) == ["flow, T = 1", "flow, T = 6", *FLOW_ALONE, "mlm"]
    sizes = [piece["parameters"] for piece in document["pieces"].values()]
    assert sizes[1] > sizes[0], "mlm has layers of its own"
    assert infill["metric"] == "masked_accuracy" and completion["metric"] == "exact_match"
    assert set(infill["guesses"]) == {"copy_source", "unigram"} and infill["n"] == 4
    text = Path(document["files"]["page"]).read_text()
    assert "| infill, own.txt |" in text and "steps of fine-tuning" in text
    more = table.table_study(tmp_path, **(given | {"methods": ["flow", "mlm", "gpt2"]}))
    assert more["pieces"].items() > document["pieces"].items() and len(begun) == 9
    for change, message in (
        ({"sets": []}, "no set named"),
        ({"sets": ["infill"]}, "TASK=SPEC"),
        ({"sets": ["colour=own.txt"]}, "task must be one of"),
        ({"methods": ["magic"]}, "methods must be among"),
        ({"options": {"methods": {"magic": {}}}}, "methods in the config must be among"),
        ({"first": 0.0}, "first must be"),
        ({"rows": 5}, "another rows"),
    ):
        with pytest.raises(ValueError, match=message):
            table.table_study(tmp_path, **(given | change))


def test_the_figure_of_the_table_has_a_mark_for_any_number_of_columns() -> None:
    columns = {f"flow, T = {count}": [0.1] for count in range(40)}
    figure = table_page.table_figure({"infill=a": {"data": "a", "columns": columns, "guesses": {}}})
    assert len(figure.axes[0].lines) == 40


@pytest.mark.parametrize("method", ["flow", "mdlm", "gpt2"])
def test_one_step_alone_makes_a_table(method: str) -> None:
    result = {"data": "a", "n": 1, "by_steps": {"1": {"masked_accuracy": 0.5}}, "baselines": {}}
    found = table_page.summary_of("infill", {method: [result]}, [1])
    assert list(found["columns"].values()) == [[0.5]]


def test_names_of_sets_in_the_table() -> None:
    assert table_page.short("data/ag_news/train.jsonl.gz") == "ag_news"
    assert table_page.short("stories.jsonl") == "stories.jsonl"
    assert table_page.short("builtin:rooms") == "builtin:rooms"


def test_datasets(toys: Path, tmp_path: Path) -> None:
    folder = tmp_path / "ag_news"
    folder.mkdir()
    (folder / "train.txt").write_text((toys / "own.txt").read_text())
    own, named = str(toys / "own.txt"), str(folder / "train.txt")
    document = datasets.datasets_study(tmp_path, [own, named], tokenizer="bpe:300")
    assert whole(document, tmp_path)
    found = document["summary"][own]
    assert found["rows"] == len(TEXTS)
    assert found["words"] == pytest.approx(
        [min(w := [len(text.split()) for text in TEXTS]), statistics.mean(w), max(w)]
    )
    assert found["tokens"][1] >= found["words"][1]
    page = Path(document["files"]["page"]).read_text()
    assert "| AG News, paper | 127.6k | 17 | 43.8 | 162 | 31 | 64.5 | 227 |" in page
    for specs, tokenizer, message in (
        ([], None, "no data"),
        ([own], "bpe:x", "bpe:SIZE"),
        (["no.txt"], None, "no.txt"),
    ):
        with pytest.raises(ValueError, match=message):
            datasets.datasets_study(tmp_path / "other", specs, tokenizer=tokenizer)


def test_a_page_of_ones_own(toys: Path, tmp_path: Path) -> None:
    page = tmp_path / "docs" / "sets.md"
    datasets.datasets_study(tmp_path, [str(toys / "own.txt")], tokenizer="bpe:300", page=page)
    assert "](sets.png)" in page.read_text() and page.with_suffix(".png").is_file()


def test_nothing_touches_the_global_generator(toys: Path, tmp_path: Path) -> None:
    state = torch.get_rng_state()
    lengths.lengths_study(tmp_path, [4], preset="tiny", methods=["flow"], repeats=1)
    assert torch.equal(state, torch.get_rng_state())
