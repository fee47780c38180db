"""Flow maps: they start as the field, are told where a step ends, and are sampled on any grid."""

from itertools import pairwise

import pytest
import torch

from moefm import FlowMap, InformationTime, MLPFlowMap, MLPMixtureField, load_field, sample, save_field
from moefm.flow_maps import OnGrid, to_flow_map

UNEVEN = torch.tensor([0.0, 0.1, 0.15, 1.0])


def told(flow_map):
    """Give the last condition weight, so that the length of the step counts."""
    with torch.no_grad():
        flow_map.field.hidden_layers[0].weight[..., -1] = 1.0
    return flow_map


@pytest.mark.parametrize(
    "options, cond",
    [
        ({}, None),
        ({"num_experts": 1}, None),
        ({"separate": True}, None),
        ({"cond_dim": 3}, torch.ones(1, 3)),
        ({"num_classes": 5}, torch.arange(6) % 5),
        ({"num_classes": 40, "separate": True}, torch.arange(6) * 6),
    ],
)
def test_a_flow_map_starts_as_the_field(make_field, randn, options, cond, global_rng_untouched):
    field, z = make_field(**options), randn(6, 2)
    with global_rng_untouched():
        flow_map = MLPFlowMap.from_field(field)
    for end in (None, 0.3, torch.linspace(0.3, 1, 6)):
        features = flow_map.trunk(z, 0.3, cond, end)
        velocities, logits = field(z, 0.3, cond)
        torch.testing.assert_close(flow_map.heads(features), velocities)
        torch.testing.assert_close(flow_map.gate_logits(features), logits)
        index = torch.zeros(6, dtype=torch.long)
        torch.testing.assert_close(flow_map.head(features, index), velocities[:, 0])
    assert field.training == flow_map.training
    with torch.no_grad():
        next(flow_map.parameters()).zero_()
    assert next(field.parameters()).abs().sum() > 0  # a copy


def test_a_flow_map_keeps_the_mode_of_the_field(make_field):
    for training in (True, False):
        assert MLPFlowMap.from_field(make_field().train(training)).training is training


def test_every_token_has_its_condition(make_field, randn):
    flow_map, z, cond = MLPFlowMap.from_field(make_field(cond_dim=3)), randn(2, 4, 2), randn(2, 4, 3)
    whole = flow_map.experts(z, 0.5, cond)
    torch.testing.assert_close(whole[1], flow_map.experts(z[1], 0.5, cond[1]))
    with pytest.raises(ValueError, match="cond must be given: the flow map has 3 numbers"):
        flow_map.experts(z, 0.5)
    with pytest.raises(ValueError, match="cond must not be given"):
        MLPFlowMap.from_field(make_field()).experts(z, 0.5, cond)


def test_the_length_of_the_step_counts(make_field, randn):
    flow_map, z = told(MLPFlowMap.from_field(make_field())), randn(3, 4, 2)
    end = torch.tensor([0.5, 0.75, 1.0])
    whole = flow_map.heads(flow_map.trunk(z, 0.5, None, end))
    for row, until in enumerate(end):
        torch.testing.assert_close(flow_map.heads(flow_map.trunk(z[row], 0.5, None, until)), whole[row])
    assert (whole[0] - flow_map.experts(z[0], 0.5)).abs().max() < 1e-6  # a step of no length
    assert (whole[1] - flow_map.experts(z[1], 0.5)).abs().max() > 0.01


@pytest.mark.parametrize(
    "steps, times, grid",
    [
        (1, None, [0, 1]),
        (3, None, [0, 1 / 3, 2 / 3, 1]),
        (None, None, [0, 0.25, 0.5, 0.75, 1]),
        (None, UNEVEN, UNEVEN.tolist()),
        (2, InformationTime(), [0, 0.5, 1]),
    ],
)
def test_every_step_on_a_grid_ends_where_the_next_begins(make_field, randn, gen, steps, times, grid):
    flow_map, asked = MLPFlowMap.from_field(make_field()), []
    original = flow_map.trunk
    flow_map.trunk = lambda z, t, cond, end: asked.append((float(t), float(end))) or original(z, t, cond, end)
    sample(flow_map.on(steps, times), randn(5, 2), steps, times=times, generator=gen())
    torch.testing.assert_close(torch.tensor(asked), torch.tensor(list(pairwise(grid)), dtype=torch.float32))


def test_no_step_begins_at_the_last_time(make_field, randn):
    with pytest.raises(ValueError, match="got one from t = 1: give sample the same steps"):
        MLPFlowMap.from_field(make_field()).on(4).experts(randn(5, 2), 1.0)


def test_a_flow_map_on_a_grid_is_a_field(make_field, randn, gen):
    """Its own noise, conditions and experts; its parameters are the flow map's."""
    flow_map = told(MLPFlowMap.from_field(make_field(num_classes=3)))
    on, labels = flow_map.on(times=UNEVEN), torch.arange(5) % 3
    assert isinstance(on, OnGrid) and on.num_experts == 4
    assert {id(p) for p in on.parameters()} == {id(p) for p in flow_map.parameters()}
    velocities, logits = on(randn(5, 2), 0.1, labels)
    assert velocities.shape == (5, 4, 2) and logits.shape == (5, 4)
    with pytest.raises(ValueError, match="cond"):
        sample(on, randn(5, 2), 3, cond=labels + 7)
    assert sample(flow_map.on(1).double(), randn(5, 2, dtype=torch.float64), 1, cond=labels).z1.dtype == torch.float64


def test_the_field_of_a_flow_map_can_be_saved(make_field, randn, tmp_path):
    flow_map, z = told(MLPFlowMap.from_field(make_field(num_classes=3))), randn(5, 2)
    save_field(flow_map.field, tmp_path)
    again, labels = MLPFlowMap(load_field(tmp_path), num_classes=3), torch.arange(5) % 3
    assert torch.equal(again.on(2).experts(z, 0.0, labels), flow_map.on(2).experts(z, 0.0, labels))


@pytest.mark.parametrize(
    "options, good, bad",
    [
        ({}, None, torch.zeros(5, 1)),
        ({"cond_dim": 3}, torch.zeros(5, 3), torch.zeros(5, 4)),
        ({"cond_dim": 3}, torch.zeros(1, 3), None),
        ({"num_classes": 3}, torch.zeros(5).long(), torch.full((5,), 3)),
        ({"num_classes": 3}, torch.zeros(5).bool(), torch.zeros(5, 3)),
    ],
)
def test_conditions_are_those_of_the_field(make_field, randn, options, good, bad):
    flow_map, z = MLPFlowMap.from_field(make_field(**options)), randn(5, 2)
    flow_map.check_cond(good, z.shape[:-1])
    flow_map.experts(z, 0.0, good)
    for call in (lambda: flow_map.check_cond(bad, z.shape[:-1]), lambda: flow_map.experts(z, 0.0, bad)):
        with pytest.raises((ValueError, TypeError), match="cond must"):
            call()


def test_a_field_without_a_place_for_the_length_is_refused(make_field):
    with pytest.raises(ValueError, match=r"field must have cond_dim=1 .* got 0"):
        MLPFlowMap(make_field())
    with pytest.raises(ValueError, match=r"field must have cond_dim=4 .* got 3"):
        MLPFlowMap(make_field(cond_dim=3), num_classes=3)


def test_a_field_may_bring_its_own_flow_map(make_field, affine_field):
    flow_map = to_flow_map(make_field())
    assert isinstance(flow_map, FlowMap) and to_flow_map(flow_map) is flow_map
    field = affine_field(2, 3)
    with pytest.raises(TypeError, match="field must be an MLPMixtureField or have a method to_flow_map"):
        to_flow_map(field)
    field.to_flow_map = lambda: flow_map
    assert to_flow_map(field) is flow_map
    assert not isinstance(make_field(), FlowMap) and isinstance(make_field(), MLPMixtureField)


def test_the_time_change_goes_with_the_field(make_field, randn):
    field, t = make_field(), torch.linspace(0, 1, 100)
    field.time_change = InformationTime().fit_from(t, (1 - 3 * t).clamp_min(0))
    flow_map = MLPFlowMap.from_field(field)
    assert torch.equal(flow_map.time_change.grid(4), field.time_change.grid(4))
    assert flow_map.time_change is not field.time_change
    assert flow_map.on(4, flow_map.time_change).grid[1] < 0.2


@pytest.mark.parametrize("options", [{"steps": 0}, {"steps": 2, "times": UNEVEN}, {"times": UNEVEN.flip(0)}])
def test_grids_are_checked(make_field, options):
    with pytest.raises(ValueError, match=r"steps must|times must") as caught:
        MLPFlowMap.from_field(make_field()).on(**options)
    assert "\n" not in str(caught.value)


def test_steps_of_another_grid_are_refused(make_field, randn):
    on, z0 = MLPFlowMap.from_field(make_field()).on(2), randn(5, 2)
    assert sample(on, z0, 2).nfe == 2
    for steps, solver in ((4, "euler"), (2, "midpoint"), (2, "rk4"), (2, "heun")):
        with pytest.raises(ValueError, match=r"on a grid of 2 steps takes Euler steps of this grid, got one from t = "):
            sample(on, z0, steps, solver=solver)
