"""The typed HTTP client that the command line uses: over the admin socket, or in process where no gateway runs."""

from countersign.client.client import Client, ClientError

__all__ = ["Client", "ClientError"]
