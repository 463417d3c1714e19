"""Values that overlap are masked to the last byte of each (I5)."""

import pytest

from countersign import _core

CARD, MAIL = "4242 4242 4242 4242", "somebody@example.com"
KEEP_LAST = '{"partial":{"keep_last":4}}'
REDACT = '{"redact":{}}'


@pytest.mark.parametrize("operator", [REDACT, KEEP_LAST])
@pytest.mark.parametrize("text", [f"{CARD}.{MAIL}", f"{CARD}.{MAIL} and {MAIL}", f"123-45-6789.{MAIL}"])
def test_i5_what_sticks_out_of_an_overlap_is_masked_too(text, operator):
    masker = _core.Masker([(name, name, operator) for name in ("payment_card", "us_ssn", "email")], b"key")
    masked, _ = masker.mask_text(text.encode())
    assert b"somebody" not in masked and b"example" not in masked and b"4242 4242" not in masked and b"123-45" not in masked
