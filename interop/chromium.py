"""Headless Chromium (Debian `chromium`), driven by the Chrome DevTools Protocol over a pipe: JSON
with a zero byte behind it, in its file descriptors 3 and 4.
"""

import fcntl
import itertools
import json
import os
import signal
import subprocess
import threading
from pathlib import Path

from phone import Failed, wait

# A name for another site, which also leads here.
ELSEWHERE = "elsewhere.example"
# As root it has no sandbox, and only pages of the tests' own are shown in it. Its microphone
# beeps; nobody is asked whether it may be used; addresses of loopback are no secret.
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--no-first-run",
    "--disable-gpu",
    "--mute-audio",
    "--remote-debugging-pipe",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--allow-loopback-in-peer-connection",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
    f"--host-resolver-rules=MAP {ELSEWHERE} 127.0.0.1",
)
# Puts the two descriptors where Chromium looks for them.
START = 'in=$1 out=$2; shift 2; exec "$@" 3<&"$in" 4>&"$out" {in}<&- {out}>&-'
# Out of the way of the descriptors that it is given.
FIRST_FD = 10


class Chromium:
    """One browser, with a profile of its own in `folder`."""

    def __init__(self, folder, output, flags=()):
        """`output` is the file for what it says, `flags` go behind the usual ones."""
        commands, self.write_end = pipe()
        self.read_end, answers = pipe()
        command = ["bash", "-c", START, "chromium", str(commands), str(answers), "chromium"]
        command += [*FLAGS, *flags, f"--user-data-dir={folder}", "about:blank"]
        with open(output, "wb") as out:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                pass_fds=(commands, answers), env=os.environ | {"HOME": str(folder)},
            )
        os.close(commands)
        os.close(answers)
        self.numbers, self.answers, self.hears = itertools.count(1), {}, {}
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        """Takes its messages apart: answers have a number, events have the page they are of."""
        buffer = b""
        while piece := os.read(self.read_end, 1 << 16):
            *messages, buffer = (buffer + piece).split(b"\0")
            for message in map(json.loads, messages):
                if "id" in message:
                    self.answers[message["id"]] = message
                elif hear := self.hears.get(message.get("sessionId")):
                    hear(message["method"], message["params"])
        os.close(self.read_end)

    def ask(self, method, page=None, **params):
        """Sends a command and hands back its result."""
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": params}
        message |= {"sessionId": page} if page else {}
        try:
            os.write(self.write_end, json.dumps(message).encode() + b"\0")
        except OSError as error:
            raise Failed(f"Chromium is gone: {error}") from None

        def answer():
            if self.process.poll() is not None:
                raise Failed(f"Chromium ended by itself with {self.process.returncode}")
            return self.answers.pop(number, None)

        answer = wait(f"Chromium obeys {method}", answer, 30, 0.005)
        if "error" in answer:
            raise Failed(f"Chromium refuses {method}: {answer['error']}")
        return answer["result"]

    def open(self, url, hear):
        """Opens a page, its own function `tell` in it; `hear(method, params)` gets its events."""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        page = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.hears[page] = hear
        for domain in ("Runtime", "Network", "Page"):
            self.ask(f"{domain}.enable", page)
        self.ask("Runtime.addBinding", page, name="tell")
        went = self.ask("Page.navigate", page, url=url)
        if "errorText" in went:
            raise Failed(f"Chromium cannot open {url}: {went['errorText']}")
        ready = "document.readyState === 'complete'"
        wait(f"{url} is there", lambda: self.evaluate(page, ready), 30)
        return page

    def evaluate(self, page, expression):
        """The value of some JavaScript in the page; waits for a promise."""
        how = {"expression": expression, "awaitPromise": True, "returnByValue": True}
        done = self.ask("Runtime.evaluate", page, **how)
        if problem := done.get("exceptionDetails"):
            said = problem.get("exception", {}).get("description") or problem["text"]
            raise Failed(f"{expression}: {said}")
        return done["result"].get("value")

    def signal(self, number):
        """To all of its processes; the first one is signalled last, for it would start others."""
        for process in reversed(family(self.process.pid)):
            try:
                os.kill(process, number)
            except ProcessLookupError:
                pass

    def kill(self):
        """What a power cut does to it."""
        self.signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.ask("Browser.close")
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.kill()
        os.close(self.write_end)


def family(first):
    """A process, its children, their children: each behind its parent."""
    children = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name, in parentheses, may hold anything.
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found = [first]
    for process in found:
        found += children.get(process, [])
    return found


def pipe():
    """(read end, write end), both of high numbers."""
    ends = os.pipe()
    high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, FIRST_FD) for end in ends]
    for end in ends:
        os.close(end)
    return high
