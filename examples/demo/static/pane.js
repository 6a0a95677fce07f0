/* One pane: one person with a connection of their own, in the room and listening for payments. */

import { watch } from "./wire.js";

const ROOM = "presence-room";
const PAYMENTS = "pay_channel";

const MOST_LINES = 200;
const MOST_FRAMES = 100;
const WHISPER_EVERY = 1000; // ms; the hub takes 10 client events a second
const TYPING_LASTS = 2500; // ms after the last whisper

const COLOURS = 6; // --person-0 to --person-5 in style.css
const colours = new Map();

/* The same person has the same colour everywhere on the page. */
function colourOf(id) {
  if (!colours.has(id)) colours.set(id, `var(--person-${colours.size % COLOURS})`);
  return colours.get(id);
}

function element(tag, className, ...children) {
  const made = document.createElement(tag);
  made.className = className;
  made.append(...children); // strings become text nodes, never markup
  return made;
}

function clock(time, withSeconds) {
  const text = time.toTimeString().slice(0, withSeconds ? 8 : 5);
  const made = element("time", "", withSeconds ? `${text}.${String(time.getMilliseconds()).padStart(3, "0")}` : text);
  made.dateTime = time.toISOString();
  return made;
}

/* Scrolling needs no help: style.css keeps a list at its end unless the reader has scrolled up. */
function append(list, item, most) {
  list.append(item);
  if (list.children.length > most) list.firstElementChild.remove();
}

export class Pane {
  root;
  #parts;
  #pusher;
  #room;
  #person;
  #changed;
  #typing = new Map();
  #lastWhisper = 0;
  #away = false;
  #retrying = false;

  /* `connect(paramsProvider)` makes the client; `changed()` is told when the connection's state did. */
  constructor(name, connect, changed) {
    const id = [...crypto.getRandomValues(new Uint8Array(8))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    this.#person = { user: id, name };
    this.#changed = changed;
    this.root = document.querySelector("#pane").content.firstElementChild.cloneNode(true);
    this.#parts = Object.fromEntries([...this.root.querySelectorAll("[data-part]")].map((part) => [part.dataset.part, part]));
    this.#parts.name.value = name;
    this.#parts.wire.open = matchMedia("(min-width: 48rem) and (min-height: 45rem)").matches;
    this.root.style.setProperty("--me", colourOf(id));
    this.#pusher = connect(() => this.#person);
    this.#pusher.connection.bind("state_change", (change) => this.#stateChanged(change));
    this.#pusher.connection.bind("connected", () => watch(this.#pusher.connection.socket_id, (record) => this.#showFrame(record)));
    this.#pusher.connection.bind("error", (error) => this.#failed(error));
    this.#pusher.subscribe(PAYMENTS).bind("pay_notify", (payment) => this.#showPayment(payment));
    this.#join();
    this.#listen();
    this.#say("");
    this.#render();
  }

  get connected() {
    return this.#pusher.connection.state === "connected";
  }

  /* Dropped by the user, or sent away by the hub for good. */
  get dropped() {
    return this.#pusher.connection.state === "disconnected";
  }

  /* Try again now rather than when the client would. */
  retry() {
    this.#retrying = true;
    this.#pusher.disconnect();
    this.#retrying = false;
    this.#pusher.connect();
  }

  #join() {
    this.#room = this.#pusher.subscribe(ROOM);
    this.#room.bind("pusher:subscription_succeeded", () => this.#entered());
    this.#room.bind("pusher:subscription_error", ({ status }) => this.#say(`Not let into the room (${status}).`));
    this.#room.bind("pusher:member_added", (member) => this.#memberChanged(member, "joined"));
    this.#room.bind("pusher:member_removed", (member) => this.#memberChanged(member, "left"));
    this.#room.bind("message", (message) => this.#showMessage(message));
    this.#room.bind("client-typing", (_, { user_id: id }) => this.#showTyping(id));
  }

  /* The hub keeps nothing for those who are away, and the page does not hide that. */
  #entered() {
    if (this.#away) this.#line("note", this.#person.user, "You were away and missed what was said meanwhile");
    this.#away = false;
    this.#render();
  }

  #listen() {
    const { name, drop, compose, text, pay, remove } = this.#parts;
    name.addEventListener("change", () => this.#rename(name.value.trim()));
    name.addEventListener("keydown", ({ key }) => key === "Enter" && name.blur());
    name.addEventListener("blur", () => (name.scrollLeft = 0));
    text.addEventListener("input", () => this.#whisper());
    compose.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    pay.addEventListener("click", () => this.#pay());
    drop.addEventListener("click", () => (this.dropped ? this.#pusher.connect() : this.#pusher.disconnect()));
    remove.addEventListener("click", () => {
      this.#pusher.disconnect();
      this.root.dispatchEvent(new Event("removed"));
      this.root.remove();
    });
  }

  /* Out and in again: a member's name is told when it joins. */
  #rename(name) {
    if (!name || name === this.#person.name) {
      this.#parts.name.value = this.#person.name;
      return;
    }
    this.#person = { ...this.#person, name };
    this.#pusher.unsubscribe(ROOM);
    this.#join();
    this.#render();
  }

  /* Typing goes from client to client, past the application. */
  #whisper() {
    if (!this.#room.subscribed || !this.#parts.text.value || Date.now() - this.#lastWhisper < WHISPER_EVERY) return;
    if (this.#room.trigger("client-typing", {})) this.#lastWhisper = Date.now();
  }

  /* Messages go through the application, and come back to everybody over the hub. */
  async #send() {
    const input = this.#parts.text;
    const text = input.value.trim();
    input.value = "";
    this.#lastWhisper = 0;
    if (text && !(await this.#post("/chat", { text }))) input.value ||= text; // not lost, to be sent again
  }

  /* X-Socket-ID is how the application knows which connection to leave out. */
  async #pay() {
    const headers = { "X-Socket-ID": this.#pusher.connection.socket_id };
    const answer = await this.#post("/pay", {}, headers);
    if (!answer) return;
    const here = answer.delivered === 1 ? "1 other connection was" : `${answer.delivered} other connections were`;
    const others = answer.remote === "none" ? here : "All others, on every process, were"; // a process counts only its own
    this.#say(`Paid. ${others} told, this one was not.`);
  }

  async #post(path, fields, headers = {}) {
    try {
      const response = await fetch(path, { method: "POST", headers, body: new URLSearchParams({ ...this.#person, ...fields }) });
      if (!response.ok) throw new Error(await response.text());
      this.#say("");
      return await response.json();
    } catch (error) {
      this.#say(error instanceof TypeError ? "Not sent: the server does not answer." : `Not sent: ${error.message}`);
      return null;
    }
  }

  #failed({ error, data }) {
    const { code, message } = error?.data ?? data ?? {};
    if (message) this.#say(code ? `The hub says: ${message} (${code})` : `The hub says: ${message}`);
  }

  #stateChanged({ previous }) {
    if (this.#retrying) return;
    if (previous === "connected") this.#away = true;
    if (this.connected) this.#say("");
    this.#render();
    this.#changed();
  }

  #say(text) {
    this.#parts.status.textContent = text || "Pay tells every connection but this one.";
  }

  #render() {
    const { state, socket, drop, send, pay, name, people, count, nobody } = this.#parts;
    const { connection } = this.#pusher;
    const inRoom = this.connected && this.#room.subscribed;
    this.root.setAttribute("aria-label", this.#person.name);
    this.root.dataset.state = connection.state;
    state.textContent = connection.state;
    socket.textContent = this.connected ? connection.socket_id : "none";
    drop.textContent = this.dropped ? "Reconnect" : "Drop connection";
    name.disabled = send.disabled = pay.disabled = !inRoom;
    const members = [];
    if (inRoom) this.#room.members.each((member) => members.push(member));
    count.textContent = members.length;
    nobody.hidden = members.length > 1;
    nobody.textContent = members.length === 1 ? "Nobody else here" : this.connected ? "Nobody here yet" : "Not in the room";
    people.replaceChildren(...members.map((member) => this.#chip(member)));
    if (!inRoom) this.#typing.clear();
    this.#renderTyping();
  }

  #chip({ id, info }) {
    const chip = element("li", "chip", element("span", "who", info.name));
    if (id === this.#person.user) chip.append(element("span", "you", "you"));
    chip.style.setProperty("--who", colourOf(id));
    return chip;
  }

  #memberChanged({ id, info }, what) {
    this.#typing.delete(id);
    this.#line("note", id, element("span", "who", info.name), ` ${what}`);
    this.#render();
  }

  #showMessage({ id, name, text }) {
    this.#typing.delete(id);
    this.#renderTyping();
    const mine = id === this.#person.user;
    const by = element("p", "by", element("span", "who", name), " ", clock(new Date()));
    this.#line(mine ? "said mine" : "said", id, by, element("p", "text", text));
  }

  #showPayment({ id, name, message }) {
    const by = element("p", "by", element("span", "who", `${name} paid`), " ", clock(new Date()));
    this.#line("paid", id, by, element("p", "text", message));
  }

  #line(className, id, ...children) {
    const line = element("li", className, ...children);
    line.style.setProperty("--who", colourOf(id));
    append(this.#parts.stream, line, MOST_LINES);
  }

  #showTyping(id) {
    const person = this.#room.members.get(id);
    if (!person) return;
    this.#typing.set(id, { name: person.info.name, until: Date.now() + TYPING_LASTS });
    this.#renderTyping();
    setTimeout(() => this.#renderTyping(), TYPING_LASTS + 20);
  }

  #renderTyping() {
    for (const [id, { until }] of this.#typing) if (until <= Date.now()) this.#typing.delete(id);
    const names = [...this.#typing.values()].map(({ name }) => name);
    this.#parts.typing.textContent = names.length ? `${names.join(" and ")} ${names.length > 1 ? "are" : "is"} typing` : "";
  }

  #showFrame({ kind, text, time }) {
    const { frames, frameCount } = this.#parts;
    const code = element("code", "", text);
    if (kind === "sent" || kind === "received") {
      const event = JSON.stringify(JSON.parse(text).event); // in bold, without touching a byte of the frame
      const at = text.indexOf(event);
      if (at >= 0) code.replaceChildren(text.slice(0, at), element("b", "", event), text.slice(at + event.length));
      frameCount.textContent = Number(frameCount.textContent) + 1;
    }
    append(frames, element("li", kind, element("span", "kind", kind), clock(time, true), code), MOST_FRAMES);
  }
}
