# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The hyperblocks authors
# tools/compare: a plan (bench/compare/*.json) becomes programs, their runs, and FOLDER/results.jsonl, a line for each run:
#   {"name", "family", "seed", what the exam found, "loss": [[step, loss, seconds]...]}, or {"name", "failed": sentence}
import argparse
import copy
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BASELINES = {"nothing": "no context", "in-context": "document in the context", "tuned-on-document": "LoRA tuned on the document (LIFT)",
             "tuned-on-questions": "LoRA tuned on questions", "distilled": "context distilled"}


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
        if configured.returncode == 0:
            subprocess.run(["cmake", "--build", folder, "--", "-k", "0"], stdout=file, stderr=file)
    if configured.returncode != 0:
        stop(f"the programs cannot be configured: {log}")
    text = log.read_text()
    failed = {}
    for entry in entries:
        sentence = sentence_about(entry["program"], text)
        if sentence or not (folder / entry["program"]).exists():
            failed[entry["name"]] = sentence or "it does not compile"
    if not (folder / "baselines").exists():
        stop(f"the baselines do not compile: {log}")
    return failed


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
            what = [entry.get("hypernet"), entry.get("type"), header_of(entry).read_text() if "header" in entry else ""]
            add(entry["name"], entry["family"], seed, [entry["program"]],
                {**common, "evaluate-every": 0, "report-every": 10, **budget, **entry.get("options", {}), "seed": seed}, what)
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
            code = subprocess.run(run["command"], stdout=log, stderr=log).returncode
        if code != 0:
            lines = (run["folder"] / "run.log").read_text().strip().splitlines()
            print(f"    failed: {lines[-1] if lines else code}", flush=True)


def losses(folder):
    """Of a step told twice, the later line counts; seconds go on behind a break."""
    points, offset, last = {}, 0, 0
    path = folder / "log.jsonl"
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            continue  # cut off when the program was killed
        if "loss" not in entry:
            continue
        if entry["seconds"] < last:
            offset += last
        last = entry["seconds"]
        points[entry["step"]] = [entry["step"], entry["loss"], round(offset + entry["seconds"], 3)]
    return [points[step] for step in sorted(points)]


def collect(plan, entries, runs, failed, out):
    """One line for each run, whole or not at all."""
    lines = [{"plan": {key: plan.get(key) for key in ("title", "base", "options", "budget", "tuning", "claims")}}]
    for entry in entries:
        if entry["name"] in failed:
            lines.append({"name": entry["name"], "family": entry["family"], "failed": failed[entry["name"]]})
    about = {entry["name"]: {"about": entry.get("about"), "hypernet": entry.get("hypernet")} for entry in entries}
    for run in runs:
        line = {"name": run["name"], "family": run["family"], "seed": run["seed"], **about.get(run["name"], {})}
        result = run["folder"] / "result.json"
        if result.exists():
            line |= {**json.loads(result.read_text()), "seed": run["seed"], "loss": losses(run["folder"])}
        else:
            log = run["folder"] / "run.log"
            said = log.read_text().strip().splitlines() if log.exists() else []
            line["failed"] = said[-1] if said else "not run yet"
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
    path = pathlib.Path(options.plan) if options.plan else ROOT / "bench/compare" / ("quick.json" if options.quick else "full.json")
    try:
        plan = json.loads(path.read_text())
    except (OSError, json.JSONDecodeError) as error:
        stop(f"{path}: {error}")
    for needed in ("base", "budget", "architectures"):
        if needed not in plan:
            stop(f"{path}: '{needed}' is missing")
    check_keys(plan, {"title", "base", "options", "budget", "seeds", "tuning", "baselines", "architectures", "claims"}, str(path))
    check_keys(plan["budget"], {"steps", "tokens", "seconds"}, f"{path}: budget")
    for name in plan.get("baselines", []):
        if name not in BASELINES:
            stop(f"{path}: no baseline is called '{name}'; there are {', '.join(BASELINES)}")
    out = pathlib.Path(options.out or ROOT / "build/compare" / path.stem).resolve()
    out.mkdir(parents=True, exist_ok=True)
    entries = architectures_of(plan)
    for own in options.own:
        header, _, kind = own.partition(":")
        if not header or not kind:
            stop(f"--with {own}: expected HEADER:TYPE")
        if not pathlib.Path(header).is_file():
            stop(f"--with {own}: there is no header {header}")
        entries.append({"name": kind, "family": kind, "program": slug(kind), "header": str(pathlib.Path(header).resolve()), "type": kind})
    base_of(plan["base"])
    failed = {} if options.run else build(plan, entries, out)
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
        subprocess.run([ROOT / "tools/report", out / "results.jsonl", "--out", out / "report.html", *kernels(out)], check=True)


if __name__ == "__main__":
    main()
