"""The REST API: people and the command line see and decide reviews here. Agents' keys open nothing of it."""
