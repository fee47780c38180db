"""Real processes, killed for real: the curve of a run that was killed and resumed is that of one that was not."""

import itertools
import json
import multiprocessing
import os
import random
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import standin

from yanlm.training.checkpoints import latest_checkpoint, load_checkpoint
from yanlm.training.distributed import aliases

SETTINGS = {"steps": 40, "batch_size": 8, "lr": 0.01, "warmup": 3, "save_every": 6, "log_every": 2, "ema": 0.9}
FSDP = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}
TIMEOUT = 60
names = itertools.count()

if "forkserver" not in multiprocessing.get_all_start_methods():
    pytest.skip("processes are started from a fork server here", allow_module_level=True)
# Its children have torch loaded already: a fresh interpreter each would take seconds.
context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(
    ["standin", "accelerate", "torch._dynamo", "torch.distributed.fsdp", "torch.utils.tensorboard"]
)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Run:
    """One or several processes that train the stand-in in ``folder``."""

    def __init__(self, folder, world=1, environment=None, settings=None, **keywords):
        folder.mkdir(exist_ok=True)
        self.report = f"{folder}.report{next(names)}-"
        settings, port = {**SETTINGS, **(settings or {})}, free_port()
        self.processes = [
            context.Process(
                target=standin.child,
                args=(rank, world, port, environment or {}, self.report, str(folder), settings, keywords),
            )
            for rank in range(world)
        ]
        for process in self.processes:
            process.start()

    def wait(self):
        """Exit codes of all processes."""
        for process in self.processes:
            process.join(TIMEOUT)
            if process.is_alive():
                self.kill()
                raise TimeoutError("a process did not end")
        return [process.exitcode for process in self.processes]

    def kill(self):
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.join()

    def results(self):
        assert self.wait() == [0] * len(self.processes)
        return [json.loads(Path(f"{self.report}{rank}").read_text()) for rank in range(len(self.processes))]


def until(condition, run):
    """Whether it came true before the run was over."""
    end = time.monotonic() + TIMEOUT
    while time.monotonic() < end:
        if condition():
            return True
        if not all(process.is_alive() for process in run.processes):
            return False
        time.sleep(0.001)
    raise TimeoutError


def logged(folder):
    path = folder / "log.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return max((json.loads(line)["step"] for line in lines if line.endswith("}")), default=0)


def saved(folder):
    path = latest_checkpoint(folder)
    return 0 if path is None else load_checkpoint(path)[1]["step"]


def curve(folder):
    records = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [(record["step"], record["loss"], *record["parts"].values(), record["lr"]) for record in records]


def assert_same(folder, whole, results=None, expected=None):
    ours, theirs = curve(folder), curve(whole)
    assert len(ours) == len(theirs) == 1 + SETTINGS["steps"] // 2
    for x, y in zip(ours, theirs, strict=True):
        assert x == pytest.approx(y, rel=1e-6, abs=1e-6)
    for result in results or []:
        assert (result["steps"], result["tokens"]) == (expected["steps"], expected["tokens"])
        for name, values in result["model"].items():
            assert values == pytest.approx(expected["model"][name], abs=1e-5)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The run that nothing happened to, in one process."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, Run(folder).results()[0]


def test_killed_again_and_again_the_curve_is_the_same(tmp_path, whole):
    rng = random.Random(0)
    kills = 0
    for target in (3, 9, 14, 22, 29, 37):
        run = Run(tmp_path, wait=0.01, resume=True)
        if until(lambda target=target: logged(tmp_path) >= target, run):
            time.sleep(rng.uniform(0, 0.05))
            run.kill()
            kills += 1
        assert logged(tmp_path) - saved(tmp_path) <= SETTINGS["save_every"]
    assert kills >= 5
    assert_same(tmp_path, whole[0], Run(tmp_path, resume=True).results(), whole[1])


def files_in(folder):
    try:
        return len(list(folder.iterdir()))
    except FileNotFoundError:  # the save was over while we looked
        return -1


def test_killed_during_saves_the_curve_is_the_same(tmp_path, whole):
    state, kills = tmp_path / "state", 0
    for files in (0, 1, 2, 3, 4):
        before = saved(tmp_path)

        def saving(files=files, before=before):
            # The save of step 0 is let through, and one save a session, so that the run gets on.
            inside = [files_in(path) for path in state.glob(".saving-*")] if state.exists() else []
            return saved(tmp_path) > before and max(inside, default=-1) >= files

        run = Run(tmp_path, slow_disk=0.02, resume=True)
        if until(saving, run):
            run.kill()
            kills += len(list(state.glob(".saving-*")))
            assert saved(tmp_path) > before
    assert kills >= 3  # of five; a save may just have been over
    assert_same(tmp_path, whole[0], Run(tmp_path, resume=True).results(), whole[1])
    assert not list(state.glob(".saving-*"))


@pytest.mark.parametrize("accumulate", [1, 2])
def test_two_processes_equal_one(tmp_path, whole, accumulate):
    results = Run(tmp_path, world=2, settings={"accumulate": accumulate}).results()
    assert_same(tmp_path, whole[0], results, whole[1])


@pytest.mark.parametrize("world_after", [2, 1])
def test_two_processes_killed_and_resumed(tmp_path, whole, world_after):
    run = Run(tmp_path, world=2, wait=0.01)
    assert until(lambda: logged(tmp_path) >= 15, run)
    run.kill()
    assert logged(tmp_path) - saved(tmp_path) <= SETTINGS["save_every"]
    results = Run(tmp_path, world=world_after, resume=True).results()
    assert_same(tmp_path, whole[0], results, whole[1])


def test_a_signal_to_one_of_two_processes_stops_and_saves_both(tmp_path, whole):
    run = Run(tmp_path, world=2, wait=0.01)
    assert until(lambda: logged(tmp_path) >= 10, run)
    run.processes[1].terminate()
    assert run.wait() == [130, 130] and saved(tmp_path) >= 10
    assert_same(tmp_path, whole[0], Run(tmp_path, world=2, resume=True).results(), whole[1])


def test_a_full_disk_is_told_by_both_processes(tmp_path):
    run = Run(tmp_path, world=2, full_from=12)
    assert run.wait() == [3, 3] and saved(tmp_path) == 6
    for rank in (0, 1):
        assert "disk is full while saving step 12" in Path(f"{run.report}{rank}").read_text()


def test_sharded_weights_train_save_and_resume(tmp_path, whole):
    run = Run(tmp_path, world=2, environment=FSDP, wait=0.01)
    assert until(lambda: logged(tmp_path) >= 9, run)
    run.kill()
    results = Run(tmp_path, world=2, environment=FSDP, resume=True).results()
    assert_same(tmp_path, whole[0], results, whole[1])


def test_sharded_and_whole_checkpoints_are_the_same(tmp_path, whole):
    Run(tmp_path, world=2, environment=FSDP, settings={"steps": 12}).results()
    assert_same(tmp_path, whole[0], Run(tmp_path, resume=True).results(), whole[1])


@pytest.mark.slow
@pytest.mark.parametrize("stage", [1, 2])
@pytest.mark.parametrize("backbone", ["transformer", "mamba"])
def test_the_language_model_is_the_same_alone_shared_and_sharded(tmp_path, backbone, stage):
    options = {"settings": {"steps": 6, "lr": 1e-3, "log_every": 1}, "backbone": backbone, "stage": stage}
    Run(tmp_path / "one", **options).results()
    Run(tmp_path / "two", world=2, **options).results()
    Run(tmp_path / "sharded", world=2, environment=FSDP, **options).results()
    for name in ("two", "sharded"):
        for x, y in zip(curve(tmp_path / name), curve(tmp_path / "one"), strict=True):
            assert x == pytest.approx(y, rel=5e-6, abs=1e-6)


ENCODER = {"denoiser": "encoder", "num_experts": 2, "experts": "source", "expert_layer": 1, "latent_dim": 4}


@pytest.mark.parametrize("environment", [{}, FSDP], ids=["shared", "sharded"])
def test_a_flow_whose_encoder_denoises_is_the_same_on_two(tmp_path, environment):
    """Of its batches of two rows some have plain rows alone, some noisy ones; what it measures is measured by both."""
    options = {"settings": {"steps": 8, "lr": 1e-3, "log_every": 1, "batch_size": 4}, "backbone": "transformer"}
    options["options"] = ENCODER
    [alone] = Run(tmp_path / "one", **options).results()
    both = Run(tmp_path / "two", world=2, environment=environment, **options).results()
    for x, y in zip(curve(tmp_path / "two"), curve(tmp_path / "one"), strict=True):
        assert x == pytest.approx(y, rel=2e-4)  # a curve of few points is steep: times repeat what sums leave over
    assert sum(alone["model"]["flow.information.counts"]) > 8
    for result in both:
        for name in ("flow.information.counts", "flow.information.errors"):
            assert result["model"][name] == pytest.approx(alone["model"][name], rel=2e-4)


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["torchrun", "accelerate", "fsdp"])
def test_launchers(tmp_path, whole, launcher):
    if launcher == "torchrun":
        command = ["torch.distributed.run", "--nproc_per_node=2", f"--master_port={free_port()}"]
    else:
        command = ["accelerate.commands.launch", "--num_processes=2", "--num_machines=1", "--mixed_precision=no"]
        command += ["--dynamo_backend=no", f"--main_process_port={free_port()}"]
        command += ["--cpu"] if launcher == "accelerate" else ["--use_fsdp", "--fsdp_version=2"]
    arguments = [standin.__file__, str(tmp_path), json.dumps(SETTINGS)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", *command, *arguments], check=True, env=environment, capture_output=True)
    assert_same(tmp_path, whole[0])


def test_tied_names():
    assert aliases(standin.StandIn()) == {"head.weight": "embedding.weight"}
