import itertools
import re
import shutil
import subprocess

import pytest

from mer_jax.evaluation.comparison_tables import best_is_alone, html, latex, leaders, markdown
from tests.evaluation.contenders import compared
from tests.evaluation.test_report import Page

NAMES = ("a_b & c", "50 % of <x> | ~y^2", "back\\slash {#1}")
MEANS = (0.8, 0.75, 0.5)


def statistic(mean, sd=0.01):
    return {"mean": mean, "sd": sd}


def row(name, mean, **changes):
    return {
        "config": "c",
        "name": name,
        "modalities": ["text", "log_mel"],
        "metric": "accuracy",
        **statistic(mean, 0.012),
        "n": 5,
        "low": mean - 0.05,
        "high": mean + 0.05,
        "dev_mean": 0.9,
        "floor": 0.6,
        "floor_name": "linear",
        "majority": 0.4,
        "linear": 0.6,
        "above_floor": True,
        "collapsed": False,
        "collapsed_seeds": 0,
        "metrics": {
            "accuracy": statistic(mean),
            "balanced_accuracy": statistic(mean - 0.1),
            "macro_f1": statistic(None, None),
            "weighted_f1": statistic(mean, None),
        },
    } | changes


def pair(a, b, test, p_holm):
    return {
        "a": a,
        "b": b,
        "metric": "accuracy",
        "difference": 0.05,
        "low": -0.02,
        "high": 0.12,
        "p": p_holm / 3,
        "p_holm": p_holm,
        "test": test,
        "significant": p_holm < 0.05,
    }


def comparison(p_first=0.0004, cliques=(), names=NAMES, **changes):
    """Three systems; `p_first` is the best against the second."""
    pairs = []
    for k, (a, b) in enumerate(itertools.combinations(names, 2)):
        pairs += [pair(a, b, "bootstrap", p_first if k == 0 else 0.03), pair(a, b, "mcnemar", 0.2)]
    return {
        "corpus": "my_corpus",
        "generated": False,
        "protocol": "0123456789abcdef",
        "task": "classification",
        "targets": ["joy", "anger"],
        "metric": "accuracy",
        "alpha": 0.05,
        "resample_by": "dialogue",
        "groups": 31,
        "test_n": 1752,
        "rows": [row(name, mean) for name, mean in zip(names, MEANS, strict=True)],
        "pairs": pairs,
        "cliques": [list(names) for names in cliques],
        "ceilings": {},
        "verdict": "The first is better than *the* second.",
    } | changes


UNDECIDED = {"p_first": 0.4, "cliques": (NAMES[:2], NAMES[1:])}


def tables(text):
    """Each table's rows of cells, as GitHub divides them."""
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    return [[re.split(r"(?<!\\)\|", line)[1:-1] for line in block] for block in blocks]


def shown(cell):
    """A cell's text as GitHub shows it."""
    return re.sub(r"\\([\\`*_\[\]<>|~$&])", r"\1", cell.strip())


def test_markdown_has_the_verdict_first_and_whole_rows():
    text = markdown(comparison())
    assert text.startswith("The first is better than \\*the\\* second.\n\n")
    assert "1,752 test utterances in 31 groups (dialogue)" in text
    assert "GENERATED" not in text
    for grid in tables(text):
        assert {len(cells) for cells in grid} == {len(grid[0])}
        assert all(set(cell.strip()) <= set("-:") for cell in grid[1])
    systems, pairs = tables(text)
    assert [shown(cells[0]) for cells in systems[2:]] == list(NAMES)
    assert len(pairs) - 2 == 3


def test_markdown_holds_every_number_asked_for():
    systems, pairs = tables(markdown(comparison()))
    line = dict(zip(map(shown, systems[0]), map(shown, systems[3]), strict=True))
    assert line == {
        "system": NAMES[1],
        "inputs": "text, log_mel",
        "Accuracy on test, mean ± sd": "0.750 ± 0.012",
        "95 % interval": "0.700 to 0.800",
        "seeds": "5",
        "Balanced accuracy": "0.650 ± 0.010",
        "Macro F1": "\u2013",
        "Weighted F1": "0.750",
        "dev": "0.900",
        "linear floor": "0.600",
        "best floor": "0.600: linear (all modalities)",
        "majority": "0.400",
        "collapsed": "0 of 5",
    }
    line = dict(zip(map(shown, pairs[0]), map(shown, pairs[2]), strict=True))
    assert line["difference in accuracy"] == "+0.050"
    assert line["95 % interval"] == "-0.020 to +0.120"
    assert (line["p"], line["p (Holm)"], line["McNemar (accuracy), p (Holm)"]) == (
        "< 0.001",
        "< 0.001",
        "0.200",
    )
    assert [shown(cells[-1]) for cells in pairs[2:]] == ["yes", "yes", "yes"]


def test_markdown_bold_only_for_a_best_that_stands_alone():
    assert "**0.800** ± 0.012" in markdown(comparison())
    assert "**" not in markdown(comparison(**UNDECIDED))


def test_what_qualifies_a_score_is_said():
    changed = comparison(generated=True, ceilings={"voice": 0.455, "both": 0.748})
    changed["rows"][2] |= {"collapsed": True, "collapsed_seeds": 2, "above_floor": False}
    text = markdown(changed)
    systems, _ = tables(text)
    assert "GENERATED data" in text
    assert "2 of 5" in systems[4][-1]
    assert "not beaten" in systems[4][-3]
    assert [shown(cells[0]) for cells in systems[5:]] == ["*human ceiling: voice*", "*human ceiling: both*"]
    assert [shown(cells[2]) for cells in systems[5:]] == ["*0.455*", "*0.748*"]
    paper = latex(changed)
    assert r"\textbf{generated data}" in paper
    assert r"$^\dagger$$^\ddagger$ &" in paper
    assert r"$^\dagger$Collapsed" in paper
    assert r"$^\ddagger$Not shown" in paper
    assert r"human ceiling: voice} &  & 0.455" in paper
    assert "dagger" not in latex(comparison())


def test_mcnemar_that_points_the_other_way_is_marked():
    changed = comparison()
    changed["pairs"][1] |= {"a": NAMES[1], "b": NAMES[0]}
    assert "0.200 (the other way round)" in markdown(changed)


def test_latex_rows_have_the_columns_they_announce():
    for text in (latex(comparison()), latex(comparison(ceilings={"both": 0.7}))):
        announced = re.search(r"\\begin{tabular}{(.*)}\n", text)[1]
        columns = len(re.sub(r"p{[^}]*}", "p", announced))
        lines = [line for line in text.splitlines() if line.endswith(r"\\")]
        assert {len(re.split(r"(?<!\\)&", line)) for line in lines} == {columns}
        assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")


def test_latex_escapes_names():
    text = latex(comparison())
    assert r"a\_b \& c" in text
    assert r"50 \% of \textless{}x\textgreater{} \textbar{} \textasciitilde{}y\textasciicircum{}2" in text
    assert r"back\textbackslash{}slash \{\#1\}" in text
    assert r"text, log\_mel" in text


def test_latex_bolds_a_best_that_stands_alone_and_underlines_the_best_clique_else():
    alone, undecided = latex(comparison()), latex(comparison(**UNDECIDED))
    assert re.findall(r"\\textbf{([\d.]+)}", alone) == ["0.800"]
    assert "underline" not in alone
    assert re.findall(r"\\underline{([\d.]+)}", undecided) == ["0.800", "0.750"]
    assert "textbf" not in undecided
    assert leaders(comparison(**UNDECIDED)) == list(NAMES[:2])
    single = comparison() | {"rows": comparison()["rows"][:1], "pairs": []}
    assert not best_is_alone(single)
    assert "textbf" not in latex(single)
    assert "underline" not in latex(single)


def test_latex_caption_names_what_the_numbers_belong_to():
    caption = re.search(r"\\caption{(.*)}\n", latex(comparison()))[1]
    for fact in (r"\texttt{0123456789abcdef}", r"my\_corpus", "Accuracy", "5 seeds", "1752 test utterances"):
        assert fact in caption


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="compiles the table: pdflatex is not installed")
def test_latex_compiles(tmp_path):
    tables = [latex(comparison()), latex(comparison(**UNDECIDED, ceilings={"a_b": 0.5}))]
    head = "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\n"
    (tmp_path / "table.tex").write_text(head + "\n".join(tables) + "\\end{document}\n")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "table.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-1500:]
    assert b"Overfull" not in done.stdout


def test_html_cells_hold_the_numbers_and_names_are_escaped():
    c = comparison()
    c["rows"][1]["above_floor"] = False
    text = html(c, dict.fromkeys(NAMES, "#0072b2"))
    page = Page(text)
    assert page.open == []
    assert page.cells[NAMES[0], "accuracy"] == "0.800"
    assert page.cells[NAMES[1], "macro_f1"] == "\u2013"
    assert "<x>" not in text
    assert text.count("not beaten") == 1


def test_a_real_comparison_of_intensities_has_its_own_columns():
    c, _ = compared(intensities=True)
    systems, pairs = tables(markdown(c))
    head = [shown(cell) for cell in systems[0]]
    assert head[2] == "MAE on test, mean ± sd"
    assert head[5:7] == ["Pearson r", "Concordance (CCC)"]
    assert "train mean" in head
    assert "McNemar" not in " ".join(pairs[0])
    assert r"\begin{tabular}" in latex(c)
