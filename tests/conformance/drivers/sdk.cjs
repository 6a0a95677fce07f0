// A server SDK from npm: one call a line in, one answer out. Versions before 3 call back instead of promising.
//   node sdk.cjs FOLDER PACKAGE OPTIONS
const { readFileSync } = require("node:fs");
const { createRequire } = require("node:module");
const { createInterface } = require("node:readline");

const [folder, name, options] = process.argv.slice(2);
const tell = (value) => console.log(JSON.stringify(value));

async function main() {
  const { main: entry, type } = JSON.parse(readFileSync(`${folder}/node_modules/${name}/package.json`));
  // An ES module is imported from its file: `import` looks beside this one, not in the folder.
  const loaded = type === "module" ? await import(`${folder}/node_modules/${name}/${entry}`) : createRequire(`${folder}/`)(name);
  const Pusher = loaded.default || loaded;
  const pusher = new Pusher(JSON.parse(options));
  const old = pusher.trigger.length === 5; // channels, event, data, socket id, callback

  const body = (response) => {
    if (typeof response.body === "string") return JSON.parse(response.body);
    return typeof response.json === "function" ? response.json() : response;
  };
  const request = (call) =>
    old
      ? new Promise((resolve, reject) => {
          const answered = (error, _request, response) => (error ? reject(error) : resolve(body(response)));
          call(answered);
        })
      : Promise.resolve(call()).then(body);
  const get = (path, params) => request((...callback) => pusher.get({ path, params }, ...callback));

  const verbs = {
    trigger: (channels, event, data, spared) =>
      request((...callback) => pusher.trigger(channels, event, data, old ? spared || undefined : spared ? { socket_id: spared } : {}, ...callback)),
    trigger_batch: (batch) => request((...callback) => pusher.triggerBatch(batch, ...callback)),
    send_to_user: (user, event, data) => request(() => pusher.sendToUser(user, event, data)),
    terminate: (user) => request(() => pusher.terminateUserConnections(user)),
    channels: (prefix, info) => get("/channels", { filter_by_prefix: prefix, info: info.join(",") }),
    channel: (channel, info) => get(`/channels/${channel}`, { info: info.join(",") }),
    users: (channel) => get(`/channels/${channel}/users`, {}),
    authorize: (socket, channel, member) => (pusher.authorizeChannel || pusher.authenticate).call(pusher, socket, channel, member || undefined),
    authenticate: (socket, user) => pusher.authenticateUser(socket, user),
    webhook: async (headers, rawBody) => {
      const webhook = pusher.webhook({ headers, rawBody });
      return (await webhook.isValid()) ? webhook.getEvents() : null;
    },
  };

  for await (const line of createInterface({ input: process.stdin })) {
    const { do: verb, with: given } = JSON.parse(line);
    try {
      tell({ ok: (await verbs[verb](...given)) ?? null });
    } catch (error) {
      tell({ error: String(error.body || error.error || error.message || error) });
    }
  }
}

main();
