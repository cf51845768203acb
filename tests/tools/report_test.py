# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The hyperblocks authors
# tools/report on results as they should not be: losses that are no numbers, runs that diverged, failed or are still to come, names with
# marks of HTML. Needs Plotly and Graphviz: tools/check-all report.
import json
import math
import pathlib
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tools"))
sys.dont_write_bytecode = True
import report  # noqa: E402

PLAN = {"plan": {"title": "<i>A & B</i>", "base": "tiny", "budget": {"steps": 5}, "date": "2026-01-02", "claims": [
    {"claim": "a beats b", "better": "a", "than": "b"}, {"claim": "a finds", "better": "a", "at_least": 50, "by": "longest needle"},
    {"claim": "c beats b", "better": "c", "than": "b"}]}}


def run(name, seed, loss, right=5, **more):
    return {"name": name, "family": name, "seed": seed, "loss": [[10, loss, 1.0], [20, loss, 2.0]], "parameters": 1234, "bytes_kept": 100,
            "seconds_to_know": {"median": 0.5, "low": 0.4, "high": 0.6}, "perplexity": {"with": 2.0, "without": 1.0},
            "scores": [{"kind": "facts", "right": right, "asked": 10}],
            "needle": [{"lines": 4, "tokens": 40, "cases": 2, "right": [2, 2]}, {"lines": 8, "tokens": 80, "cases": 2, "right": [0, 0], "refused": "too long"}],
            **more}


class Report(unittest.TestCase):
    def read(self, *runs):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "results.jsonl"
            path.write_text("".join(json.dumps(line) + "\n" for line in (PLAN, *runs)))
            return report.read(path)

    def claims(self, *runs):
        plan, entries = self.read(*runs)
        return report.claims_table(plan, entries)

    def test_numbers_that_are_none_are_left_out(self):
        plan, entries = self.read(run("a", 1, None), run("a", 2, 1.0, perplexity={"with": None, "without": 1.0}), run("b", 1, 2.0, seconds_to_know=None))
        self.assertEqual(entries[0].last_losses(), [1.0])
        self.assertEqual(entries[0].interference(), [2.0])
        self.assertEqual((entries[0].of("seconds_to_know"), entries[1].of("seconds_to_know")), ([0.5, 0.5], []))
        self.assertIn("<table", report.page(plan, entries, []))

    def test_a_run_that_diverged_is_no_proof(self):
        better, worse = run("a", 1, 1.0), run("b", 1, 2.0)
        self.assertIn("<b>yes</b>", self.claims(better, worse))
        diverged = {"name": "a", "family": "a", "seed": 2, "diverged": "step 3"}
        self.assertNotIn("<b>yes</b>", self.claims(better, diverged, worse).split("</tr>")[1])
        self.assertIn("seeds are missing", self.claims(better, {"name": "a", "seed": 2, "failed": "ended by SIGKILL"}, worse))
        self.assertIn("seeds are missing", self.claims(better, {"name": "a", "seed": 2, "waiting": True}, worse))
        _, (entry, _) = self.read(better, diverged, worse)
        self.assertEqual((entry.begun, entry.last_losses(), report.measured(entry, "loss", 8)), (2, [1.0], [1.0, math.inf]))

    def test_the_longest_needle_is_the_plans_also_where_it_is_refused(self):
        self.assertIn("<b>no</b>", self.claims(run("a", 1, 1.0), run("b", 1, 2.0)).split("</tr>")[2])

    def test_of_texts_that_are_refused_a_map_shows_nothing(self):
        _, (entry,) = self.read(run("a", 1, 1.0))
        self.assertEqual([list(row) for row in report.heat_map(entry).data[0].z], [[100, None], [100, None]])

    def test_marks_of_html_stay_what_they_are(self):
        name = "<b>a</b> %{x}"
        text = report.page(*self.read(run(name, 1, 1.0, about=[["a \\", "<b>"], ["b", ""]])), [])
        self.assertNotIn("<i>A & B</i>", text)
        self.assertNotIn(json.dumps(name)[1:-1], text)
        self.assertIn("2026-01-02", text)

    def test_lines_that_are_no_runs_are_a_sentence(self):
        with self.assertRaises(SystemExit) as stopped:
            self.read([1, 2])
        self.assertIn("line 2: expected an object", str(stopped.exception))


if __name__ == "__main__":
    unittest.main()
