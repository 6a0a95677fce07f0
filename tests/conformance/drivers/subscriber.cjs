// pusher-js in Node, told what to do and telling what happens as JSON, one value a line.
//   node subscriber.cjs FOLDER PACKAGE KEY OPTIONS      FOLDER has the node_modules
const { createRequire } = require("node:module");
const { createInterface } = require("node:readline");
const subscriber = require("./subscriber.js");

const [folder, name, key, options] = process.argv.slice(2);
const loaded = createRequire(`${folder}/`)(name);
const tell = (value) => console.log(JSON.stringify(value));
const session = subscriber(loaded.Pusher || loaded.default || loaded, key, JSON.parse(options), tell);

createInterface({ input: process.stdin }).on("line", (line) => {
  const { do: verb, with: given } = JSON.parse(line);
  session[verb](...given);
});
