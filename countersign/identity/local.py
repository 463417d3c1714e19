"""The people on the gateway's own machine: the kernel says which account is at the other end of the admin socket."""

import os
import pwd
from collections.abc import Sequence

from countersign.model import Identity, IdentityKind
from countersign.model.identity import ADMINISTRATORS, Person


def administrator(uid: int, authentication: str) -> Identity:
    """The operating-system account as an administrator. Whoever owns the gateway's files governs it anyway."""
    return Identity(f"os:{_account(uid)}", IdentityKind.USER, (ADMINISTRATORS,), authentication=authentication)


def local_person(uid: int, people: Sequence[Person], authentication: str) -> Identity | None:
    """Who an account is: the gateway's own and root administrators, with what the configuration says of them; others only if it names
    them."""
    account = _account(uid)
    listed = next((person for person in people if person.account == account), None)
    owns = uid in (0, os.getuid())
    if listed is None:
        return administrator(uid, authentication) if owns else None
    groups = dict.fromkeys([ADMINISTRATORS, *listed.groups] if owns else listed.groups)
    return Identity(listed.name, IdentityKind.USER, tuple(groups), authentication=authentication)


def _account(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid-{uid}"
