// The npm server SDK. Configuration in the first argument, a URL or options; then one call a line in, one answer out.
import { createInterface } from "node:readline";
import Pusher from "pusher";

const configuration = JSON.parse(process.argv[2]);
const pusher = typeof configuration === "string" ? Pusher.forURL(configuration) : new Pusher(configuration);

async function call({ method, arguments: given }) {
  try {
    const response = await pusher[method](...given);
    return { ok: typeof response.json === "function" ? await response.json() : response };
  } catch (error) {
    return { error: error.body || String(error.error || error) };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await call(JSON.parse(line))));
}
