// A list of any length: only the rows in sight are elements. Keyboard and screen readers see a listbox.

const ROW = 26;
const MORE = 8; // rows beyond either edge

export class List {
  // `draw(row, item)` fills an empty element; `key(item)` stays the same while the item does; `choose(item)` is told.
  constructor(element, { draw, key, choose }) {
    Object.assign(this, { element, draw, key, choose, items: [], active: null, rows: new Map(), due: false });
    this.all = document.createElement("div");
    this.all.setAttribute("role", "presentation");
    element.append(this.all);
    element.addEventListener("scroll", () => this.soon());
    element.addEventListener("keydown", (event) => this.pressed(event));
    element.addEventListener("click", (event) => this.clicked(event));
    new ResizeObserver(() => this.soon()).observe(element);
  }

  get atEnd() {
    return this.element.scrollTop + this.element.clientHeight >= this.element.scrollHeight - ROW;
  }

  show(items) {
    this.items = items;
    this.soon();
  }

  toEnd() {
    this.place();
    this.element.scrollTop = this.element.scrollHeight;
  }

  // Rows were taken away at the beginning: what is in sight stays where it is.
  shifted(count) {
    this.element.scrollTop -= count * ROW;
  }

  soon() {
    if (this.due) return;
    this.due = true;
    requestAnimationFrame(() => {
      this.due = false;
      this.place();
    });
  }

  place() {
    this.all.style.height = `${this.items.length * ROW}px`;
    const first = Math.max(0, Math.floor(this.element.scrollTop / ROW) - MORE);
    const last = Math.min(this.items.length, Math.ceil((this.element.scrollTop + this.element.clientHeight) / ROW) + MORE);
    const seen = new Map();
    for (let at = first; at < last; at += 1) {
      const item = this.items[at];
      const key = this.key(item);
      const known = this.rows.get(key);
      const row = known?.item === item ? known.row : this.made(item, known?.row);
      row.style.top = `${at * ROW}px`;
      row.setAttribute("aria-posinset", at + 1);
      row.setAttribute("aria-setsize", this.items.length);
      row.setAttribute("aria-selected", String(key === this.active));
      row.at = at;
      seen.set(key, { item, row });
    }
    for (const [key, { row }] of this.rows) if (seen.get(key)?.row !== row) row.remove();
    for (const { row } of seen.values()) if (!row.isConnected) this.all.append(row);
    this.rows = seen;
    const row = seen.get(this.active)?.row;
    if (row) this.element.setAttribute("aria-activedescendant", row.id);
    else this.element.removeAttribute("aria-activedescendant");
  }

  made(item, old) {
    const row = old ?? document.createElement("div");
    row.replaceChildren();
    row.className = "row";
    row.id ||= `row-${crypto.getRandomValues(new Uint32Array(2)).join("-")}`;
    row.setAttribute("role", "option");
    this.draw(row, item);
    return row;
  }

  pressed(event) {
    const page = Math.max(1, Math.floor(this.element.clientHeight / ROW) - 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    const at = this.items.findIndex((item) => this.key(item) === this.active);
    if (event.key in steps && this.items.length) {
      event.preventDefault();
      this.activate(Math.min(this.items.length - 1, Math.max(0, at + steps[event.key])));
    } else if ((event.key === "Enter" || event.key === " ") && at >= 0) {
      event.preventDefault();
      this.choose(this.items[at]);
    }
  }

  clicked(event) {
    const row = event.target.closest(".row");
    if (!row) return;
    this.activate(row.at);
    this.choose(this.items[row.at]);
  }

  activate(at) {
    this.active = this.key(this.items[at]);
    const top = at * ROW;
    if (top < this.element.scrollTop) this.element.scrollTop = top;
    const under = top + ROW - this.element.clientHeight;
    if (under > this.element.scrollTop) this.element.scrollTop = under;
    this.place();
  }
}
