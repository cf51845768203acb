# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The hyperblocks authors
# tools/compare: a plan (bench/compare/*.json) becomes programs, their runs, and FOLDER/results.jsonl, a line for each run:
#   {"name", "family", "seed", what the exam found, "loss": [[step, loss, seconds]...]}, or {"name", "failed": sentence}
import argparse
import copy
import datetime
import fcntl
import hashlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys

from training_log import has_loss, lines_of

ROOT = pathlib.Path(__file__).resolve().parent.parent
CALLER = pathlib.Path(os.environ.get("CALLER", "."))  # where paths on the command line begin
BASELINES = {"nothing": "no context", "in-context": "document in the context", "tuned-on-document": "LoRA tuned on the document (LIFT)",
             "tuned-on-questions": "LoRA tuned on questions", "distilled": "context distilled"}

KINDS = ("loss", "longest needle", "facts", "facts, in new words", "what is not said", "facts, 2 documents", "facts, 4 documents", "tasks")


def stop(sentence):
    sys.exit(f"tools/compare: {sentence}")


def check_keys(given, known, where):
    for key in given:
        if key not in known:
            stop(f"{where}: '{key}' is not known; known are {', '.join(sorted(known))}")


def slug(name):
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def merged(spec, change):
    """`spec` with the fields of `change` in the place of its own."""
    result = copy.deepcopy(spec)
    for key, value in change.items():
        result[key] = merged(result.get(key, {}), value) if isinstance(value, dict) else value
    return result


def base_of(folder):
    """What hypernet.json says of the base that it is for."""
    path = ROOT / folder / "config.json"
    try:
        config = json.loads(path.read_text())
        if not (path.parent / "model.safetensors").exists():
            stop(f"no base: {path.parent} has no model.safetensors")
    except (OSError, json.JSONDecodeError) as error:
        stop(f"no base: {path}: {error}")
    for key in ("num_attention_heads", "hidden_size", "num_hidden_layers", "intermediate_size"):
        if not isinstance(config.get(key), int):
            stop(f"no base: {path}: '{key}' is no number")
    heads, hidden = config["num_attention_heads"], config["hidden_size"]
    return {"hidden": hidden, "layers": config["num_hidden_layers"], "heads": heads,
            "kv_heads": config.get("num_key_value_heads", heads), "head_width": config.get("head_dim", hidden // heads),
            "inner": config["intermediate_size"]}


def with_field(path, value):
    """{"a": {"b": value}} of "a.b"."""
    for key in reversed(path.split(".")):
        value = {key: value}
    return value


def swept(entry):
    """An entry with `each` is one entry for each value of each field, which is one of the hypernet or, behind "options.", of the options."""
    if "each" not in entry:
        return [entry]
    rest = {key: value for key, value in entry.items() if key != "each"}
    found = []
    for path, values in entry["each"].items():
        for value in values:
            variant = {**rest, "name": f"{entry.get('like')}: {path.split('.')[-1]} {value}"}
            if path.startswith("options."):
                variant["options"] = merged(rest.get("options", {}), with_field(path.removeprefix("options."), value))
            else:
                variant["change"] = merged(rest.get("change", {}), with_field(path, value))
            found.append(variant)
    return found


def architectures_of(plan):
    """Every entry with all that it is `like`."""
    known = {}
    for entry in (variant for entry in plan["architectures"] for variant in swept(entry)):
        name = entry.get("name") or stop("an architecture of the plan has no name")
        check_keys(entry, {"name", "family", "hypernet", "header", "type", "options", "about", "like", "change"}, f"'{name}'")
        if slug(name) in map(slug, known):
            stop(f"two architectures are called '{name}'")
        if "like" in entry:
            if entry["like"] not in known:
                stop(f"'{name}' is to be like '{entry['like']}', which does not stand before it")
            like = known[entry["like"]]
            whole = merged({key: value for key, value in like.items() if key != "name"},
                           {key: value for key, value in entry.items() if key not in ("like", "change")})
            if "change" in entry and "hypernet" not in like:
                stop(f"'{name}' changes a hypernet that '{entry['like']}' does not have")
            if "change" in entry:
                whole["hypernet"] = merged(like["hypernet"], entry["change"])
        else:
            whole = copy.deepcopy(entry)
        if ("hypernet" in whole) == ("header" in whole):
            stop(f"'{name}' has a hypernet, or a header and its type")
        if "header" in whole and "type" not in whole:
            stop(f"'{name}' has a header and no type")
        whole.setdefault("family", name)
        known[name] = whole
    programs = {}  # variants that differ in their options alone are one program
    for entry in known.values():
        what = json.dumps([entry.get(key) for key in ("hypernet", "header", "type")], sort_keys=True)
        entry["program"] = programs.setdefault(what, slug(entry["name"]))
    return list(known.values())


def write_if_new(path, text):
    """An unchanged file keeps its date, and what is built of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def header_of(entry):
    """A path from the repository's root, or one of bench/compare."""
    for folder in (ROOT, ROOT / "bench/compare"):
        if (folder / entry["header"]).is_file():
            return folder / entry["header"]
    stop(f"'{entry['name']}': there is no header {entry['header']}")


def build(plan, entries, out):
    """Programs in out/build; a sentence for each architecture that has none."""
    base = base_of(plan["base"])
    lines = []
    for name, entry in {entry["program"]: entry for entry in reversed(entries)}.items():
        if "hypernet" in entry:
            path = out / "nets" / name / "hypernet.json"
            write_if_new(path, json.dumps({"format": 1, "base": base, **entry["hypernet"]}, indent=1) + "\n")
            lines.append(f'hyperblocks_add_architecture(NAME {name} HYPERNET "{path}")')
        else:
            lines.append(f'hyperblocks_add_architecture(NAME {name} HEADER "{header_of(entry)}" TYPE {entry["type"]})')
    write_if_new(out / "programs.cmake", "\n".join(lines) + "\n")
    folder = out / "build"
    log = out / "build.log"
    with open(log, "w") as file:
        configured = subprocess.run(
            ["cmake", "-S", ROOT / "bench/compare", "-B", folder, "-G", "Ninja", f"-DHYPERBLOCKS_COMPARE={out}/programs.cmake",
             f"-DHYPERBLOCKS_BASE_CONFIG={ROOT / plan['base']}"], stdout=file, stderr=file)
        if configured.returncode != 0:
            stop(f"the programs cannot be configured: {log}")
        for program in ("baselines", *(entry["program"] for entry in entries)):
            (folder / program).unlink(missing_ok=True)  # what is there behind the build has been built by it
        subprocess.run(["cmake", "--build", folder, "--", "-k", "0"], stdout=file, stderr=file)
    text = log.read_text()
    failed = {}
    for entry in entries:
        sentence = sentence_about(entry["program"], text)
        if sentence or not (folder / entry["program"]).exists():
            failed[entry["name"]] = sentence or "it does not compile"
    if not (folder / "baselines").exists():
        stop(f"the baselines do not compile: {log}")
    for entry in entries:
        made_of(entry, out).write_text(what_it_is(entry))
    return failed


def what_it_is(entry):
    """All that a program is compiled of besides the library."""
    return json.dumps([entry.get("hypernet"), entry.get("type"), header_of(entry).read_text() if "header" in entry else ""])


def made_of(entry, out):
    return out / "build" / f"{entry['program']}.made_of"


def not_built(entry, out):
    """Why a program that is there, or not, is none of this plan's; else None."""
    if not (out / "build" / entry["program"]).exists():
        return "it has no program: --build makes it"
    same = made_of(entry, out).exists() and made_of(entry, out).read_text() == what_it_is(entry)
    return None if same else "its program is of something else: --build makes it again"


def sentence_about(name, log):
    """What the compiler or the writer of specs says of a program that they refuse, in a sentence; else None."""
    for part in log.split("FAILED:")[1:]:
        if re.search(rf"architecture_{re.escape(name)}[./]", part.split("\n")[0]):
            found = re.search(r"hyperblocks: [^\n]+", part) or re.search(r"error: [^\n]+", part)
            return found.group(0) if found else "it does not compile"
    return None


def runs_of(plan, entries, out, failed):
    """Every run: its name, family, seed, command and folder, which is another one when anything of it changes."""
    common = {"base": str(ROOT / plan["base"]), **plan.get("options", {})}
    budget = plan["budget"]
    base = hashlib.sha256((ROOT / plan["base"] / "model.safetensors").read_bytes()).hexdigest()
    runs = []

    def add(name, family, seed, program, options, what):
        flags = []
        for key, value in options.items():
            flags += [f"--{key}"] if value is True else [] if value is False else [f"--{key}", str(value)]
        mark = hashlib.sha256(json.dumps([program, flags, what, base]).encode()).hexdigest()[:10]
        folder = out / "runs" / f"{slug(name)}-{seed}-{mark}"
        runs.append({"name": name, "family": family, "seed": seed, "folder": folder,
                     "command": [str(out / "build" / program[0]), *program[1:], "--out", str(folder), *flags]})

    for name in plan.get("baselines", BASELINES):
        tuning = {key: value for key, value in plan.get("tuning", {}).items() if name not in ("nothing", "in-context")}
        add(BASELINES[name], "baseline", 1, ["baselines", name], {**common, **tuning}, "")
    for seed in plan.get("seeds", [1]):
        for entry in entries:
            if entry["name"] in failed:
                continue
            add(entry["name"], entry["family"], seed, [entry["program"]],
                {**common, "evaluate-every": 0, "report-every": 10, **budget, **entry.get("options", {}), "seed": seed}, what_it_is(entry))
    return runs


def run_all(runs):
    rank, size = int(os.environ.get("OMPI_COMM_WORLD_RANK", 0)), int(os.environ.get("OMPI_COMM_WORLD_SIZE", 1))
    mine = [run for i, run in enumerate(runs) if i % size == rank]
    for number, run in enumerate(mine):
        if (run["folder"] / "result.json").exists():
            continue
        print(f"[{number + 1} of {len(mine)}] {run['name']}, seed {run['seed']}", flush=True)
        run["folder"].mkdir(parents=True, exist_ok=True)
        with open(run["folder"] / "run.log", "a") as log:
            try:
                fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                print("    another process is at it")
                continue
            begin = log.tell()
            if size > 1:
                (run["folder"] / "beside").write_text(str(size))
            code = subprocess.run(run["command"], stdout=log, stderr=log).returncode
        failed = run["folder"] / "failed"
        if code == 0:
            failed.unlink(missing_ok=True)
            continue
        failed.write_text(failure(code, (run["folder"] / "run.log").read_bytes()[begin:].decode(errors="replace")))
        print(f"    failed: {failed.read_text()}", flush=True)


def failure(code, said):
    """Why a program ended, in a sentence: its own, or the signal that ended it."""
    if code < 0:
        return f"ended by {signal.Signals(-code).name}"
    lines = [line for line in said.strip().splitlines() if line != "Run with --help for more information."]
    own = [line for line in lines if line.startswith("hyperblocks: ")]
    return (own or lines or [f"ended with code {code}"])[-1]


def losses(folder):
    """Of a step told twice, the later line counts; seconds go on behind a break."""
    points, offset, last = {}, 0, 0
    path = folder / "log.jsonl"
    for entry in filter(has_loss, lines_of(path) if path.exists() else []):
        if entry["seconds"] < last:
            offset += last
        last = entry["seconds"]
        points[entry["step"]] = [entry["step"], entry["loss"], round(offset + entry["seconds"], 3)]
    return [points[step] for step in sorted(points)]


def collect(plan, entries, runs, failed, out):
    """One line for each run, whole or not at all."""
    ends = [result.stat().st_mtime for result in (run["folder"] / "result.json" for run in runs) if result.exists()]
    date = datetime.date.fromtimestamp(max(ends)).isoformat() if ends else None
    lines = [{"plan": {**{key: plan.get(key) for key in ("title", "base", "options", "budget", "tuning", "claims")}, "date": date}}]
    for entry in entries:
        if entry["name"] in failed:
            lines.append({"name": entry["name"], "family": entry["family"], "failed": failed[entry["name"]]})
    about = {entry["name"]: {"about": entry.get("about"), "hypernet": entry.get("hypernet")} for entry in entries}
    for run in runs:
        line = {"name": run["name"], "family": run["family"], "seed": run["seed"], **about.get(run["name"], {})}
        result = run["folder"] / "result.json"
        if result.exists():
            line |= {**json.loads(result.read_text()), "seed": run["seed"], "loss": losses(run["folder"])}
            if (run["folder"] / "beside").exists():
                line["beside"] = int((run["folder"] / "beside").read_text())
        elif (run["folder"] / "failed").exists():
            line["failed"] = (run["folder"] / "failed").read_text()
        else:
            line["waiting"] = True
        lines.append(line)
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (out / "results.jsonl.part").write_text(text)
    os.replace(out / "results.jsonl.part", out / "results.jsonl")


def kernels(out):
    """The ladders of the kernels on this machine, as the report's arguments: measured once, with nothing else running."""
    program, measured = out / "build/kernels", out / "kernels.json"
    if not program.exists():
        return []
    if not measured.exists():
        part = measured.with_suffix(".part")
        subprocess.run([program, f"--benchmark_out={part}", "--benchmark_out_format=json"], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        part.replace(measured)
    return ["--kernels", measured]


def check_plan(plan, path):
    """What a plan has to have, before hours are spent on it."""
    kinds = {"title": str, "base": str, "options": dict, "budget": dict, "seeds": list, "tuning": dict, "baselines": list,
             "architectures": list, "claims": list}
    if not isinstance(plan, dict):
        stop(f"{path}: expected an object, found {type(plan).__name__}")
    check_keys(plan, kinds, str(path))
    for needed in ("base", "budget", "architectures"):
        if needed not in plan:
            stop(f"{path}: '{needed}' is missing")
    for key, value in plan.items():
        if not isinstance(value, kinds[key]):
            stop(f"{path}: '{key}': expected {kinds[key].__name__}, found {json.dumps(value)[:60]}")
    check_keys(plan["budget"], {"steps", "tokens", "seconds"}, f"{path}: budget")
    if len(plan["budget"]) != 1:
        stop(f"{path}: a budget is one of steps, tokens and seconds, found {json.dumps(plan['budget'])}")
    if not all(isinstance(seed, int) for seed in plan.get("seeds", [])):
        stop(f"{path}: 'seeds' are whole numbers, found {json.dumps(plan['seeds'])}")
    for name in plan.get("baselines", []):
        if name not in BASELINES:
            stop(f"{path}: no baseline is called '{name}'; there are {', '.join(BASELINES)}")
    for entry in plan["architectures"]:
        about = entry.get("about", [])
        if not isinstance(about, list) or not all(isinstance(step, list) and len(step) == 2 for step in about):
            stop(f"{path}: '{entry.get('name')}': 'about' is a list of [what it is, what comes out of it]")
        each = entry.get("each", {})
        if not isinstance(each, dict) or not all(isinstance(values, list) for values in each.values()):
            stop(f"{path}: '{entry.get('like')}': 'each' has a list of values for each field")


def check_claims(plan, entries, path):
    names = {entry["name"] for entry in entries} | set(BASELINES.values())
    for claim in plan.get("claims", []):
        check_keys(claim, {"claim", "better", "than", "at_least", "by"}, f"{path}: claims")
        if "claim" not in claim or "better" not in claim or ("than" in claim) == ("at_least" in claim):
            stop(f"{path}: a claim has claim, better, and than or at_least, found {json.dumps(claim)}")
        for name in (claim["better"], claim.get("than", claim["better"])):
            if name not in names:
                stop(f"{path}: a claim about '{name}', which the plan does not have")
        if claim.get("by", "loss") not in KINDS:
            stop(f"{path}: a claim by '{claim['by']}'; there are {', '.join(KINDS)}")


def main():
    parser = argparse.ArgumentParser(prog="tools/compare", description="Compares architectures of hypernetworks.")
    parser.add_argument("--quick", action="store_true", help="bench/compare/quick.json")
    parser.add_argument("--plan", help="a plan; default: bench/compare/full.json")
    parser.add_argument("--with", dest="own", action="append", default=[], metavar="HEADER:TYPE", help="one more architecture")
    parser.add_argument("--out", help="folder; default: build/compare/<the plan's name>")
    parser.add_argument("--build", action="store_true", help="only the programs")
    parser.add_argument("--run", action="store_true", help="only the runs, of programs that are built")
    parser.add_argument("--no-report", action="store_true", help="results.jsonl alone")
    options = parser.parse_args()
    path = CALLER / options.plan if options.plan else ROOT / "bench/compare" / ("quick.json" if options.quick else "full.json")
    try:
        plan = json.loads(path.read_text())
    except (OSError, json.JSONDecodeError) as error:
        stop(f"{path}: {error}")
    check_plan(plan, path)
    out = (CALLER / options.out if options.out else ROOT / "build/compare" / path.stem).resolve()
    out.mkdir(parents=True, exist_ok=True)
    entries = architectures_of(plan)
    check_claims(plan, entries, path)
    for own in options.own:
        header, _, kind = own.partition(":")
        if not header or not kind:
            stop(f"--with {own}: expected HEADER:TYPE")
        if not (CALLER / header).is_file():
            stop(f"--with {own}: there is no header {header}")
        if slug(kind) in (slug(entry["name"]) for entry in entries):
            stop(f"--with {own}: the plan has an architecture '{kind}' already")
        entries.append({"name": kind, "family": kind, "program": slug(kind), "header": str((CALLER / header).resolve()), "type": kind})
    base_of(plan["base"])
    if options.run:
        failed = {entry["name"]: why for entry in entries if (why := not_built(entry, out))}
    else:
        failed = build(plan, entries, out)
    for name, sentence in failed.items():
        print(f"{name}: left out: {sentence}")
    if options.build:
        return
    if not (out / "build/baselines").exists():
        stop(f"no programs in {out}/build: --build makes them")
    runs = runs_of(plan, entries, out, failed)
    run_all(runs)
    if options.run:
        return
    collect(plan, entries, runs, failed, out)
    print(out / "results.jsonl")
    if not options.no_report:
        sys.exit(subprocess.run([ROOT / "tools/report", out / "results.jsonl", "--out", out / "report.html", *kernels(out)]).returncode)


if __name__ == "__main__":
    main()
