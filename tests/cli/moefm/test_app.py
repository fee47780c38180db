"""The moefm command: what it lists, and its help."""

import json
import subprocess
import sys


def test_datasets_and_doctor(moefm):
    code, out, _ = moefm("datasets", "--json")
    assert code == 0
    assert {"moons", "grid", "checkerboard", "spirals", "pinwheel", "rings", "codes", "digits", "iris"} == {
        one["name"] for one in json.loads(out)["datasets"]
    }
    assert "moons" in moefm("datasets")[1]
    assert json.loads(moefm("doctor", "--json")[1])["device"] in ("cpu", "cuda", "mps")
    assert "torchdiffeq" in moefm("doctor")[1]


def test_no_arguments_show_help(moefm):
    code, out, _ = moefm()
    assert code == 0
    assert "toy" in out


def test_help_needs_no_torch():
    code = "import sys; sys.argv=['moefm','toy','--help']; import moefm_cli.moefm.app as m\n"
    code += "try: m.main()\nexcept SystemExit: pass\n"
    code += "assert not {'torch', 'matplotlib', 'sklearn', 'numpy'} & set(sys.modules), 'heavy import'"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "--dataset" in result.stdout
