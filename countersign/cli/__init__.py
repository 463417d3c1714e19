"""The command line: one module a group of commands."""

from countersign.cli.main import main

__all__ = ["main"]
