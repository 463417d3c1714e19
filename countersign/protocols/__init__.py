"""Protocols: one folder each, with the same files in each; `wire` and `supervisor` serve the sessions of all."""
