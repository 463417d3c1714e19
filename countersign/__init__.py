"""Countersign: the data-path gateway that holds an agent's risky command until a human approves exactly that command."""

__version__ = "0.1.0"
