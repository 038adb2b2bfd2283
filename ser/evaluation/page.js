"use strict";
// Tells the value of the mark under the pointer. The marks hold it as <title>, which a browser shows by itself, but
// late, and never on a touch screen.
const texts = new Map();
for (const title of document.querySelectorAll("svg.chart title")) {
  texts.set(title.parentNode, title.textContent);
  title.parentNode.classList.add("mark");
  title.remove();
}
const tip = document.body.appendChild(document.createElement("div"));
tip.id = "tip";
tip.hidden = true;

function cellText(image, x, y) {
  const box = image.getBoundingClientRect();
  const cells = (image.cells ??= JSON.parse(image.dataset.cells));
  const place = (count, fraction) => Math.min(count - 1, Math.max(0, Math.floor(count * fraction)));
  const row = place(cells.rows.length, (y - box.top) / box.height);
  const column = place(cells.columns.length, (x - box.left) / box.width);
  const number = row * cells.columns.length + column;
  if (cells.texts) return cells.texts[number];
  const level = (cells.levels ??= Uint8Array.from(atob(cells.values), (one) => one.charCodeAt(0)))[number];
  const value = cells.low + (level / 254) * (cells.high - cells.low);
  const told = level === 255 ? "undefined" : value.toFixed(cells.digits).replace(/^-(?=[0.]*$)/, "").replace("-", "−");
  const parts = { row: cells.rows[row], column: cells.columns[column], value: told };
  return cells.text.replace(/{(row|column|value)}/g, (_, name) => parts[name]);
}

function nearest(chart, x, y) {
  let [best, reach] = [null, 24];
  for (const mark of chart.querySelectorAll(".mark")) {
    const box = mark.getBoundingClientRect();
    const away = Math.hypot(Math.max(box.left - x, 0, x - box.right), Math.max(box.top - y, 0, y - box.bottom));
    if (away < reach) [best, reach] = [mark, away];
  }
  return best;
}

function textAt(event) {
  const chart = event.target.closest("svg.chart");
  if (!chart) return null;
  const { clientX: x, clientY: y } = event;
  const image = event.target.closest("[data-cells]");
  if (image) return cellText(image, x, y);
  const mark = event.target.closest(".mark") ?? (event.pointerType === "touch" ? nearest(chart, x, y) : null);
  return mark && texts.get(mark);
}

function show(event) {
  const text = textAt(event);
  tip.hidden = !text;
  if (!text) return;
  tip.textContent = text;
  const { width, height } = tip.getBoundingClientRect();
  const left = Math.min(event.clientX + 12, document.documentElement.clientWidth - width - 4);
  tip.style.left = `${Math.max(4, left)}px`;
  tip.style.top = `${event.clientY - height - 12 < 4 ? event.clientY + 18 : event.clientY - height - 12}px`;
}
document.addEventListener("pointermove", show);
document.addEventListener("pointerdown", show);
document.addEventListener("scroll", () => (tip.hidden = true), { capture: true, passive: true });
document.documentElement.addEventListener("pointerleave", (event) => {
  if (event.pointerType === "mouse") tip.hidden = true; // a finger leaves with each tap
});
