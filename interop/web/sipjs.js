// A phone with SIP.js.

import { Inviter, Messager, Registerer, RegistererState, SessionState, UserAgent } from "sip.js";
import { AUDIO, OPTIONS, listen, rtp, tell } from "./page.js";

const MEDIA = { sessionDescriptionHandlerOptions: { constraints: AUDIO } };
let ua;
let registerer;
let session;

const statusOf = ({ message }) => message.statusCode;

function follow(its) {
  session = its;
  its.delegate = {
    onSessionDescriptionHandler: (handler) => listen(handler.peerConnection),
  };
  its.stateChange.addListener((state) => {
    if (state === SessionState.Established) {
      tell("talks");
    } else if (state === SessionState.Terminated) {
      // Why, it hears only after this.
      setTimeout(() => tell("ended", its.refusal ?? null));
    }
  });
}

function change(options) {
  session.sessionDescriptionHandlerOptionsReInvite = options;
  return session.invite();
}

function ring(invitation) {
  follow(invitation);
  tell("rings");
}

window.phone = {
  start({ uri, user, password, server }) {
    ua = new UserAgent({
      uri: UserAgent.makeURI(uri),
      authorizationUsername: user,
      authorizationPassword: password,
      transportOptions: { server },
      sessionDescriptionHandlerFactoryOptions: { peerConnectionConfiguration: OPTIONS },
      delegate: {
        onConnect: () => tell("connected"),
        onDisconnect: () => tell("disconnected"),
        onInvite: ring,
        onMessage(message) {
          tell("message", message.request.body);
          message.accept();
        },
      },
    });
    registerer = new Registerer(ua, { expires: 120 });
    registerer.stateChange.addListener((state) => {
      const names = {
        [RegistererState.Registered]: "registered",
        [RegistererState.Unregistered]: "unregistered",
      };
      if (names[state]) {
        tell(names[state]);
      }
    });
    const onReject = (response) => tell("refused", statusOf(response));
    const register = () => registerer.register({ requestDelegate: { onReject } });
    return ua.start().then(register, () => tell("disconnected"));
  },
  call(uri) {
    const inviter = new Inviter(ua, UserAgent.makeURI(uri), MEDIA);
    follow(inviter);
    const onProgress = () => tell("ringback");
    const onReject = (response) => {
      inviter.refusal = statusOf(response);
    };
    return inviter.invite({ requestDelegate: { onProgress, onReject } });
  },
  answer: () => session.accept(MEDIA),
  decline: (status) => session.reject({ statusCode: status }),
  hang_up() {
    if (session.state === SessionState.Established) {
      return session.bye();
    }
    return session instanceof Inviter ? session.cancel() : session.reject();
  },
  hold: () => change({ hold: true }),
  resume: () => change({ hold: false }),
  message(uri, text) {
    const final = (response) => tell("delivered", statusOf(response));
    const requestDelegate = { onAccept: final, onReject: final };
    return new Messager(ua, UserAgent.makeURI(uri), text).message({ requestDelegate });
  },
  unregister: () => registerer.unregister(),
  rtp,
};
