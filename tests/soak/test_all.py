import json
import sys
from dataclasses import replace

from soak import all as soak_all
from soak.figures import Figure, conclude, parser_of

HELD = Figure(figure="kills", must="20", measured="20", held=True, command="python soak/killed_training.py")
LOST = Figure(figure="memory", must="under 5%", measured="9%", held=False, command="python soak/app_load.py")


def test_figures_are_printed_written_and_judged(tmp_path, capsys):
    output = tmp_path / "figures.json"
    assert conclude([HELD], {}, None) == 0
    assert conclude([HELD, LOST], {"seconds": 1}, output) == 1
    assert "| memory | `python soak/app_load.py` | under 5% | 9% | **no** |" in capsys.readouterr().out
    told = json.loads(output.read_text())
    assert [Figure(**one) for one in told["figures"]] == [HELD, LOST]
    assert told["details"] == {"seconds": 1}


def test_every_soak_takes_the_same_arguments(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["soak", "--count", "3"])
    options = parser_of("A soak.", count=20).parse_args()
    assert (options.count, options.seed, options.json) == (3, 0, None)


def test_the_page_has_every_figure_and_those_that_are_missing(tmp_path):
    outcomes = [
        soak_all.Outcome(name="killed_training", figures=(HELD,), minutes=12.4, state="1999-12-31, commit abc"),
        soak_all.Outcome(name="app_load", figures=(LOST,), minutes=7.6, state="2000-01-01, commit def"),
        soak_all.Outcome(name="refusals", figures=(), minutes=0, state="2000-01-01, commit def"),
    ]
    assert [outcome.held for outcome in outcomes] == [True, False, False]
    output = tmp_path / "reliability.md"
    soak_all.write_report(outcomes, output)
    page = output.read_text()
    assert HELD.line() in page
    assert LOST.line() in page
    assert "| refusals | `python soak/refusals.py` | comes to its end | it did not | **no** |" in page
    assert "| `killed_training` | 12 | 1999-12-31, commit abc |" in page
    assert "cores" in page
    assert "$" not in page


def test_what_is_not_measured_again_is_taken_from_before(tmp_path, monkeypatch):
    def run(name, arguments):
        return soak_all.Outcome(name=name, figures=(results[name],), minutes=1, state=f"by {len(arguments)} arguments")

    results = {"app_load": LOST, "killed_training": HELD}
    output = tmp_path / "page.md"
    monkeypatch.setattr(soak_all, "run_soak", run)
    monkeypatch.setattr(soak_all, "KEPT", tmp_path / "kept")
    call = ["all.py", "--output", str(output), "--only"]
    monkeypatch.setattr(sys, "argv", [*call, "app_load", "killed_training"])
    assert soak_all.main() == 1
    results = {"app_load": replace(LOST, measured="4%", held=True)}
    monkeypatch.setattr(sys, "argv", [*call, "app_load"])
    assert soak_all.main() == 0
    assert [line in output.read_text() for line in (HELD.line(), results["app_load"].line())] == [True, True]
    monkeypatch.setattr(sys, "argv", [*call, "app_load", "--quick"])
    assert soak_all.main() == 0
    assert HELD.line() not in output.read_text()  # a quick run is no measurement, and joins none
    assert soak_all.kept(tmp_path / "kept")["app_load"].state == "by 0 arguments"


def test_every_test_that_the_page_names_is_there():
    named = {word.strip("`,|") for word in soak_all.TEMPLATE.read_text().split() if word.startswith("`tests/")}
    missing = [path for path in sorted(named) if not (soak_all.PROJECT / path).exists()]
    assert missing == []


def test_a_soak_that_fails_without_figures_is_not_held():
    assert soak_all.run_soak("no_such_soak", []).figures == ()
