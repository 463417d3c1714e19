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
    ``authentication`` names the method that proved the identity (``api_key``, ``certificate``, ``token``, ``unix_socket``,
    ``console_link``). ``claims`` are what the issuer of a token says besides, as far as policies may ask for it.
    """

    name: str
    kind: IdentityKind
    groups: tuple[str, ...] = ()
    on_behalf_of: str = ""
    authentication: str = ""
    claims: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Person:
    """An account of the gateway's machine whose owner may use the admin socket, and so the console."""

    account: str
    name: str
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Subjects:
    """Identities, by group, name or kind (``user``, ``service_account``): one that fits is enough. Empty, it is nobody."""

    groups: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.groups or self.names or self.kinds)

    def include(self, identity: Identity) -> bool:
        """Whether an identity is among them."""
        in_group = not set(self.groups).isdisjoint(identity.groups)
        return in_group or identity.name in self.names or identity.kind.value in self.kinds


NOBODY = Subjects()

ADMINISTRATORS = "administrators"
"""The group of those who run the gateway. They decide what nobody else is named for; what somebody else is, only by ``break_glass``."""
REVIEWERS = "reviewers"
"""The group of those who, like administrators, decide what nobody is named for."""
AUDITORS = "auditors"
"""The group of those who see everything and decide nothing, whatever other groups they are in."""
STANDING_GROUPS = (ADMINISTRATORS, REVIEWERS, AUDITORS)
