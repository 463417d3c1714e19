import ast
from pathlib import Path

import countersign.demo

CREW = Path(countersign.demo.__file__).with_name("crew.py")


def test_the_crew_knows_nothing_of_countersign():
    nodes = list(ast.walk(ast.parse(CREW.read_text())))
    modules = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    modules += [node.module or "countersign" for node in nodes if isinstance(node, ast.ImportFrom)]
    assert "crewai" in modules
    assert not [module for module in modules if module.split(".")[0] == "countersign"]
