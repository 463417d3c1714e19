"""Who acts."""

from dataclasses import dataclass
from enum import StrEnum


class IdentityKind(StrEnum):
    """A person, or a program that acts for one."""

    USER = "user"
    SERVICE_ACCOUNT = "service_account"


@dataclass(frozen=True, slots=True)
class Identity:
    """An authenticated identity.

    ``on_behalf_of`` names the user a service account acts for, and is empty where nothing signed says so.
    ``authentication`` names the method that proved the identity (``api_key``, ``certificate``, ``unix_socket``,
    ``console_link``).
    """

    name: str
    kind: IdentityKind
    groups: tuple[str, ...] = ()
    on_behalf_of: str = ""
    authentication: str = ""


ADMINISTRATORS = "administrators"
"""The group of those who run the gateway. They may decide any review but their own."""
