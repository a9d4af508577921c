// A phone with JsSIP.

import JsSIP from "jssip";
import { AUDIO, OPTIONS, listen, rtp, tell } from "./page.js";

const MEDIA = { mediaConstraints: AUDIO, pcConfig: OPTIONS };
let ua;
let session;

function follow({ originator, session: its }) {
  session = its;
  const remote = originator === "remote";
  if (its.connection) {
    listen(its.connection);
  } else {
    its.on("peerconnection", ({ peerconnection }) => listen(peerconnection));
  }
  its.on("progress", (event) => {
    if (event.originator === "remote") {
      tell("ringback");
    }
  });
  its.on("confirmed", () => tell("talks"));
  its.on("ended", () => tell("ended"));
  its.on("failed", ({ message }) => tell("ended", message?.status_code ?? null));
  if (remote) {
    tell("rings");
  }
}

window.phone = {
  start({ uri, user, password, server }) {
    const sockets = [new JsSIP.WebSocketInterface(server)];
    const account = { uri, authorization_user: user, password, register_expires: 120 };
    ua = new JsSIP.UA({ sockets, ...account });
    ua.on("connected", () => tell("connected"));
    ua.on("disconnected", ({ code }) => tell("disconnected", code ?? null));
    ua.on("registered", () => tell("registered"));
    ua.on("unregistered", () => tell("unregistered"));
    ua.on("registrationFailed", ({ response }) => tell("refused", response?.status_code ?? null));
    ua.on("newRTCSession", follow);
    ua.on("newMessage", ({ originator, request }) => {
      if (originator === "remote") {
        tell("message", request.body);
      }
    });
    ua.start();
  },
  call: (uri) => void ua.call(uri, MEDIA),
  answer: () => session.answer(MEDIA),
  decline: (status) => session.terminate({ status_code: status }),
  hang_up: () => session.terminate(),
  hold: () => void session.hold(),
  resume: () => void session.unhold(),
  message(uri, text) {
    const final = ({ response }) => tell("delivered", response?.status_code ?? null);
    ua.sendMessage(uri, text, { eventHandlers: { succeeded: final, failed: final } });
  },
  unregister: () => ua.unregister(),
  rtp,
};
