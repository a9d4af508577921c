"""baresip 1.0 (Debian), driven over its ctrl_tcp module: netstrings of JSON.

It plays the tone with `ausine` and records what it hears with the filter `sndfile`.
"""

import json
import re
import socket
import threading
from subprocess import DEVNULL

from phone import Failed, Phone, wait

MODULES = ("g711", "ausine", "aubridge", "sndfile", "uuid")
APPLICATIONS = ("contact", "menu", "ctrl_tcp")
EVENTS = {
    "CALL_INCOMING": "rings",
    "CALL_RINGING": "ringback",
    "CALL_ESTABLISHED": "talks",
    "CALL_CLOSED": "ended",
}
BOUND = re.compile(r"200 OK .*\[\d+ bindings?\]")
COLOUR = re.compile(r"\x1b\[[\d;]*m")
REFUSED = re.compile(r"reg: \S+ (\d{3}) ")


class Baresip(Phone):
    kind = "baresip"

    def start(self):
        self.configure()
        command = ["baresip", "-f", str(self.folder), "-v", "-s"]
        self.run(command, stdin=DEVNULL, cwd=self.folder)
        self.control = wait(f"{self} opens its control port", self.connect)
        self.answers = []
        threading.Thread(target=self.read, daemon=True).start()

    def configure(self):
        at = f"[{self.host}]" if self.ipv6 else self.host
        lines = [
            f"sip_listen {at}:{self.sip_port}",
            f"net_interface {self.host}",
            f"ctrl_tcp_listen 127.0.0.1:{self.control_port}",
            f"rtp_ports {self.rtp_ports[0]}-{self.rtp_ports[-1]}",
            "audio_player aubridge,sink",
            "audio_alert aubridge,alert",
            "audio_source ausine,440",
            "ausrc_srate 48000",
            "ausrc_channels 2",
            # It cuts long paths.
            "snd_path .",
            "module_path /usr/lib/baresip/modules",
        ]
        lines += [f"module {name}.so" for name in MODULES]
        lines += ["module_tmp account.so"]
        lines += [f"module_app {name}.so" for name in APPLICATIONS]
        if self.transport == "tls":
            # With it the server's certificate is verified.
            lines += [f"sip_cafile {self.options['ca']}"]
        if "no_answer_s" in self.options:
            lines += [f"call_local_timeout {self.options['no_answer_s']}"]
        (self.folder / "config").write_text("\n".join(lines) + "\n")
        account = self.account
        (self.folder / "accounts").write_text(
            f"<{account.aor};transport={self.transport}>;auth_user={account.user}"
            f";auth_pass={account.password};regint=120;answermode=manual"
            f';outbound="sip:{self.server};transport={self.transport}"'
            f"{self.options.get('account_params', '')}\n"
        )
        contacts = [f'"{user}" <{self.uri(user)}>\n' for user in self.options["contacts"]]
        (self.folder / "contacts").write_text("".join(contacts))

    def connect(self):
        self.alive()
        try:
            return socket.create_connection(("127.0.0.1", self.control_port))
        except OSError:
            return None

    def read(self):
        """Takes netstrings apart: `LENGTH:JSON,`."""
        buffer = b""
        while True:
            try:
                piece = self.control.recv(65_536)
            except OSError:
                return
            if not piece:
                return
            buffer += piece
            while b":" in buffer:
                length, _, rest = buffer.partition(b":")
                if len(rest) <= int(length):
                    break
                self.take(json.loads(rest[: int(length)].decode(errors="replace")))
                buffer = rest[int(length) + 1 :]

    def take(self, message):
        if "event" not in message:
            self.answers.append(message)
            return
        name = EVENTS.get(message["type"])
        if name == "ended":
            status = re.match(r"\d{3}", message.get("param", ""))
            self.note(name, int(status[0]) if status else None)
        elif name:
            self.note(name)

    def command(self, name, params=""):
        seen = len(self.answers)
        text = json.dumps({"command": name, "params": params, "token": "t"}).encode()
        self.control.sendall(b"%d:%s," % (len(text), text))
        answer = wait(f"{self} obeys {name}", lambda: self.answers[seen:])[0]
        if not answer.get("ok", True):
            raise Failed(f"{self} refuses {name}: {answer.get('data')}")
        return answer.get("data", "")

    def registered(self):
        wait(f"{self} is registered", lambda: BOUND.search(self.said()))

    def refused(self):
        return int(wait(f"{self} is refused", lambda: REFUSED.search(self.said()))[1])

    def call(self, user):
        self.command("dial", self.uri(user))

    def answer(self):
        self.command("accept")

    def hang_up(self):
        self.command("hangup")

    def decline(self, status):
        """It says 486 to a call that it does not want."""
        if status != 486:
            raise Failed(f"{self} declines with 486 only")
        self.hang_up()

    def hold(self):
        self.command("hold")

    def resume(self):
        self.command("resume")

    def message(self, user, text):
        """It goes to the current contact, which is found by going up and down the list."""
        for step in ("contact_prev", "contact_next"):
            for _ in self.options["contacts"]:
                if f"{user} <" in self.command(step):
                    self.command("message", text)
                    return
        raise Failed(f"{self} has no contact {user}")

    def trace(self):
        return COLOUR.sub("", self.said()).replace("\r", "")

    def unregister(self):
        """It does so when it ends."""
        self.stop()

    def recordings(self):
        return list(self.folder.glob("dump-*-dec.wav"))
