// The Node build of pusher-js. Prints what happens to it as JSON, one value a line.
//   node client.mjs KEY OPTIONS CHANNEL...
import Pusher from "pusher-js";

const [key, options, ...channels] = process.argv.slice(2);
const tell = (value) => console.log(JSON.stringify(value));

const pusher = new Pusher(key, JSON.parse(options));
pusher.connection.bind("state_change", ({ current }) => tell({ state: current }));
pusher.connection.bind("error", (error) => tell({ error }));
for (const channel of channels) {
  pusher.subscribe(channel).bind_global((event, data) => tell({ channel, event, data }));
}
