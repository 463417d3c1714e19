"""What the documents say exists, and what exists is in the documents."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

from countersign.cli.main import app
from countersign.config import load_config
from countersign.masking.rules import DETECTORS, OPERATORS
from countersign.model import Action, Effect, IdentityKind
from countersign.policy.cel import VARIABLES

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
REFERENCE = (ROOT / "docs" / "reference.md").read_text()


def commands(command, words: tuple[str, ...] = ()) -> Iterator[str]:
    if not hasattr(command, "commands"):
        yield " ".join(words)
        return
    if command.invoke_without_command:
        yield " ".join(words)
    for name, inner in command.commands.items():
        yield from commands(inner, (*words, name))


COMMANDS = set(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_file_leads_somewhere(page):
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())
    assert not [target for target in targets if "://" not in target and not (page.parent / target).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_is_named_exists(page):
    named = re.findall(r"(?:`|^\s*)countersign ([a-z]+)(?: ([a-z-]+))?", page.read_text(), re.MULTILINE)
    assert not [words for words in named if words[0] not in COMMANDS and " ".join(words) not in COMMANDS]


def test_the_reference_lists_everything_there_is():
    missing = [f"countersign {name}" for name in COMMANDS if f"`countersign {name}" not in REFERENCE]
    missing += [name for name in VARIABLES if f"`{name}`" not in REFERENCE]
    missing += [word for word in (*DETECTORS, *Action, *Effect, *IdentityKind) if f"`{word}`" not in REFERENCE]
    missing += [name for name in OPERATORS if not re.search(rf'{{"?{name}"?: {{', REFERENCE)]
    assert not missing


def test_the_readme_s_configuration_and_policy_are_sound(tmp_path):
    blocks = re.findall(r"^( *)```yaml\n(.*?)^ *```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    configuration, policy = (re.sub(rf"^{indent}", "", text, flags=re.MULTILINE) for indent, text in blocks)
    (tmp_path / "countersign.yaml").write_text(configuration)
    (tmp_path / "shop-password").write_text("secret\n")
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "shop.yaml").write_text(policy)
    loaded = load_config(tmp_path / "countersign.yaml")
    assert [target.target.name for target in loaded.targets] == ["shop"]
    assert (len(loaded.policy.rules), len(loaded.policy.masks)) == (2, 2)


@pytest.mark.parametrize("operator", re.findall(r'`(\{"?[a-z]+"?: \{.*?\}\})`', REFERENCE.split("| `operator` |")[1]))
def test_every_operator_of_the_reference_is_one(operator, tmp_path):
    (tmp_path / "policy.yaml").write_text(f"masking:\n  - {{name: one, detect: [email], operator: {operator}}}\n")
    (tmp_path / "countersign.yaml").write_text(
        "targets: [{name: shop, type: postgres, listen: '127.0.0.1:0', upstream: {host: localhost, user: app}}]\npolicies: [policy.yaml]\n"
    )
    assert len(load_config(tmp_path / "countersign.yaml").policy.masks) == 1
