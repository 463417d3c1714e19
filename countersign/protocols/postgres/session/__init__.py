"""The part of the PostgreSQL protocol that has sockets.

``listener`` accepts connections, ``client`` brings a client through TLS, start-up and authentication, ``target`` opens and
authenticates the connection to the target, ``inquiry`` asks the target on the gateway's own behalf,
``catalog`` reads what masking must know of it, ``relay`` carries one session,
``replication`` one of replication.
"""

from countersign.protocols.postgres.session.lanes import Lanes
from countersign.protocols.postgres.session.listener import PostgresListener

__all__ = ["Lanes", "PostgresListener"]
