"""Whom a client's certificate names. Whether it is to be believed, TLS has found out before. Pure."""

import hashlib
import re
from collections.abc import Callable

from cryptography import x509
from cryptography.x509.oid import NameOID

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:/+-]{0,254}")
OWN_ACCOUNTS = "os:"
"""How the names of the gateway's own administrators begin: no certificate makes one."""


def _common_names(certificate: x509.Certificate) -> list[str]:
    return [str(one.value) for one in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]


def _alternatives(
    kind: type[x509.DNSName] | type[x509.RFC822Name] | type[x509.UniformResourceIdentifier],
) -> Callable[..., list[str]]:
    def read(certificate: x509.Certificate) -> list[str]:
        try:
            found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        except x509.ExtensionNotFound:
            return []
        return list(found.value.get_values_for_type(kind))

    return read


KINDS: dict[str, Callable[[x509.Certificate], list[str]]] = {
    "common_name": _common_names,
    "dns": _alternatives(x509.DNSName),
    "email": _alternatives(x509.RFC822Name),
    "uri": _alternatives(x509.UniformResourceIdentifier),
}
"""Where in a certificate an identity's name may stand."""


def names(certificate: bytes, kind: str) -> list[str]:
    """The identities that a certificate (DER) is good for. Several common names are none: readers differ on which one counts."""
    try:
        found = KINDS[kind](x509.load_der_x509_certificate(certificate))
    except ValueError:
        return []
    if kind == "common_name" and len(found) > 1:
        return []
    return [name for name in found if NAME.fullmatch(name) and not name.startswith(OWN_ACCOUNTS)]


def fingerprint(certificate: bytes) -> str:
    """SHA-256 of a certificate, for the audit log."""
    return hashlib.sha256(certificate).hexdigest()
