"""Prose and messages avoid phrases that readers stumble over; the replacements are examples, not a rule."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parent.parent

# Regular expressions of phrases, and what to write instead. A space matches any white space, also that of wrapped text.
PHRASES = {
    r"(?:go|goes|going|went|gone) on (?:to|with|from|until|in that)": "continue, resume",
    r"mend(?:s|ed|ing)?": "fix",
    r"anew": "again, from scratch",
    r"is no (?:config|call|policy|picture)": "is not a valid ...",
    r"that of an? (?:run|network) .{0,40}is expected": "expected a ...",
    r"(?:is|are|a|an) [\w ]{1,40} is expected": "expected ...",
    r"(?:loss|losses) (?:it |they )?last (?:met|seen)": "last observed loss",
    r"last (?:met|seen) (?:loss|losses)": "last observed loss",
    r"given? (?:the \w+ )?away|gives away|given away": "donated",
    r"that (?:a|the) \w+ is to fill": "for ...-scale ...",
    r"what is not yet in": "what is missing in",
    r"for each (?:example|image) alone": "independently for each example",
    r"(?:a|the|its|no) coins?\b(?! flip)|toss(?:es)? a coin": "per-example probability, gate",
    r"and company|new company": "composition, combinations",
    r"(?:which|other|uniform|three) laws?\b|law of the boundary|Beta law|exponential law": "distribution",
    r"with a (?:number|digit) behind it": "with a numeric suffix",
    r"goes against us|went against us": "Negative results are reported, too",
    r"infinitely important|nothing at all": "zero or infinite",
    r"thrice": "three times",
    r"so many(?:-th)?": "that many, this many",
    r"lies?|lay|lying": "is, are",
    r"beside": "next to, compared with, in addition to",
    r"under way": "running, in progress",
    r"taken up|takes up": "restored, resumed",
    r"carried out|carries out": "executed, applied",
    r"at second hand": "second-hand",
    r"(?:not|were|was) at hand": "available",
    r"(?:not )?known to us": "not public, unknown",
    r"hands? (?:it |them )?on\b|handed on": "passes on",
    r"for ever": "repeatedly, indefinitely",
    r"whoever|who looks|for who cannot": "name the reader or the program",
    r"that comes? along|comes along": "included, trained alongside",
    r"carved off|thinned as": "split, subsampled",
    r"has the word": "control returns to Python",
    r"lets through": "accepts",
    r"trip(?:s|ped)? over": "break",
    r"(?:more|less|most|least) of it all": "say what is meant",
    r"as it came out|as they came out": "as measured",
    r"(?<!standard.)deviations?": "standard deviation",
}
ALLOWED = {
    ("colabs/05_priors.py", "deviation"),  # the title of a committed picture
}
CHECKED = {
    "front page": ["README.md", "CONTRIBUTING.md", "experiments/README.md"],
    "docs": ["docs/**/*.md"],
    "notebooks": ["colabs/*.md", "colabs/*.py"],
    "commands": ["experiments/*.py"],
    "library": ["jaxaug/**/*.py"],
    "tests of training": ["tests/training/*.py"],
    "results": ["results/README.md", "results/*/reading.md"],
    **{
        folder: [f"experiments/{folder}/**/*.py"]
        for folder in ("run", "configs", "search", "studies", "benchmark", "fuzzing", "figures")
    },
}


def unusual_phrases(text: str) -> list[tuple[int, str, str]]:
    """Returns line, phrase and replacement of every match."""
    # Markers of comments and quotes of wrapped strings are white space, of the same length so that offsets are kept.
    plain = re.sub(r"(?m)^[ \t]*[#>*-]+ |\"\s*\n\s*f?\"", lambda m: re.sub(r"[^\n]", " ", m[0]), text)
    found = []
    for phrase, replacement in PHRASES.items():
        words = phrase.replace(" ", r"\s+")
        for match in re.finditer(rf"(?<![\w`])(?:{words})(?!\w)", plain, re.IGNORECASE):
            found.append((plain.count("\n", 0, match.start()) + 1, " ".join(match[0].split()), replacement))
    return sorted(found)


def violations(patterns: list[str]) -> list[str]:
    files = sorted({path for pattern in patterns for path in ROOT.glob(pattern)})
    assert files
    return [
        f'{path.relative_to(ROOT)}:{line}: "{phrase}"; write: {replacement}'
        for path in files
        for line, phrase, replacement in unusual_phrases(path.read_text())
        if (str(path.relative_to(ROOT)), phrase) not in ALLOWED
    ]


@pytest.mark.parametrize("part", CHECKED)
def test_prose_is_plain(part):
    assert not (found := violations(CHECKED[part])), "\n".join(["", *found])


def test_a_phrase_is_found_across_lines_and_only_as_whole_words():
    text = "# It goes\n# on to the same bits.\nbelies besides\n'alone, "
    assert [(line, phrase) for line, phrase, _ in unusual_phrases(text)] == [(1, "goes on to")]
