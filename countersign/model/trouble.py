"""Why the audit log takes no records, as far as others may know."""

from enum import StrEnum


class Trouble(StrEnum):
    """What clients, reviewers and health checks are told: no paths, and nothing that the store said."""

    FULL = "full"
    UNAVAILABLE = "unavailable"
    DISTRUSTED = "distrusted"
    """The log does not fit what was signed: only whoever runs the gateway can say what is to be done."""

    @property
    def public(self) -> str:
        """A sentence for whoever is turned away."""
        return _PUBLIC[self]

    @property
    def advice(self) -> str:
        """What the one who is turned away can do."""
        return _ADVICE[self]


_PUBLIC = {
    Trouble.FULL: "the audit log cannot be written, for its store is full",
    Trouble.UNAVAILABLE: "the audit log cannot be written now, for its store is unavailable",
    Trouble.DISTRUSTED: "the audit log is stopped, for it does not fit what was signed of it",
}
_ADVICE = {
    Trouble.FULL: "Send it again when whoever runs Countersign has made room; the session need not be opened anew.",
    Trouble.UNAVAILABLE: "Send it again in a moment; the session need not be opened anew.",
    Trouble.DISTRUSTED: "Tell whoever runs Countersign: the log is to be looked at before anything goes on.",
}
