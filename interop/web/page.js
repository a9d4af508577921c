// What both browser phones share. The driver, `browser.py`, calls the verbs of `window.phone` and
// hears of events through `tell`, a function that it puts into the page.

let connection;

export const OPTIONS = { iceServers: [] };
export const AUDIO = { audio: true, video: false };

/** Tells the driver of an event. */
export function tell(name, value = null) {
  window.tell(JSON.stringify([name, value]));
}

/** Plays what comes in on this RTCPeerConnection, which `rtp` then counts. */
export function listen(peer) {
  connection = peer;
  peer.addEventListener("track", (event) => {
    const audio = new Audio();
    audio.srcObject = new MediaStream([event.track]);
    audio.play();
  });
}

/** Packets of the latest call in both directions, and the energy of what was heard. */
export async function rtp() {
  const counts = { sent: 0, received: 0, energy: 0 };
  for (const report of (await connection?.getStats())?.values() ?? []) {
    if (report.type === "outbound-rtp") {
      counts.sent += report.packetsSent;
    } else if (report.type === "inbound-rtp") {
      counts.received += report.packetsReceived;
      counts.energy += report.totalAudioEnergy;
    }
  }
  return counts;
}
