// What the page asks the hub. Nothing here is kept: the session is a cookie that no script can read.

const here = new URL("console/", location.href.replace(/[?#].*/, ""));

export class Refused extends Error {
  constructor(status, text) {
    super(text || `HTTP status ${status}`);
    this.status = status;
  }
}

async function answer(path, options) {
  const response = await fetch(new URL(path, here), { credentials: "same-origin", cache: "no-store", ...options });
  if (!response.ok) throw new Refused(response.status, (await response.text()).trim());
  return response;
}

const query = (given) => new URLSearchParams(Object.entries(given).filter(([, value]) => value)).toString();

export async function get(name, given = {}, signal = undefined) {
  return (await answer(`api/${name}?${query(given)}`, { signal: signal ?? AbortSignal.timeout(10000) })).json();
}

export async function post(path, body) {
  const headers = { "Content-Type": "application/json", "X-Relay-Console": "1" };
  return (await answer(path, { method: "POST", headers, body: JSON.stringify(body) })).json();
}

// Calls `tell` with each batch of facts until the hub ends the stream; `opened` when it has begun.
export async function readFacts(given, signal, opened, tell) {
  const response = await answer(`api/facts?${query(given)}`, { signal });
  opened();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    const facts = lines.filter(Boolean).map((line) => JSON.parse(line));
    if (facts.length) tell(facts);
  }
}
