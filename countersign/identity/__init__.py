"""Who acts: API keys of service accounts, and the people who administer the gateway on its own machine.

A key is ``cs_`` and 43 random characters. It is shown once; the store keeps a SHA-256 of it and a SCRAM-SHA-256 verifier
(RFC 5802), from which it cannot be had back (I6).
"""

from countersign.identity.contract import KeyStore, StoredKey
from countersign.identity.failures import Failures, claimed
from countersign.identity.keys import TOKEN_USER, KeyProblem, Keys
from countersign.identity.live import LiveKeys
from countersign.identity.local import administrator, local_person
from countersign.identity.oidc import Oidc, SignInRefused
from countersign.identity.tokens import TokenRefused, Tokens

__all__ = [
    "TOKEN_USER",
    "Failures",
    "KeyProblem",
    "KeyStore",
    "Keys",
    "LiveKeys",
    "Oidc",
    "SignInRefused",
    "StoredKey",
    "TokenRefused",
    "Tokens",
    "administrator",
    "claimed",
    "local_person",
]
