"""Asks PyPI's bindep and `loci bindep` the same, and says where they differ (see bindep.sh).

    ask_bindep.py LOCI FOLDER       with a Python that has bindep

PyPI's is asked within this process, with the platform of an os-release file; loci is run once a question.
"""

import itertools
import os
import pathlib
import random
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import bindep.depends
import distro.distro
from bindep.depends import Depends, DependsException

LOCI, WORK = sys.argv[1], pathlib.Path(sys.argv[2])
ROOT = pathlib.Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared/data/loci"

PLATFORMS = {
    "debian-12": 'ID=debian\nNAME="Debian GNU/Linux"\nVERSION_ID="12"\nVERSION="12 (bookworm)"\nVERSION_CODENAME=bookworm\n',
    "debian-13": 'ID=debian\nNAME="Debian GNU/Linux"\nVERSION_ID="13"\nVERSION="13 (trixie)"\nVERSION_CODENAME=trixie\n',
    "ubuntu-22.04": 'ID=ubuntu\nID_LIKE=debian\nVERSION_ID="22.04"\nVERSION="22.04.4 LTS (Jammy Jellyfish)"\nVERSION_CODENAME=jammy\nUBUNTU_CODENAME=jammy\n',
    "ubuntu-24.04": 'ID=ubuntu\nID_LIKE=debian\nVERSION_ID="24.04"\nVERSION="24.04 LTS (Noble Numbat)"\nVERSION_CODENAME=noble\nUBUNTU_CODENAME=noble\n',
    "centos-9": 'NAME="CentOS Stream"\nVERSION="9"\nID="centos"\nID_LIKE="rhel fedora"\nVERSION_ID="9"\n',
    "rocky-9": 'NAME="Rocky Linux"\nVERSION="9.4 (Blue Onyx)"\nID="rocky"\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.4"\n',
    "openeuler-24.03": 'NAME="openEuler"\nVERSION="24.03 (LTS)"\nID="openEuler"\nVERSION_ID="24.03"\n',
}
# More, of which only the profiles are compared.
ODD = {
    "openeuler-22.03": 'NAME="openEuler"\nVERSION="22.03 (LTS-SP4)"\nID="openEuler"\nVERSION_ID="22.03"\n',
    "ubuntu-14.04": 'NAME="Ubuntu"\nVERSION="14.04.6 LTS, Trusty Tahr"\nID=ubuntu\nVERSION_ID="14.04"\n',
    "centos-7": 'NAME="CentOS Linux"\nVERSION="7 (Core)"\nID="centos"\nVERSION_ID="7"\n',
    "rhel-7": 'NAME="Red Hat Enterprise Linux Server"\nVERSION="7.9 (Maipo)"\nID="rhel"\nVERSION_ID="7.9"\n',
    "rhel-9": 'NAME="Red Hat Enterprise Linux"\nVERSION="9.4 (Plow)"\nID="rhel"\nVERSION_ID="9.4"\n',
    "ol-9": 'NAME="Oracle Linux Server"\nVERSION="9.4"\nID="ol"\nID_LIKE="fedora"\nVERSION_ID="9.4"\n',
    "alma-9": 'NAME="AlmaLinux"\nVERSION="9.4 (Seafoam Ocelot)"\nID="almalinux"\nVERSION_ID="9.4"\n',
    "fedora-41": 'NAME="Fedora Linux"\nVERSION="41 (Container Image)"\nID=fedora\nVERSION_ID=41\nVERSION_CODENAME=""\n',
    "amzn-2": 'NAME="Amazon Linux"\nVERSION="2"\nID="amzn"\nID_LIKE="centos rhel fedora"\nVERSION_ID="2"\n',
    "leap-15": 'NAME="openSUSE Leap"\nVERSION="15.6"\nID="opensuse-leap"\nID_LIKE="suse opensuse"\nVERSION_ID="15.6"\n',
    "tumbleweed": 'NAME="openSUSE Tumbleweed"\nID="opensuse-tumbleweed"\nVERSION_ID="20250101"\n',
    "sles-15": 'NAME="SLES"\nVERSION="15-SP6"\nID="sles"\nID_LIKE="suse"\nVERSION_ID="15.6"\n',
    "alpine": 'NAME="Alpine Linux"\nID=alpine\nVERSION_ID=3.20.1\n',
    "mint": 'NAME="Linux Mint"\nID=linuxmint\nID_LIKE="ubuntu debian"\nVERSION_ID="22"\nVERSION_CODENAME=wilma\nUBUNTU_CODENAME=noble\n',
}

# It would make a parser of its grammar anew for every file, which takes half a second.
parser = bindep.depends.makeGrammar(bindep.depends.grammar, {})
bindep.depends.makeGrammar = lambda grammar, bindings: parser

questions = 0
differences = []


def say(text):
    print("bindep:", text, file=sys.stderr)


def platform(name, text):
    """An os-release file for loci, and what PyPI's bindep makes of it."""
    root = WORK / "platforms" / name
    (root / "etc").mkdir(parents=True)
    (root / "etc/os-release").write_text(text)
    # The functions of the library, which bindep calls, ask this one.
    distro.distro._distro = distro.distro.LinuxDistribution(root_dir=str(root))
    codename = distro.codename().lower()
    return str(root / "etc/os-release"), Depends("").platform_profiles(), codename


def loci(*arguments, path=None):
    environ = {"PATH": path or os.environ["PATH"], "HOME": str(WORK)}
    command = [LOCI, "bindep", "--quiet", *arguments]
    return subprocess.run(command, env=environ, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def compare(what, expected, arguments):
    """Whether loci says the names that are expected."""
    run = loci("-l", "newline", *arguments)
    found = run.stdout.split() if run.returncode == 0 else run.stderr
    return None if found == expected else f"{what}: bindep has {expected}, loci {found}"


def compare_all(cases):
    """Runs many cases at once; `cases` are what `compare` takes."""
    global questions
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for difference in threads.map(lambda case: compare(*case), cases):
            questions += 1
            if difference:
                differences.append(difference)


def once(names):
    return list(dict.fromkeys(names))


def wanted(depends, profiles):
    """What PyPI's wants; a package that two rules want it names twice."""
    return once(rule[0] for rule in depends.active_rules(profiles))


def choices(profiles):
    """No profile, each by itself, every pair, and all of them."""
    yield ()
    yield from itertools.combinations(profiles, 1)
    yield from itertools.combinations(profiles, 2)
    yield tuple(profiles)


def of_loci(platforms):
    """LOCI's own lists, asked as its scripts do."""
    for name in ("bindep.txt", "pydep.txt"):
        file = SHARED / name
        if not file.exists():
            say(f"skipped: LOCI's {name} needs ../shared/data")
            continue
        depends = Depends(file.read_text(), str(file))
        own = {"keystone", "nova", "neutron", "glance", "cinder", "heat", "horizon", "ironic", "octavia",
               "manila", "placement", "requirements"}
        known = [profile for profile in depends.profiles() if profile not in own]
        for release, (os_release, active, _) in platforms.items():
            for project in sorted(own):
                # Every pair on one platform only, for they are many.
                chosen = choices(known) if (release, project) in PAIRED else single(known)
                for profiles in chosen:
                    given = [project, *profiles]
                    arguments = ["-f", str(file), "--distro", os_release, *given]
                    yield f"{name} {release} {given}", wanted(depends, given + active), arguments
            given = ["default"]
            arguments = ["-f", str(file), "--distro", os_release]
            yield f"{name} {release}", wanted(depends, given + active), arguments


PAIRED = {("ubuntu-22.04", "nova"), ("debian-12", "keystone"), ("centos-9", "cinder")}


def single(profiles):
    return [(), *itertools.combinations(profiles, 1), tuple(profiles)]


def of_ours(platforms):
    """Our lists: a service's is what all have, and its own."""
    for folder, flag in (("bindep", []), ("pydep", ["--pydep"])):
        for file in sorted((ROOT / folder).glob("*.txt")):
            project = file.stem
            if project == "common":
                continue
            text = file.read_text()
            if project != "requirements":
                text = (ROOT / folder / "common.txt").read_text() + text
            depends = Depends(text)
            known = [profile for profile in depends.profiles() if not profile.startswith("platform:")]
            for release, (os_release, active, codename) in platforms.items():
                for profiles in choices(known):
                    given = [project, *profiles]
                    arguments = [*flag, "--distro", os_release, *given]
                    names = wanted(depends, [*given, codename, *active])
                    yield f"{folder} {release} {given}", names, arguments


def line(dice):
    """Something that is a rule, or almost one."""
    def profile():
        return dice.choice(["", "", "!"]) + dice.choice(
            ["a", "b", "c", "platform:dpkg", "platform:rpm", "platform:debian-12", "x.y", "-", ":"])

    def group():
        if dice.random() < 0.7:
            return profile()
        space = dice.choice(["", " "])
        return "(" + space + " ".join(profile() for _ in range(dice.randrange(4))) + space + ")"

    def version():
        epoch = dice.choice(["", "", "1:", ":"])
        number = "".join(dice.choices("0123.~+-a:", k=dice.randrange(1, 6)))
        return dice.choice(["<=", "<", "!=", "==", ">=", ">", "=", "~="]) + epoch + number

    text = dice.choice(["aa", "lib1.0", "/usr/bin/x", "a", "x+_y", "A-b", "9p"])
    if dice.random() < 0.7:
        text += dice.choice([" ", " ", " ", "  ", ""]) + "["
        text += dice.choice([" ", " ", ""]).join(group() for _ in range(dice.randrange(4)))
        text += dice.choice(["]", "]", "]", " ]", ""])
    if dice.random() < 0.3:
        text += " " + ",".join(version() for _ in range(dice.randrange(1, 3)))
    text += dice.choice(["", "", "", "#c", " # c", " "])
    if dice.random() < 0.1:
        # One character more, fewer or other.
        at = dice.randrange(len(text) + 1)
        text = text[:at] + dice.choice(["", *" []()!#\t,<=a"]) + text[at + dice.randrange(2):]
    return text


def at_random(platforms, count):
    """Files of random lines: what one refuses, the other refuses."""
    dice = random.Random(4)
    os_release, active, _ = platforms["debian-12"]
    accepted = 0
    for number in range(count):
        lines = [line(dice) for _ in range(dice.randrange(1, 3))]
        file = WORK / f"random-{number}"
        file.write_text(dice.choice(["", "\n", "# c\n", "  \n"]) + "\n".join(lines) + dice.choice(["", "\n"]))
        given = dice.sample(["a", "b", "c", "x.y"], dice.randrange(3))
        arguments = ["-f", str(file), "--distro", os_release, *given]
        try:
            names = wanted(Depends(file.read_text()), (given or ["default"]) + active)
            accepted += 1
        except DependsException:
            names = None
        yield f"{lines} {given}", names, arguments
    assert count // 5 < accepted < count * 4 // 5, f"{accepted} of {count} are rules"


def compare_refusals(cases):
    global questions
    for what, expected, arguments in cases:
        questions += 1
        run = loci("-l", "newline", *arguments)
        found = None if run.returncode == 2 else run.stdout.split()
        if found != expected:
            differences.append(f"{what}: bindep has {expected}, loci {found} {run.stderr}")


def versions():
    """Versions that are installed, by a database of packages that is made up, and conditions on them."""
    global questions
    dice = random.Random(4)

    def version():
        tail = "".join(dice.choices(["0", "00", "1", "10", "2", ".", "~", "+", "a", "b", "Z"], k=dice.randrange(5)))
        revision = dice.choice(["", "", "-1", "-1.1", "-0", "-1~a"])
        return dice.choice(["", "", "", "0:", "1:"]) + dice.choice("0123") + tail + revision

    rules, installed, expected = [], [], []
    for number in range(1500):
        name, there, given = f"p{number}", version(), version()
        relation = dice.choice(["<=", "<", "!=", "==", ">=", ">"])
        rules.append(f"{name} {relation}{given}\n")
        installed.append(f"{name} installed {there}\n")
        if not bindep.depends._eval(there, relation, given):
            expected.append(f"    {name} version {there} does not match {relation}{given}")
    (WORK / "versions").write_text("".join(rules))
    (WORK / "installed").write_text("".join(installed))
    (WORK / "bin").mkdir()
    query = WORK / "bin/dpkg-query"
    query.write_text(f"#!/bin/sh\nwhile read -r line; do echo \"$line\"; done <{WORK / 'installed'}\n")
    query.chmod(0o755)
    run = loci("-f", str(WORK / "versions"), "--distro", "debian", path=str(WORK / "bin"))
    questions += len(rules)
    found = run.stdout.splitlines()[1:]
    for odd in set(found) ^ set(expected):
        differences.append(f"version: only one has {odd}")


def on_this_machine():
    """The programs themselves: what they print, and how they end."""
    global questions
    if not shutil.which("dpkg-query"):
        say("skipped: the packages of this machine: there is no dpkg-query")
        return
    program = pathlib.Path(sys.executable).parent / "bindep"
    file = WORK / "machine"
    file.write_text("bash >1 # there\nno-such-package [a]\nanother-one\nbash [b] <2,!=9\ndpkg [a b]\n")
    for flags in ([], ["a"], ["b"], ["a", "b"]):
        for mode in ([], ["-b"], ["-l", "newline"], ["-l", "csv"], ["--list_all=csv"], ["--profiles"]):
            # Which of the flags stands first is the same.
            arguments = ["-f", str(file), *flags, *mode]
            theirs = subprocess.run([program, *arguments], capture_output=True, text=True)
            ours = loci(*arguments)
            questions += 1
            said = theirs.stdout
            if mode and mode[0] in ("-l", "--list_all=csv"):
                # It names a package twice where two rules want it.
                separator = "\n" if "newline" in mode else ","
                said = separator.join(once(said.strip().split(separator))) + "\n"
            if (said, theirs.returncode) != (ours.stdout, ours.returncode):
                differences.append(f"{arguments}: bindep says {said!r} {theirs.returncode}, "
                                   f"loci {ours.stdout!r} {ours.returncode}")


def main():
    global questions
    begun = time.monotonic()
    platforms = {name: platform(name, text) for name, text in PLATFORMS.items()}
    odd = {name: platform(name, text) for name, text in ODD.items()}
    for name, (os_release, active, _) in {**platforms, **odd}.items():
        run = loci("--profiles", "-f", "/dev/null", "--distro", os_release)
        found = [word for word in run.stdout.split() if word.startswith("platform:")]
        questions += 1
        if found != active:
            differences.append(f"{name}: bindep has {active}, loci {found}")
    compare_all(of_loci(platforms))
    compare_all(of_ours(platforms))
    compare_refusals(at_random(platforms, 600))
    versions()
    on_this_machine()
    for difference in differences[:20]:
        say(f"FAILED: {difference}")
    say(f"{questions} questions to PyPI's bindep, {len(differences)} answers differ: "
        f"{time.monotonic() - begun:.0f} s")
    sys.exit(1 if differences else 0)


main()
