"""Transformers knows the models, whichever of the two is imported first."""

import subprocess
import sys

from yanlm.huggingface import REGISTERING, watch

ORDERS = (
    "import yanlm; from transformers import AutoConfig, AutoModel",
    "from transformers import AutoConfig, AutoModel; import yanlm",
    "from yanlm.modeling import YanModel; from transformers import AutoConfig, AutoModel",
    "import yanlm.nn.flow; from yanlm.modeling import YanModel; from transformers import AutoConfig, AutoModel",
    "import yanlm; import transformers.models.auto.modeling_auto; from transformers import AutoConfig, AutoModel",
)
EACH_IN_A_PROCESS = """
import os, sys, torch, huggingface_hub  # what both need: loaded once
assert not {"yanlm", "transformers"} & set(sys.modules)
for order in sys.argv[1:]:
    if not os.fork():
        exec(order)
        print(*(type(AutoModel.from_config(AutoConfig.for_model(name))).__name__ for name in ("yan", "yan-ar")))
        sys.stdout.flush()
        os._exit(0)
    os.wait()
"""


def test_transformers_knows_the_models() -> None:
    run = subprocess.run([sys.executable, "-c", EACH_IN_A_PROCESS, *ORDERS], capture_output=True, text=True)
    assert run.stdout.splitlines() == ["YanModel ARModel"] * len(ORDERS), run.stderr


def test_watching_twice_is_watching_once() -> None:
    before = list(sys.meta_path)
    watch()
    assert sys.meta_path == before and {name.split(".")[0] for name in REGISTERING} == {"transformers"}
