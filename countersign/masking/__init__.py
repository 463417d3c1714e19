"""Where to mask, how to recognise what, and what to replace it with. The engine itself is the Rust core."""

from countersign.masking.rules import DETECTORS, ColumnLabels, MaskRule, paths_json

__all__ = ["DETECTORS", "ColumnLabels", "MaskRule", "paths_json"]
