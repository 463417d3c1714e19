"""Who looked at the evidence is evidence too."""

from collections.abc import Mapping
from enum import StrEnum

from countersign.model import AuditEvent, Identity


class Access(StrEnum):
    """What was looked at."""

    SEARCH = "search"
    EXPORT = "export"
    PROVE = "prove"
    RECORDING = "recording"
    REVIEW = "review"


def accessed(by: Identity, how: Access, query: Mapping[str, object]) -> AuditEvent:
    """The record of an access. ``query`` says what was asked for; what is empty in it is left out."""
    asked = {name: value for name, value in query.items() if value not in ("", 0, None)}
    return AuditEvent("audit.accessed", {"by": by.name, "authentication": by.authentication, "how": how.value, "query": asked})
