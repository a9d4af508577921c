"""What every driver of a real SIP client shares: one class per client, the same verbs.

    start()      runs the client, which registers by itself
    registered() waits for the 200 to its REGISTER; refused() for the final refusal, and names it
    call(user)   rings() answer() decline(status) talks() hold() resume() hang_up()
    ended()      waits for the end of its call and tells the status that ended it, if any did
    heard()      whether it heard the other side
    message(user, text)  delivered(text) tells the status that answered it
    got(text)    waits for a MESSAGE with this text
    unregister() stop()

Verbs that wait have a deadline and raise `Failed` with a sentence. Nothing here sleeps for luck.
"""

import re
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import audio

# What a step may take on a busy machine; it takes milliseconds on an idle one.
PATIENCE_S = 30
# So much of the tone must be in a recording.
HEARD_S = 1.0

CREDENTIALS = re.compile(r"^(?:Proxy-)?Authorization: +Digest .*", re.MULTILINE)
ALGORITHM = re.compile(r"algorithm=\"?([\w-]+)")
FINAL = re.compile(r"^SIP/2\.0 ([2-6]\d\d) .*\n((?:.+\n)+)", re.MULTILINE)
CSEQ = re.compile(r"^CSeq: *\d+ (\w+)", re.MULTILINE)
CALL_ID = re.compile(r"^Call-ID: *(\S+)", re.MULTILINE)
# Its header and the first line of its body.
MESSAGE = re.compile(r"^MESSAGE sips?:.*\n((?:.+\n)+)\n(.*)", re.MULTILINE)
CHALLENGES = (401, 407)


class Failed(Exception):
    """The client or the server did not do what the test expects."""


@dataclass(frozen=True)
class Account:
    """Who registers. The password may be made wrong on purpose."""

    user: str
    domain: str
    password: str

    @property
    def aor(self):
        return f"sip:{self.user}@{self.domain}"


def wait(what, condition, seconds=PATIENCE_S, pause_s=0.02):
    """Waits until `condition()` is true and hands back its value."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(f"{what}: not within {seconds} s")
        time.sleep(pause_s)


class Phone:
    """A client in a process of its own."""

    kind = "phone"
    # What it cannot be without, by the names of `needs.py`; its kind if this is empty.
    needs = ""

    def __init__(self, account, server, over, folder, ports, **options):
        """`server` is `host:port`, `over` udp, tcp, tls, ws or wss with a 6 behind it for IPv6,
        `ports` a block of twenty free ones, `options` the driver's."""
        self.account, self.server, self.over = account, server, over
        self.transport, self.ipv6 = over.removesuffix("6"), over.endswith("6")
        self.host = "::1" if self.ipv6 else "127.0.0.1"
        self.folder, self.ports, self.options = Path(folder), ports, options
        self.sip_port, self.control_port, self.rtp_ports = ports[0], ports[2], ports[4:20]
        self.process, self.events, self.lock = None, [], threading.Lock()
        self.folder.mkdir(parents=True)

    def __str__(self):
        return f"{self.kind} ({self.account.user}, {self.over})"

    def uri(self, user):
        return f"sip:{user}@{self.account.domain}"

    @property
    def output(self):
        return self.folder / "output.log"

    def run(self, command, **how):
        """Starts the client's process; what it says goes to `output`."""
        with open(self.output, "wb") as output:
            how = {"stdin": subprocess.PIPE, "stdout": output, "stderr": subprocess.STDOUT} | how
            self.process = subprocess.Popen(command, **how)

    def said(self):
        try:
            return self.output.read_text(errors="replace")
        except OSError:
            return ""

    def happened(self, *names):
        """The events with these names, oldest first, as (name, value)."""
        with self.lock:
            return [event for event in self.events if event[0] in names]

    def note(self, name, value=None):
        with self.lock:
            self.events.append((name, value))

    def forget(self, *names):
        with self.lock:
            self.events = [event for event in self.events if event[0] not in names]

    def expect(self, name, accept=lambda value: True, seconds=PATIENCE_S):
        """Waits for an event and hands back its value."""
        what = f"{self} waits for {name}"

        def found():
            self.alive()
            return [event for event in self.happened(name) if accept(event[1])]

        return wait(what, found, seconds)[-1][1]

    def alive(self):
        if self.process.poll() is not None:
            raise Failed(f"{self} ended by itself with {self.process.returncode}")

    def registered(self):
        self.expect("registered")

    def refused(self):
        return self.expect("refused")

    def rings(self):
        self.expect("rings")

    def hears_ringing(self):
        self.expect("ringback")

    def talks(self):
        self.expect("talks")

    def ended(self):
        return self.expect("ended")

    def heard(self):
        """Whether its recording holds enough of the tone."""
        return any(audio.seconds_of_tone(path) >= HEARD_S for path in self.recordings())

    def recordings(self):
        return []

    def delivered(self, text):
        """The final status for the MESSAGE with this text."""

        def final():
            heads = [head for head, body in MESSAGE.findall(self.trace()) if body == text]
            ids = [CALL_ID.search(head)[1] for head in heads]
            finals = self.finals("MESSAGE", lambda head: CALL_ID.search(head)[1] in ids)
            return [status for status in finals if status not in CHALLENGES]

        return wait(f"{self} waits for the answer to its MESSAGE", final)[0]

    def got(self, text):
        bodies = lambda: [body for _, body in MESSAGE.findall(self.trace())]
        wait(f"{self} waits for a MESSAGE", lambda: text in bodies())

    def finals(self, method, of=lambda head: True):
        """The final statuses that it got, or gave, for requests of this method."""
        finals = [(int(status), head) for status, head in FINAL.findall(self.trace())]
        return [status for status, head in finals if CSEQ.search(head)[1] == method and of(head)]

    def digests(self):
        """The algorithms of the credentials that it sent, read from its own trace."""
        sent = CREDENTIALS.findall(self.trace())
        return {match[1] if (match := ALGORITHM.search(line)) else "MD5" for line in sent}

    def trace(self):
        """The SIP messages that it sent and received, as text."""
        return self.said()

    def stop(self):
        """Ends the process: politely, then firmly."""
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class CommandedPhone(Phone):
    """One that is told by `command(verb, ...)` what to do, and tells of all that happens."""

    def call(self, user):
        self.command("call", self.uri(user))

    def hang_up(self):
        self.command("hang_up")

    def hold(self):
        self.command("hold")

    def resume(self):
        self.command("resume")

    def message(self, user, text):
        self.forget("delivered")
        self.command("message", self.uri(user), text)

    def delivered(self, _):
        return self.expect("delivered")

    def got(self, text):
        self.expect("message", lambda message: message == text)

    def unregister(self):
        self.command("unregister")
        self.expect("unregistered")
