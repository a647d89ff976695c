"use strict";
// Sorting: a click on a heading orders the rows by the cells' data-v, or their text.
const valueOf = (row, at) => {
  const cell = row.cells[at], text = cell.dataset.v ?? cell.textContent.trim(), number = Number(text);
  return text === "" || text === "–" ? null : Number.isNaN(number) ? text : number;
};
const before = (a, b) => (a === null) - (b === null) || (a === null ? 0 : typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
for (const table of document.querySelectorAll("table.sorts")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, at) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      table.querySelectorAll("tr.plot").forEach((row) => row.remove());
      table.querySelectorAll("tr.open").forEach((row) => row.classList.remove("open"));
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const body = table.tBodies[0], rows = [...body.rows];
      rows.sort((a, b) => {
        const x = valueOf(a, at), y = valueOf(b, at);
        return x === null || y === null ? before(x, y) : down ? before(y, x) : before(x, y);
      });
      body.append(...rows);
    });
  });
}
// Histograms: a click on a layer opens the float values of its tensor with the limits of its grid.
const source = document.getElementById("histograms");
const histograms = source ? JSON.parse(source.textContent) : {};
const NS = "http://www.w3.org/2000/svg";
const shape = (parent, name, attributes, text) => {
  const made = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  parent.append(made);
  return made;
};
const histogram = (name) => {
  const { counts, first, exponent, limits, minimum, maximum } = histograms[name];
  const width = 2 ** exponent, left = 52, right = 550, top = 10, floor = 150;
  const low = Math.min(first * width, ...limits.filter((x) => x !== null));
  const high = Math.max((first + counts.length) * width, ...limits.filter((x) => x !== null));
  const x = (value) => left + ((value - low) / (high - low || 1)) * (right - left);
  const most = Math.log10(Math.max(...counts) + 1);
  const y = (count) => floor - (Math.log10(count + 1) / most) * (floor - top);
  const svg = document.createElementNS(NS, "svg");
  svg.setAttribute("viewBox", "0 0 560 190");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", "histogram of " + name);
  for (let power = 0; power <= most; power += Math.max(1, Math.ceil(most / 4))) {
    const at = y(10 ** power - 1 || 1);
    shape(svg, "line", { x1: left, x2: right, y1: at, y2: at, stroke: "var(--grid)" });
    shape(svg, "text", { x: left - 6, y: at + 4, "text-anchor": "end", "font-size": 11, fill: "var(--soft)" }, "1e" + power);
  }
  let path = `M${x(first * width)} ${floor}`;
  counts.forEach((count, k) => { path += `V${y(count)}H${x((first + k + 1) * width)}`; });
  shape(svg, "path", { d: path + `V${floor}Z`, fill: "var(--series-0)" });
  limits.forEach((limit) => {
    if (limit === null) return;
    shape(svg, "line", { x1: x(limit), x2: x(limit), y1: top, y2: floor, stroke: "var(--warn)", "stroke-width": 1.5, "stroke-dasharray": "5 3", class: "limit" });
  });
  const ticks = [low, 0, high].filter((value, at, all) => at !== 1 || (all[0] < 0 && x(0) - left > 40 && right - x(0) > 40));
  ticks.forEach((value) => shape(svg, "text", { x: x(value), y: floor + 16, "text-anchor": "middle", "font-size": 11, fill: "var(--soft)" }, Number(value.toPrecision(4))));
  const shown = limits[0] === null ? "no limits (float)" : `limits ${limits.map((v) => v.toPrecision(5)).join(" .. ")}`;
  shape(svg, "text", { x: left, y: floor + 34, "font-size": 12, fill: "var(--ink)" }, `values ${minimum.toPrecision(5)} .. ${maximum.toPrecision(5)}, dashed: ${shown}; counts on a log scale`);
  return svg;
};
const toggle = (row) => {
  if (row.nextElementSibling?.classList.contains("plot")) {
    row.nextElementSibling.remove();
    row.classList.remove("open");
    return;
  }
  const extra = document.createElement("tr"), cell = document.createElement("td"), name = row.dataset.tensor;
  extra.className = "plot";
  cell.colSpan = row.cells.length;
  cell.append(name in histograms ? histogram(name) : "no histogram: calibration has not seen this tensor");
  extra.append(cell);
  row.after(extra);
  row.classList.add("open");
};
for (const row of document.querySelectorAll("tr[data-tensor]")) {
  row.tabIndex = 0;
  row.addEventListener("click", () => toggle(row));
  row.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); toggle(row); } });
}
// The network's colours; lines to paste get a button that copies them.
for (const radio of document.querySelectorAll("input[name=mode]")) {
  radio.addEventListener("change", () => { document.querySelector(".net").dataset.mode = radio.value; });
}
const [copy, copied] = document.documentElement.lang.startsWith("zh") ? ["复制", "已复制"] : ["copy", "copied"];
for (const code of document.querySelectorAll("code.paste")) {
  const text = code.textContent, button = document.createElement("button");
  button.className = "copy";
  button.textContent = copy;
  button.setAttribute("aria-label", copy + ": " + text);
  button.addEventListener("click", async () => {
    try { await navigator.clipboard.writeText(text); button.textContent = copied; } catch { getSelection().selectAllChildren(code.lastChild); }
  });
  const words = document.createElement("span");
  words.textContent = text;
  code.replaceChildren(button, words);
}
