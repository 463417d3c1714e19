"""SQLSTATEs that the gateway answers with (manual, appendix "PostgreSQL Error Codes")."""

from countersign.model import Trouble

INSUFFICIENT_PRIVILEGE = "42501"
QUERY_CANCELED = "57014"
PROTOCOL_VIOLATION = "08P01"
CONNECTION_FAILURE = "08006"
INVALID_PASSWORD = "28P01"
INVALID_AUTHORIZATION = "28000"
FEATURE_NOT_SUPPORTED = "0A000"
ADMIN_SHUTDOWN = "57P01"
CANNOT_CONNECT_NOW = "57P03"
OUT_OF_MEMORY = "53200"
TOO_MANY_CONNECTIONS = "53300"
DISK_FULL = "53100"
IO_ERROR = "58030"
INTERNAL_ERROR = "XX000"


def state_of(trouble: Trouble) -> str:
    """The SQLSTATE of what cannot be recorded."""
    return DISK_FULL if trouble is Trouble.FULL else IO_ERROR


class TargetRefused(Exception):
    """The target cannot be reached or does not accept the gateway. ``public`` may go to the client; the rest is for the log.
    ``is_final``: it was reached, and another of its hosts would not do better."""

    def __init__(self, public: str, cause: str, *, code: str = CONNECTION_FAILURE, is_final: bool = False) -> None:
        super().__init__(f"{public}: {cause}")
        self.is_final = is_final
        self.public = public
        self.code = code


class ProtocolViolation(Exception):
    """The peer broke the protocol. The text may be shown to the client."""


class SessionEnded(Exception):
    """The gateway ends a session. The text says why, and is shown to the client."""
