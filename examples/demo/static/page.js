/* The page: which client it uses, how many panes it has, and whether the hub is there. */

import "./wire.js"; // first: it watches sockets that are opened after it
import { Pane } from "./pane.js";

const NAMES = ["Ada", "Grace", "Alan", "Barbara", "Edsger", "Hedy", "Donald", "Radia", "Dennis", "Frances", "Ken", "Lynn"];
const MOST_PANES = 4;
const PATIENCE = 1000; // ms without a connection before the page says so
const CHECK_EVERY = 3000; // ms between looks whether the server is back

const part = (name) => document.querySelector(`#${name}`);
const panes = [];
let lost = null; // while a connection is missing: the timer that worries, or that looks for the server

function load(source) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = source;
    script.onload = resolve;
    script.onerror = () => reject(new Error(`${source} did not load`));
    document.head.append(script);
  });
}

/* pusher-js where it is installed, unless the address says ?client=own. */
async function loadClient(installed) {
  const own = new URLSearchParams(location.search).get("client") === "own";
  if (installed && !own) await load("/static/pusher.min.js");
  else await load("/static/client.js");
  part("client-name").textContent = installed && !own ? "pusher-js" : "client.js, our own";
  if (installed) {
    part("other-client").textContent = own ? "Use pusher-js" : "Use our own";
    part("other-client").href = own ? "/" : "/?client=own";
  } else {
    part("other-client").replaceWith("pusher-js is not installed");
  }
}

function connectWith(key) {
  const secure = location.protocol === "https:";
  const port = location.port || (secure ? 443 : 80);
  return (paramsProvider) =>
    new window.Pusher(key, {
      cluster: "", // pusher-js wants one, and wsHost replaces it
      wsHost: location.hostname,
      wsPort: port,
      wssPort: port,
      forceTLS: secure,
      enabledTransports: ["ws"],
      channelAuthorization: { endpoint: "/pusher/auth", transport: "ajax", paramsProvider },
    });
}

function addPane(connect) {
  const pane = new Pane(nextName(), connect, lookAtConnections);
  panes.push(pane);
  part("panes").append(pane.root);
  part("add").disabled = panes.length >= MOST_PANES;
  pane.root.addEventListener("removed", () => {
    panes.splice(panes.indexOf(pane), 1);
    lookAtConnections();
    part("add").disabled = false;
    part("add").focus();
  });
}

const firstName = Math.floor(Math.random() * NAMES.length); // so that two tabs are rarely the same people
let given = 0;
function nextName() {
  return NAMES[(firstName + given++) % NAMES.length];
}

const missing = () => panes.filter((pane) => !pane.connected && !pane.dropped);

/* Called when any connection changed: starts to worry, or stops. */
function lookAtConnections() {
  if (missing().length > 0) {
    lost ??= setTimeout(worry, PATIENCE);
    return;
  }
  clearTimeout(lost);
  lost = null;
  part("banner").hidden = true;
}

function worry() {
  part("banner").hidden = false;
  lost = setTimeout(lookForServer, CHECK_EVERY);
}

/* Clients come back by themselves, but after failures they wait longer each time, pusher-js up to a minute.
   So look whether the server is there, and let them try when it is. */
async function lookForServer() {
  const answer = await fetch("/settings").catch(() => null);
  if (lost === null) return;
  if (answer?.ok) missing().forEach((pane) => pane.retry());
  lost = setTimeout(lookForServer, CHECK_EVERY);
}

const settings = await (await fetch("/settings")).json();
await loadClient(settings.pusher_js);
const connect = connectWith(settings.key);
part("add").addEventListener("click", () => addPane(connect));
addPane(connect);
addPane(connect);
