"""What both programs have: a version, completion, the help that a mistake points to, and messages with dashes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import typer

import moefm
from moefm_cli.usage import called, with_dashes
from moefm_cli.yanlm.app import app

RUN = "import sys; sys.argv = [sys.argv[1], *sys.argv[2:]]\nfrom moefm_cli.{0}.app import main; main()"


def run(program: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", RUN.format(program), program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **variables})


@pytest.mark.parametrize("program", ["moefm", "yanlm"])
def test_the_version(program: str) -> None:
    result = run(program, "--version")
    assert (result.returncode, result.stdout) == (0, f"{program} {moefm.__version__}\n"), result.stderr


@pytest.mark.parametrize(
    ("program", "words", "offered"),
    [
        ("moefm", "moefm to", {"toy"}),
        ("yanlm", "yanlm tr", {"train"}),
        ("yanlm", "yanlm study lat", {"latents"}),
        ("yanlm", "yanlm train --baseline g", {"gpt2"}),
        ("yanlm", "yanlm train --preset paper", {"paper-transformer", "paper-mamba"}),
        ("yanlm", "yanlm generate --ca", {"--candidates"}),
    ],
)
def test_a_shell_completes(program: str, words: str, offered: set[str]) -> None:
    variables = {f"_{program.upper()}_COMPLETE": "complete_bash", "COMP_WORDS": words}
    result = run(program, **variables, COMP_CWORD=str(len(words.split()) - 1))
    assert set(result.stdout.split()) == offered, result.stderr


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["train", "--colour", "red"], "yanlm train"),
        (["study", "steps"], "yanlm study steps"),
        (["study", "--colour"], "yanlm study"),
        (["nothing"], "yanlm"),
        (["generate", "--samples", "some"], "yanlm generate"),
    ],
)
def test_a_mistake_points_to_the_help_of_its_command(arguments: list[str], named: str) -> None:
    result = run("yanlm", *arguments)
    assert result.returncode == 2 and result.stderr.endswith(f"; see {named} --help\n"), result.stderr


CASES = [
    ("train", "batch_size must be an integer of at least 1, got 0", "--batch-size must"),
    ("train", "recipe1: batch_size must be a multiple of accumulate=3, got 4", "--batch-size must be a multiple"),
    ("train", "model: num_experts must be an integer", "--experts must"),
    ("train", "eval_rows must be an integer of at least 1, got 0, or 'all'", "--eval-rows must"),
    ("train", "a flow with denoiser='encoder' has one stage: give --minutes", "a flow with --denoiser encoder has one"),
    ("generate", "z0_scale is an option of the flow, and this is a gpt2 model", "--z0-scale is an option of the flow"),
    ("generate", "temperature goes with reread=True where there is a flow", "--temperature goes with --reread where"),
    ("generate", "order goes with reread=True; z0_scale changes", "--order goes with --reread; --z0-scale"),
    ("evaluate", "labels=known goes with the task classify", "--labels known goes with the task classify"),
]


@pytest.mark.parametrize(("command", "message", "shown"), CASES)
def test_options_in_messages_carry_their_dashes(command: str, message: str, shown: str) -> None:
    assert with_dashes(message, called(app, "yanlm", [command])[1], [command]).startswith(shown)


@pytest.mark.parametrize(
    "message",
    [
        "model folder runs/x holds no model",
        "data must_not be touched",
        "cannot read /tmp/batch_size/z0_scale.txt: the file is empty",
        "--batch-size must be at least 1",
        "there is no setting 'colour'; there are accumulate, baseline",
        "text 3 is empty",
        "the steps of a run",
    ],
)
def test_other_words_stay(message: str) -> None:
    assert with_dashes(message, called(app, "yanlm", ["train"])[1], ["train"]) == message


def test_a_setting_of_a_file_keeps_its_name() -> None:
    command = called(app, "yanlm", ["train"])[1]
    file = ["train", "--config=x.toml", "--seed", "-1"]
    assert with_dashes("batch_size must be at least 1", command, file) == "batch_size must be at least 1"
    assert with_dashes("seed must be at least 0", command, file) == "--seed must be at least 0"


def test_a_program_of_one_command_is_its_own_help() -> None:
    single = typer.Typer(add_completion=False)
    single.command()(lambda: None)
    assert called(single, "name", ["x"])[0] == "name"
