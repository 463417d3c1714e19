"""What can be wrong with a policy."""

from collections.abc import Sequence

from countersign.yaml_lines import Problem


class PolicyError(Exception):
    """Policy files that cannot be used; ``problems`` holds every reason."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)
