"""Transformers knows the models, whichever of the two is imported first."""

import subprocess
import sys

import pytest

from yanlm.huggingface import REGISTERING, watch


@pytest.mark.parametrize(
    "imports",
    [
        "import yanlm; from transformers import AutoConfig, AutoModel",
        "from transformers import AutoConfig, AutoModel; import yanlm",
        "from yanlm.modeling import YanModel; from transformers import AutoConfig, AutoModel",
        "import yanlm.nn.flow; from yanlm.modeling import YanModel; from transformers import AutoConfig, AutoModel",
        "import yanlm; import transformers.models.auto.modeling_auto; from transformers import AutoConfig, AutoModel",
    ],
)
def test_transformers_knows_the_models(imports: str) -> None:
    code = (
        f"{imports}; print(*(type(AutoModel.from_config(AutoConfig.for_model(n))).__name__ for n in ('yan', 'yan-ar')))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.split() == ["YanModel", "ARModel"], run.stderr


def test_watching_twice_is_watching_once() -> None:
    before = list(sys.meta_path)
    watch()
    assert sys.meta_path == before and {name.split(".")[0] for name in REGISTERING} == {"transformers"}
