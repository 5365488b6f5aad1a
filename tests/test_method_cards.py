"""What the method cards say is run, and what they quote as measured is in the pages of results."""

import doctest
import pathlib
import re
import shlex
import types
from typing import Any

import pytest

from experiments.run.build import build_augmentation, build_model, build_strategy
from experiments.train import parsed

FOLDER = pathlib.Path(__file__).parent.parent / "docs/methods"
INDEX = FOLDER / "README.md"
CARDS = sorted(path for path in FOLDER.glob("*.md") if path != INDEX)
MEASURED = "Cost and results"
SECTIONS = [
    "The idea",
    "How to use it",
    "Options",
    MEASURED,
    "Differences between paper and code",
    "Attribution",
]

every_card = pytest.mark.parametrize("card", CARDS, ids=lambda card: card.stem)


def blocks(card, language):
    return re.findall(rf"^```{language}\n(.*?)^```", card.read_text(), re.M | re.S)


def links(text):
    """The relative links of Markdown, outside its examples."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    return [link for link in re.findall(r"\]\(([^)#]+)\)", prose) if "://" not in link]


@every_card
def test_examples_run(card):
    examples = blocks(card, "python")
    assert examples
    for text in examples:
        test = doctest.DocTestParser().get_doctest(text, {}, card.name, str(card), 0)
        assert test.examples
        runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
        said = []
        assert runner.run(test, out=said.append).failed == 0, "".join(said)


@every_card
def test_commands_are_understood(card):
    commands = [line for block in blocks(card, "sh") for line in block.splitlines()]
    assert commands
    dataset: Any = types.SimpleNamespace(mean=[0.5])  # an augmentation takes no more of it
    for command in commands:
        python, m, module, *arguments = shlex.split(command)
        assert (python, m, module) == ("python", "-m", "experiments.train")
        config = parsed(arguments)[1].config
        build_model(config, 10)
        build_strategy(config, build_augmentation(config, dataset))


@every_card
def test_the_idea_has_a_picture(card):
    idea = card.read_text().split("\n## The idea\n")[1].split("\n## ")[0]
    pictures = re.findall(r"^!\[[^\]]{20,}\]\(([^)]+\.png)\)$", idea, re.M)
    assert pictures
    assert [picture for picture in pictures if not (FOLDER / picture).is_file()] == []


@every_card
def test_sections_are_all_there_and_short(card):
    text = card.read_text()
    assert re.findall(r"^## (.+)$", text, re.M) == SECTIONS
    assert all(section.strip() for section in re.split(r"^#.+$", text, flags=re.M)[2:])
    assert len(text.splitlines()) <= 80


@pytest.mark.parametrize("page", [*CARDS, INDEX], ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    found = links(page.read_text())
    assert found
    assert [link for link in found if not (FOLDER / link).exists()] == []


@every_card
def test_figures_and_commands_of_what_was_measured_are_in_the_pages_of_results(card):
    section = card.read_text().split(f"\n## {MEASURED}\n")[1].split("\n## ")[0].split("\nPublished")[0]
    pages = [FOLDER / link for link in links(section) if "results/" in link]
    assert pages or "not measured" in section
    # Round thousands are sizes of what was trained on.
    figures = re.findall(r"\d[\d,]*\.\d+|\d{1,3}(?:,\d{3})+(?<!,000)", re.sub(r"`[^`]*`", "", section))
    assert bool(figures) == bool(pages)
    measured = " ".join(word for page in pages for word in page.read_text().split())
    assert [figure for figure in figures if not re.search(rf"(?<![\d.,]){figure}(?![\d.])", measured)] == []
    commands = [" ".join(command.split()) for command in re.findall(r"`(python [^`]*)`", section)]
    assert commands or not pages
    assert not pages or [command for command in commands if command not in measured] == []


def test_the_index_has_every_card():
    assert {FOLDER / link for link in links(INDEX.read_text())} >= set(CARDS)
