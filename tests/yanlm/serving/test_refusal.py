"""What a refusal says."""

from __future__ import annotations

import json

from yanlm.serving.refusal import bad


def test_a_refusal_is_an_error_in_the_form_of_openai() -> None:
    assert bad("steps", "too few").document() == {
        "error": {"message": "too few", "type": "invalid_request_error", "param": "steps", "code": 400}
    }


def test_a_refusal_can_always_be_sent() -> None:
    document = bad("\ud800é", "unknown field '\udfff'").document()["error"]
    assert (document["param"], document["message"]) == ("\\ud800é", "unknown field '\\udfff'")
    json.dumps(document, ensure_ascii=False).encode()
