"""What people hand in: taken, or refused with the remedy."""

import numpy as np
import pytest
import torch

from moefm import MixtureField, MLPMixtureField, MoEFM
from moefm.inputs import as_state, as_tensor, check_cond, check_device, check_field, check_instance

FIELD = MLPMixtureField(3, 2, 4)


def test_a_class_is_no_instance():
    check_instance("objective", MoEFM())
    check_instance("objective", None)
    with pytest.raises(TypeError, match=r"objective must be an instance, got the class MoEFM: write MoEFM\(\.\.\.\)"):
        check_instance("objective", MoEFM)


def test_what_a_field_is():
    check_field(FIELD)

    class Wrapper:  # as torch.compile makes one
        def __getattr__(self, name):
            return getattr(FIELD, name)

    check_field(Wrapper())
    with pytest.raises(TypeError, match=r"field must be a MixtureField, got Linear: .*subclass MixtureField"):
        check_field(torch.nn.Linear(2, 2))


def test_a_field_of_ones_own_takes_any_condition():
    class Mine(MixtureField):
        trunk = heads = head = gate_logits = None

    check_cond(Mine(), {"anything": 1}, torch.Size([5]))
    check_cond(object(), "whatever", torch.Size([5]))


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f8", "<i4", "u1", "?", "i8", np.longdouble], ids=str)
def test_arrays_of_numbers(dtype):
    array = np.array([[1, 0, 1], [0, 1, 1]], dtype)
    tensor = as_tensor("x", array)
    assert tensor.tolist() == array.tolist()
    tensor.zero_()
    assert array.any(), "the array is the user's"


def test_arrays_torch_does_not_take():
    read_only = np.ones((2, 3))
    read_only.flags.writeable = False
    assert as_tensor("x", read_only).shape == (2, 3)
    assert as_tensor("x", np.arange(6.0).reshape(2, 3)[::-1, ::-2]).tolist() == [[5, 3], [2, 0]]


def test_whatever_can_become_an_array():
    class Frame:
        def __array__(self, dtype=None, copy=None):
            return np.ones((2, 3))

    assert as_tensor("x", Frame()).equal(torch.ones(2, 3, dtype=torch.float64))


@pytest.mark.parametrize("value", [[1.0], "x", None, 1.0, {}])
def test_neither_tensor_nor_array(value):
    with pytest.raises(TypeError, match="cond must be a tensor or an array, got"):
        as_tensor("cond", value)


@pytest.mark.parametrize("array", [np.array(["a"]), np.array([None]), np.array([1j]), np.array(["2020"], "M8[Y]")])
def test_arrays_of_something_else(array):
    with pytest.raises(TypeError, match="cond must hold numbers, got an array of"):
        as_tensor("cond", array)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_states_take_the_field_s_dtype_unless_autocast_is_on(dtype):
    field = MLPMixtureField(3, 2, 4).to(dtype)
    for given in (torch.zeros(2, 3, dtype=torch.float64), np.zeros((2, 3))):
        assert as_state("z0", given, field).dtype == dtype
    for other in (torch.float16, torch.float32):
        assert as_state("z0", torch.zeros(2, 3, dtype=other), field).dtype == dtype
        with torch.autocast("cpu", torch.bfloat16):
            assert as_state("z0", torch.zeros(2, 3, dtype=other), field).dtype == other
    z0 = torch.zeros(2, 3, dtype=dtype)
    assert as_state("z0", z0, field) is z0
    assert as_state("z0", torch.zeros(2, 3, dtype=torch.float64), torch.nn.Identity()).dtype == torch.float64


@pytest.mark.parametrize("count", [1000, np.int64(1000)])
def test_a_number_of_samples_is_no_noise(count):
    with pytest.raises(TypeError, match=r"z0 must be a tensor .*got the number 1000: write torch.randn\(1000, 3\)"):
        as_state("z0", count, FIELD)


@pytest.mark.parametrize("states", [torch.zeros(()), torch.zeros(2, 3, dtype=torch.long), np.zeros((2, 3), int)])
def test_states_are_floating_point_and_have_a_dimension(states):
    with pytest.raises(ValueError, match=r"z0 must be floating-point \(\*batch, D\), got torch\..* of shape"):
        as_state("z0", states, FIELD)


@pytest.mark.parametrize("device", ["gpu", "cuda:99", 3.5])
def test_devices_that_are_not_there(device):
    with pytest.raises(ValueError, match="device must be one that torch has here, such as 'cpu', got"):
        check_device(device)


def test_devices_that_are_there():
    check_device("cpu")
    check_device(torch.device("meta"))
