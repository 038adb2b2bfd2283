// A table whose rows open: a click on one is told to the page, which shows the recording below it.
const make = (name, attributes = {}, text = "") => {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.textContent = text;
  return element;
};

let clicked = null;  // the key of a row; of all tables on the page, as an opened row moves from one to another

const rowOf = (row, setTriggerValue) => {
  const line = make("tr", row.open ? { class: "open" } : {});
  const first = make("th", { scope: "row" });
  if (row.note && !row.emotion) {
    const note = make("td", { colspan: 3, class: "note" }, row.note);
    first.append(make("span", {}, row.name));
    line.append(first, note);
    return line;
  }
  const button = make("button", { type: "button", "aria-expanded": row.open ? "true" : "false", "data-key": row.key });
  button.append(make("span", { class: "arrow", "aria-hidden": "true" }, "›"), make("span", {}, row.name));
  first.append(button);
  const emotion = make("td", { class: "emotion" });
  if (row.colour) emotion.append(make("span", { class: "dot", style: `background:${row.colour}` }));
  emotion.append(make("span", {}, row.emotion));
  line.append(first, emotion, make("td", { class: "number" }, row.percent), make("td", { class: "number wide" }, row.length));
  line.addEventListener("click", () => {
    clicked = row.key;
    setTriggerValue("opened", row.key);
  });
  return line;
};

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".table");
  const table = make("table", { class: data.continued ? "continued" : "" });
  table.append(make("caption", {}, data.caption));
  const columns = make("colgroup");
  const head = make("tr");
  for (const [name, kind] of [["Recording", "name"], ["Sounds", "emotion"], ["How sure", "number"], ["Length", "number wide"]]) {
    columns.append(make("col", { class: kind }));
    head.append(make("th", { scope: "col", class: kind }, name));
  }
  const top = make("thead");
  top.append(head);
  const body = make("tbody");
  body.append(...data.rows.map((row) => rowOf(row, setTriggerValue)));
  table.append(columns, top, body);
  root.replaceChildren(table);
  if (clicked) root.querySelector(`button[data-key="${CSS.escape(clicked)}"]`)?.focus({ preventScroll: true });
}
