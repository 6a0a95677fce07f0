// Laravel Echo on pusher-js in Node, in the words of subscriber.js as far as it has them; axios makes its requests.
//   node echo.cjs FOLDER PUSHER_JS KEY OPTIONS SITE
const { readFileSync } = require("node:fs");
const { createRequire } = require("node:module");
const { createInterface } = require("node:readline");

const [folder, pusherJs, key, options, site] = process.argv.slice(2);
const load = createRequire(`${folder}/`);
const tell = (value) => console.log(JSON.stringify(value));

// Echo finds axios there as in a page, and adds X-Socket-Id to what it sends.
globalThis.axios = load("axios");
const loaded = load(pusherJs);
const Pusher = loaded.Pusher || loaded.default || loaded;

async function main() {
  // What it has for require() does not load: the file says that it is no ES module, and the package says that it is.
  const { module } = JSON.parse(readFileSync(`${folder}/node_modules/laravel-echo/package.json`));
  const { default: Echo } = await import(`${folder}/node_modules/laravel-echo/${module}`);
  const echo = new Echo({ broadcaster: "pusher", Pusher, key, ...JSON.parse(options) });
  const { connection } = echo.connector.pusher;

  connection.bind("state_change", ({ current }) => tell({ told: "state", state: current, socket_id: connection.socket_id || null }));
  connection.bind("error", (error) => {
    const data = (error.data ? error : error.error || error).data || {};
    tell({ told: "error", code: data.code === undefined ? null : data.code, message: String(data.message || error.type) });
  });

  const each = {};
  const ids = (users) => users.map(({ name }) => name);

  // Echo has a word for each kind of channel, and its names have no prefix.
  function join(name) {
    const bare = name.replace(/^(private-encrypted-|private-|presence-)/, "");
    if (name.startsWith("presence-")) return echo.join(bare);
    if (name.startsWith("private-encrypted-")) return echo.encryptedPrivate(bare);
    return name.startsWith("private-") ? echo.private(bare) : echo.channel(bare);
  }

  const session = {
    subscribe(name) {
      const channel = (each[name] = join(name));
      const told = (event, data = null) => tell({ told: "event", channel: name, event, data });
      channel.subscribed(() => told("pusher:subscription_succeeded"));
      channel.error((data) => told("pusher:subscription_error", data));
      for (const event of ["paid", "spared", "last", "pusher:cache_miss", "pusher:subscription_count"]) {
        channel.listen(`.${event}`, (data) => told(event, data));
      }
      if (channel.listenForWhisper) channel.listenForWhisper("typing", (data) => told("client-typing", data));
      if (channel.here) {
        channel.here((users) => tell({ told: "here", users: ids(users).sort() }));
        channel.joining(({ name: user }) => tell({ told: "joining", user }));
        channel.leaving(({ name: user }) => tell({ told: "leaving", user }));
      }
    },
    unsubscribe: (name) => echo.leaveChannel(name),
    trigger: (name, event, data) => each[name].whisper(event.replace("client-", ""), data),
    disconnect: () => echo.disconnect(),
    // The application's own request, which others than this socket are to hear of.
    say: (channel, event, data) => globalThis.axios.post(`${site}/say`, { channel, event, data }),
  };

  createInterface({ input: process.stdin }).on("line", (line) => {
    const { do: verb, with: given } = JSON.parse(line);
    session[verb](...given);
  });
}

main();
