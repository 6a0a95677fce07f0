// The npm server SDK judges webhooks: one request a line in, what it makes of it out.
import { createInterface } from "node:readline";
import Pusher from "pusher";

const pusher = new Pusher(JSON.parse(process.argv[2]));

for await (const line of createInterface({ input: process.stdin })) {
  const { headers, body } = JSON.parse(line);
  const webhook = pusher.webhook({ headers, rawBody: body });
  const valid = webhook.isValid();
  console.log(JSON.stringify(valid ? { valid, events: webhook.getEvents(), time_ms: webhook.getTime().getTime() } : { valid }));
}
