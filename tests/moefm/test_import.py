"""Importing the library is light, and its core needs torch alone."""

import subprocess
import sys

HEAVY = [
    "matplotlib",
    "sklearn",
    "scipy",
    "transformers",
    "torchdiffeq",
    "safetensors",
    "ot",
    "pandas",
    "typer",
    "rich",
]


def run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_loads_nothing_heavy():
    loaded = run("import sys, moefm; print(*sorted({name.split('.')[0] for name in sys.modules}))").split()
    assert not {"torch", "numpy", *HEAVY} & set(loaded)


def test_names_are_loaded_when_they_are_used():
    names = "'mmd2' in dir(moefm), moefm.losses.__name__, moefm.Gate.__name__, 'torch' in sys.modules"
    assert run(f"import sys, moefm; print({names})").split() == ["True", "moefm.losses", "Gate", "True"]
    assert "has no attribute 'Gaet'" in run("import moefm\ntry: moefm.Gaet\nexcept AttributeError as e: print(e)")


# What is blocked is not found, exactly as if it were not installed.
BLOCKED = f"""
import sys

class Without:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        return None if name.split(".")[0] in {HEAVY!r} else self.finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
"""

CORE = """
import json, pathlib, tempfile
import torch, moefm
from moefm.diagnostics import straightness

for objective, experts in ((moefm.VFM(), 1), (moefm.MoEFM(), 3), (moefm.ConsistentMoEFM(), 3)):
    field = moefm.MLPMixtureField(2, experts, hidden=8)
    moefm.fit(field, torch.randn(20, 2), objective, steps=3, batch_size=4)
    for solver in ("euler", "midpoint", "heun", "rk4"):
        for routing in ("frozen", "resampled", "mean", "argmax"):
            out = moefm.sample(field, torch.randn(4, 2), 3, solver=solver, routing=routing, trajectory=True)
    assert out.z1.isfinite().all()
    assert moefm.log_prob(field, out.z1.detach(), steps=3).isfinite().all()
    straightness(out.trajectory, out.times)
moefm.mmd2(torch.randn(9, 2), torch.randn(9, 2))
folder = pathlib.Path(tempfile.mkdtemp())
(folder / "config.json").write_text(json.dumps({"class": "MLPMixtureField", "config": field.config}))
for wanted, call in (
    ("torchdiffeq", lambda: moefm.sample(field, torch.randn(4, 2), solver="dopri5")),
    ("scipy", lambda: moefm.minibatch_ot(torch.randn(4, 2), torch.randn(4, 2))),
    ("safetensors", lambda: moefm.load_field(folder)),
    ("safetensors", lambda: moefm.save_field(field, "nowhere")),
):
    try:
        call()
    except ImportError as error:
        assert wanted in str(error), error
    else:
        raise AssertionError(wanted)
print("done")
"""


def test_core_needs_torch_alone(tmp_path):
    assert run(f"{BLOCKED}\nimport os; os.chdir({str(tmp_path)!r})\n{CORE}").strip() == "done"
    assert not list(tmp_path.iterdir())
