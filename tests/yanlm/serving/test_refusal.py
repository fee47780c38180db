"""What a refusal says."""

from __future__ import annotations

from yanlm.serving.refusal import bad


def test_a_refusal_is_an_error_in_the_form_of_openai() -> None:
    assert bad("steps", "too few").document() == {
        "error": {"message": "too few", "type": "invalid_request_error", "param": "steps", "code": 400}
    }
