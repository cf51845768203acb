# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The hyperblocks authors
# tools/compare without its compilations and trainings: what a plan means, what is wrong with one, runs that go on, fail and are
# collected. Programs are shell scripts here.
import contextlib
import fcntl
import io
import json
import pathlib
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tools"))
sys.dont_write_bytecode = True
import compare  # noqa: E402

BASE = "examples/train/tiny/base"
SHINE = {"name": "SHINE", "hypernet": {"system": "shine", "spec": {"rank": 4, "m2p": {"blocks": 2, "heads": 4}}}, "options": {"rate": 0.1}}


def entries_of(*architectures):
    return {entry["name"]: entry for entry in compare.architectures_of({"architectures": list(architectures)})}


class Plans(unittest.TestCase):
    def test_the_plans_of_the_tree_can_be_read(self):
        for name in ("quick", "full"):
            plan = json.loads((ROOT / f"bench/compare/{name}.json").read_text())
            entries = entries_of(*plan["architectures"])
            for claim in plan.get("claims", []):
                for side in ("better", "than"):
                    self.assertIn(claim.get(side, claim["better"]), entries, claim)

    def test_a_variation_changes_its_field_alone(self):
        entries = entries_of(SHINE, {"like": "SHINE", "each": {"spec.m2p.blocks": [1, 3], "options.piece": [64]}})
        self.assertEqual(list(entries), ["SHINE", "SHINE: blocks 1", "SHINE: blocks 3", "SHINE: piece 64"])
        self.assertEqual(entries["SHINE: blocks 3"]["hypernet"]["spec"], {"rank": 4, "m2p": {"blocks": 3, "heads": 4}})
        self.assertEqual(entries["SHINE"]["hypernet"]["spec"]["m2p"]["blocks"], 2)
        self.assertEqual(entries["SHINE: piece 64"]["options"], {"rate": 0.1, "piece": 64})
        self.assertEqual(entries["SHINE: piece 64"]["program"], entries["SHINE"]["program"])  # one program for both
        self.assertNotEqual(entries["SHINE: blocks 1"]["program"], entries["SHINE"]["program"])
        self.assertEqual({entry["family"] for entry in entries.values()}, {"SHINE"})

    def test_what_is_wrong_is_a_sentence(self):
        for architectures, sentence in (
                ([{"hypernet": {}}], "has no name"),
                ([SHINE, SHINE], "two architectures are called 'SHINE'"),
                ([{"name": "A", "like": "B"}], "'A' is to be like 'B', which does not stand before it"),
                ([{**SHINE, "ranks": 3}], "'SHINE': 'ranks' is not known"),
                ([{"name": "A"}], "'A' has a hypernet, or a header and its type"),
                ([{"name": "A", "header": "a.hpp"}], "'A' has a header and no type"),
                ([{"name": "A", "header": "a.hpp", "type": "A"}, {"name": "B", "like": "A", "change": {"spec": {}}}],
                 "'B' changes a hypernet that 'A' does not have")):
            with self.assertRaises(SystemExit) as stopped:
                entries_of(*architectures)
            self.assertIn(sentence, str(stopped.exception))

    def test_what_is_wrong_with_a_plan_shows_before_anything_is_done(self):
        plan = {"base": BASE, "budget": {"steps": 5}, "architectures": [SHINE]}
        for change, sentence in (
                ({"budget": {}}, "a budget is one of steps, tokens and seconds"),
                ({"budget": {"steps": 1, "tokens": 2}}, "a budget is one of steps, tokens and seconds"),
                ({"seeds": 3}, "'seeds': expected list, found 3"), ({"seeds": ["a"]}, "whole numbers"), ({"sedes": []}, "'sedes' is not known"),
                ({"architectures": [{**SHINE, "about": ["document"]}]}, "'about' is a list of"),
                ({"architectures": [SHINE, {"like": "SHINE", "each": {"spec.rank": 4}}]}, "'each' has a list of values"),
                ({"claims": [{"claim": "x", "better": "SHINE"}]}, "better, and than or at_least"),
                ({"claims": [{"claim": "x", "better": "SHINE", "than": "Shine"}]}, "a claim about 'Shine', which the plan does not have"),
                ({"claims": [{"claim": "x", "better": "SHINE", "at_least": 9, "by": "los"}]}, "a claim by 'los'")):
            with self.assertRaises(SystemExit) as stopped:
                compare.check_plan({**plan, **change}, "plan.json")
                compare.check_claims({**plan, **change}, compare.architectures_of({**plan, **change}), "plan.json")
            self.assertIn(sentence, str(stopped.exception))
        for name in ("quick", "full"):
            path = ROOT / f"bench/compare/{name}.json"
            plan = json.loads(path.read_text())
            compare.check_plan(plan, path)
            compare.check_claims(plan, compare.architectures_of(plan), path)

    def test_why_a_program_ended_is_a_sentence(self):
        self.assertEqual(compare.failure(-9, "step 3 of 9\n"), "ended by SIGKILL")
        self.assertEqual(compare.failure(1, "step 3\nhyperblocks: no room (here): expected some, found none\nbye\n"),
                         "hyperblocks: no room (here): expected some, found none")
        self.assertEqual(compare.failure(1, "The following argument was not expected: --bach\nRun with --help for more information.\n"),
                         "The following argument was not expected: --bach")
        self.assertEqual(compare.failure(3, ""), "ended with code 3")

    def test_a_compilers_words_become_a_sentence_about_their_program(self):
        log = ("[1/9] Building CXX object x\nFAILED: CMakeFiles/architecture_mine.dir/architecture.cpp.o\n"
               "a.hpp:3: error: static assertion failed: hyperblocks: an architecture says how many parameters it has\n"
               "FAILED: CMakeFiles/architecture_mine-too.dir/architecture.cpp.o\nb.hpp:9: error: 'y' was not declared\n")
        self.assertEqual(compare.sentence_about("mine", log), "hyperblocks: an architecture says how many parameters it has")
        self.assertEqual(compare.sentence_about("mine-too", log), "error: 'y' was not declared")
        self.assertIsNone(compare.sentence_about("other", log))


class Runs(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.out = pathlib.Path(self.folder.name)
        self.plan = {"base": BASE, "budget": {"steps": 5}, "seeds": [1, 2], "baselines": ["nothing"], "architectures": [SHINE]}

    def tearDown(self):
        self.folder.cleanup()

    def program(self, name, script):
        path = self.out / "build" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text('#!/bin/sh\nwhile [ $# -gt 0 ]; do [ "$1" = --out ] && out=$2; shift; done\n' + script)
        path.chmod(0o755)

    def go(self):
        entries = compare.architectures_of(self.plan)
        runs = compare.runs_of(self.plan, entries, self.out, {})
        with contextlib.redirect_stdout(io.StringIO()):
            compare.run_all(runs)
        compare.collect(self.plan, entries, runs, {}, self.out)
        return runs, [json.loads(line) for line in (self.out / "results.jsonl").read_text().splitlines()[1:]]

    def test_what_is_done_stays_and_what_fails_is_tried_again(self):
        self.program("baselines", 'echo \'{"kind": "baseline"}\' > "$out/result.json"')
        self.program("shine", 'echo run >> "$out/tries"; echo "a sentence"; exit 1')
        runs, lines = self.go()
        self.assertEqual([line.get("failed") for line in lines], [None, "a sentence", "a sentence"])
        self.program("shine", 'echo run >> "$out/tries"; echo \'{"kind": "exam"}\' > "$out/result.json"')
        self.go()
        runs, lines = self.go()  # nothing is left to do
        self.assertEqual([line["kind"] for line in lines], ["baseline", "exam", "exam"])
        self.assertEqual([(run["folder"] / "tries").read_text().count("run") for run in runs[1:]], [2, 2])

    def test_a_program_of_something_else_is_not_run(self):
        entry = compare.architectures_of(self.plan)[0]
        self.assertIn("it has no program", compare.not_built(entry, self.out))
        self.program(entry["program"], "exit 0")
        self.assertIn("of something else", compare.not_built(entry, self.out))
        compare.made_of(entry, self.out).write_text(compare.what_it_is(entry))
        self.assertIsNone(compare.not_built(entry, self.out))
        entry["hypernet"] = {"system": "shine", "spec": {"rank": 8}}
        self.assertIn("of something else", compare.not_built(entry, self.out))

    def test_what_has_not_been_run_waits_and_what_another_runs_is_left_to_it(self):
        self.program("baselines", 'echo \'{"kind": "baseline"}\' > "$out/result.json"')
        self.program("shine", 'echo run >> "$out/tries"; exit 1')
        folder = compare.runs_of(self.plan, compare.architectures_of(self.plan), self.out, {})[1]["folder"]
        folder.mkdir(parents=True)
        with open(folder / "run.log", "a") as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            _, lines = self.go()
        self.assertFalse((folder / "tries").exists())
        self.assertEqual([line.get("waiting") for line in lines], [None, True, None])
        self.assertEqual(lines[2]["failed"], "ended with code 1")

    def test_another_option_spec_or_seed_is_another_run(self):
        def folders(**change):
            plan = {**self.plan, **change}
            return {run["folder"] for run in compare.runs_of(plan, compare.architectures_of(plan), self.out, {}) if run["family"] == "SHINE"}
        before = folders()
        self.assertEqual(folders(), before)
        for change in ({"budget": {"steps": 6}}, {"options": {"batch": 2}}, {"seeds": [3, 4]},
                       {"architectures": [{**SHINE, "hypernet": {"system": "shine", "spec": {"rank": 2}}}]}):
            self.assertFalse(folders(**change) & before, change)

    def test_a_loss_told_twice_counts_once_and_seconds_go_on(self):
        told = [{"step": 1, "loss": 3.0, "seconds": 1.0}, {"step": 2, "loss": 2.0, "seconds": 2.0}, {"step": 2, "loss": 2.5, "seconds": 0.5},
                {"step": 3, "loss": 1.0, "seconds": 1.5}, {"step": 4, "loss": None, "seconds": 1.7}, {"held_out": 1}]
        (self.out / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in told) + '{"step": 4, "lo')
        self.assertEqual(compare.losses(self.out), [[1, 3.0, 1.0], [2, 2.5, 2.5], [3, 1.0, 3.5]])


if __name__ == "__main__":
    unittest.main()
