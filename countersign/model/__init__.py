"""The frozen values that every part of Countersign speaks.

Nothing here does I/O, reads a clock or draws a random number. The words are those of ARCHITECTURE.md:
an *identity* opens a *session* on a *target* and sends *commands*; the gate answers each with a *verdict*.
"""

from countersign.model.audit import AuditEvent, AuditRecord
from countersign.model.command import Command, Effect, Parameter, Statement
from countersign.model.identity import NOBODY, Identity, IdentityKind, Subjects
from countersign.model.permit import Denial, Permit, PermitError
from countersign.model.review import Decision, DecisionKind, Review, ReviewState
from countersign.model.session import Moment, Session
from countersign.model.target import Target
from countersign.model.trouble import Trouble
from countersign.model.verdict import Action, OnTimeout, ReviewTerms, Step, Verdict

__all__ = [
    "NOBODY",
    "Action",
    "AuditEvent",
    "AuditRecord",
    "Command",
    "Decision",
    "DecisionKind",
    "Denial",
    "Effect",
    "Identity",
    "IdentityKind",
    "Moment",
    "OnTimeout",
    "Parameter",
    "Permit",
    "PermitError",
    "Review",
    "ReviewState",
    "ReviewTerms",
    "Session",
    "Statement",
    "Step",
    "Subjects",
    "Target",
    "Trouble",
    "Verdict",
]
