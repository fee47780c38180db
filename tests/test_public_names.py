"""Every public name: an example that runs and uses the name, its arguments, their shapes, its errors."""

from __future__ import annotations

import ast
import doctest
import inspect
import re
import textwrap
from typing import Any

import pytest

import moefm
import moefm.sklearn
import yanlm

NAMES = [(package, name) for package in (moefm, moefm.sklearn, yanlm) for name in package.__all__]
EACH = pytest.mark.parametrize(("package", "name"), NAMES, ids=[f"{p.__name__}.{n}" for p, n in NAMES])
NOT_CALLED = {"DivergedError", "FitResult", "Loss", "CategoricalLoss", "Sample"}
"""Results and errors, which users are given and do not make."""


def uses(example: doctest.Example, name: str) -> bool:
    """Whether code reads the name: a comment, a string or an import do not count."""
    return any(isinstance(node, ast.Name) and node.id == name for node in ast.walk(ast.parse(example.source)))


@EACH
def test_an_example_uses_the_name_and_shows_a_result(package: Any, name: str) -> None:
    examples = doctest.DocTestParser().get_examples(inspect.getdoc(getattr(package, name)) or "")
    assert any(uses(example, name) for example in examples), "no example in its docstring uses it"
    assert any(example.want.strip() for example in examples), "its examples show no result"
    assert not [e.source for e in examples if e.options.get(doctest.SKIP)], "an example is never executed"


@EACH
def test_its_docstring_is_where_the_tests_look_for_examples(package: Any, name: str) -> None:
    """pytest collects doctests from the module that defines a thing, and of the packages in its settings."""
    thing = getattr(package, name)
    module = inspect.getmodule(thing)
    assert module is not None and module.__name__.split(".")[0] == package.__name__.split(".")[0]
    assert vars(module)[name] is thing


def ours(kind: type) -> bool:
    return kind.__module__.split(".")[0] in ("moefm", "yanlm")


def arguments(thing: Any) -> dict[str, inspect.Parameter]:
    """Parameters of a function or constructor, apart from those that a class of another library brings."""
    theirs = [kind for kind in thing.__mro__ if not ours(kind)] if inspect.isclass(thing) else []
    known = {"args", "kwargs"}.union(*(inspect.signature(kind).parameters for kind in theirs))
    return {n: p for n, p in inspect.signature(thing).parameters.items() if n not in known}


def docstrings(thing: Any) -> str:
    """That of a thing, and of our classes that it extends: what they say holds for it, too."""
    kinds = [kind for kind in thing.__mro__ if ours(kind)] if inspect.isclass(thing) else [thing]
    return "\n\n".join(inspect.cleandoc(kind.__doc__ or "") for kind in kinds)


def entries(text: str) -> dict[str, str]:
    """What Args and Attributes say about each name."""
    found = re.findall(r"^ {4}\**(\w+): (.*(?:\n {8}.*)*)", text, re.M)
    return dict(found)


@EACH
def test_every_argument_is_described_and_tensors_have_shapes(package: Any, name: str) -> None:
    thing = getattr(package, name)
    if name in NOT_CALLED:
        return
    written = entries(docstrings(thing))
    for argument, parameter in arguments(thing).items():
        assert argument in written, f"{argument} is not described"
        if str(parameter.annotation).removesuffix(" | None") == "Tensor":
            assert "(" in written[argument], f"{argument} is a tensor, and its shape is not said"


def code_of(function: Any) -> str:
    """The code without comments; nothing for a constructor that dataclasses write, which checks nothing."""
    try:
        return ast.unparse(ast.parse(textwrap.dedent(inspect.getsource(function))))
    except (OSError, TypeError):
        return ""


RAISING = re.compile(r"^\s*raise \w|\bcheck_\w+\(|\b_check\w*\(", re.M)


@EACH
def test_errors_are_named(package: Any, name: str) -> None:
    thing = getattr(package, name)
    parts = ("__post_init__", "__init__")
    made_by = [getattr(thing, part, None) for part in parts] if inspect.isclass(thing) else [thing]
    for made in made_by:
        assert not RAISING.search(code_of(made)) or "Raises:" in docstrings(thing), "it raises, and does not say what"


def test_the_checks_see_what_is_missing() -> None:
    assert not uses(doctest.Example("from moefm import fit  # fit", ""), "fit")
    assert not uses(doctest.Example("'fit'", ""), "fit")
    assert uses(doctest.Example("fit(1)", ""), "fit")
    assert entries("Args:\n    a: One\n        more.\n    **b: Two.") == {"a": "One\n        more.", "b": "Two."}
    assert RAISING.search("    raise ValueError(1)") and RAISING.search("x = check_count('x', x)")
