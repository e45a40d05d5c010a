#!/usr/bin/env python3
"""Runs portcullis and other scanners on the same OCI layouts in the same run, and tells what each found alone, and why.

    side-by-side.py pack LAYOUT TAR...                 writes an OCI layout, a layer for each archive
    side-by-side.py compare --portcullis BIN [--rounds N] [--json FILE] [--without PEER] LAYOUT...

What one side alone finds gets a cause code, by the rules below; `unexplained` is what nobody has looked into yet.
Times are medians of the rounds, told as ratios to portcullis; who goes first is turned from round to round.
"""

import argparse
import base64
import gzip
import hashlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
import zlib

POLICY = """
[[rule]]
name = "all"
images = ["**"]
signatures = { require = "nobody-unsafe" }
pin = { pull = "tag" }
scan = { deny = ["critical"], unknown = "accept-unsafe", end-of-life = "off", max-advisory-age = "3650d" }
"""
# Advisories of no package that is looked at: inventories and secrets are compared, not findings.
NO_ADVISORIES = '{ "distroversion": "v3.20", "reponame": "main", "packages": [] }'

# Of what a scanner that failed had to say.
LINES_SHOWN_MAX = 10

CAUSES = {
    "archive-member": "in a packed archive, which the other does not open, or not in a file of this kind",
    "classifier": "a program that tells its version, in a way for which the other has no rule",
    "configuration": "in the image's configuration or its history, which the other is not shown",
    "foreign-kind": "of a kind that the other does not list of an image",
    "guess": "a word like `key` and something random behind it; which secret it would be, nobody says",
    "no-version": "a program that tells no version of itself: nothing could be matched",
    "not-installed": "a package.json that is no installed package's: the application's own, a test's, a part's",
    "protected": "a private key under a passphrase, which is useless without it",
    "rule": "the other has no rule for it, or none that matches its place or its encoding",
    "wrong-checksum": "a token whose checksum is wrong, so that it is none",
    "session-token": "a token of a session (JWT): documentation is full of such, and nothing tells which count",
    "unexplained": "not looked into",
}


def pack(layout, archives):
    blobs = os.path.join(layout, "blobs", "sha256")
    os.makedirs(blobs)

    def put(kind, data):
        digest = hashlib.sha256(data).hexdigest()
        with open(os.path.join(blobs, digest), "wb") as file:
            file.write(data)
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(data)}

    oci = "application/vnd.oci.image"
    layers, diff_ids, history = [], [], []
    for archive in archives:
        with open(archive, "rb") as file:
            data = file.read()
        diff_ids.append("sha256:" + hashlib.sha256(data).hexdigest())
        layers.append(put(f"{oci}.layer.v1.tar+gzip", gzip.compress(data, 6, mtime=0)))
        history.append({"created_by": f"ADD {os.path.basename(archive)} /"})
    config = {"architecture": "amd64", "os": "linux", "config": {"User": "1000"}, "history": history,
              "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    manifest = {"schemaVersion": 2, "mediaType": f"{oci}.manifest.v1+json",
                "config": put(f"{oci}.config.v1+json", json.dumps(config).encode()), "layers": layers}
    index = {"schemaVersion": 2, "mediaType": f"{oci}.index.v1+json",
             "manifests": [put(f"{oci}.manifest.v1+json", json.dumps(manifest).encode())]}
    for name, value in (("index.json", index), ("oci-layout", {"imageLayoutVersion": "1.0.0"})):
        with open(os.path.join(layout, name), "w") as file:
            json.dump(value, file)


def measured(command, environment):
    """Exit code, output, errors, and what it cost: wall and processor seconds, and the largest resident memory."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        began = time.monotonic()
        process = subprocess.Popen(command, stdout=output, stderr=errors, env={**os.environ, **environment})
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.monotonic() - began
        output.seek(0)
        errors.seek(0)
        cost = {"wall_s": wall, "cpu_s": usage.ru_utime + usage.ru_stime, "rss_kib": usage.ru_maxrss}
        return process.returncode, output.read(), errors.read().decode(errors="replace"), cost


# Packages: a key that both sides can be brought to is type, name, version.

KINDS = {"go-module": "golang", "java-archive": "maven", "rust-crate": "cargo", "php-composer": "composer",
         "dotnet": "nuget", "binary": "binary"}


def plain(kind, name):
    if kind in ("python", "pypi"):
        return re.sub(r"[-_.]+", "-", name).lower()
    # The group is in few archives; the peers guess it.
    return name.rsplit(":", 1)[-1] if kind == "maven" else name


def ours_packages(report):
    found = {}
    for listed in report["packages"]:
        package = listed["package"]
        key = (package["kind"], plain(package["kind"], package["name"]), package["version"])
        found.setdefault(key, []).append(listed["path"])
    return found


def syft_packages(document):
    found = {}
    for artifact in document["artifacts"]:
        kind = KINDS.get(artifact["type"], artifact["type"])
        key = (kind, plain(kind, artifact["name"]), artifact["version"])
        paths = [place["path"].lstrip("/") for place in artifact.get("locations", [])]
        found.setdefault(key, []).extend(paths)
    return found


INSTALLED = re.compile(r"(^|/)node_modules/(@[^/]+/)?[^/@]+/package\.json$")


def package_cause(key, paths, peer_only):
    kind, _, version = key
    if version in ("", "UNKNOWN", "(devel)"):
        return "no-version"
    if peer_only and kind == "npm" and paths and not any(INSTALLED.search(path) for path in paths):
        return "not-installed"
    if not peer_only:
        return {"binary": "classifier", "hex": "foreign-kind"}.get(kind, "unexplained")
    return "unexplained"


def difference(ours, theirs, cause, line):
    told = {"both": len(ours.keys() & theirs.keys())}
    for side, one, other in (("only_portcullis", ours, theirs), ("only_peer", theirs, ours)):
        alone = sorted(one.keys() - other.keys())
        told[side] = [{**line(key, one[key]), "cause": cause(key, one[key], side == "only_peer")} for key in alone]
    return told


# Secrets: file, and the digest of the value, which is all that portcullis keeps of it.

def base62(number, digits):
    alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    text = ""
    for _ in range(digits):
        number, digit = divmod(number, 62)
        text = alphabet[digit] + text
    return text


def wrong_checksum(value):
    token = re.search(r"gh[pousr]_([0-9A-Za-z]{30})([0-9A-Za-z]{6})", value)
    return bool(token) and base62(zlib.crc32(token[1].encode()), 6) != token[2]


def protected(value):
    """PEM says so in a header, OpenSSH in what it packs: the name of the function that makes a key of a passphrase."""
    body = re.search(r"-----BEGIN OPENSSH PRIVATE KEY-----([0-9A-Za-z+/=\\\s]+)", value)
    packed = re.sub(r"[^0-9A-Za-z+/]", "", body[1].replace("\\n", "")) if body else ""
    return "ENCRYPTED" in value or b"bcrypt" in base64.b64decode(packed[: len(packed) // 4 * 4])


def gitleaks_command(program, tree):
    return [program, "dir", tree, "--no-banner", "--log-level", "fatal", "--exit-code", "0", "--max-decode-depth", "2",
            "--report-format", "json", "--report-path", "-"]


def gitleaks_secrets(output):
    for leak in json.loads(output or b"[]"):
        yield leak["File"], leak["Secret"], leak["Match"], leak["RuleID"]


def trufflehog_command(program, tree):
    return [program, "filesystem", tree, "--json", "--no-verification", "--no-update"]


def trufflehog_secrets(output):
    for line in output.splitlines():
        leak = json.loads(line)
        if "DetectorName" in leak:
            path = leak["SourceMetadata"]["Data"]["Filesystem"]["file"]
            yield path, leak["Raw"], leak.get("RawV2") or leak["Raw"], leak["DetectorName"]


SECRET_PEERS = {"gitleaks": (gitleaks_command, gitleaks_secrets),
                "trufflehog": (trufflehog_command, trufflehog_secrets)}


def secret_cause(rule, value):
    if protected(value):
        return "protected"
    if wrong_checksum(value):
        return "wrong-checksum"
    return {"generic-api-key": "guess", "jwt": "session-token", "JWT": "session-token"}.get(rule, "unexplained")


def compare_secrets(findings, tree, leaks):
    """`findings` are ours. One of theirs is ours too when it is in the same file and begins as ours does."""
    by_path = {}
    for finding in findings:
        layer = "config" if finding["layer"] is None else finding["layer"]
        path = finding["path"].split("!")[0]
        by_path.setdefault(f"{layer}/{path}", []).append(finding)
    known, alone = set(), {}
    for file, value, match, rule in leaks:
        # gitleaks names a member of an archive behind `!`.
        place = os.path.relpath(file.split("!")[0], tree)
        same = [it for it in by_path.get(place, []) if it["preview"].rstrip("…") in value + match]
        known.update((it["path"], it["layer"], it["value_sha256"]) for it in same)
        if not same:
            alone[(place, rule, value[:6])] = secret_cause(rule, value)
    ours_alone = []
    for finding in findings:
        if (finding["path"], finding["layer"], finding["value_sha256"]) in known:
            continue
        cause = "configuration" if finding["layer"] is None else "archive-member" if "!" in finding["path"] else "rule"
        ours_alone.append({"path": finding["path"], "rule": finding["rule"], "cause": cause})
    theirs = [{"path": place, "rule": rule, "cause": cause} for (place, rule, _), cause in sorted(alone.items())]
    return {"both": len(known), "only_portcullis": ours_alone, "only_peer": theirs}


def unpack_layers(layout, tree):
    """Each layer into a folder of its own, as files alone: secret scanners read folders, and deleted files ship too."""
    def blob(descriptor):
        return os.path.join(layout, "blobs", descriptor["digest"].replace(":", "/"))

    with open(os.path.join(layout, "index.json")) as file:
        index = json.load(file)
    with open(blob(index["manifests"][0])) as file:
        manifest = json.load(file)
    for number, layer in enumerate(manifest["layers"]):
        folder = os.path.join(tree, str(number))
        os.makedirs(folder)
        with tarfile.open(blob(layer)) as archive:
            for member in archive:
                parts = os.path.normpath("/" + member.name).strip("/")
                if not member.isfile() or not parts:
                    continue
                place = os.path.join(folder, parts)
                os.makedirs(os.path.dirname(place), exist_ok=True)
                with archive.extractfile(member) as source, open(place, "wb") as target:
                    shutil.copyfileobj(source, target)


def find(name):
    cache = os.environ.get("PORTCULLIS_CLIENTS", os.path.expanduser("~/.cache/portcullis-clients"))
    place = os.path.join(cache, "bin", name)
    return place if os.access(place, os.X_OK) else shutil.which(name)


def compare(portcullis, layout, rounds, without, work):
    for name, text in (("policy.toml", POLICY), ("feed/alpine.json", NO_ADVISORIES)):
        os.makedirs(os.path.join(work, "feed"), exist_ok=True)
        with open(os.path.join(work, name), "w") as file:
            file.write(text)
    advisories = os.path.join(work, "advisories.bin")
    subprocess.run([portcullis, "advisories", "build", "--from", os.path.join(work, "feed"), "--out", advisories, "--quiet"],
                   check=True)
    tree = os.path.join(work, "tree")
    unpack_layers(layout, tree)
    commands = {"portcullis": [portcullis, "check", f"oci:{layout}", "--as", "example.org/app:1", "--output", "json",
                               "--policy", os.path.join(work, "policy.toml"), "--advisories", advisories]}
    if find("syft") and "syft" not in without:
        commands["syft"] = [find("syft"), "--quiet", "--output", "json", f"oci-dir:{layout}"]
    for name, (command, _) in SECRET_PEERS.items():
        if find(name) and name not in without:
            commands[name] = command(find(name), tree)
    for name in ("syft", *SECRET_PEERS):
        if name not in commands and name not in without:
            print(f"SKIPPED: {name}: not here; run scripts/clients.sh", file=sys.stderr)
    environment = {"SYFT_CHECK_FOR_APP_UPDATE": "false", "HOME": work}
    outputs, costs, order = {}, {name: [] for name in commands}, list(commands)
    for number in range(rounds):
        for name in order[number % len(order):] + order[:number % len(order)]:
            code, outputs[name], errors, cost = measured(commands[name], environment)
            # Of portcullis, 1 is a denial: it has read the image. Of trufflehog, 1 is a file that it could not read.
            if code not in ((0, 1) if name in ("portcullis", "trufflehog") else (0,)):
                last = "\n".join(errors.splitlines()[-LINES_SHOWN_MAX:])
                sys.exit(f"{name} failed with {code} on {layout}:\n{last}")
            costs[name].append(cost)
    scan = json.loads(outputs["portcullis"])["scans"][0]["scan"]
    median = {name: {key: statistics.median(cost[key] for cost in told) for key in told[0]} for name, told in costs.items()}
    told = {"image": layout, "rounds": rounds, "packages": {}, "secrets": {}, "cost": median, "unknown": scan["unknown"]}
    told["ratios"] = {name: {key: round(value / max(median["portcullis"][key], 1e-9), 2) for key, value in cost.items()}
                      for name, cost in median.items()}
    told["packages_found"] = len(ours_packages(scan))
    told["secrets_found"] = [{"path": it["path"], "rule": it["rule"]} for it in scan["secrets"]]
    if "syft" in outputs:
        def line(key, paths):
            return {"type": key[0], "name": key[1], "version": key[2], "path": paths[0] if paths else ""}
        told["packages"]["syft"] = difference(ours_packages(scan), syft_packages(json.loads(outputs["syft"])), package_cause, line)
    for name, (_, secrets) in SECRET_PEERS.items():
        if name in outputs:
            told["secrets"][name] = compare_secrets(scan["secrets"], tree, secrets(outputs[name]))
    return told


def show(told):
    print(f"== {told['image']}: {told['packages_found']} packages, {len(told['secrets_found'])} secrets ==")
    for what in ("packages", "secrets"):
        for peer, found in told[what].items():
            alone = {side: found[side] for side in ("only_portcullis", "only_peer")}
            counts = ", ".join(f"{len(lines)} {side.replace('_', ' ')}" for side, lines in alone.items())
            print(f"{what} and {peer}: {found['both']} both, {counts}")
            for side, lines in alone.items():
                for line in lines:
                    words = " ".join(str(value) for key, value in line.items() if key != "cause")
                    print(f"  {side.replace('_', ' ')}: [{line['cause']}] {words}")
    for name, cost in told["cost"].items():
        ratio = told["ratios"][name]
        print(f"{name}: wall {cost['wall_s']:.2f} s ({ratio['wall_s']} x), processor {cost['cpu_s']:.2f} s ({ratio['cpu_s']} x), "
              f"memory {cost['rss_kib'] / 1024:.0f} MiB ({ratio['rss_kib']} x)")
    print()


def main():
    parser = argparse.ArgumentParser(description="Portcullis and other scanners, side by side.")
    commands = parser.add_subparsers(dest="command", required=True)
    packing = commands.add_parser("pack")
    packing.add_argument("layout")
    packing.add_argument("archives", nargs="+")
    comparing = commands.add_parser("compare")
    comparing.add_argument("--portcullis", required=True)
    comparing.add_argument("--rounds", type=int, default=3)
    comparing.add_argument("--json")
    comparing.add_argument("--without", action="append", default=[], help="a peer that is not run; may be repeated")
    comparing.add_argument("layouts", nargs="+")
    arguments = parser.parse_args()
    if arguments.command == "pack":
        return pack(arguments.layout, arguments.archives)
    all_told = []
    for layout in arguments.layouts:
        with tempfile.TemporaryDirectory() as work:
            all_told.append(compare(arguments.portcullis, layout, arguments.rounds, arguments.without, work))
        show(all_told[-1])
    causes = {line["cause"] for told in all_told for what in ("packages", "secrets") for found in told[what].values()
              for side in ("only_portcullis", "only_peer") for line in found[side]}
    for cause in sorted(causes):
        print(f"{cause}: {CAUSES[cause]}")
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump({"schema": "portcullis-side-by-side/1", "images": all_told}, file, indent=1, sort_keys=True)


main()
