"""JsSIP 3.13.8 and SIP.js 0.21.2 (npm), each a phone in a page of a Chromium of its own.

The pages are in `web/`: they have the verbs, and tell of events. What they send and receive over
the WebSocket is read from the DevTools. They send a beep instead of the tone.
"""

import json
import signal

from certificate import key_hash
from chromium import Chromium
from phone import CSEQ, FINAL, CommandedPhone, wait

# Of the beeps that Chromium's own microphone makes a second of a call brings ten times as much.
HEARD_ENERGY = 0.02


class Browser(CommandedPhone):
    needs = "browser"
    # Where the pages are served; `run` knows. The Origin of their WebSockets.
    pages = None

    def start(self):
        """`options`: `origin` is another one to load the page from, `tab_of` is the phone whose
        Chromium it shares."""
        other, self.frames = self.options.get("tab_of"), []
        self.chromium = other.chromium if other else self.chromium_of_its_own()
        self.process = self.chromium.process
        page = f"{self.options.get('origin', self.pages)}/{self.kind}.html"
        self.page = self.chromium.open(page, self.hear)
        setup = {
            "uri": self.account.aor,
            "user": self.account.user,
            "password": self.account.password,
            "server": f"{self.transport}://{self.server}/",
        }
        self.command("start", setup)

    def chromium_of_its_own(self):
        trust = f"--ignore-certificate-errors-spki-list={key_hash(self.options['ca'])}"
        return Chromium(self.folder / "profile", self.output, [trust])

    def hear(self, method, params):
        if method == "Runtime.bindingCalled":
            self.note(*json.loads(params["payload"]))
        elif method.startswith("Network.webSocketFrame"):
            if "response" in params:
                self.frames.append((params["timestamp"], params["response"]["payloadData"]))
        elif method in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
            with open(self.folder / "console.log", "a") as console:
                console.write(f"{json.dumps(params)}\n")

    def command(self, verb, *words):
        """Promises are not waited for: what comes of them are events."""
        arguments = ", ".join(map(json.dumps, words))
        self.chromium.evaluate(self.page, f"void phone.{verb}({arguments})")

    def answer(self):
        self.command("answer")

    def decline(self, status):
        self.command("decline", status)

    def count(self):
        """RTP packets that its latest call has sent and received."""
        self.counts = self.chromium.evaluate(self.page, "phone.rtp()")
        return self.counts["sent"], self.counts["received"]

    def exchanges(self, packets):
        """Waits until its latest call sends and receives so many packets more."""
        before = self.count()

        def enough():
            return min(now - then for now, then in zip(self.count(), before)) >= packets

        wait(f"{self} sends and receives {packets} RTP packets", enough, pause_s=0.2)

    def hears_nothing(self):
        """Waits until nothing comes in any more."""
        last = None

        def quiet():
            nonlocal last
            before, last = last, self.count()[1]
            return before == last

        wait(f"{self} hears nothing any more", quiet, pause_s=0.6)

    def heard(self):
        return self.counts["energy"] >= HEARD_ENERGY

    def answer_to(self, method):
        """Waits for the final answer to its latest request of this method; hands back when the
        request went, when the answer came, both on the monotonic clock, and the status."""

        def last():
            frames = [(at, frame.replace("\r", "")) for at, frame in self.frames]
            sent = [at for at, frame in frames if frame.startswith(f"{method} ")]
            answers = [
                (at, int(final[1]))
                for at, frame in frames
                if (final := FINAL.match(frame)) and CSEQ.search(final[2])[1] == method
            ]
            if sent and answers and answers[-1][0] > sent[-1]:
                return sent[-1], *answers[-1]
            return None

        return wait(f"{self} waits for the answer to {method}", last)

    def trace(self):
        return "\n".join(frame for _, frame in self.frames).replace("\r", "")

    def kill(self):
        """What a power cut does."""
        self.chromium.kill()

    def freeze(self):
        """As if its network were gone: it says nothing more, and nobody closes its connection."""
        self.chromium.signal(signal.SIGSTOP)

    def stop(self):
        if not self.process:
            return
        (self.folder / "sip.log").write_text(self.trace())
        if "tab_of" not in self.options:
            if self.process.poll() is None:
                # It may be frozen.
                self.chromium.signal(signal.SIGCONT)
            self.chromium.stop()


class JsSip(Browser):
    kind = "jssip"


class SipJs(Browser):
    kind = "sipjs"
