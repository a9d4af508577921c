"""Linphone 5.1 as linphone-daemon (Debian linphone-cli), driven over its standard input.

`linphone_shim.c` is loaded into it: see there.
"""

import os
import re
import subprocess

import audio
from phone import PATIENCE_S, Failed, Phone, wait

STATES = {
    "IncomingReceived": "rings",
    "OutgoingRinging": "ringback",
    "StreamsRunning": "talks",
    "Released": "released",
}
STATE = re.compile(r"Event: LinphoneCall(\w+)")


class Linphone(Phone):
    kind = "linphone"
    # The built linphone_shim.c; `needs.py` sets it.
    shim = None

    def start(self):
        self.configure()
        audio.write_tone(self.folder / "tone.wav")
        environment = os.environ | {
            "HOME": str(self.folder),
            "LD_PRELOAD": str(self.shim),
            "RINGWAY_HOSTS": str(self.folder / "hosts"),
            "RINGWAY_PLAY": str(self.folder / "tone.wav"),
            "RINGWAY_RECORD": str(self.folder / "heard.wav"),
        }
        command = ["linphone-daemon", "--log", str(self.log), "--config", str(self.folder / "rc")]
        self.seen = 0
        self.run(command, env=environment)

    @property
    def log(self):
        return self.folder / "sip.log"

    def configure(self):
        (self.folder / ".local/share/linphone").mkdir(parents=True)
        keys = {"udp": "sip_port", "tcp": "sip_tcp_port", "tls": "sip_tls_port"}
        ports = [
            f"{key}={self.sip_port if name == self.transport else 0}"
            for name, key in keys.items()
        ]
        account, server = self.account, self.server
        if self.transport == "tls":
            # It finds no addresses in a certificate, only names.
            server = f"{account.domain}:{server.rpartition(':')[2]}"
        (self.folder / "hosts").write_text(f"{self.host} {account.domain}\n")
        server = f"<sip:{server};transport={self.transport}"
        lines = [
            "[sip]",
            *ports,
            "auto_net_state_mon=0",
            f"root_ca={self.options['ca']}",
            "verify_server_certs=1",
            "verify_server_cn=1",
            f"use_ipv6={int(self.ipv6)}",
            "default_proxy=0",
            f"inc_timeout={self.options.get('no_answer_s', 30)}",
            "[rtp]",
            f"audio_rtp_port={self.rtp_ports[0]}-{self.rtp_ports[-1]}",
            "[proxy_0]",
            f"reg_proxy={server}>",
            f"reg_route={server};lr>",
            f"reg_identity={account.aor}",
            "reg_expires=120",
            "reg_sendregister=1",
            "publish=0",
            "[auth_info_0]",
            f"username={account.user}",
            f"passwd={account.password}",
            f"realm={account.domain}",
            f"domain={account.domain}",
        ]
        (self.folder / "rc").write_text("\n".join(lines) + "\n")

    def command(self, text):
        """Says it, waits for the status and hands back what was said."""
        seen = len(self.said())
        self.process.stdin.write(text.encode() + b"\n")
        self.process.stdin.flush()
        status = re.compile(r"Status: (\w+)")
        found = wait(f"{self} obeys {text}", lambda: status.search(self.said(), seen))
        return found[1], self.said()[seen:]

    def obey(self, text):
        status, said = self.command(text)
        if status != "Ok":
            raise Failed(f"{self} refuses {text}: {said}")

    def happened(self, *names):
        """States of its calls, read from what it says."""
        states = STATE.findall(self.said()[self.seen :])
        return [(STATES[state], None) for state in states if STATES.get(state) in names]

    def forget(self, *_):
        self.seen = len(self.said())

    def trace(self):
        try:
            return self.log.read_text(errors="replace").replace("\r", "")
        except OSError:
            return ""

    def status_is(self, name, seconds=PATIENCE_S):
        asked = lambda: name in self.command("register-status ALL")[1]
        wait(f"{self} is {name}", asked, seconds)

    def registered(self):
        self.status_is("LinphoneRegistrationOk")

    def fails_to_register(self):
        """It calls what it cannot do a 503 of its own."""
        failed = re.compile(r"Register refresher \[(\d+)\]")
        return int(wait(f"{self} fails to register", lambda: failed.search(self.trace()))[1])

    def refused(self):
        self.status_is("LinphoneRegistrationFailed")
        return self.finals("REGISTER")[-1]

    def call(self, user):
        self.obey(f"call {self.uri(user)}")

    def answer(self):
        self.obey(f"answer {self.call_id()}")

    def hang_up(self):
        self.obey(f"terminate {self.call_id()}")

    def decline(self, status):
        """It knows one way to refuse a call."""
        if status != 603:
            raise Failed(f"{self} declines with 603 only")
        self.hang_up()

    def hold(self):
        self.obey(f"call-pause {self.call_id()}")

    def resume(self):
        self.obey(f"call-resume {self.call_id()}")

    def message(self, user, text):
        self.obey(f"message {self.uri(user)} {text}")

    def call_id(self):
        """The number of its latest call."""
        return re.findall(r"^Id: (\d+)$", self.said(), re.MULTILINE)[-1]

    def ended(self):
        self.expect("released")
        last = self.finals("INVITE")[-1:]
        return last[0] if last and last[0] >= 300 else None

    def unregister(self):
        before = len(self.finals("REGISTER"))
        self.obey("unregister ALL")
        after = lambda: self.finals("REGISTER")[before:]
        wait(f"{self} is unregistered", lambda: after()[-1:] == [200])

    def recordings(self):
        return [self.folder / "heard.wav"]

    def stop(self):
        if self.process and self.process.poll() is None:
            try:
                self.command("quit")
                self.process.wait(5)
            except (OSError, Failed, subprocess.TimeoutExpired):
                pass
        super().stop()
