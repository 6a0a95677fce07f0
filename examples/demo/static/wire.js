/* What goes over the wire: every frame of every WebSocket on this page, whichever client opened it.

   Import this before a client is loaded. A record is {kind: "opened" | "sent" | "received" | "closed", text, time}. */

const sockets = new Set();

class WatchedWebSocket extends WebSocket {
  socketId = null;
  records = [];
  listener = null;

  constructor(...args) {
    super(...args);
    sockets.add(this);
    this.record("opened", this.url);
    this.addEventListener("message", ({ data }) => {
      this.socketId ??= handshakeId(data);
      this.record("received", data);
    });
    this.addEventListener("close", ({ code, reason }) => {
      this.record("closed", reason ? `${code} ${reason}` : String(code));
      sockets.delete(this);
    });
  }

  send(data) {
    this.record("sent", data);
    super.send(data);
  }

  record(kind, text) {
    const record = { kind, text, time: new Date() };
    if (this.listener) this.listener(record);
    else this.records.push(record);
  }
}

function handshakeId(text) {
  const { event, data } = JSON.parse(text);
  return event === "pusher:connection_established" ? JSON.parse(data).socket_id : null;
}

/* Hand the records of the connection with that socket id to `listener`, first those that are there already. */
export function watch(socketId, listener) {
  for (const socket of sockets) {
    if (socket.socketId !== socketId || socket.listener) continue;
    socket.listener = listener;
    socket.records.splice(0).forEach(listener);
  }
}

window.WebSocket = WatchedWebSocket;
