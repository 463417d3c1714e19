"""Integrations with agent frameworks (none yet: an unmodified client is enough)."""
