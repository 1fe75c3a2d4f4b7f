"use strict";
// The gate: drag the cutoffs, see the counts that `nucprof gate` would give, copy the command.
(() => {
  const setup = nucprof.read("gate-data");
  const root = document.getElementById("gate-explorer");
  if (!setup || !root) return;
  const { cells, Scatter } = nucprof;
  const { markers, rules, command } = setup;
  const [nPlates, nClasses, nCultures] = [cells.plates.length, rules.length, cells.cultures.length];
  const UNDEFINED = nClasses;
  const values = markers.map((name, i) => cells.columns[`marker${i}`]);
  const { plate, culture, fixed } = cells.columns;
  const gated = [];
  for (let row = 0; row < cells.number; row++) if (cells.columns.gated[row]) gated.push(row);

  const start = setup.cutoffs.map((own) => own.map((value) => value ?? NaN));
  let cutoffs = start.map((own) => own.slice());
  const one = root.querySelector("select[name=x]") === null;
  const find = (name) => root.querySelector(`[name=${name}]`);
  const part = (name) => root.querySelector(`[data-part=${name}]`);
  const together = find("together");
  const chosen = () => (find("plate") ? Number(find("plate").value) : 0);
  const shown = () => {
    const x = one ? 0 : Number(find("x").value);
    return [x, one ? -1 : Number(find("y").value)];
  };

  // ---- classes and counts ---------------------------------------------------------------------
  const called = new Uint8Array(cells.number);
  const counts = new Int32Array(nPlates * (nClasses + 1) * nCultures);

  // As core/markers.py: a cell is of a class if the class's marker is positive (of a line without
  // a marker: none is) and every other marker is not; positive is above the cutoff.
  function classify() {
    counts.fill(0);
    const byMarker = new Int8Array(markers.length).fill(UNDEFINED);
    let without = UNDEFINED;
    rules.forEach((rule, number) => {
      if (rule.carries) byMarker[rule.marker] = number;
      else without = number;
    });
    for (const row of gated) {
      let above = 0;
      let which = -1;
      let known = true;
      for (let m = 0; m < markers.length; m++) {
        const value = values[m][row];
        if (value !== value) known = false;
        else if (value > cutoffs[m][plate[row]]) { above += 1; which = m; }
      }
      let own = UNDEFINED;
      if (known && above === 1) own = byMarker[which];
      else if (known && above === 0) own = without;
      if (fixed[row] >= 0) own = fixed[row];
      called[row] = own;
      counts[(plate[row] * (nClasses + 1) + own) * nCultures + culture[row]] += 1;
    }
  }

  function table(body, plates) {
    const lines = [...rules.map((rule) => rule.name), "undefined"];
    const cellsOf = (own, c) => plates.reduce(
      (sum, p) => sum + counts[(p * (nClasses + 1) + own) * nCultures + c], 0);
    body.replaceChildren(...lines.map((name, own) => {
      const line = document.createElement("tr");
      const head = document.createElement("th");
      const dot = document.createElement("i");
      dot.style.background = own < nClasses ? rules[own].colour : setup.grey;
      head.append(dot, name);
      line.append(head);
      let total = 0;
      for (let c = 0; c < nCultures; c++) {
        const n = cellsOf(own, c);
        total += n;
        line.insertCell().textContent = n.toLocaleString("en");
      }
      line.insertCell().textContent = total.toLocaleString("en");
      return line;
    }));
  }

  // ---- the command ----------------------------------------------------------------------------
  const quoted = (text) => (/^[\w\/.=+:-]+$/.test(text) ? text : `"${text}"`);
  function spell() {
    const words = [command.start];
    markers.forEach((name, m) => {
      const same = cutoffs[m].every((value, p) => Object.is(value, start[m][p]));
      if (same && !setup.all) return;
      const known = cutoffs[m].filter((value) => value === value);
      const alike = !setup.byPlate && known.every((value) => value === known[0]);
      if (alike) words.push("--cutoff", quoted(`${name}=${known[0]}`));
      else cells.plates.forEach((plateName, p) => {
        if (cutoffs[m][p] === cutoffs[m][p]) {
          words.push("--cutoff", quoted(`${plateName}/${name}=${cutoffs[m][p]}`));
        }
      });
    });
    words.push(...command.end);
    part("command").textContent = words.join(" ");
  }

  // ---- the plot -------------------------------------------------------------------------------
  const canvas = root.querySelector("canvas");
  const plot = new Scatter(canvas);
  const colours = [...rules.map((rule) => nucprof.packed(rule.colour)), nucprof.packed(setup.grey)];
  const lines = [part("cut-x"), part("cut-y")];
  const lanes = one ? Float64Array.from(cells.columns.lane, (v, row) => culture[row] + v) : null;

  function choose() {
    const [x, y] = shown();
    const own = chosen();
    const rows = gated.filter((row) => own < 0 || plate[row] === own);
    const unit = "mean intensity (grey levels)";
    plot.plot({
      rows, x: values[x], y: y < 0 ? lanes : values[y],
      names: [`${markers[x]} ${unit}`, y < 0 ? "cultures" : `${markers[y]} ${unit}`],
    });
    update();
  }

  const inside = (share) => Math.min(1, Math.max(0, share));

  function put(side) {
    const marker = shown()[side];
    const line = lines[side];
    const value = marker < 0 ? NaN : cutoffs[marker][Math.max(0, chosen())];
    line.hidden = value !== value || (chosen() < 0 && !together.checked);
    if (line.hidden || !plot.box) return;
    const axis = plot.axes[side];
    const share = inside(axis.at(value));
    const { box, scale } = plot;
    if (side === 0) {
      line.style.left = `${(box.x + share * box.width) / scale}px`;
      line.style.top = `${box.y / scale}px`;
      line.style.height = `${box.height / scale}px`;
    } else {
      line.style.top = `${(box.y + (1 - share) * box.height) / scale}px`;
      line.style.left = `${box.x / scale}px`;
      line.style.width = `${box.width / scale}px`;
    }
    line.setAttribute("aria-label", `cutoff of ${markers[marker]}`);
    line.setAttribute("aria-valuemin", nucprof.written(axis.low));
    line.setAttribute("aria-valuemax", nucprof.written(axis.high));
    line.setAttribute("aria-valuenow", String(value));
    line.dataset.label = `${markers[marker]} ${nucprof.written(value)}`;
  }

  function update() {
    classify();
    plot.draw((row) => colours[called[row]]);
    [0, 1].forEach(put);
    const own = chosen();
    const every = [...cells.plates.keys()];
    table(part("counts"), own < 0 ? every : [own]);
    if (part("all-counts")) table(part("all-counts"), every);
    markers.forEach((name, m) => {
      const field = root.querySelector(`input[data-marker="${m}"]`);
      const value = cutoffs[m][Math.max(0, own)];
      if (document.activeElement !== field) field.value = value === value ? String(value) : "";
    });
    spell();
  }
  const soon = nucprof.perFrame(update);

  function set(marker, value) {
    if (!Number.isFinite(value)) return;
    const all = together.checked || chosen() < 0;
    for (let p = 0; p < nPlates; p++) {
      if ((all || p === chosen()) && start[marker][p] === start[marker][p]) {
        cutoffs[marker][p] = value;
      }
    }
    soon();
  }
  const tidy = (value) => Number(value.toPrecision(4));

  lines.forEach((line, side) => {
    line.addEventListener("pointerdown", (event) => {
      line.setPointerCapture(event.pointerId);
      line.focus();
      event.preventDefault();
    });
    line.addEventListener("pointermove", (event) => {
      if (!line.hasPointerCapture(event.pointerId)) return;
      const box = canvas.getBoundingClientRect();
      const { box: inner, scale } = plot;
      const share = side === 0
        ? ((event.clientX - box.left) * scale - inner.x) / inner.width
        : 1 - ((event.clientY - box.top) * scale - inner.y) / inner.height;
      set(shown()[side], tidy(plot.axes[side].value(inside(share))));
    });
    line.addEventListener("keydown", (event) => {
      const steps = {
        ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, PageUp: 10, PageDown: -10,
      }[event.key];
      if (!steps) return;
      event.preventDefault();
      const marker = shown()[side];
      const axis = plot.axes[side];
      const share = inside(axis.at(cutoffs[marker][Math.max(0, chosen())]));
      set(marker, tidy(axis.value(share + 0.004 * steps * (event.shiftKey ? 10 : 1))));
    });
  });
  for (const field of root.querySelectorAll("input[data-marker]")) {
    field.addEventListener("input", () => {
      if (field.value !== "") set(Number(field.dataset.marker), Number(field.value));
    });
    field.addEventListener("change", soon);
  }
  for (const name of ["plate", "x", "y"]) find(name)?.addEventListener("change", choose);
  together.addEventListener("change", () => {
    if (together.checked) {
      const own = Math.max(0, chosen());
      cutoffs = cutoffs.map((of) => of.map((v, p) => (v === v ? of[own] : v)));
    }
    soon();
  });
  part("reset").addEventListener("click", () => {
    cutoffs = start.map((own) => own.slice());
    together.checked = setup.together;
    update();
  });
  part("copy").addEventListener("click", async () => {
    const text = part("command").textContent;
    try {
      await navigator.clipboard.writeText(text);
      part("copy").textContent = "Copied";
    } catch {  // a browser may keep the clipboard from a file
      getSelection().selectAllChildren(part("command"));
      part("copy").textContent = "Selected: press Ctrl+C";
    }
    setTimeout(() => { part("copy").textContent = "Copy"; }, 2500);
  });
  canvas.addEventListener("click", (event) => {
    const row = plot.near(event);
    if (row < 0) return;
    const words = markers.map((name, m) => `${name} ${nucprof.written(values[m][row])}`);
    const name = called[row] < nClasses ? rules[called[row]].name : "undefined";
    nucprof.show(row, part("cell"), `${name}; ${words.join(", ")}`);
  });
  together.checked = setup.together;
  choose();
  nucprof.whenRedrawn(canvas, () => plot.resize(), () => update());
})();
