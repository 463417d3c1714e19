"""Who acts: API keys of service accounts, and the people who administer the gateway on its own machine.

A key is ``cs_`` and 43 random characters. It is shown once; the store keeps a SHA-256 of it and a SCRAM-SHA-256 verifier
(RFC 5802), from which it cannot be had back (I6).
"""

from countersign.identity.contract import KeyStore, StoredKey
from countersign.identity.failures import Failures, claimed
from countersign.identity.keys import KeyProblem, Keys
from countersign.identity.local import administrator, local_person

__all__ = ["Failures", "KeyProblem", "KeyStore", "Keys", "StoredKey", "administrator", "claimed", "local_person"]
