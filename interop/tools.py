"""Programs that are no phones: sipsak, SIPp, and the torture messages of ../shared."""

import hashlib
import json
import subprocess
import sys
import urllib.parse
from pathlib import Path

from phone import Failed
from server import address
from stage import DOMAIN, Skipped

HERE = Path(__file__).resolve().parent
TORTURE = HERE.parent.parent / "shared" / "conformance" / "run" / "torture.py"
CALLS_PER_S = 60


def need(stage, tool):
    if tool in stage.place["missing"]:
        raise Skipped(f"{tool} is not installed")


def run(stage, name, command, seconds):
    """Runs it to its end, its output in `name`.log; hands back (status, output)."""
    log = stage.folder / f"{name}.log"
    with open(log, "w") as out:
        quiet = {"stdin": subprocess.DEVNULL, "stdout": out, "stderr": subprocess.STDOUT}
        try:
            done = subprocess.run(command, cwd=stage.folder, timeout=seconds, **quiet)
        except subprocess.TimeoutExpired:
            raise Failed(f"{name} is not done after {seconds} s") from None
    return done.returncode, log.read_text(errors="replace")


def sipsak(stage, name, *words):
    need(stage, "sipsak")
    return run(stage, name, ["sipsak", "-vv", *words], 30)


class Sipp:
    """One scenario, as often as there are rows of (user, credentials, whom to call).

    `uri` is what all its requests go to: SIPp puts one and the same into all credentials, and
    credentials for another URI are refused (RFC 7616 3.4.6).
    """

    def __init__(self, stage, scenario, port, rows, uri=DOMAIN, transport="u1"):
        need(stage, "sipp")
        self.name, self.stage = f"{scenario}-{transport}-{port}", stage
        users = stage.folder / f"{self.name}.csv"
        lines = [";".join(row) for row in rows]
        users.write_text("\n".join(["SEQUENTIAL", *lines]) + "\n")
        self.log = stage.folder / f"{self.name}.log"
        command = ["sipp", address(stage.server.port)]
        command += ["-sf", str(HERE / "sipp" / f"{scenario}.xml")]
        command += ["-inf", str(users), "-key", "domain", DOMAIN, "-t", transport]
        command += ["-i", "127.0.0.1", "-p", str(port), "-mi", "127.0.0.1", "-nostdin"]
        command += ["-m", str(len(rows)), "-r", str(CALLS_PER_S), "-l", str(len(rows))]
        command += ["-auth_uri", uri, "-timeout", "60", "-timeout_error", "-trace_err"]
        command += ["-error_file", str(stage.folder / f"{self.name}.errors"), "-trace_msg"]
        command += ["-message_file", str(stage.folder / f"{self.name}.messages")]
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                command, cwd=stage.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def finish(self):
        """Every single one must have gone as the scenario says."""
        try:
            status = self.process.wait(70)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise Failed(f"{self.name} does not end") from None
        if status != 0:
            raise Failed(f"{self.name} ended with {status}: see {self.log}")


def credentials(account):
    return f"[authentication username={account.user} password={account.password}]"


def torture(stage, server, over):
    """Runs the torture messages; hands back name: (verdict, statuses)."""
    result = stage.folder / f"torture-{over}.json"
    command = [sys.executable, "-B", str(TORTURE), server, "--json", str(result)]
    command += ["--tcp"] if over == "tcp" else []
    status, said = run(stage, f"torture-{over}", command, 150)
    if status != 0:
        raise Failed(f"torture.py ended with {status}: {said[-300:]}")
    return {row["name"]: (row["verdict"], row["codes"]) for row in json.loads(result.read_text())}


def known_hash(address):
    """A line for `ringway account import` that no password rule looks at."""
    user, domain = address.rsplit("@", 1)
    plain = urllib.parse.unquote(user)
    ha1 = hashlib.md5(f"{plain}:{domain}:pass-{plain}".encode()).hexdigest()
    return f"{address},HA1-MD5={ha1}"
