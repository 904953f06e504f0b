// tables: puts figures into the document, changing only what changed, so that what has the focus or
// is marked by the reader stays.
//
// Names and errors come from strangers: they become text, never markup.

// element("p", {class: "note"}, "text", child, …)
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

export function setText(node, words) {
  if (node.textContent !== words) node.textContent = words;
}

export function setAttribute(node, name, value) {
  if (value === null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

// Children of `parent` by key: `make` for those that are new, `update` for all, in this order.
const childrenOf = new WeakMap();
export function keyed(parent, items, keyOf, make, update) {
  const before = childrenOf.get(parent) ?? new Map();
  const now = new Map();
  for (const item of items) {
    const key = keyOf(item);
    if (now.has(key)) continue;
    const child = before.get(key) ?? make(item);
    now.set(key, child);
    update(child, item);
  }
  for (const [key, child] of before) if (!now.has(key)) child.remove();
  let place = parent.firstElementChild;
  for (const child of now.values()) {
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
  }
  childrenOf.set(parent, now);
}

// The word, and by CSS a colour and a sign: never the colour alone.
export function levelPill() {
  return element("span", { class: "pill" });
}

export function setLevel(pill, word) {
  setText(pill, word);
  setAttribute(pill, "data-level", word);
}

// A bar of `percent`, with the figure beside it.
export function meter(label) {
  const bar = element("span", { class: "bar" });
  const track = element("span", {
    class: "meter", role: "meter", "aria-label": label, "aria-valuemin": "0",
    "aria-valuemax": "100",
  }, bar);
  return track;
}

export function setMeter(track, percent, words, grade) {
  const known = percent === null ? 0 : Math.min(Math.max(percent, 0), 100);
  track.firstElementChild.style.inlineSize = `${known}%`;
  setAttribute(track, "aria-valuenow", known.toFixed(1));
  setAttribute(track, "aria-valuetext", words);
  setAttribute(track, "data-grade", grade);
}

// A table whose columns are {title, group?, of(row) -> text} or {title, fill(cell, row)}; the first
// heads its row. A row may have {key, class}.
export class Table {
  #columns;
  #body;

  constructor(table, columns) {
    this.#columns = columns;
    this.#body = element("tbody");
    table.append(this.#head(), this.#body);
  }

  #head() {
    const groups = element("tr");
    const titles = element("tr");
    const grouped = this.#columns.some((column) => column.group);
    for (let i = 0; i < this.#columns.length;) {
      const { group } = this.#columns[i];
      let width = 1;
      while (group && this.#columns[i + width]?.group === group) width++;
      groups.append(group
        ? element("th", { scope: "colgroup", colspan: String(width), class: "group" }, group)
        : element("td"));
      i += width;
    }
    for (const column of this.#columns) {
      const cell = element("th", { scope: "col", class: column.class ?? "" }, column.title);
      if (column.group) cell.dataset.first = String(this.#isFirstOfGroup(column));
      titles.append(cell);
    }
    return grouped ? element("thead", {}, groups, titles) : element("thead", {}, titles);
  }

  #isFirstOfGroup(column) {
    return this.#columns.find((each) => each.group === column.group) === column;
  }

  #makeRow() {
    const row = element("tr");
    this.#columns.forEach((column, i) => {
      const cell = i === 0 ? element("th", { scope: "row" }) : element("td");
      cell.className = column.class ?? "";
      if (column.group) cell.dataset.first = String(this.#isFirstOfGroup(column));
      column.make?.(cell);
      row.append(cell);
    });
    return row;
  }

  render(rows) {
    keyed(this.#body, rows, (row) => row.key, () => this.#makeRow(), (line, row) => {
      setAttribute(line, "class", row.class ?? "");
      this.#columns.forEach((column, i) => {
        const cell = line.children[i];
        if (column.fill) column.fill(cell, row);
        else setText(cell, column.of(row));
      });
    });
  }
}
