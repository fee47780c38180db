"""What holds for every member of a family: repr, random state, and errors that name the argument at fault."""

import math

import pytest
import torch

import moefm
from moefm import (
    VFM,
    Argmax,
    BetaTime,
    ConsistentMoEFM,
    Distillation,
    FitResult,
    Frozen,
    Gate,
    LogitNormalTime,
    Mean,
    MixtureField,
    MLPMixtureField,
    MoEFM,
    Resampled,
    UniformTime,
    ZeroInflatedTime,
    consistent_moefm_loss,
    fit,
    gate_entropy,
    integrate,
    linear_path,
    load_balance,
    load_field,
    log_prob,
    minibatch_ot,
    mmd2,
    moefm_loss,
    responsibilities,
    sample,
    save_field,
    scale_penalty,
    vfm_loss,
)
from moefm.couplings import optimal_permutation
from moefm.diagnostics import expert_usage, off_support, straightness, w2
from moefm.experts import ExpertLinear
from moefm.routing import draw_expert
from moefm.solvers import SOLVERS, time_grid

# --- repr -------------------------------------------------------------------------------------------------------------

INSTANCES = [
    Gate(3, 4),
    MLPMixtureField(2, 4),
    MLPMixtureField(2, 1, separate=True),
    ExpertLinear(4, 3, 2),
    VFM(),
    MoEFM(),
    ConsistentMoEFM(),
    Frozen(),
    Resampled(),
    Mean(),
    Argmax(),
    UniformTime(),
    BetaTime(1.0, 2.0),
    LogitNormalTime(),
    ZeroInflatedTime(0.5),
    FitResult(3, 0.5, [(1, 2.0)]),
    Distillation(MLPMixtureField(2, 4), (1, 2)),
    *SOLVERS.values(),
]


@pytest.mark.parametrize("instance", INSTANCES, ids=lambda i: type(i).__name__)
def test_repr_is_one_readable_line(instance):
    text = repr(instance)
    assert text.startswith(type(instance).__name__ + "(") and text.endswith(")")
    assert "\n" not in text and " at 0x" not in text


@pytest.mark.parametrize(
    "instance, text",
    [
        (Gate(3, 4, temperature=0.5), "Gate(in_features=3, num_experts=4, hidden=64, temperature=0.5)"),
        (Frozen(), "Frozen()"),
        (ZeroInflatedTime(0.5), "ZeroInflatedTime(share=0.5, base=UniformTime())"),
        (FitResult(3, 0.5, [(1, 2.0)]), "FitResult(steps=3, seconds=0.5)"),
    ],
)
def test_repr_shows_the_options(instance, text):
    assert repr(instance) == text


def test_repr_of_what_holds_options():
    assert "sigma=0.3" in repr(MoEFM(0.3)) and "scope=-1" in repr(MoEFM(scope=-1))
    field = repr(MLPMixtureField(2, 5, 16, 2, cond_dim=3))
    assert all(part in field for part in ("dim=2", "num_experts=5", "hidden=16", "layers=2", "cond_dim=3"))
    assert f"parameters={sum(p.numel() for p in MLPMixtureField(2, 5, 16, 2, cond_dim=3).parameters())}" in field


def test_everything_public_exists_and_is_documented():
    for name in moefm.__all__:
        assert getattr(moefm, name).__doc__, name


# --- random state -----------------------------------------------------------------------------------------------------

TIMES = (UniformTime(), BetaTime(2.0, 0.5), LogitNormalTime(), ZeroInflatedTime(0.5))
DRAWS = {
    "sample frozen": lambda f, z, g: sample(f, z, generator=g),
    "sample resampled": lambda f, z, g: sample(f, z, routing="resampled", generator=g),
    "sample mean": lambda f, z, g: sample(f, z, routing="mean", generator=g),
    "sample dopri5": lambda f, z, g: sample(f, z, solver="dopri5", generator=g),
    "log_prob": lambda f, z, g: log_prob(f, z, steps=2, generator=g),
    "log_prob probes": lambda f, z, g: log_prob(f, z, steps=2, probes=2, generator=g),
    "fit": lambda f, z, g: fit(f, z, steps=2, batch_size=4, generator=g),
    "fit ema ot": lambda f, z, g: fit(f, z, steps=2, batch_size=4, ema=0.9, coupling=minibatch_ot, generator=g),
    "objective": lambda f, z, g: MoEFM()(f, z, z, generator=g),
    "consistent objective": lambda f, z, g: ConsistentMoEFM()(f, z, z, generator=g),
    "draw_expert": lambda f, z, g: draw_expert(f.gate(z, 0.0), g),
    "mmd2": lambda f, z, g: mmd2(z.clone().requires_grad_(), z + 1).backward(),
    **{repr(time): lambda f, z, g, time=time: time((5,), generator=g) for time in TIMES},
}


@pytest.mark.parametrize("seeded", [True, False], ids=["seeded", "unseeded"])
@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_global_random_state_is_left_alone(make_field, randn, gen, global_rng_untouched, draw, seeded):
    field, z = make_field(), randn(6, 2)
    with global_rng_untouched():
        draw(field, z, gen() if seeded else None)


def test_loading_a_field_draws_nothing(make_field, tmp_path, global_rng_untouched):
    save_field(make_field(), tmp_path)
    with global_rng_untouched():
        load_field(tmp_path)


@pytest.mark.parametrize(
    "name", ["sample frozen", "sample resampled", "log_prob probes", repr(TIMES[0]), repr(TIMES[1])]
)
def test_global_seed_has_no_say(make_field, randn, name):
    """Without a generator the randomness is fresh, whatever torch.manual_seed was given."""
    results = []
    for _ in range(2):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            out = DRAWS[name](make_field(2, 4, gain=2.5), randn(100, 2), None)
        results.append(out.z1 if isinstance(out, moefm.Sample) else out)
    assert not torch.equal(*results)


# --- bad inputs -------------------------------------------------------------------------------------------------------

Z = torch.zeros(5, 2)
U, W, Y = torch.zeros(5, 3, 2), torch.zeros(5, 3), torch.zeros(5, 2)
LONG = torch.zeros(5, dtype=torch.long)
FIELD, CONDITIONED = MLPMixtureField(2, 3, 8), MLPMixtureField(2, 3, 8, cond_dim=4)
LABELLED = MLPMixtureField(2, 3, 8, num_classes=7)
DATA = torch.ones(9, 2)
NOT_POSITIVE = (0, -1.0, math.nan, math.inf, True, "1", None)
NOT_A_COUNT = (0, -1, 2.5, 2.0, True, "4")


def loss(**change):
    return moefm_loss(**({"velocities": U, "logits": W, "target": Y, "sigma": 1.0} | change))


def consistent(**change):
    arguments = {"velocities": U, "velocities_0": U, "logits_0": W, "target": Y, "sigma": 1.0}
    return consistent_moefm_loss(**(arguments | change))


def train(**change):
    return fit(**({"field": FIELD, "data": DATA, "steps": 1, "batch_size": 2} | change))


# (name of the argument that the message must hold, call)
BAD = [
    # losses
    *(("sigma", lambda s=s: loss(sigma=s)) for s in NOT_POSITIVE),
    *(("sigma", lambda s=s: consistent(sigma=s)) for s in NOT_POSITIVE),
    *(("sigma", lambda s=s: responsibilities(U, W, Y, sigma=s)) for s in NOT_POSITIVE),
    *(("sigma", lambda s=s, o=o: o(sigma=s)) for s in NOT_POSITIVE for o in (MoEFM, ConsistentMoEFM)),
    ("velocities", lambda: loss(velocities=torch.zeros(2))),
    ("target", lambda: loss(target=torch.zeros(5, 3))),
    ("target", lambda: loss(target=torch.zeros(4, 2))),
    ("target", lambda: loss(target=torch.zeros(5, 3, 2))),
    ("logits", lambda: loss(logits=torch.zeros(5, 4))),
    ("logits", lambda: loss(logits=torch.zeros(5))),
    ("velocities_0", lambda: consistent(velocities_0=torch.zeros(5, 2, 2))),
    ("logits_0", lambda: consistent(logits_0=torch.zeros(5, 2))),
    ("target", lambda: consistent(target=torch.zeros(5, 3))),
    ("velocity", lambda: vfm_loss(U, Y)),
    ("velocity", lambda: vfm_loss(Y, torch.zeros(5, 3))),
    ("target", lambda: vfm_loss(torch.zeros(()), torch.zeros(()))),
    *(
        ("mask", lambda f=f, m=m: f(m))
        for f in (
            lambda m: loss(mask=m),
            lambda m: consistent(mask=m),
            lambda m: vfm_loss(Y, Y, m),
            lambda m: responsibilities(U, W, Y, sigma=1.0, mask=m),
            lambda m: sample(FIELD, Z, mask=m),
            lambda m: mmd2(Z, Z, mask=m),
            lambda m: scale_penalty(Z, m),
            lambda m: gate_entropy(W, m),
            lambda m: load_balance(W, m),
            lambda m: train(data=torch.ones(5, 2), mask=m),
            lambda m: MoEFM()(FIELD, Z, Z, mask=m),
        )
        for m in (torch.ones(5), LONG, torch.ones(5, dtype=torch.uint8), torch.ones(4, dtype=torch.bool), [True] * 5)
    ),
    # scope
    *(("scope", lambda s=s: loss(scope=s)) for s in (1, -2, (0, 1), True, 0.5, "batch", ("0",))),
    *(("scope", lambda s=s: loss(scope=s)) for s in (LONG[:4], LONG.float(), LONG.bool(), LONG - 1, LONG + 5)),
    *(("scope", lambda s=s: sample(FIELD, Z, scope=s)) for s in (1, -2, LONG[:4], LONG.float(), LONG + 5)),
    # fields and gates
    *(
        (name, lambda name=name, n=n: MLPMixtureField(**({"dim": 2} | {name: n})))
        for name in ("dim", "num_experts", "hidden", "layers", "gate_hidden")
        for n in NOT_A_COUNT
    ),
    *(("cond_dim", lambda n=n: MLPMixtureField(2, cond_dim=n)) for n in (-1, 1.5, True)),
    *(("in_features", lambda n=n: Gate(n, 3)) for n in NOT_A_COUNT),
    *(("num_experts", lambda n=n: Gate(3, n)) for n in NOT_A_COUNT),
    *(("hidden", lambda n=n: Gate(3, 3, n)) for n in NOT_A_COUNT),
    *(("temperature", lambda v=v: Gate(3, 3, temperature=v)) for v in NOT_POSITIVE),
    *(("init_scale", lambda v=v: Gate(3, 3, init_scale=v)) for v in NOT_POSITIVE),
    *(("out_features", lambda n=n: ExpertLinear(3, 3, n)) for n in NOT_A_COUNT),
    ("z must", lambda: FIELD(torch.zeros(5, 3), 0.5)),
    ("z must", lambda: FIELD(torch.zeros(()), 0.5)),
    ("t must", lambda: FIELD(Z, torch.zeros(4))),
    ("t must", lambda: FIELD(Z, torch.zeros(5, 2))),
    ("cond", lambda: FIELD(Z, 0.5, torch.zeros(5, 4))),
    ("cond", lambda: CONDITIONED(Z, 0.5)),
    ("cond", lambda: CONDITIONED(Z, 0.5, torch.zeros(5, 3))),
    ("cond", lambda: CONDITIONED(Z, 0.5, torch.zeros(4, 4))),
    ("cond", lambda: CONDITIONED(Z, 0.5, torch.zeros(5, 1, 4))),
    ("cond", lambda: sample(CONDITIONED, Z)),
    *(
        (name, lambda name=name, f=f, i=i: f(i))
        for name, f in (
            ("index", lambda i: FIELD.expert(Z, 0.5, i)),
            ("assignment", lambda i: sample(FIELD, Z, assignment=i)),
        )
        for i in (LONG + 3, LONG - 1, LONG.float(), LONG.bool(), LONG[:4], LONG.unsqueeze(-1))
    ),
    # paths
    ("z1", lambda: linear_path(Z, torch.zeros(4, 2), 0.5)),
    ("t must", lambda: linear_path(Z, Z, torch.zeros(4))),
    *(("a must", lambda v=v: BetaTime(v, 1.0)) for v in NOT_POSITIVE),
    *(("b must", lambda v=v: BetaTime(1.0, v)) for v in NOT_POSITIVE),
    *(("std", lambda v=v: LogitNormalTime(std=v)) for v in NOT_POSITIVE),
    *(("mean", lambda v=v: LogitNormalTime(mean=v)) for v in (math.nan, math.inf)),
    *(("share", lambda v=v: ZeroInflatedTime(v)) for v in (-0.1, 1.1, math.nan)),
    # sampling and solvers
    *(("steps", lambda n=n: sample(FIELD, Z, n)) for n in NOT_A_COUNT),
    *(("steps", lambda n=n: time_grid(n)) for n in NOT_A_COUNT),
    *(("solver", lambda s=s: sample(FIELD, Z, solver=s)) for s in ("eulr", "", "EULER")),
    *(("routing", lambda r=r: sample(FIELD, Z, routing=r)) for r in ("freeze", "", "Frozen")),
    ("routing", lambda: sample(FIELD, Z, routing="resampled", solver="dopri5")),
    *(
        ("assignment", lambda r=r: sample(FIELD, Z, routing=r, assignment=LONG))
        for r in ("resampled", "mean", "argmax")
    ),
    ("generator", lambda: sample(FIELD, Z, generator=[torch.Generator()] * 4)),
    ("z must", lambda: sample(FIELD, torch.zeros(5, 3))),
    *(("times", lambda t=t: integrate(lambda z, t: z, Z, t)) for t in (torch.zeros(1), torch.zeros(2, 2))),
    # regularizers
    ("x and y", lambda: mmd2(Z, torch.zeros(5, 3))),
    ("x and y", lambda: mmd2(torch.zeros(5), torch.zeros(5))),
    ("x and y", lambda: mmd2(Z[:1], Z)),
    ("x and y", lambda: mmd2(Z, Z[:1])),
    ("x and y", lambda: mmd2(Z, Z, mask=torch.zeros(5, dtype=torch.bool))),
    *(("bandwidths", lambda b=b: mmd2(Z, Z, b)) for b in ([], [1.0, 0.0], [-1], [math.nan])),
    *(("block", lambda n=n: mmd2(Z, Z, block=n)) for n in NOT_A_COUNT),
    # densities
    *(("steps", lambda n=n: log_prob(FIELD, Z, steps=n)) for n in NOT_A_COUNT),
    *(("probes", lambda n=n: log_prob(FIELD, Z, probes=n)) for n in NOT_A_COUNT),
    *(("event_dims", lambda n=n: log_prob(FIELD, Z, event_dims=n)) for n in (0, 3, -1)),
    ("event_dims", lambda: log_prob(FIELD, torch.zeros(2), event_dims=2)),
    ("solver", lambda: log_prob(FIELD, Z, solver="rk5")),
    # couplings and diagnostics
    ("z1", lambda: minibatch_ot(Z, torch.zeros(4, 2))),
    ("cost", lambda: optimal_permutation(torch.zeros(2, 3))),
    ("y", lambda: w2(Z, torch.zeros(4, 2))),
    ("x must", lambda: w2(Z[0], Z[0])),
    ("x must", lambda: w2(Z * math.nan, Z)),
    ("data", lambda: off_support(Z, Z[:0], Z)),
    *(("quantile", lambda q=q: off_support(Z, Z, Z, q)) for q in (0, 1, 1.5, math.nan)),
    ("times", lambda: straightness(torch.zeros(4, 5, 2), torch.zeros(5))),
    ("assignment", lambda: expert_usage(LONG[:0], 3)),
    ("assignment", lambda: expert_usage(LONG + 3, 3)),
    ("assignment", lambda: expert_usage(LONG - 1, 3)),
    *(("num_experts", lambda n=n: expert_usage(LONG, n)) for n in NOT_A_COUNT),
    # training
    *(("steps", lambda n=n: train(steps=n)) for n in NOT_A_COUNT),
    *(("batch_size", lambda n=n: train(batch_size=n)) for n in NOT_A_COUNT),
    *(("log_every", lambda n=n: train(log_every=n)) for n in NOT_A_COUNT),
    *(("warmup", lambda n=n: train(warmup=n)) for n in (-1, 0.5, True)),
    *(("lr", lambda v=v: train(lr=v)) for v in NOT_POSITIVE),
    *(("clip", lambda v=v: train(clip=v)) for v in NOT_POSITIVE[:-1]),
    *(("ema", lambda v=v: train(ema=v)) for v in (0, 1, -0.5, 1.5, math.nan, True)),
    *(("schedule", lambda v=v: train(schedule=v)) for v in ("linear", "", None)),
    ("weight_decay", lambda: train(weight_decay=-1.0)),
    *(("data", lambda d=d: train(data=d)) for d in (DATA * math.nan, DATA / 0, DATA.long(), DATA[:0], DATA[0])),
    *(("data", lambda d=d: train(data=d)) for d in ([[1.0, 2.0]], None, 1000, DATA.long().numpy())),
    ("data", lambda: train(data=lambda n, g: 3)),
    ("z must", lambda: train(data=torch.ones(9, 3))),
    ("cond", lambda: train(cond=torch.ones(8, 1))),
    ("cond", lambda: train(cond=torch.ones(9, 1))),
    ("cond", lambda: train(data=lambda n, g: DATA[:n], cond=torch.ones(9, 1))),
    ("mask", lambda: train(data=lambda n, g: DATA[:n], mask=torch.ones(9, dtype=torch.bool))),
    ("field", lambda: train(objective=VFM())),
    *(("objective", lambda o=o: train(objective=o)) for o in (VFM, MoEFM, "MoEFM")),
    *(("coupling", lambda c=c: train(coupling=c)) for c in ("OT", "", None)),
    *(("generator", lambda g=g: train(generator=g)) for g in (0, "0", torch)),
    # doors that all share
    *(
        ("field", lambda f=f, wrong=wrong: f(wrong))
        for f in (lambda w: train(field=w), lambda w: sample(w, Z), lambda w: log_prob(w, Z))
        for wrong in (torch.nn.Linear(2, 2), MLPMixtureField, None)
    ),
    *(
        (name, lambda f=f, z=z: f(z))
        for name, f in (("z0", lambda z: sample(FIELD, z)), ("z1", lambda z: log_prob(FIELD, z)))
        for z in (1000, None, [[0.0, 1.0]], torch.zeros(()), Z.long(), Z.long().numpy(), Z.numpy().astype(str))
    ),
    *(("time", lambda o=o: o(time=UniformTime)) for o in (VFM, MoEFM, ConsistentMoEFM)),
    ("routing", lambda: sample(FIELD, Z, routing=Frozen)),
    *(("generator", lambda g=g: sample(FIELD, Z, generator=g)) for g in (0, "01234", torch, [0, 1, 2, 3, 4])),
    # labels
    *(("num_classes", lambda n=n: MLPMixtureField(2, num_classes=n)) for n in (-1, 1.5, True)),
    ("num_classes", lambda: MLPMixtureField(2, num_classes=3, cond_dim=4)),
    *(
        ("cond", lambda f=f, c=c: f(c))
        for f in (
            lambda c: LABELLED(Z, 0.5, c),
            lambda c: sample(LABELLED, Z, cond=c),
            lambda c: log_prob(LABELLED, Z, cond=c),
            lambda c: train(field=LABELLED, data=torch.ones(5, 2), cond=c),
        )
        for c in (None, LONG + 7, LONG - 1, LONG.float(), LONG[:4], LONG.unsqueeze(-1), torch.zeros(5, 7), [0] * 5, 0)
    ),
    *(
        ("cond", lambda f=f, c=c: f(c))
        for f in (
            lambda c: CONDITIONED(Z[:4], 0.5, c),
            lambda c: sample(CONDITIONED, Z[:4], cond=c),
            lambda c: log_prob(CONDITIONED, Z[:4], cond=c),
            lambda c: train(field=CONDITIONED, data=torch.ones(4, 2), cond=c, batch_size=4),
        )
        for c in (LONG[:4], LONG[:4].int(), LONG[:4].bool(), torch.zeros(4), torch.zeros(4).numpy(), 1.0)
    ),
    *(("cond", lambda c=c: CONDITIONED(torch.zeros(5, 4, 2), 0.5, c)) for c in (torch.zeros(5, 4).long(), LONG)),
    ("cond", lambda: train(field=CONDITIONED, cond=torch.arange(36.0).view(9, 4), coupling="ot")),
]


@pytest.mark.parametrize("name, call", BAD, ids=[f"{i}-{name}" for i, (name, _) in enumerate(BAD)])
def test_bad_input_names_the_argument(name, call):
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    assert name in str(caught.value) and "\n" not in str(caught.value)


def test_a_field_needs_its_four_methods():
    with pytest.raises(TypeError, match="abstract"):
        MixtureField()
