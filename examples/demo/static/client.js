/* A Pusher client in one file: what the demo uses where pusher-js is not installed.

   It has the names of pusher-js, as far as the demo needs them: connect and disconnect, public, private and
   presence channels, bind, client events, reconnecting. */
(() => {
  "use strict";

  const HANDSHAKE_SECONDS = 10;
  const PONG_SECONDS = 30;
  const LONGEST_PAUSE_SECONDS = 8;

  class Emitter {
    #callbacks = new Map();

    bind(event, callback) {
      this.#callbacks.set(event, [...(this.#callbacks.get(event) ?? []), callback]);
      return this;
    }

    emit(event, ...values) {
      for (const callback of this.#callbacks.get(event) ?? []) callback(...values);
    }
  }

  /* The users of a presence channel, each as {id, info}. */
  class Members {
    #users = new Map();
    myID = null;

    get count() { return this.#users.size; }
    get me() { return this.get(this.myID); }
    get(id) { return this.#users.get(id) ?? null; }
    each(callback) { this.#users.forEach((member) => callback(member)); }
    set(id, info) { this.#users.set(id, { id, info }); }
    delete(id) { return this.#users.delete(id); }
    clear() { this.#users.clear(); }
  }

  class Channel extends Emitter {
    subscribed = false;
    asked = false; // a pusher:subscribe is on its way, or was answered
    members = new Members();
    #connection;

    constructor(name, connection) {
      super();
      this.name = name;
      this.#connection = connection;
    }

    /* Send a client event to the others; false when that is not possible now. */
    trigger(event, data) {
      return this.subscribed && this.#connection.send({ event, channel: this.name, data });
    }

    receive({ event, data, user_id: sender }) {
      if (event === "pusher_internal:subscription_succeeded") {
        this.subscribed = true;
        this.members.clear();
        for (const [id, info] of Object.entries(data.presence?.hash ?? {})) this.members.set(id, info);
        this.emit("pusher:subscription_succeeded", this.members);
      } else if (!this.subscribed) {
        return; // meant for an earlier subscription to the same channel
      } else if (event === "pusher_internal:member_added") {
        this.members.set(data.user_id, data.user_info);
        this.emit("pusher:member_added", this.members.get(data.user_id));
      } else if (event === "pusher_internal:member_removed") {
        const member = this.members.get(data.user_id);
        if (this.members.delete(data.user_id)) this.emit("pusher:member_removed", member);
      } else if (!event.startsWith("pusher_internal:")) {
        this.emit(event, data, sender ? { user_id: sender } : {});
      }
    }

    reset() {
      this.subscribed = this.asked = false;
      this.members.clear();
    }
  }

  /* One socket after another. Emits each state by its name, state_change, message and error. */
  class Connection extends Emitter {
    state = "initialized";
    socket_id = null;
    #url;
    #socket = null;
    #silence; // seconds without a message before we ask whether anybody is there
    #timer = 0; // the one thing waited for: handshake, silence, pong, or the next attempt
    #failures = 0; // attempts since the last handshake

    constructor(url, silence) {
      super();
      this.#url = url;
      this.#silence = silence;
      window.addEventListener("online", () => {
        if (this.#socket === null && ["connecting", "unavailable"].includes(this.state)) this.#open();
      });
    }

    connect() {
      if (this.#socket !== null) return;
      this.#become("connecting");
      this.#open();
    }

    disconnect() {
      this.#letGo();
      this.#become("disconnected");
    }

    send(frame) {
      if (this.#socket?.readyState !== WebSocket.OPEN) return false;
      this.#socket.send(JSON.stringify(frame));
      return true;
    }

    #open() {
      this.#socket = new WebSocket(this.#url);
      this.#socket.onmessage = ({ data }) => this.#receive(data);
      this.#socket.onclose = ({ code, reason }) => this.#closed(code, reason);
      this.#wait(HANDSHAKE_SECONDS, () => this.#closed(1006, "no handshake"));
    }

    #letGo() {
      clearTimeout(this.#timer);
      const socket = this.#socket;
      this.#socket = this.socket_id = null;
      if (socket === null) return;
      socket.onmessage = socket.onclose = null; // whatever it still says, it is not ours any more
      socket.close();
    }

    /* The code says whether to come back, and when: 4000-4099 and from 4300 never, 4100-4199 after a second
       or more, 4200-4299 at once. After all others, and after attempts that fail, the pause grows. */
    #closed(code, reason) {
      this.#letGo();
      if (code >= 4000) this.emit("error", { type: "WebSocketError", error: { data: { code, message: reason } } });
      if ((code >= 4000 && code < 4100) || code >= 4300) return this.#become("disconnected");
      const failed = this.state !== "connected";
      this.#failures += failed ? 1 : 0;
      const growing = Math.min(2 ** this.#failures, LONGEST_PAUSE_SECONDS) * (0.5 + Math.random() / 2);
      const pause = code >= 4200 && !failed ? 0 : code >= 4100 ? Math.max(1, growing) : growing;
      this.#wait(pause, () => this.#open());
      this.#become(failed ? "unavailable" : "connecting");
    }

    #receive(text) {
      const frame = JSON.parse(text);
      if (typeof frame.data === "string") frame.data = parsed(frame.data);
      if (frame.event === "pusher:connection_established") {
        this.#failures = 0;
        this.#silence = Math.min(this.#silence, frame.data.activity_timeout);
        this.socket_id = frame.data.socket_id;
        this.#become("connected");
      } else if (frame.event === "pusher:ping") {
        this.send({ event: "pusher:pong", data: {} });
      } else if (frame.event === "pusher:error") {
        this.emit("error", { type: "PusherError", data: frame.data });
      }
      if (this.state !== "connected") return;
      this.#wait(this.#silence, () => this.#ping());
      this.emit("message", frame);
    }

    #ping() {
      this.send({ event: "pusher:ping", data: {} });
      this.#wait(PONG_SECONDS, () => this.#closed(1006, "no pong"));
    }

    #wait(seconds, then) {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(then, seconds * 1000);
    }

    #become(current) {
      const previous = this.state;
      if (previous === current) return;
      this.state = current;
      this.emit(current);
      this.emit("state_change", { previous, current });
    }
  }

  function parsed(text) {
    try {
      return JSON.parse(text);
    } catch {
      return text; // an application may send plain text
    }
  }

  window.Pusher = class Pusher {
    #channels = new Map();
    #authorization;

    constructor(key, { wsHost, wsPort, wssPort, forceTLS, activityTimeout = 120_000, channelAuthorization }) {
      const server = forceTLS ? `wss://${wsHost}:${wssPort}` : `ws://${wsHost}:${wsPort}`;
      this.#authorization = { endpoint: "/pusher/auth", ...channelAuthorization };
      const url = `${server}/app/${key}?protocol=7&client=relay-demo&version=1.0`;
      const connection = (this.connection = new Connection(url, activityTimeout / 1000));
      connection.bind("connected", () => this.#channels.forEach((channel) => this.#join(channel)));
      connection.bind("message", (frame) => this.#channels.get(frame.channel)?.receive(frame));
      for (const state of ["connecting", "unavailable", "disconnected"]) {
        connection.bind(state, () => this.#channels.forEach((channel) => channel.reset()));
      }
      connection.connect();
    }

    connect() { this.connection.connect(); }
    disconnect() { this.connection.disconnect(); }

    subscribe(name) {
      if (!this.#channels.has(name)) {
        this.#channels.set(name, new Channel(name, this.connection));
        if (this.connection.state === "connected") this.#join(this.#channels.get(name));
      }
      return this.#channels.get(name);
    }

    unsubscribe(name) {
      if (this.#channels.get(name)?.asked) this.connection.send({ event: "pusher:unsubscribe", data: { channel: name } });
      this.#channels.delete(name);
    }

    async #join(channel) {
      const socket = this.connection.socket_id;
      try {
        const signed = /^(private|presence)-/.test(channel.name) ? await this.#sign(socket, channel) : {};
        // By now this may be another connection, or the channel not wanted any more.
        if (this.connection.socket_id !== socket || this.#channels.get(channel.name) !== channel) return;
        if (signed.channel_data) channel.members.myID = JSON.parse(signed.channel_data).user_id;
        channel.asked = this.connection.send({ event: "pusher:subscribe", data: { ...signed, channel: channel.name } });
      } catch (error) {
        channel.emit("pusher:subscription_error", { type: "AuthError", error: error.message, status: error.status });
      }
    }

    async #sign(socket, channel) {
      const { endpoint, paramsProvider } = this.#authorization;
      const form = new URLSearchParams({ ...paramsProvider?.(), socket_id: socket, channel_name: channel.name });
      const response = await fetch(endpoint, { method: "POST", body: form });
      if (!response.ok) throw Object.assign(new Error(await response.text()), { status: response.status });
      return response.json();
    }
  };
})();
