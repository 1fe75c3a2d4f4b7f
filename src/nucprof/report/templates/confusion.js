"use strict";
// The confusion matrix of every prediction that the page holds: a click on a number shows its cells.
(() => {
  const root = document.getElementById("confusion-explorer");
  const { cells } = nucprof;
  if (!root || !cells) return;
  const { byKey, keyOf, draw, element } = nucprofCells;
  const truth = cells.columns.class;
  const methods = ["forest", "network"].filter((name) => name in cells.columns);
  const select = root.querySelector("select");
  const note = root.querySelector("[data-part=cell]");
  const thumbs = root.querySelector("[data-part=thumbs]");
  const most = 60;
  select.append(...methods.map((name) => element("option", { textContent: name })));

  function rowsOf(predicted, from, to) {
    const rows = [];
    for (let row = 0; row < cells.number; row++) {
      if (truth[row] === from && predicted[row] === to) rows.push(row);
    }
    return rows;
  }

  function open(from, to, rows) {
    const held = rows.filter((row) => byKey.has(keyOf(cells.plate(row), cells.key(row))));
    note.textContent = `${cells.classes[from]} predicted as ${cells.classes[to]}: ${rows.length} ` +
      `cells, pictures of ${held.length} are in this page` +
      (held.length > most ? `, ${most} of them shown.` : ".");
    thumbs.replaceChildren(...held.slice(0, most).map((row) => {
      const [plate, key] = [cells.plate(row), cells.key(row)];
      const canvas = element("canvas", { className: "cell-picture" });
      const button = element("button", { type: "button", title: `${plate}/${key}` }, canvas);
      button.addEventListener("click", () => nucprofShowCell(plate, key));
      requestAnimationFrame(() => draw(canvas, byKey.get(keyOf(plate, key))));
      return button;
    }));
  }

  function fill() {
    const predicted = cells.columns[methods[Number(select.selectedIndex)]];
    const head = element("tr", {}, element("th", { textContent: "true \\ predicted" }));
    head.append(...cells.classes.map((name) => element("th", { textContent: name })));
    const lines = cells.classes.map((name, from) => {
      const line = element("tr", {}, element("th", { textContent: name }));
      line.append(...cells.classes.map((_, to) => {
        const rows = rowsOf(predicted, from, to);
        const button = element("button", {
          type: "button", textContent: rows.length.toLocaleString("en"), disabled: !rows.length,
        });
        button.addEventListener("click", () => open(from, to, rows));
        return element("td", { className: from === to ? "right" : "wrong" }, button);
      }));
      return line;
    });
    root.querySelector("table").replaceChildren(head, ...lines);
    thumbs.replaceChildren();
  }
  select.addEventListener("change", fill);
  fill();
})();
