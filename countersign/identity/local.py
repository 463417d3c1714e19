"""The people on the gateway's own machine."""

import pwd

from countersign.model import Identity, IdentityKind
from countersign.model.identity import ADMINISTRATORS


def administrator(uid: int, authentication: str) -> Identity:
    """The operating-system account as an administrator. Whoever owns the gateway's files governs it anyway."""
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = f"uid-{uid}"
    return Identity(f"os:{name}", IdentityKind.USER, (ADMINISTRATORS,), authentication=authentication)
