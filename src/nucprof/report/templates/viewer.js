// Pictures of cells: decoded once, drawn as composite or as a single channel, with the outline.
"use strict";
const nucprofCells = (() => {
  const data = JSON.parse(document.getElementById("viewer-data").textContent);
  const size = data.size;
  const colours = data.channels.map((channel) => {
    const value = parseInt(channel.colour.slice(1), 16);
    return [value >> 16, (value >> 8) & 255, value & 255].map((part) => part / 255);
  });
  const keyOf = (plate, roi) => JSON.stringify([plate, roi]);
  const byKey = new Map(data.cells.map((cell) => [keyOf(cell.plate, cell.roi), cell]));
  const decoded = new WeakMap();
  const atFirst = hiddenAtFirst();

  // The channels of a cell, each size * size values from 0 to 255, and its outline.
  function load(cell) {
    if (!decoded.has(cell)) decoded.set(cell, decode(cell));
    return decoded.get(cell);
  }

  async function decode(cell) {
    const image = new Image();
    image.src = cell.picture;
    await image.decode();
    const canvas = document.createElement("canvas");
    canvas.width = size;
    canvas.height = image.height;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    const tiles = [];
    for (let top = 0; top < image.height; top += size) {
      const pixels = context.getImageData(0, top, size, size).data;
      tiles.push(Uint8Array.from({ length: size * size }, (_, i) => pixels[4 * i]));
    }
    return { edges: outline(tiles.pop()), tiles };
  }

  // The sides of pixels at which the mask ends, as [x0, y0, x1, y1].
  function outline(mask) {
    const inside = (x, y) => x >= 0 && y >= 0 && x < size && y < size && mask[y * size + x] > 127;
    const edges = [];
    for (let y = 0; y <= size; y++) {
      for (let x = 0; x <= size; x++) {
        if (inside(x, y) !== inside(x - 1, y)) edges.push([x, y, x, y + 1]);
        if (inside(x, y) !== inside(x, y - 1)) edges.push([x, y, x + 1, y]);
      }
    }
    return edges;
  }

  // Draw a cell. `only`: a channel's number, or null for the composite.
  async function draw(canvas, cell, { only = null, hidden = atFirst, gain = 1, edge = true } = {}) {
    const wanted = (canvas.wanted = {});
    const { tiles, edges } = await load(cell);
    if (canvas.wanted !== wanted) return; // another cell was asked for meanwhile
    const picture = new ImageData(size, size);
    const pixels = picture.data.fill(255);
    const shown = tiles
      .map((tile, channel) => [tile, only === null ? colours[channel] : [1, 1, 1], channel])
      .filter(([, , channel]) => (only === null ? !hidden.has(channel) : channel === only));
    for (let i = 0; i < size * size; i++) {
      const sum = [0, 0, 0];
      for (const [tile, colour] of shown) {
        const value = Math.min(255, tile[i] * gain);
        for (let part = 0; part < 3; part++) sum[part] += value * colour[part];
      }
      // what would be too bright keeps its hue
      const most = Math.max(255, ...sum) / 255;
      for (let part = 0; part < 3; part++) pixels[4 * i + part] = sum[part] / most;
    }
    const small = document.createElement("canvas");
    small.width = small.height = size;
    small.getContext("2d").putImageData(picture, 0, 0);
    const scale = Math.max(1, Math.round((canvas.clientWidth * devicePixelRatio) / size));
    canvas.width = canvas.height = scale * size;
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(small, 0, 0, canvas.width, canvas.height);
    if (edge) drawOutline(context, edges, scale);
    canvas.dataset.drawn = keyOf(cell.plate, cell.roi);
  }

  function drawOutline(context, edges, scale) {
    context.strokeStyle = "rgba(255, 255, 255, 0.85)";
    context.lineWidth = Math.max(1, scale / 4);
    context.beginPath();
    for (const [x0, y0, x1, y1] of edges) {
      context.moveTo(x0 * scale, y0 * scale);
      context.lineTo(x1 * scale, y1 * scale);
    }
    context.stroke();
  }

  // A scale bar of a round number of micrometres, at most a third of a picture: its share and text.
  function scaleBar() {
    if (!data.um) return null;
    const lengths = [0.5, 1, 2, 5, 10, 20, 50, 100].filter((um) => um / data.um <= size / 3);
    const um = lengths.pop() ?? 0.5;
    return { share: um / data.um / size, text: `${um} µm` };
  }

  function element(tag, properties = {}, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  }

  // What is known of a cell, as rows of a table.
  function facts(cell) {
    const rows = [
      ["cell", `${cell.plate} / ${cell.roi}`],
      ["well", cell.culture ? `${cell.well} (${cell.culture})` : cell.well],
      ["class", cell.label],
      ["classifiers", cell.said || "no prediction"],
      ...Object.entries(cell.markers).map(([name, value]) => [
        name,
        value === null ? "not measured" : `${Number(value.toPrecision(4))} grey levels`,
      ]),
    ];
    return rows.map(([name, value]) =>
      element("tr", {}, element("th", { textContent: name }), element("td", { textContent: value })));
  }

  // Channels that the composite leaves out at first: where there are markers, all but these and the
  // first channel, because the sum of many colours is white.
  function hiddenAtFirst() {
    const own = (channel) => channel.round === data.channels[0].round;
    const marked = data.channels.some((channel) => !own(channel));
    return new Set(
      [...data.channels.keys()].filter((i) => marked && own(data.channels[i]) && i !== data.nuclei));
  }

  // Pictures of a cell: the composite, then each channel; a click on a channel hides or shows it.
  function panel(parent, options, changed) {
    const grid = element("div", { className: "cell-channels" });
    const figures = [null, ...data.channels.keys()].map((only) => {
      const canvas = element("canvas", { className: "cell-picture" });
      const channel = only === null ? null : data.channels[only];
      const name = only === null ? "composite" : `${channel.name} (${channel.round})`;
      const caption = element("span", { textContent: name });
      const figure = element(only === null ? "figure" : "button", { className: "cell-figure" });
      if (channel) {
        figure.type = "button";
        figure.title = "show or hide in the composite";
        figure.style.setProperty("--tint", channel.colour);
        figure.setAttribute("aria-pressed", String(!options.hidden.has(only)));
        figure.addEventListener("click", () => {
          const shown = options.hidden.delete(only) || !options.hidden.add(only);
          figure.setAttribute("aria-pressed", String(shown));
          changed();
        });
      }
      figure.append(canvas, caption);
      (channel ? grid : parent).append(figure);
      return { only, canvas };
    });
    parent.append(grid);
    const bar = scaleBar();
    if (bar) {
      const line = element("span", { className: "scale-bar", textContent: bar.text });
      line.style.width = `${100 * bar.share}%`;
      parent.firstElementChild.append(line);
    }
    return (cell) =>
      Promise.all(figures.map(({ only, canvas }) => draw(canvas, cell, { ...options, only })));
  }

  return { data, byKey, keyOf, load, draw, facts, panel, element, hiddenAtFirst };
})();

// Open the viewer on a cell. A page embeds only some cells; for the others it says where they are.
function nucprofShowCell(plate, roi) {
  const { byKey, keyOf, facts, panel, element, hiddenAtFirst } = nucprofCells;
  const dialog = element("dialog", { className: "cell-dialog" });
  const close = element("button", { type: "button", textContent: "Close", autofocus: true });
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  const cell = byKey.get(keyOf(plate, roi));
  const box = element("div", { className: "cell-box" });
  dialog.append(box);
  box.append(element("h2", { textContent: roi }));
  document.body.append(dialog);
  dialog.showModal();
  if (cell) {
    const pictures = element("div", { className: "cell-pictures" });
    const table = element("table", { className: "cell-facts" });
    table.append(...facts(cell));
    box.append(pictures, table);
    const show = panel(pictures, { hidden: hiddenAtFirst(), gain: 1, edge: true }, () => show(cell));
    show(cell);
  } else {
    const [field, label] = roi.split("_");
    const quoted = /^[\w.-]+$/.test(plate) ? plate : `"${plate}"`;
    box.append(
      element("p", { textContent: `The pictures of this cell (plate ${plate}) are not embedded here; the page holds ${byKey.size} cells. See it with:` }),
      element("pre", { textContent:
        `nucprof review project.toml --queue ${quoted}/${roi}\nnucprof view project.toml ${field} --plate ${quoted} --cell ${Number(label)}` }),
    );
  }
  box.append(close);
}
