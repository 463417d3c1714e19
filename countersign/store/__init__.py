"""The store: the only place that speaks SQL. SQLite in one file, or a PostgreSQL database that several
gateways share, written by one thread of a gateway with group commit.

It implements the contracts of ``audit``, ``reviews``, ``identity``, ``recording`` and ``notify``. A change of a review and its audit record
are one transaction, so that neither is ever there without the other.
"""

from countersign.store.audit import ExportFile, LogFile, StoredAuditLog, StoredCheckpoints, StoreLog, log_of
from countersign.store.cursors import StoredCursors, WitnessCursors
from countersign.store.database import Database, LogMisfit, StoreError
from countersign.store.gateways import StoredGateways
from countersign.store.grants import StoredGrants
from countersign.store.indexing import Indexing
from countersign.store.keys import StoredKeys
from countersign.store.leadership import Leadership
from countersign.store.log_index import LogIndex
from countersign.store.log_key import exchange_log_key, load_log_key, settle_log_key
from countersign.store.notices import StoredNotices
from countersign.store.reviews import StoredReviews
from countersign.store.sessions import StoredSessions

__all__ = [
    "Database",
    "ExportFile",
    "Indexing",
    "Leadership",
    "LogFile",
    "LogIndex",
    "LogMisfit",
    "StoreError",
    "StoreLog",
    "StoredAuditLog",
    "StoredCheckpoints",
    "StoredCursors",
    "StoredGateways",
    "StoredGrants",
    "StoredKeys",
    "StoredNotices",
    "StoredReviews",
    "StoredSessions",
    "WitnessCursors",
    "exchange_log_key",
    "load_log_key",
    "log_of",
    "settle_log_key",
]
