// The Node build of pusher-js. Prints what happens to it as JSON, one value a line.
//   node client.mjs KEY OPTIONS CHANNEL...
import Pusher from "pusher-js";

const [key, options, ...channels] = process.argv.slice(2);
const tell = (value) => console.log(JSON.stringify(value));

const settings = JSON.parse(options);
const pusher = new Pusher(key, settings);
pusher.connection.bind("state_change", ({ current }) => tell({ state: current }));
pusher.connection.bind("error", (error) => tell({ error }));
if (settings.userAuthentication) {
  pusher.user.watchlist.bind_global((event, { user_ids }) => tell({ watchlist: event, user_ids }));
  pusher.signin();
}
for (const channel of channels) {
  pusher.subscribe(channel).bind_global((event, data) => tell({ channel, event, data }));
}
