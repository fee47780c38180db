"""yanlm study, from the command line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from moefm_cli.yanlm import app as yanlm_app

STUDIES = "steps lengths diversity latents autoencoder language ablation agreement table datasets".split()  # noqa: SIM905


@pytest.fixture
def study(capsys: Any, monkeypatch: Any, tmp_path: Path) -> Any:
    """Run ``yanlm study`` in a folder of its own; returns exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)
    Path("own.txt").write_text("\n".join(f"the cat number {i} sat near the old house ." for i in range(40)))

    def run(*args: Any) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["yanlm", "study", *map(str, args)])
        with pytest.raises(SystemExit) as stop:
            yanlm_app.main()
        return stop.value.code, *capsys.readouterr()  # type: ignore[return-value]

    return run


def test_help_names_every_study_and_shows_examples(study: Any) -> None:
    code, out, _ = study()
    assert code == 0 and all(name in out for name in STUDIES)
    for name in STUDIES:
        code, out, _ = study(name, "--help")
        assert code == 0 and f"yanlm study {name} --" in out


def test_lengths_prints_json_alone(study: Any) -> None:
    args = ("lengths", "--preset", "tiny", "--methods", "flow,mdlm", "--lengths", "4", "--repeats", 1, "--json")
    code, out, err = study(*args, "--mdlm-steps", "2,L", "--device", "cpu")
    document = json.loads(out)
    assert code == 0 and "L = 4" in err
    assert list(document["summary"]["by_model"])[-1] == "mdlm, T = L"
    assert document["command"].startswith("yanlm study lengths --preset tiny")
    assert all(Path(path).is_file() for path in document["files"].values())


def test_datasets_prints_its_table_and_goes_on(study: Any) -> None:
    args = ("datasets", "--data", "own.txt", "--tokenizer", "bpe:300", "--out", "sets")
    code, out, _ = study(*args)
    assert code == 0 and "| own.txt | 40 |" in out and "sets/results.json" in out
    assert ": done before" in study(*args)[2]


SETTINGS = 'tokenizer = "bpe:300"\nsteps1 = 1\nsteps2 = 1\n[model]\n'


def test_ablation_takes_a_file_of_settings(study: Any) -> None:
    model = "d_model = 16\nnum_heads = 2\nencoder_layers = 1\nflow_layers = 1\ncross_layers = [0]\nmax_length = 32\n"
    Path("small.toml").write_text(SETTINGS + model)
    args = ("ablation", "--data", "own.txt", "--config", "small.toml", "--only", "ce = onestep", "--seeds", "0")
    code, out, err = study(*args, "--steps", "1", "--rows", "3", "--json", "--device", "cpu")
    assert code == 0, err
    assert list(json.loads(out)["summary"]["by_variant"]) == ["base", "ce = onestep"]


def test_agreement_takes_a_task_with_settings(study: Any) -> None:
    model = "d_model = 16\nnum_heads = 2\nencoder_layers = 1\nlatent_dim = 8\n"
    Path("small.toml").write_text("eval_rows = 2\n[recipe1]\nbatch_size = 4\n[model]\n" + model)
    args = ("agreement", "--task", "codes:vocabulary=4", "--setting", "groups=1", "--setting", "train=50")
    args += ("--only", "one pass", "--train-steps", 2, "--rows", 4, "--samples", 2, "--config", "small.toml")
    code, out, err = study(*args, "--device", "cpu")
    assert code == 0, err
    assert "| one pass | 0." in out and "agreement: runs/study-agreement/agreement.json" in out
    assert json.loads(Path("runs/study-agreement/agreement.json").read_text())["spec"].endswith("groups=1,train=50")


MISTAKES = {
    "no study": (("colours",), "colours"),
    "no model": (("steps", "--model", "nowhere", "--data", "own.txt"), "nowhere"),
    "model missing": (("steps", "--data", "own.txt"), "--model"),
    "steps": (("steps", "--model", "m", "--data", "own.txt", "--steps", "few"), "--steps"),
    "both": (("lengths", "--preset", "tiny", "--model", "m"), "one of them"),
    "neither": (("lengths",), "--preset"),
    "preset": (("lengths", "--preset", "huge"), "preset must be one of"),
    "method": (("lengths", "--preset", "tiny", "--methods", "flow,elmo"), "elmo"),
    "threads": (("lengths", "--preset", "tiny", "--threads", "0"), "--threads"),
    "scale": (("diversity", "--model", "m", "--data", "own.txt", "--z0-scale", "x"), "--z0-scale"),
    "latents": (("latents", "--model", "m", "--data", "own.txt"), "no folder m"),
    "only": (("ablation", "--data", "own.txt", "--minutes", "1", "--only", "colour"), "colour"),
    "minutes": (("ablation", "--data", "own.txt", "--minutes", "0"), "minutes"),
    "config": (("ablation", "--data", "own.txt", "--config", "none.toml"), "none.toml"),
    "group": (("autoencoder", "--data", "own.txt", "--only", "colour"), "only must be one of alone, paper, wide"),
    "variant": (("language", "--data", "own.txt", "--only", "colour"), "no variant 'colour'"),
    "task": (("ablation", "--data", "own.txt", "--minutes", "1", "--task", "sing"), "task must be one of"),
    "data": (("datasets", "--data", "none.txt"), "none.txt"),
    "no puzzle": (("agreement", "--task", "chess"), "no such puzzle"),
    "setting": (("agreement", "--task", "codes", "--setting", "keys=3"), "is no setting"),
    "two lengths": (("agreement", "--task", "codes", "--minutes", "1", "--train-steps", "9"), "not both"),
    "page": (("datasets", "--data", "builtin:rooms", "--page", "page.png"), "--page must be a FILE.md"),
    "device": (("steps", "--model", "m", "--data", "own.txt", "--device", "tpu"), "--device"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_end_in_one_line_and_code_2(study: Any, name: str) -> None:
    args, message = MISTAKES[name]
    code, out, err = study(*args)
    assert (code, out) == (2, ""), err
    assert message in err and "Traceback" not in err
    assert sum(line.startswith("error:") for line in err.splitlines()) == 1
