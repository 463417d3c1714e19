"""Policy as code: rules match identity, target and command, and say allow, deny or review. Pure but for reading the files.

Deny beats review beats allow; among equals the first rule names the verdict. Rules of ``default.yaml`` speak only where no rule of
the user's matched. An error in a condition denies (I8).
"""

from countersign.policy.errors import PolicyError
from countersign.policy.load import load_policies
from countersign.policy.rules import Policy, Rule

__all__ = ["Policy", "PolicyError", "Rule", "load_policies"]
