"""The public names of yanlm and its folders, and transformers that knows the models."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import yanlm


@pytest.mark.parametrize("name", yanlm.__all__)
def test_public_names(name: str) -> None:
    assert getattr(yanlm, name).__name__ == name


@pytest.mark.parametrize("folder", ["data", "tokenization", "objectives", "generation", "modeling", "training", "runs"])
def test_names_that_a_folder_offers(folder: str) -> None:
    package = importlib.import_module(f"yanlm.{folder}")
    files = {path.stem for path in Path(str(package.__file__)).parent.iterdir()}
    assert package.__all__ and not files & set(package.__all__), "a name of a file would hide the file"
    assert all(getattr(package, name) is not None for name in package.__all__)


@pytest.mark.parametrize(
    "imports",
    [
        "import yanlm; from transformers import AutoConfig, AutoModel",
        "from transformers import AutoConfig, AutoModel; import yanlm",
        "from yanlm.modeling import YanModel; from transformers import AutoConfig, AutoModel",
        "import yanlm; import transformers.models.auto.modeling_auto; from transformers import AutoConfig, AutoModel",
    ],
)
def test_transformers_knows_the_models(imports: str) -> None:
    code = (
        f"{imports}; print(*(type(AutoModel.from_config(AutoConfig.for_model(n))).__name__ for n in ('yan', 'yan-ar')))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.split() == ["YanModel", "ARModel"], run.stderr


def test_other_names_are_errors() -> None:
    with pytest.raises(AttributeError, match="YanModle"):
        _ = yanlm.YanModle
