"""A folder with files as users have them, whole and broken, and the two commands run in it."""

import io
import json
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from moefm_cli.moefm import app as moefm_app
from moefm_cli.yanlm import app as yanlm_app

TOML = """steps1 = 1
steps2 = 1
eval_rows = 4
tokenizer = "bpe:300"
[model]
d_model = 16
num_heads = 2
encoder_layers = 1
flow_layers = 1
cross_layers = [0]
max_length = 48
"""


@pytest.fixture(scope="session")
def place(models, tmp_path_factory):
    """What every fault begins with."""
    root = tmp_path_factory.mktemp("faults") / "place"
    root.mkdir()
    for name in ("flow", "encoder", "mlm", "gpt2"):
        shutil.copytree(models / name, root / name)
    texts(root)
    points(root)
    for name, damage in DAMAGED.items():
        shutil.copytree(models / "flow", root / name)
        damage(root / name)
    for name, text in RECORDS.items():
        (root / name).mkdir()
        (root / name / "run.json").write_text(text)
        (root / name / "plan.json").write_text(text)
    (root / "small.toml").write_text(TOML)
    (root / "notoml.toml").write_text("steps1 = = 1")
    (root / "latin.toml").write_bytes(b'preset = "\xe9"')
    return root


def texts(root):
    lines = [f"Text number {i} of many has {i % 7} apples and some more." for i in range(60)]
    (root / "texts.txt").write_text("\n".join(lines))
    (root / "one.txt").write_text(lines[0])
    (root / "empty.txt").write_text("")
    (root / "blank.txt").write_text("\n \n\n")
    (root / "latin.txt").write_bytes("\n".join(lines).encode() + b"\n\xe9t\xe9")
    (root / "no.txt.gz").write_text(lines[0])
    (root / "folder").mkdir()
    (root / "words.doc").write_text(lines[0])
    rows = [{"text": line, "label": str(i % 3)} for i, line in enumerate(lines)]
    (root / "labels.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (root / "lists.jsonl").write_text("\n".join(json.dumps([line]) for line in lines))
    (root / "other.jsonl").write_text("\n".join(json.dumps({"body": line}) for line in lines))
    (root / "broken.jsonl").write_text("\n".join("{" + line for line in lines))
    (root / "table.csv").write_text("a,b\n" + "\n".join(f"{i},{line}" for i, line in enumerate(lines)))
    (root / "no.parquet").write_text("PAR1")
    questions = [{"context": line, "question": "How many?", "answer": str(i % 7)} for i, line in enumerate(lines)]
    (root / "questions.jsonl").write_text("\n".join(map(json.dumps, questions)))


def points(root):
    (root / "few.csv").write_text("1,2\n3,4\n")
    (root / "words.csv").write_text("a,b\n" + "1,2\n" * 3 + "1,x\n")
    (root / "ragged.csv").write_text("1,2\n" * 30 + "1,2,3\n")
    np.save(root / "nan.npy", np.full((50, 2), np.nan))
    np.save(root / "flat.npy", np.zeros(50))
    np.save(root / "names.npy", np.array([["a", "b"]] * 50))
    np.save(root / "objects.npy", np.array([{"a": 1}] * 50), allow_pickle=True)
    (root / "no.npy").write_text("not numpy")


def rewrite(file, text):
    return lambda folder: (folder / file).write_text(text)


def configured(**changes):
    def change(folder):
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, **changes}))

    return change


def without(file):
    return lambda folder: (folder / file).unlink()


def cut(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-50])


def lost(folder):
    tensors = load_file(folder / "model.safetensors")
    del tensors[next(iter(tensors))]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def not_finite(folder):
    tensors = load_file(folder / "model.safetensors")
    tensors[next(iter(tensors))].fill_(torch.nan)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


DAMAGED = {
    "m-list": rewrite("config.json", "[]"),
    "m-nojson": rewrite("config.json", "{"),
    "m-bert": configured(model_type="bert"),
    "m-heads": configured(num_heads=3),
    "m-text": configured(d_model="sixteen"),
    "m-cut": cut,
    "m-empty": rewrite("model.safetensors", ""),
    "m-lost": lost,
    "m-nan": not_finite,
    "m-notokenizer": without("tokenizer.json"),
    "m-tokenizer": rewrite("tokenizer.json", "{}"),
    "m-noconfig": without("config.json"),
}
RECORDS = {
    "r-empty": "",
    "r-list": "[]",
    "r-table": "{}",
    "r-settings": '{"settings": 5, "seeds": 1}',
    "r-unknown": '{"settings": {"colour": "red"}, "seeds": 1}',
    "r-types": '{"settings": {"steps1": "many"}, "seeds": "two"}',
}


@pytest.fixture
def fault(place, tmp_path, monkeypatch, capsys):
    """Run a command line in a copy of the folder; returns exit code, both outputs, and what changed in the folder."""
    root = tmp_path / "place"
    shutil.copytree(place, root)
    monkeypatch.chdir(root)

    def run(line, toml=None, stdin=b""):
        if toml is not None:
            (root / "t.toml").write_text(toml)
        before = contents(root)
        name, *words = shlex.split(line)
        monkeypatch.setattr(sys, "argv", [name, *words])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as stop:
            {"moefm": moefm_app, "yanlm": yanlm_app}[name].main()
        after = contents(root)
        changed = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
        return stop.value.code, *capsys.readouterr(), changed

    return run


def contents(root: Path):
    """Every file by its bytes, every folder."""
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else None for path in sorted(root.rglob("*"))
    } | {str(path.relative_to(root)): b"" for path in root.rglob("*") if path.is_dir()}
