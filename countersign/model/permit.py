"""The proof that a command may be forwarded."""

from dataclasses import dataclass, field

from countersign.model.trouble import Trouble


class PermitError(Exception):
    """A permit was forged, spent twice, or shown for another command or session."""


_MINT = object()


@dataclass(slots=True)
class Permit:
    """Permission to forward one command of one session, once.

    Only ``countersign.gate`` makes one (a test walks the source to see that). ``spend`` must be called by whoever
    forwards, immediately before the bytes leave.
    """

    command_id: str
    session_id: str
    digest: str
    review_id: str = ""
    at_most_rows: int | None = None
    """How many rows it may change; whoever cannot see to that cannot spend it."""
    _mint: object = field(default=None, repr=False)
    _spent: bool = field(default=False, repr=False)

    def __post_init__(self) -> None:
        if self._mint is not _MINT:
            raise PermitError("only the gate makes permits")

    def spend(self, *, session_id: str, digest: str, keeps_bound: bool = False) -> None:
        """Use the permit up. Raises ``PermitError`` where it is spent or does not fit, or has a bound that the caller does not say to keep."""
        if self.at_most_rows is not None and not keeps_bound:
            raise PermitError("this permit is for at most so many rows, which nobody would count")
        if self._spent:
            raise PermitError("this permit was spent before")
        if session_id != self.session_id or digest != self.digest:
            raise PermitError("this permit is for another command")
        self._spent = True


@dataclass(frozen=True, slots=True)
class Denial:
    """The gate's no, as a value: what the client is told, in its protocol's own error.

    ``cancelled`` marks a hold that the client itself took back, ``trouble`` a command that nobody judged, for it could not be recorded.
    """

    command_id: str
    message: str
    detail: str = ""
    hint: str = ""
    review_id: str = ""
    cancelled: bool = False
    trouble: Trouble | None = None
