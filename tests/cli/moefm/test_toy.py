"""moefm toy, end to end."""

import json
from pathlib import Path

import numpy as np
import pytest

TINY = ("--train-steps", "3", "--points", "40", "--hidden", "16", "--steps", "1,2")


FILES = {"figure.png", "figure.svg", "curves.png", "losses.png", "experts.png", "metrics.json", "samples.npz", "fields"}


@pytest.fixture
def no_figures(monkeypatch):
    """Leave out the drawing, which takes most of the time of a tiny run."""
    import moefm_toy.results

    monkeypatch.setattr(moefm_toy.results, "write_results", lambda *args: [])


def strip_seconds(document):
    """The document without what differs between two runs: the time they took."""
    if isinstance(document, dict):
        return {k: strip_seconds(v) for k, v in document.items() if k != "train_seconds"}
    return [strip_seconds(v) for v in document] if isinstance(document, list) else document


def test_toy_writes_everything(moefm, tmp_path):
    code, out, err = moefm("toy", *TINY)
    folder = tmp_path / "runs" / "toy-moons"
    assert code == 0
    assert {path.name for path in folder.iterdir()} == FILES
    assert all(name in out for name in FILES)
    assert "winner" in err
    assert {p.name for p in (folder / "fields" / "seed-0").iterdir()} == {"vfm", "moefm", "consistent"}


def test_metrics_have_the_promised_form(moefm):
    code, out, _ = moefm("toy", *TINY, "--json")
    result = json.loads(out)
    assert code == 0
    assert (result["dataset"], result["seed"]) == ("moons", 0)
    assert result["noise_floor_w2"] > 0
    assert set(result["methods"]) == {"vfm", "moefm", "consistent"}
    for name, method in result["methods"].items():
        assert set(method) == {
            "parameters", "train_seconds", "by_steps", "straightness", "path_ratio", "experts",
        }  # fmt: skip
        assert set(method["experts"]) == {"effective", "usage", "dead", "gate_entropy"}
        assert sum(method["experts"]["usage"]) == pytest.approx(1, abs=1e-5)
        assert len(method["experts"]["usage"]) == (1 if name == "vfm" else 8)
        assert list(method["by_steps"]) == ["1", "2"]
        for steps, row in method["by_steps"].items():
            assert set(row) == {"w2", "excess_w2", "mmd2", "off_support", "nfe"}
            assert row["nfe"] == int(steps)
            assert row["excess_w2"] <= row["w2"]


def test_json_on_stdout_equals_the_file(moefm, tmp_path):
    _, out, _ = moefm("toy", *TINY, "--method", "moefm", "--json", "--out", "here")
    assert json.loads(out) == json.loads((tmp_path / "here" / "metrics.json").read_text())


def test_same_seed_same_numbers_other_seed_others(moefm, no_figures):
    runs = [json.loads(moefm("toy", *TINY, "--json", "--seed", seed)[1]) for seed in (3, 3, 4)]
    first, again, other = map(strip_seconds, runs)
    assert first == again
    assert first["methods"] != other["methods"]


def test_several_seeds_report_medians_and_ranges(moefm, no_figures):
    result = json.loads(moefm("toy", *TINY, "--seeds", "3", "--seed", "5", "--json")[1])
    assert result["seeds"] == [5, 6, 7]
    each = sorted(run["methods"]["moefm"]["by_steps"]["1"]["w2"] for run in result["runs"])
    assert result["methods"]["moefm"]["by_steps"]["1"]["w2"] == each[1]
    assert result["range"]["methods"]["moefm"]["by_steps"]["1"]["w2"] == [each[0], each[2]]
    assert result["methods"]["moefm"]["parameters"] == result["runs"][0]["methods"]["moefm"]["parameters"]


DRAWN = [
    ("--routing", "mean"),
    ("--experts", "30"),
    ("--method", "vfm"),
    ("--dataset", "digits", "--dim", "3"),
]


NOT_DRAWN = [
    ("--routing", "argmax"),
    ("--routing", "resampled"),
    ("--solver", "heun"),
    ("--solver", "dopri5"),
    ("--coupling", "ot"),
    ("--experts", "1"),
    ("--sigma", "0.5"),
    ("--ema", "0.9"),
    ("--method", "moefm,consistent"),
]


@pytest.mark.parametrize("options", DRAWN, ids=" ".join)
def test_options_that_change_the_figures(moefm, options):
    code, _, err = moefm("toy", *TINY, *options)
    assert code == 0, err


@pytest.mark.parametrize(
    "options, methods",
    [
        (("--method", "vfm,consistent-information"), ["vfm", "consistent-information"]),
        (("--dataset", "codes"), ["vfm", "vfm-information"]),
    ],
)
def test_methods_in_information_time(moefm, options, methods):
    code, out, err = moefm("toy", *TINY, *options, "--json")
    result = json.loads(out)
    assert code == 0, err
    assert list(result["methods"]) == methods
    assert result["methods"][methods[1]]["by_steps"]["2"]["nfe"] == 2


@pytest.mark.parametrize("options", NOT_DRAWN, ids=" ".join)
def test_other_options(moefm, no_figures, options):
    code, out, err = moefm("toy", *TINY, "--json", *options)
    assert code == 0, err
    method = json.loads(out)["methods"]["moefm"]
    assert method["by_steps"]["2"]["nfe"] == (4 if "heun" in options else method["by_steps"]["2"]["nfe"])
    assert len(method["experts"]["usage"]) == (1 if "--experts" in options else 8)


def test_own_points_of_any_dimension(moefm, tmp_path):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "cloud.npy", 50 + 10 * rng.normal(size=(200, 5)))
    np.savetxt(tmp_path / "line.csv", rng.normal(size=(100, 1)), delimiter=",", header="x", comments="")
    for name, dim in (("cloud.npy", 5), ("line.csv", 1)):
        assert moefm("toy", *TINY, "--dataset", name)[0] == 0
        samples = np.load(tmp_path / "runs" / f"toy-{Path(name).stem}" / "samples.npz")
        assert samples["moefm_2"].shape[1] == dim
    assert (tmp_path / "runs/toy-cloud/pairs-moefm.png").stat().st_size > 5000
    cloud = np.load(tmp_path / "runs" / "toy-cloud" / "samples.npz")["consistent_2"]
    assert abs(cloud.mean() - 50) < 10  # original units


def test_animation_and_digit_images(moefm, tmp_path):
    code, out, _ = moefm("toy", *TINY, "--dataset", "digits", "--dim", "2", "--animate", "--out", "d")
    assert code == 0
    for name in ("transport.gif", "images.png"):
        assert name in out
        assert (tmp_path / "d" / name).stat().st_size > 5000


def test_resume_trains_only_what_is_missing(moefm, no_figures, tmp_path, monkeypatch):
    import moefm_toy.experiment as experiment

    whole = strip_seconds(json.loads(moefm("toy", *TINY, "--json")[1]))
    real, calls = experiment.fit, []
    monkeypatch.setattr(experiment, "fit", lambda *a, **k: calls.append(1) or real(*a, **k))
    again = strip_seconds(json.loads(moefm("toy", *TINY, "--json", "--resume")[1]))
    assert (again, len(calls)) == (whole, 0)
    (tmp_path / "runs/toy-moons/fields/seed-0/moefm/config.json").unlink()
    assert strip_seconds(json.loads(moefm("toy", *TINY, "--json", "--resume")[1])) == whole
    assert len(calls) == 1
    moefm("toy", *TINY, "--resume", "--sigma", "0.3")  # another experiment: its fields are not taken over
    assert len(calls) == 3


def test_interrupt_keeps_what_was_trained_and_says_how_to_go_on(moefm, tmp_path, monkeypatch):
    import moefm_toy.experiment as experiment

    real = experiment.measure

    def interrupted(*args):
        if args[0].num_experts > 1:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(experiment, "measure", interrupted)
    code, _, err = moefm("toy", *TINY)
    folder = tmp_path / "runs" / "toy-moons"
    assert code == 130
    assert "--resume" in err
    assert {p.name for p in folder.iterdir()} == {"fields"}
    assert (folder / "fields/seed-0/vfm/model.safetensors").exists()


BAD = {
    "unknown data set": (("--dataset", "mons"), "moons"),
    "missing file": (("--dataset", "nothing.npy"), "nothing.npy"),
    "empty file": (("--dataset", "empty.csv"), "empty.csv"),
    "one point": (("--dataset", "one.csv"), "one.csv"),
    "text in the csv": (("--dataset", "text.csv"), "line 3"),
    "NaN": (("--dataset", "nan.npy"), "nan.npy"),
    "pickled": (("--dataset", "pickle.npy"), "pickle.npy"),
    "unknown option": (("--expert", "3"), "--expert"),
    "experts": (("--experts", "0"), "--experts"),
    "experts not a number": (("--experts", "many"), "--experts"),
    "sigma zero": (("--sigma", "0"), "--sigma"),
    "sigma nan": (("--sigma", "nan"), "--sigma"),
    "steps": (("--steps", "1,0"), "--steps"),
    "steps text": (("--steps", "few"), "--steps"),
    "steps empty": (("--steps", ","), "--steps"),
    "method": (("--method", "ddpm"), "--method"),
    "no method": (("--method", ""), "--method"),
    "coupling": (("--coupling", "best"), "--coupling"),
    "empty coupling": (("--coupling", ""), "--coupling"),
    "routing": (("--routing", "hot"), "--routing"),
    "solver": (("--solver", "magic"), "solver"),
    "train steps": (("--train-steps", "-1"), "--train-steps"),
    "batch": (("--batch-size", "1"), "--batch-size"),
    "seeds": (("--seeds", "0"), "--seeds"),
    "clouds": (("--clouds", "0"), "--clouds"),
    "seed": (("--seed", "-1"), "--seed"),
    "device": (("--device", "tpu"), "--device"),
    "dim": (("--dim", "3"), "dim"),
    "dim range": (("--dataset", "digits", "--dim", "99"), "dim"),
    "resampled with adaptive": (("--routing", "resampled", "--solver", "dopri5"), "Resampled"),
    "out under a file": (("--out", "empty.csv/x"), "--out"),
}


@pytest.mark.parametrize("options, named", BAD.values(), ids=BAD)
def test_bad_input_is_one_line_and_code_2(moefm, tmp_path, options, named):
    (tmp_path / "empty.csv").touch()
    (tmp_path / "one.csv").write_text("x,y\n1,2\n")
    (tmp_path / "text.csv").write_text("x,y\n1,2\n3,four\n" + "5,6\n" * 20)
    np.save(tmp_path / "nan.npy", np.array([[1.0, np.nan]] * 30))
    np.save(tmp_path / "pickle.npy", np.array([{"a": 1}] * 30, dtype=object))
    before = {path.name for path in tmp_path.iterdir()}
    code, out, err = moefm("toy", *TINY, *options)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert err.startswith("error: ")
    assert named in err
    assert {path.name for path in tmp_path.iterdir()} == before  # nothing half-written, not even a folder


def test_failed_writing_leaves_the_old_results_whole(moefm, tmp_path, monkeypatch):
    import moefm_toy.figures as figures

    assert moefm("toy", *TINY, "--out", "o")[0] == 0
    before = {p.name: p.read_bytes() for p in (tmp_path / "o").iterdir() if p.is_file()}

    def disk_full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(figures, "experts_figure", disk_full)
    code, _, err = moefm("toy", *TINY, "--seed", "9", "--out", "o")
    assert code == 1
    assert "No space left" in err
    assert {p.name: p.read_bytes() for p in (tmp_path / "o").iterdir() if p.is_file()} == before
