"""What is protected."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Target:
    """A registered database, cluster, server or API. Holds no credentials."""

    name: str
    type: str
    labels: Mapping[str, str] = field(default_factory=dict)
