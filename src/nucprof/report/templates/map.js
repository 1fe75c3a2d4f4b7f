"use strict";
// The map of all cells: coloured by class, culture or prediction; a click opens a cell.
(() => {
  const setup = nucprof.read("map-data");
  const root = document.getElementById("map-explorer");
  if (!setup || !root) return;
  const { cells } = nucprof;
  const canvas = root.querySelector("canvas");
  const plot = new nucprof.Scatter(canvas, { left: 26, bottom: 26, frame: false });
  const [x, y] = [cells.columns.map_x, cells.columns.map_y];
  const rows = [];
  for (let row = 0; row < cells.number; row++) if (x[row] === x[row]) rows.push(row);
  const by = root.querySelector("select");
  const key = root.querySelector("[data-part=key]");
  const note = root.querySelector("[data-part=cell]");

  function draw() {
    const { column, names, colours } = setup.colourings[Number(by.value)];
    const codes = cells.columns[column];
    const own = colours.map(nucprof.packed);
    plot.draw((row) => (codes[row] < own.length ? own[codes[row]] : 0));
    const number = new Int32Array(names.length);
    for (const row of rows) if (codes[row] < names.length) number[codes[row]] += 1;
    key.replaceChildren(...names.map((name, i) => {
      const item = document.createElement("span");
      const dot = document.createElement("i");
      dot.style.background = colours[i];
      item.append(dot, `${name} (${number[i].toLocaleString("en")})`);
      return item;
    }));
  }
  plot.plot({ rows, x, y, names: setup.axes });
  by.addEventListener("change", draw);
  canvas.addEventListener("click", (event) => {
    const row = plot.near(event);
    if (row < 0) return;
    const words = setup.colourings
      .map(({ title, column, names }) => [title, names[cells.columns[column][row]]])
      .filter(([, name]) => name !== undefined);
    nucprof.show(row, note, words.map(([title, name]) => `${title} ${name}`).join(", "));
  });
  nucprof.whenRedrawn(canvas, () => plot.resize(), draw);
})();
