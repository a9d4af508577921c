"""One PJSUA2 phone: reads commands from standard input, writes events to standard output.

Runs in the Python that has the wheel pjsua2-python; see `pjsua.py` for the other end.
"""

import json
import os
import queue
import sys
import threading

import pjsua2


def say(name, value=None):
    print("@" + json.dumps([name, value]), flush=True)


class Call(pjsua2.Call):
    """Plays the tone into the call and records what comes out of it."""

    def __init__(self, phone, call_id=pjsua2.PJSUA_INVALID_ID):
        super().__init__(phone.account, call_id)
        self.phone = phone

    def onCallState(self, _):
        info = self.getInfo()
        if info.state == pjsua2.PJSIP_INV_STATE_EARLY:
            say("ringback")
        elif info.state == pjsua2.PJSIP_INV_STATE_CONFIRMED:
            say("talks")
        elif info.state == pjsua2.PJSIP_INV_STATE_DISCONNECTED:
            status = info.lastStatusCode
            say("ended", status if status >= 300 else None)
            # One that goes later would hang up the next call of its number.
            self.phone.gone.append(self)
            if self.phone.call is self:
                self.phone.call = None

    def onCallMediaState(self, _):
        # Its media list lives only as long as the info itself.
        info = self.getInfo()
        for at, media in enumerate(info.media):
            active = media.status == pjsua2.PJSUA_CALL_MEDIA_ACTIVE
            if media.type == pjsua2.PJMEDIA_TYPE_AUDIO and active:
                audio = self.getAudioMedia(at)
                self.phone.player.startTransmit(audio)
                audio.startTransmit(self.phone.recorder)


class Account(pjsua2.Account):
    def __init__(self, phone):
        super().__init__()
        self.phone = phone

    def onRegState(self, state):
        info = self.getInfo()
        if state.code // 100 != 2:
            say("refused", state.code)
        else:
            say("registered" if info.regIsActive else "unregistered")

    def onIncomingCall(self, incoming):
        call = Call(self.phone, incoming.callId)
        self.phone.call = call
        self.phone.answer(180)
        say("rings")

    def onInstantMessage(self, message):
        say("message", message.msgBody)

    def onInstantMessageStatus(self, status):
        say("delivered", status.code)


class Phone:
    def __init__(self, setup):
        self.setup, self.call, self.gone, self.buddies = setup, None, [], []
        self.endpoint = self.start_endpoint()
        self.player, self.recorder = pjsua2.AudioMediaPlayer(), pjsua2.AudioMediaRecorder()
        self.player.createPlayer(setup["folder"] + "/tone.wav")
        self.recorder.createRecorder(setup["folder"] + "/heard.wav")
        self.account = Account(self)
        self.account.create(self.account_config())

    def start_endpoint(self):
        setup = self.setup
        endpoint, config = pjsua2.Endpoint(), pjsua2.EpConfig()
        endpoint.libCreate()
        config.logConfig.level = config.logConfig.msgLogging = 4
        config.logConfig.consoleLevel = 0
        config.logConfig.filename = setup["folder"] + "/pjsua.log"
        config.uaConfig.threadCnt = 0
        config.uaConfig.mainThreadOnly = True
        config.medConfig.noVad = True
        endpoint.libInit(config)
        transport = pjsua2.TransportConfig()
        transport.port = setup["sip_port"]
        transport.boundAddress = transport.publicAddress = setup["host"]
        transport.tlsConfig.CaListFile = setup["ca"]
        transport.tlsConfig.verifyServer = True
        kind = getattr(pjsua2, f"PJSIP_TRANSPORT_{setup['transport'].upper()}")
        endpoint.transportCreate(kind, transport)
        endpoint.libStart()
        endpoint.audDevManager().setNullDev()
        return endpoint

    def account_config(self):
        setup, config = self.setup, pjsua2.AccountConfig()
        config.idUri = setup["aor"]
        config.regConfig.registrarUri = "sip:" + setup["domain"]
        config.regConfig.timeoutSec = 120
        # A refused phone says so once; it need not come back during the test.
        config.regConfig.retryIntervalSec = 0
        sip = config.sipConfig
        secret = pjsua2.AuthCredInfo("digest", "*", setup["user"], 0, setup["password"])
        sip.authCreds.append(secret)
        sip.proxies.append(f"sip:{setup['server']};lr;transport={setup['transport']}")
        sip.contactParams = setup["contact_params"]
        media = config.mediaConfig
        media.transportConfig.boundAddress = setup["host"]
        media.transportConfig.port = setup["rtp_port"]
        # A call whose BYE is not answered yet still has its port when the next one begins.
        media.transportConfig.portRange = setup["rtp_range"]
        media.lockCodecEnabled = False
        config.natConfig.iceEnabled = False
        config.natConfig.udpKaIntervalSec = setup["keep_alive_s"]
        # A phone that keeps nothing alive knows nothing of address translation.
        config.natConfig.contactRewriteUse = bool(setup["keep_alive_s"])
        return config

    def answer(self, status):
        param = pjsua2.CallOpParam()
        param.statusCode = status
        self.call.answer(param)

    def obey(self, command, *words):
        if command == "call":
            self.call = Call(self)
            self.call.makeCall(words[0], pjsua2.CallOpParam(True))
        elif command == "answer":
            self.answer(words[0])
        elif command == "hang_up":
            self.call.hangup(pjsua2.CallOpParam())
        elif command == "hold":
            self.call.setHold(pjsua2.CallOpParam())
        elif command == "resume":
            param = pjsua2.CallOpParam(True)
            param.opt.flag = pjsua2.PJSUA_CALL_UNHOLD
            self.call.reinvite(param)
        elif command == "message":
            self.message(*words)
        elif command == "unregister":
            self.account.setRegistration(False)

    def message(self, uri, text):
        config, buddy = pjsua2.BuddyConfig(), pjsua2.Buddy()
        config.uri = uri
        buddy.create(self.account, config)
        # The answer comes to who holds it.
        self.buddies.append(buddy)
        param = pjsua2.SendInstantMessageParam()
        param.content = text
        buddy.sendInstantMessage(param)

    def run(self, commands):
        """Until it is told to quit."""
        while True:
            self.endpoint.libHandleEvents(20)
            self.gone.clear()
            try:
                words = commands.get_nowait()
            except queue.Empty:
                continue
            if words == ["quit"]:
                break
            try:
                self.obey(*words)
            except pjsua2.Error as error:
                say("failed", f"{words}: {error.info()}")
            except AttributeError:
                say("failed", f"{words}: there is no call")
        self.call = None
        self.gone.clear()
        self.buddies.clear()
        self.account.shutdown()
        self.endpoint.libDestroy()


def read(commands):
    for line in sys.stdin:
        commands.put(json.loads(line))
    commands.put(["quit"])


if __name__ == "__main__":
    lines = queue.SimpleQueue()
    threading.Thread(target=read, args=(lines,), daemon=True).start()
    Phone(json.loads(sys.argv[1])).run(lines)
    # The library's own threads would keep the interpreter.
    os._exit(0)
