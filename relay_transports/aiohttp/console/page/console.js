// The page: numbers, lists, what happens. Whatever comes from clients goes into the page as text, never as markup.

import { List } from "./lists.js";
import { get, post, readFacts, Refused } from "./server.js";

const $ = (id) => document.getElementById(id);
const EVERY = 2000; // ms between two looks at the numbers
const KEPT = 5000; // facts
const number = new Intl.NumberFormat("en");
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

function element(name, text = "", className = "") {
  const made = document.createElement(name);
  made.textContent = text;
  made.className = className;
  return made;
}

const state = { app: null, tab: "channels", before: null, away: false, visit: null, channels: [], connections: [] };

// ---- in and out

async function enter() {
  try {
    const seen = await get("stats");
    show("console");
    noted(seen);
    start();
  } catch (error) {
    if (error instanceof Refused && error.status === 401) show("login");
    else {
      show("console");
      lost();
      start();
    }
  }
}

function show(which) {
  $("login").hidden = which !== "login";
  $("console").hidden = which !== "console";
  if (which === "login") $("token").focus();
}

$("login-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  $("login-problem").textContent = "";
  try {
    await post("login", { token: $("token").value });
    $("token").value = "";
    await enter();
  } catch (error) {
    $("login-problem").textContent = error instanceof Refused ? `${error.message}.` : "The hub cannot be reached.";
    $("token").select();
  }
});

$("logout").addEventListener("click", async () => {
  await post("logout", {}).catch(() => {});
  location.reload();
});

function out() {
  state.visit = null;
  listening?.abort();
  clear();
  Object.assign(state, { app: null, before: null, channels: [], connections: [] });
  show("login");
}

// ---- numbers

function start() {
  state.visit = Symbol("from one login to the next logout");
  look(state.visit);
  listen();
}

async function look(visit) {
  while (state.visit === visit) {
    const pause = new Promise((resolve) => setTimeout(resolve, EVERY));
    if (!document.hidden || state.away) {
      try {
        noted(await get("stats"));
        await refresh();
      } catch (error) {
        if (error instanceof Refused && error.status === 401) return out();
        lost();
      }
    }
    await pause;
  }
}

function lost() {
  state.away = true;
  state.before = null;
  $("banner").textContent = "The hub cannot be reached. What stands here is old; trying again…";
  $("banner").hidden = false;
  $("state").textContent = "away";
  $("state").className = "state bad";
  $("console").classList.add("away");
}

function noted({ time, node, apps, kinds }) {
  state.away = false;
  $("console").classList.remove("away");
  $("banner").hidden = !node.draining && node.broker !== "lost" && node.directory !== "lost";
  $("banner").textContent = node.draining
    ? "This node is draining: it sends its clients away and takes no new ones."
    : node.broker === "lost"
      ? "Other nodes cannot be reached: this one goes on alone."
      : "Other nodes do not know who is on this one: it takes no new clients until they do.";
  $("state").textContent = node.draining ? "draining" : node.ready ? "ready" : "not ready";
  $("state").className = `state ${node.ready ? "good" : "bad"}`;
  state.debug = node.debug;
  options($("app"), apps.map(({ id }) => id));
  options($("kind"), kinds, 1);
  state.app = $("app").value;
  const mine = apps.find(({ id }) => id === state.app);
  const before = state.before?.id === mine.id ? state.before : null;
  const seconds = before ? time - before.time : 0;
  const rate = (name) => (seconds > 0 ? Math.max(0, mine.totals[name] - before.totals[name]) / seconds : null);
  const told = [
    ["connections", mine.stats.connections], ["channels", mine.stats.channels],
    ["subscriptions", mine.stats.subscriptions], ["signed in", mine.stats.users],
    ["published\u00a0/\u00a0s", rate("published")], ["delivered\u00a0/\u00a0s", rate("delivered")],
    ["client\u00a0/\u00a0s", rate("client_events")], ["refused", mine.totals.refused], ["events lost", mine.totals.lost],
  ];
  $("numbers").replaceChildren(...told.map(([name, value]) => {
    const pair = document.createElement("div");
    pair.append(element("dt", name), element("dd", shown(value)));
    return pair;
  }));
  state.before = { ...mine, time };
}

function shown(value) {
  if (value === null) return "–";
  return number.format(value >= 10 || Number.isInteger(value) ? Math.round(value) : Number(value.toFixed(1)));
}

function options(select, values, keep = 0) {
  const there = [...select.options].slice(keep).map((option) => option.value);
  if (there.join() === values.join()) return;
  while (select.options.length > keep) select.remove(keep);
  for (const value of values) select.add(new Option(value, value));
}

$("app").addEventListener("change", () => {
  state.app = $("app").value;
  state.before = null;
  $("channel-detail").hidden = $("connection-detail").hidden = true;
  clear();
  listen();
  refresh().catch(lost);
});

// ---- channels and connections

const lists = {
  channels: new List($("channels"), {
    key: ([name]) => name,
    draw(row, [name, subscriptions, users]) {
      row.append(element("span", name, "grow"), element("span", counted(subscriptions, users), "count"));
      row.title = name;
    },
    choose: ([name]) => channelChosen(name),
  }),
  connections: new List($("connections"), {
    key: ([socketId]) => socketId,
    draw(row, [socketId, userId, channels, backlog]) {
      row.append(element("span", socketId), element("span", userId ?? "", "grow"));
      if (backlog) row.append(element("span", `${number.format(backlog)} B wait`, "count bad"));
      row.append(element("span", plural(channels, "channel"), "count"));
    },
    choose: ([socketId]) => connectionChosen(socketId),
  }),
};

const plural = (count, noun) => `${number.format(count)} ${noun}${count === 1 ? "" : "s"}`;
const counted = (subscriptions, users) =>
  users === null || users === undefined ? plural(subscriptions ?? 0, "subscriber") : plural(users, "user");

async function refresh() {
  if (state.app === null || !(state.tab in lists)) return;
  const { tab, app } = state;
  const heavy = state[tab].length > 2000 && state.listed === `${app} ${tab}`;
  if (heavy && performance.now() - state.listedAt < 5 * EVERY) return;
  const found = await get(tab, { app });
  if (state.tab !== tab || state.app !== app) return;
  Object.assign(state, { listed: `${app} ${tab}`, listedAt: performance.now() });
  const known = new Map(state[tab].map((item) => [item[0], item]));
  state[tab] = found[tab].map((item) => (String(known.get(item[0])) === String(item) ? known.get(item[0]) : item));
  state[`${tab}Total`] = found.total;
  narrowed(tab);
}

function narrowed(tab) {
  const wanted = $(`${tab}-filter`).value.trim().toLowerCase();
  const fits = (item) => `${item[0]} ${tab === "connections" ? item[1] ?? "" : ""}`.toLowerCase().includes(wanted);
  const items = wanted ? state[tab].filter(fits) : state[tab];
  const total = state[`${tab}Total`] ?? 0;
  lists[tab].show(items);
  $(`${tab}-count`).textContent =
    items.length === total ? number.format(total) : `${number.format(items.length)} of ${number.format(total)}`;
  $(`${tab}-empty`).hidden = items.length > 0;
  const none = { channels: "Nobody is in any channel.", connections: "Nobody is connected to this node." };
  $(`${tab}-empty`).textContent = total ? "Nothing here contains that." : none[tab];
}

for (const tab of Object.keys(lists)) $(`${tab}-filter`).addEventListener("input", () => narrowed(tab));

function detail(id, title, list, ...more) {
  const heading = element("h3", "");
  const close = element("button", "Close");
  close.type = "button";
  close.addEventListener("click", () => {
    $(id).hidden = true;
    list.focus();
  });
  heading.append(element("span", title), close);
  $(id).replaceChildren(heading, ...more);
  $(id).hidden = false;
}

async function channelChosen(name) {
  try {
    const found = await get("channel", { app: state.app, name });
    const members = found.members?.slice(0, 200) ?? [];
    const rows = members.map(({ id, info }) => element("li", info === null ? id : `${id} ${JSON.stringify(info)}`));
    const list = element("ul");
    list.append(...rows);
    const what = plural(found.subscriptions, "subscriber");
    const who = found.members === null ? "" : `, ${plural(found.members.length, "member")}`;
    const trigger = element("button", "Trigger an event here");
    trigger.type = "button";
    trigger.addEventListener("click", () => {
      $("trigger-channel").value = name;
      chosen("trigger");
      $("trigger-event").focus();
    });
    detail("channel-detail", name, $("channels"), element("p", what + who), list, trigger);
  } catch (error) {
    detail("channel-detail", name, $("channels"), element("p", error.message, "problem"));
  }
}

async function connectionChosen(socketId) {
  try {
    const found = await get("connection", { app: state.app, socket_id: socketId });
    const list = element("ul");
    list.append(...found.channels.slice(0, 200).map((name) => element("li", name)));
    const who = found.user_id === null ? "Not signed in" : `Signed in as ${found.user_id}`;
    const waits = `${number.format(found.backlog)} bytes wait for it`;
    const told = element("p", `${who}; ${waits}; in ${plural(found.channels.length, "channel")}`);
    detail("connection-detail", socketId, $("connections"), told, list);
  } catch (error) {
    detail("connection-detail", socketId, $("connections"), element("p", error.message, "problem"));
  }
}

// ---- tabs

const tabs = ["channels", "connections", "trigger"];

function chosen(tab) {
  state.tab = tab;
  for (const one of tabs) {
    $(`tab-${one}`).setAttribute("aria-selected", String(one === tab));
    $(`tab-${one}`).tabIndex = one === tab ? 0 : -1;
    $(`panel-${one}`).hidden = one !== tab;
  }
  refresh().catch(() => {});
}

for (const [at, tab] of tabs.entries()) {
  $(`tab-${tab}`).addEventListener("click", () => chosen(tab));
  $(`tab-${tab}`).addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step === undefined) return;
    const next = tabs[(at + step + tabs.length) % tabs.length];
    chosen(next);
    $(`tab-${next}`).focus();
  });
}

$("trigger").addEventListener("submit", async (event) => {
  event.preventDefault();
  const result = $("trigger-result");
  result.className = "problem";
  let data;
  try {
    data = JSON.parse($("trigger-data").value);
  } catch (error) {
    result.textContent = `The data is not JSON: ${error.message}`;
    return;
  }
  try {
    const told = await post("api/trigger", {
      app: state.app, channel: $("trigger-channel").value.trim(), event: $("trigger-event").value.trim(), data,
      socket_id: $("trigger-socket").value.trim() || null,
    });
    const { queued, excluded } = told.channels[0];
    const others = {
      none: "", sent: "; sent to the other nodes too", held: "; waits until the other nodes are back",
      unavailable: "; the other nodes are away",
    };
    result.className = "good";
    result.textContent =
      `Queued for ${plural(queued, "subscriber")} of this node${excluded ? ", one left out" : ""}${others[told.remote]}.`;
  } catch (error) {
    result.textContent = error instanceof Refused ? error.message : "The hub cannot be reached.";
  }
});

// ---- what happens

let facts = [];
let newest = 0;
let paused = false;
let listening = null;

const KINDS = {
  Connected: "came", Subscribed: "came", MemberAdded: "came", UserOnline: "came", ChannelOccupied: "came",
  SignedIn: "came", BrokerRestored: "came", DirectoryRestored: "came", Published: "said", ClientEvent: "said",
  RefusedRequest: "refused", SlowConsumer: "lost", EventsLost: "lost", WebhookGivenUp: "lost", BrokerLost: "lost",
  DirectoryLost: "lost", Missed: "missed",
};

function summary({ type, app, time, receipt, ...fields }) {
  if (type === "Published") {
    const to = receipt.channels.map(({ channel, queued }) => `${channel} (${queued})`).join(", ");
    return `${fields.event} → ${to}`;
  }
  if (type === "Missed") return `${plural(fields.count, "fact")} missed by ${fields.listener}`;
  const order = ["channel", "event", "user_id", "reason", "socket_id"];
  const first = order.map((name) => fields[name]).filter((value) => value !== undefined && value !== null && value !== "");
  const rest = Object.entries(fields).filter(([name, value]) => !order.includes(name) && value !== null);
  return [...first, ...rest.map(([name, value]) => `${name}=${value}`)].join("  ");
}

const tail = new List($("facts"), {
  key: (fact) => fact.number,
  draw(row, { fact }) {
    const when = element("time", clock.format(fact.time * 1000));
    row.append(when, element("span", fact.type, "kind"), element("span", summary(fact), "grow"));
    row.classList.add(KINDS[fact.type] ?? "other");
  },
  choose: ({ fact }) => factChosen(fact),
});

function factChosen(fact) {
  const more = [];
  if (fact.type === "RefusedRequest") {
    more.push(element("p", fact.reason, "problem"));
    const hint = state.debug
      ? "The hub has no explanation for this one beyond its reason."
      : "A hub with debug on would say here what the client did wrong; never turn it on in production.";
    more.push(element("p", fact.explanation ?? hint, fact.explanation ? "" : "quiet"));
  }
  more.push(element("pre", JSON.stringify(fact, null, 2)));
  detail("fact-detail", fact.type, $("facts"), ...more);
}

function heard(more) {
  const follow = !paused && tail.atEnd;
  for (const fact of more) facts.push({ number: (newest += 1), fact });
  const over = Math.max(0, facts.length - KEPT);
  if (over) facts = facts.slice(over);
  if (!paused) drawn(follow, over);
  else $("facts-state").textContent = "paused; what happens is kept";
}

let redraw = null;

function drawn(follow, over = 0) {
  redraw = { follow: follow || Boolean(redraw?.follow), over: over + (redraw?.over ?? 0), asked: Boolean(redraw) };
  if (redraw.asked) return;
  requestAnimationFrame(() => {
    const { follow: end, over: gone } = redraw;
    redraw = null;
    tail.show(facts);
    if (end) tail.toEnd();
    else if (gone) tail.shifted(gone);
    $("facts-empty").hidden = facts.length > 0;
  });
}

function clear() {
  facts = [];
  $("fact-detail").hidden = true;
  drawn(true);
}

async function listen() {
  listening?.abort();
  const mine = (listening = new AbortController());
  const given = { app: state.app, type: $("kind").value, channel: $("pattern").value.trim() };
  while (!mine.signal.aborted) {
    try {
      given.app ??= state.app;
      if (given.app) await readFacts(given, mine.signal, () => told("live"), heard);
    } catch (error) {
      if (mine.signal.aborted) return;
      if (error instanceof Refused && error.status === 401) return out();
      if (error instanceof Refused && error.status === 400) return told(error.message, true);
    }
    if (mine.signal.aborted) return;
    told("not connected; trying again…", true);
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

function told(text, bad = false) {
  $("facts-state").textContent = text;
  $("facts-state").className = bad ? "problem" : "quiet";
}

$("facts-filters").addEventListener("submit", (event) => {
  event.preventDefault();
  clear();
  listen();
});
$("kind").addEventListener("change", () => $("facts-filters").requestSubmit());
$("clear").addEventListener("click", clear);
$("pause").addEventListener("click", () => {
  paused = !paused;
  $("pause").setAttribute("aria-pressed", String(paused));
  told(paused ? "paused; what happens is kept" : "live");
  if (!paused) drawn(true);
});

enter();
