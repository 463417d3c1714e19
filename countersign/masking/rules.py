"""Mask rules."""

from dataclasses import dataclass

DETECTORS = ("email", "payment_card", "us_ssn", "iban", "phone", "aws_key", "jwt", "private_key")
"""The core's detectors by name (a test holds both lists against each other)."""

OPERATORS = ("redact", "partial", "hash", "null")


@dataclass(frozen=True, slots=True)
class MaskRule:
    """A rule that masks columns (``schema.table.column``, globs allowed), content that detectors find, or both.

    ``operator_json`` is the operator as the core reads it; ``targets`` are names or globs.
    """

    name: str
    targets: tuple[str, ...]
    columns: tuple[str, ...]
    detect: tuple[str, ...]
    operator_json: str
