"""What the tests need from the system: found, installed where that is allowed, or named.

As root on Debian the packages are installed with apt-get. PJSUA comes as a wheel from PyPI into a
virtual environment of its own below the user's cache folder, JsSIP and SIP.js from npm beside it.
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

# program: (its Debian packages, what cannot be tested without it)
PROGRAMS = {
    "baresip": (("baresip", "baresip-core"), "baresip"),
    "linphone-daemon": (("linphone-cli",), "linphone"),
    "cc": (("gcc", "libc6-dev"), "linphone"),
    "sipp": (("sip-tester",), "sipp"),
    "sipsak": (("sipsak",), "sipsak"),
    "kamailio": (("kamailio",), "kamailio"),
    "python3-venv": (("python3-venv",), "pjsua"),
    "chromium": (("chromium",), "browser"),
    "node": (("nodejs",), "browser"),
    "npm": (("npm",), "browser"),
}
WHEEL = "pjsua2-python==2.15.1.post1"
APT = ("apt-get", "-y", "-q", "-o", "DPkg::Lock::Timeout=300")
WEB = Path(__file__).with_name("web")
PAGES = ("jssip", "sipjs")
PAGE = "<!doctype html><meta charset=utf-8><title>{0}</title><script src={0}.js></script>\n"
QUIET = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}


def find(folder):
    """What there is, for `place_of` in `run`; the shim of Linphone is built into `folder`."""
    install([name for name in PROGRAMS if not there(name)])
    missing = {}
    for program, (packages, of) in PROGRAMS.items():
        if not there(program):
            missing[of] = f"{program} is missing (Debian: {' '.join(packages)})"
    python = None if "pjsua" in missing else pjsua_python()
    if not python:
        missing.setdefault("pjsua", f"{WHEEL} could not be installed from PyPI")
    shim = None if "linphone" in missing else build_shim(folder)
    if not shim:
        missing.setdefault("linphone", "interop/linphone_shim.c does not compile")
    pages = None if "browser" in missing else build_pages(folder / "pages")
    if not pages:
        missing.setdefault("browser", "the pages in interop/web could not be built from npm")
    return {"missing": missing, "pjsua_python": python, "linphone_shim": shim, "pages": pages}


def there(program):
    if program == "python3-venv":
        # Debian takes this module out of Python, and brings it back with the package.
        return importlib.util.find_spec("ensurepip") is not None
    return shutil.which(program) is not None


def install(programs):
    install_packages([package for name in programs for package in PROGRAMS[name][0]])


def install_packages(packages):
    if not packages or os.geteuid() != 0 or not shutil.which("apt-get"):
        return
    say(f"installing {' '.join(packages)}")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    command = [*APT, "install", "--no-install-recommends", *packages]
    if subprocess.run(command, env=environment, **QUIET).returncode == 0:
        return
    subprocess.run([*APT, "update"], env=environment, **QUIET)
    done = subprocess.run(command, env=environment, text=True, **QUIET)
    if done.returncode != 0:
        say(done.stdout.strip())


def pjsua_python():
    """The Python of a virtual environment that has the wheel, or `None`."""
    venv = cache() / "venv"
    python = venv / "bin" / "python"
    if has_wheel(python):
        return str(python)
    say(f"installing {WHEEL} into {venv}")
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(venv)],
        [str(python), "-m", "pip", "install", "--quiet", WHEEL],
    ):
        if not succeeds(command):
            return None
    return str(python) if has_wheel(python) else None


def cache():
    folder = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(folder) / "ringway-interop"


def has_wheel(python):
    try:
        done = subprocess.run([str(python), "-c", "import pjsua2"], timeout=60, **QUIET)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def build_shim(folder):
    source = Path(__file__).with_name("linphone_shim.c")
    shim = folder / "linphone_shim.so"
    done = succeeds(["cc", "-shared", "-fPIC", "-o", str(shim), str(source), "-ldl"])
    return str(shim) if done else None


def build_pages(folder):
    """The pages of the phones for browsers, ready to be served, or `None`."""
    lock = (WEB / "package-lock.json").read_bytes()
    packages = cache() / f"web-{hashlib.sha256(lock).hexdigest()[:8]}"
    # npm writes it when it has everything.
    if not (packages / "node_modules" / ".package-lock.json").exists():
        say(f"installing JsSIP and SIP.js into {packages}")
        packages.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(WEB / name, packages)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        if not succeeds(command, cwd=packages):
            return None
    folder.mkdir()
    modules = packages / "node_modules"
    command = [str(modules / ".bin" / "esbuild"), *(str(WEB / f"{page}.js") for page in PAGES)]
    command += ["--bundle", "--define:global=window", f"--outdir={folder}"]
    if not succeeds(command, env=os.environ | {"NODE_PATH": str(modules)}):
        return None
    for page in PAGES:
        (folder / f"{page}.html").write_text(PAGE.format(page))
    return str(folder)


def succeeds(command, **how):
    """Runs it; tells what it said if it fails."""
    try:
        done = subprocess.run(command, text=True, timeout=300, **QUIET, **how)
    except (OSError, subprocess.TimeoutExpired) as error:
        say(str(error))
        return False
    if done.returncode != 0:
        say(done.stdout.strip())
    return done.returncode == 0


def say(text):
    print(f"      {text}", flush=True)
