"""PJSUA2 from the wheel pjsua2-python (pjproject 2.15).

One process holds one pjsua endpoint, so each phone is a child, `pjsua_child.py`, run by the Python
that has the wheel. Commands go to it as lines of JSON, events come back the same way.
"""

import json
import subprocess
import threading
from pathlib import Path

import audio
from phone import CommandedPhone

CHILD = Path(__file__).with_name("pjsua_child.py")


class Pjsua(CommandedPhone):
    kind = "pjsua"
    # The Python that has the wheel; `needs.py` sets it.
    python = None

    def start(self):
        audio.write_tone(self.folder / "tone.wav")
        setup = {
            "user": self.account.user,
            "aor": self.account.aor,
            "domain": self.account.domain,
            "password": self.account.password,
            "server": self.server,
            "transport": self.transport,
            "host": self.host,
            "keep_alive_s": self.options.get("keep_alive_s", 15),
            "contact_params": self.options.get("contact_params", ""),
            "folder": str(self.folder),
            "ca": str(self.options["ca"]),
            "sip_port": self.sip_port,
            "rtp_port": self.rtp_ports[0],
            "rtp_range": len(self.rtp_ports) - 2,
        }
        command = [str(self.python), str(CHILD), json.dumps(setup)]
        with open(self.output, "wb") as output:
            self.run(command, stdout=subprocess.PIPE, stderr=output)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            if line.startswith(b"@"):
                self.note(*json.loads(line[1:]))

    def command(self, *words):
        self.process.stdin.write(json.dumps(words).encode() + b"\n")
        self.process.stdin.flush()

    def fails_to_register(self):
        """It says the same of a server that refuses it and of one that it does not trust."""
        return self.refused()

    def answer(self):
        self.command("answer", 200)

    def decline(self, status):
        self.command("answer", status)

    def trace(self):
        return (self.folder / "pjsua.log").read_text(errors="replace").replace("\r", "")

    def recordings(self):
        return [self.folder / "heard.wav"]

    def stop(self):
        if self.process and self.process.poll() is None:
            try:
                self.command("quit")
                self.process.wait(5)
            except (OSError, subprocess.TimeoutExpired):
                pass
        super().stop()
