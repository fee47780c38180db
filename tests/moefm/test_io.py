"""Saving and loading fields."""

import json
import sys
import types

import numpy as np
import pytest
import torch

from moefm import InformationTime, MixtureField, MLPMixtureField, load_field, save_field


@pytest.fixture
def folder(make_field, tmp_path):
    save_field(make_field(), tmp_path / "field")
    return tmp_path / "field"


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_experts": 1},
        {"separate": True},
        {"cond_dim": 3},
        {"num_classes": 5},
        {"dim": 5, "hidden": 7, "layers": 1, "gate_hidden": 3},
    ],
    ids=str,
)
def test_round_trip(make_field, randn, tmp_path, options):
    field = make_field(**options)
    save_field(field, tmp_path / "a" / "b")
    again = load_field(str(tmp_path / "a" / "b"), device="cpu")
    assert isinstance(again, MLPMixtureField) and not again.training
    assert again.config == field.config and repr(again) == repr(field)
    z, cond = randn(6, field.dim), randn(6, 3, seed=1) if field.cond_dim else None
    cond = torch.arange(6) % 5 if field.num_classes else cond
    for a, b in zip(field(z, 0.3, cond), again(z, 0.3, cond), strict=True):
        assert torch.equal(a, b)
    assert all(p.requires_grad for p in again.parameters())


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_dtype_is_kept(make_field, randn, tmp_path, dtype):
    field, z = make_field().to(dtype), randn(6, 2, dtype=dtype)
    save_field(field, tmp_path)
    assert torch.equal(load_field(tmp_path).experts(z, 0.3), field.experts(z, 0.3))


def test_a_field_saved_before_there_were_classes_loads(make_field, randn, tmp_path):
    save_field(make_field(), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["config"]["num_classes"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert torch.equal(load_field(tmp_path).experts(randn(3, 2), 0.3), make_field().experts(randn(3, 2), 0.3))


@pytest.mark.parametrize("learn", [True, False])
def test_the_time_change_is_saved_with_the_field(make_field, randn, tmp_path, learn):
    field = make_field()
    field.time_change = InformationTime(16, uniform=0.2)
    field.time_change.fit_from(torch.tensor([0.1, 0.2, 0.3]), torch.tensor([3.0, 1.0, 0.5]))
    field.time_change.learn = learn
    save_field(field, tmp_path)
    again = load_field(tmp_path)
    assert again.time_change.config == {"bins": 16, "uniform": 0.2, "learn": learn}
    assert torch.equal(again.time_change.grid(5), field.time_change.grid(5))
    assert torch.equal(again.time_change.counts, field.time_change.counts)
    assert torch.equal(again.experts(randn(3, 2), 0.3), field.experts(randn(3, 2), 0.3))


def test_a_long_measurement_is_saved_in_half_precision(make_field, tmp_path):
    """More losses in a bin than float16 can count."""
    field = make_field()
    field.time_change = InformationTime(2)
    for _ in range(2):
        field.time_change.observe(torch.full((100_000,), 0.1), torch.ones(100_000))
    save_field(field.half(), tmp_path)
    assert torch.equal(load_field(tmp_path).time_change.counts > 0, torch.tensor([True, False]))


def test_a_field_in_uniform_time_has_none(make_field, tmp_path):
    save_field(make_field(), tmp_path)
    assert "time_change" not in json.loads((tmp_path / "config.json").read_text())
    assert load_field(tmp_path).time_change is None


def test_sizes_may_be_numpy_integers(tmp_path):
    save_field(MLPMixtureField(np.int64(2), np.int32(3), np.uint8(8), np.int64(1), num_classes=np.int64(4)), tmp_path)
    assert load_field(tmp_path).num_classes == 4


def test_what_is_on_disk(make_field, tmp_path):
    save_field(make_field(2, 4), tmp_path, dataset="moons", seed=3)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["class"] == "MLPMixtureField"
    assert config["config"]["num_experts"] == 4
    assert config["extra"] == {"dataset": "moons", "seed": 3}


def test_saving_again_replaces(make_field, randn, folder):
    other, z = make_field(seed=9), randn(3, 2)
    save_field(other, folder)
    assert torch.equal(load_field(folder).experts(z, 0.5), other.experts(z, 0.5))


def test_loaded_weights_are_their_own(folder):
    """Training a loaded field does not write into the file it came from."""
    first = load_field(folder)
    with torch.no_grad():
        first.out.weight.zero_()
    assert load_field(folder).out.weight.abs().max() > 0


def rewrite(config):
    def change(folder):
        (folder / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))

    return change


def truncate(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-40])


CONFIG = {"dim": 2, "num_experts": 4, "hidden": 16, "layers": 2}
MLP = "MLPMixtureField"
DAMAGE = {
    "no config": (lambda folder: (folder / "config.json").unlink(), "there is no config.json"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "there is no model.safetensors"),
    "not JSON": (rewrite("{"), "config.json is damaged"),
    "not UTF-8": (lambda folder: (folder / "config.json").write_bytes(b"\xff\xfe{"), "config.json is damaged"),
    "a list": (rewrite([1]), "config.json has no 'class'"),
    "no class": (rewrite({"config": CONFIG}), "config.json has no 'class'"),
    "no arguments": (rewrite({"class": MLP}), "config.json has no 'config'"),
    "foreign class": (rewrite({"class": "Linear", "config": CONFIG}), "unknown class 'Linear'; known are MLPMixtureF"),
    "unknown option": (rewrite({"class": MLP, "config": {**CONFIG, "colour": "red"}}), "argument 'colour'"),
    "bad option": (rewrite({"class": MLP, "config": {**CONFIG, "dim": -1}}), "dim must be"),
    "other sizes": (rewrite({"class": MLP, "config": {**CONFIG, "hidden": 8}}), "(16, 3) in model.safetensors, (8, 3)"),
    "missing gate": (rewrite({"class": MLP, "config": {**CONFIG, "num_experts": 1}}), "by config.json"),
    "huge sizes": (rewrite({"class": MLP, "config": {**CONFIG, "hidden": 10**7}}), "(10000000, 3) by config.json"),
    "empty weights": (lambda folder: (folder / "model.safetensors").write_bytes(b""), "model.safetensors is damaged"),
    "garbage weights": (
        lambda folder: (folder / "model.safetensors").write_bytes(b"\x80\x04garbage" * 20),
        "model.safetensors is damaged",
    ),
    "truncated weights": (truncate, "model.safetensors is damaged"),
}


@pytest.mark.parametrize(("damage", "reason"), DAMAGE.values(), ids=DAMAGE)
def test_damaged_folder(folder, damage, reason):
    damage(folder)
    with pytest.raises(ValueError, match=r"^folder must hold a field written by save_field, got .*field") as error:
        load_field(folder)
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(make_field, tmp_path, value):
    field = make_field()
    name, weight = list(field.named_parameters())[-1]
    with torch.no_grad():
        weight.view(-1)[0] = value
    save_field(field, tmp_path)
    with pytest.raises(ValueError, match=f"numbers that are not finite in {name}"):
        load_field(tmp_path)


def test_missing_folder(tmp_path):
    with pytest.raises(ValueError, match="folder must hold a field"):
        load_field(tmp_path / "nothing")


class Mine(MixtureField):
    """A field of somebody else: tied weights, and a buffer that is no part of its state."""

    def __init__(self, dim, num_experts, width=5, tied=True):
        super().__init__()
        self.num_experts, self.config = num_experts, {"dim": dim, "num_experts": num_experts, "width": width}
        self.inner = torch.nn.Linear(dim, width)
        self.outer = torch.nn.Linear(width, dim * num_experts)
        self.again = self.inner if tied else torch.nn.Linear(dim, width)
        self.register_buffer("scale", torch.tensor(3.0), persistent=False)

    def trunk(self, z, t, cond=None):
        return self.scale * (self.inner(z) + self.again(z)).tanh()

    def heads(self, features):
        return self.outer(features).unflatten(-1, (self.num_experts, -1))

    def head(self, features, index):
        return self.heads(features).take_along_dim(index[..., None, None], -2).squeeze(-2)

    def gate_logits(self, features):
        return features[..., : self.num_experts]


@pytest.mark.parametrize("given", [True, False], ids=["given", "imported"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_field_of_somebody_else(tmp_path, randn, monkeypatch, given, dtype):
    module = types.ModuleType("somebody")
    module.Mine = Mine
    monkeypatch.setattr(Mine, "__module__", "somebody")
    monkeypatch.setitem(sys.modules, "somebody", module)
    field = Mine(2, 3).to(dtype)
    field.time_change = InformationTime(8)
    save_field(field, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["class"] == "somebody:Mine"
    assert config["config"] == {"dim": 2, "num_experts": 3, "width": 5}
    state = torch.get_rng_state()
    again = load_field(tmp_path, field_class=Mine if given else None)
    assert torch.equal(torch.get_rng_state(), state), "building it left the global generator as it was"
    assert type(again) is Mine and again.inner is again.again and not again.training
    assert again.time_change.config == field.time_change.config
    z = randn(4, 2, dtype=dtype)
    for a, b in zip(field(z, 0.5), again(z, 0.5), strict=True):
        assert torch.equal(a, b)


def test_nothing_is_imported_because_a_folder_says_so(tmp_path, monkeypatch):
    (tmp_path / "hostile.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(Mine, "__module__", "hostile")
    save_field(Mine(2, 3), tmp_path / "field")
    message = "field_class must be given as Mine, or its module hostile be imported before: .*field' holds a field"
    with pytest.raises(ValueError, match=message):
        load_field(tmp_path / "field")
    assert type(load_field(tmp_path / "field", field_class=Mine)) is Mine


@pytest.mark.parametrize("path", ["json:loads", "torch.nn:Linear", "builtins:eval", "os:system", ":", "moefm:"])
def test_what_is_no_class_of_fields_is_not_called(folder, path):
    rewrite({"class": path, "config": {}})(folder)
    with pytest.raises(ValueError, match="field_class must be given"):
        load_field(folder)


def test_another_class_than_that_of_the_folder(folder, tmp_path):
    with pytest.raises(ValueError, match=r"Mine\(\*\*config\) raised TypeError: .*unexpected keyword argument"):
        load_field(folder, field_class=Mine)
    with pytest.raises(TypeError, match="field_class must be a subclass of MixtureField, got"):
        load_field(folder, field_class=torch.nn.Linear)


def subclass(config):
    field = MLPMixtureFieldOfMine(2, 4, hidden=8)
    field.given = config
    return field


class MLPMixtureFieldOfMine(MLPMixtureField):
    config = property(lambda self: self.given)


REFUSED = {
    "a module": (torch.nn.Linear(2, 2), "field must be a MixtureField, got Linear"),
    "no arguments": (subclass(None), r"field must have config, .* MLPMixtureFieldOfMine has none"),
    "a list": (subclass([2]), r"field must have config, .* has \[2\]"),
    "too few": (subclass({}), r"MLPMixtureFieldOfMine\(\*\*config\) raised TypeError: .*missing 1 required"),
    "others": (subclass({"dim": 2, "num_experts": 4}), r"is \(8, 3\) in the field, \(128, 3\) in MLPMixtureFieldOfM"),
    "no gate": (subclass({"dim": 2, "num_experts": 1, "hidden": 8}), r"in the field"),
}


@pytest.mark.parametrize(("field", "message"), REFUSED.values(), ids=REFUSED)
def test_what_could_not_be_loaded_is_not_saved(field, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        save_field(field, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_extra_that_json_cannot_hold_leaves_nothing_half_written(make_field, tmp_path):
    with pytest.raises(TypeError):
        save_field(make_field(), tmp_path / "x", thing=object())
    assert not (tmp_path / "x").exists()


def test_extras_that_json_cannot_hold_are_refused(make_field, tmp_path):
    with pytest.raises(TypeError, match="config and extra must hold what JSON can: Object of type float32"):
        save_field(make_field(), tmp_path / "field", score=np.float32(1))
    assert not (tmp_path / "field").exists()


def test_a_device_that_is_not_there(make_field, tmp_path):
    save_field(make_field(), tmp_path)
    with pytest.raises(ValueError, match="device must be one that torch has here"):
        load_field(tmp_path, device="gpu")
