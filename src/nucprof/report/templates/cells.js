"use strict";
// The cells of the report, and a scatter plot of them that stays fluid with 100,000 points.
const nucprof = (() => {
  const read = (id) => {
    const element = document.getElementById(id);
    return element ? JSON.parse(element.textContent) : null;
  };
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;
  const TYPES = {
    f8: Float64Array, f4: Float32Array, u1: Uint8Array, i1: Int8Array, u2: Uint16Array,
    u4: Uint32Array,
  };
  const array = (packed) => new TYPES[packed.type](bytes(packed.data));

  const held = read("cells-data");
  const cells = held && {
    number: held.number,
    plates: held.plates, cultures: held.cultures, classes: held.classes, fields: held.fields,
    columns: Object.fromEntries(Object.entries(held.columns).map(([k, v]) => [k, array(v)])),
    key(row) {
      const label = String(this.columns.label[row]).padStart(4, "0");
      return `${this.fields[this.columns.field[row]]}_${label}`;
    },
    plate(row) { return this.plates[this.columns.plate[row]]; },
  };

  // The viewer of single cells exists only in a report with crops.
  function show(row, note, words) {
    const [plate, key] = [cells.plate(row), cells.key(row)];
    note.textContent = `${plate}/${key}: ${words}`;
    if (typeof window.nucprofShowCell === "function") window.nucprofShowCell(plate, key);
  }

  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const packed = (hex) => {
    const n = parseInt(hex.slice(1), 16);
    return 0xff000000 | ((n & 255) << 16) | (n & 0xff00) | (n >> 16);
  };

  const NICE = [1, 2, 5];
  function ticks(low, high, log) {
    const found = [];
    if (log) {
      for (let e = Math.floor(Math.log10(low)); e <= Math.log10(high); e++) {
        for (const step of NICE) found.push(step * 10 ** e);
      }
    } else {
      const rough = (high - low) / 5;
      const base = 10 ** Math.floor(Math.log10(rough));
      const step = base * (NICE.find((n) => n * base >= rough) ?? 10);
      for (let v = Math.ceil(low / step) * step; v <= high; v += step) found.push(v);
    }
    return found.filter((value) => value >= low && value <= high);
  }
  const written = (value) => String(Number(value.toPrecision(4)));

  // One axis: values to pixels and back.
  class Axis {
    constructor(values, rows) {
      let [low, high] = [Infinity, -Infinity];
      for (const row of rows) {
        const value = values[row];
        if (value < low) low = value;
        if (value > high) high = value;
      }
      if (!(low < high)) [low, high] = Number.isFinite(low) ? [low - 1, low + 1] : [0, 1];
      this.log = low > 0;
      const [a, b] = [this.bend(low), this.bend(high)];
      const margin = 0.03 * (b - a);
      this.from = a - margin;
      this.to = b + margin;
    }
    bend(value) { return this.log ? Math.log10(Math.max(0, value)) : value; }
    at(value) { return (this.bend(value) - this.from) / (this.to - this.from); }
    value(share) {
      const bent = this.from + share * (this.to - this.from);
      return this.log ? 10 ** bent : bent;
    }
    get low() { return this.value(0); }
    get high() { return this.value(1); }
  }

  // A scatter plot on a canvas. `colour(row)` is a packed colour, or 0 for a hidden cell.
  class Scatter {
    constructor(canvas, { left = 58, bottom = 44, frame = true } = {}) {
      this.canvas = canvas;
      this.context = canvas.getContext("2d");
      Object.assign(this, { left, bottom, top: 10, right: 10, frame });
    }
    plot({ rows, x, y, names }) {
      Object.assign(this, { rows, values: [x, y], names });
      this.axes = [new Axis(x, rows), new Axis(y, rows)];
      this.resize();
    }
    resize() {
      const box = this.canvas.getBoundingClientRect();
      const scale = (this.scale = window.devicePixelRatio || 1);
      const [width, height] = [Math.round(box.width * scale), Math.round(box.height * scale)];
      if (!width || !height || !this.axes) return;
      this.canvas.width = width;
      this.canvas.height = height;
      this.box = {
        x: this.left * scale, y: this.top * scale,
        width: width - (this.left + this.right) * scale,
        height: height - (this.top + this.bottom) * scale,
      };
      const { rows, axes, box: inner } = this;
      this.px = new Int32Array(rows.length);
      this.py = new Int32Array(rows.length);
      rows.forEach((row, i) => {
        const [a, b] = [axes[0].at(this.values[0][row]), axes[1].at(this.values[1][row])];
        const known = Number.isFinite(a) && Number.isFinite(b);
        this.px[i] = known ? inner.x + a * inner.width : -1;
        this.py[i] = known ? inner.y + (1 - b) * inner.height : -1;
      });
      const radius = Math.max(0.6, scale * Math.min(3.2, 2.2 * (4000 / rows.length) ** 0.25));
      this.stamp = [];
      const reach = Math.floor(radius);
      for (let dy = -reach; dy <= reach; dy++) {
        for (let dx = -reach; dx <= reach; dx++) {
          if (dx * dx + dy * dy <= radius * radius) this.stamp.push(dy * width + dx);
        }
      }
      this.reach = reach;
      this.image = this.context.createImageData(width, height);
      this.pixels = new Uint32Array(this.image.data.buffer);
    }
    draw(colour) {
      if (!this.pixels) return;
      const { pixels, px, py, rows, stamp, reach } = this;
      const { width, height } = this.canvas;
      pixels.fill(0);
      for (let i = 0; i < rows.length; i++) {
        const x = px[i];
        const y = py[i];
        if (x < reach || y < reach || x >= width - reach || y >= height - reach) continue;
        const own = colour(rows[i]);
        if (own === 0) continue;
        const middle = y * width + x;
        for (let k = 0; k < stamp.length; k++) pixels[middle + stamp[k]] = own;
      }
      this.context.putImageData(this.image, 0, 0);
      this.outline();
    }
    outline() {
      const { context: c, box, scale, axes, names } = this;
      c.save();
      c.strokeStyle = style("--line");
      c.fillStyle = style("--soft");
      c.lineWidth = scale;
      c.font = `${12 * scale}px system-ui, sans-serif`;
      if (this.frame) c.strokeRect(box.x, box.y, box.width, box.height);
      const room = 46 * scale;
      c.textAlign = "center";
      c.textBaseline = "top";
      let last = -Infinity;
      for (const value of this.frame ? ticks(axes[0].low, axes[0].high, axes[0].log) : []) {
        const x = box.x + axes[0].at(value) * box.width;
        if (x - last < room) continue;
        c.fillText(written(value), x, box.y + box.height + 6 * scale);
        last = x;
      }
      c.textAlign = "right";
      c.textBaseline = "middle";
      last = Infinity;
      for (const value of this.frame ? ticks(axes[1].low, axes[1].high, axes[1].log) : []) {
        const y = box.y + (1 - axes[1].at(value)) * box.height;
        if (last - y < 18 * scale) continue;
        c.fillText(written(value), box.x - 6 * scale, y);
        last = y;
      }
      c.fillStyle = style("--ink");
      c.textAlign = "center";
      c.textBaseline = "bottom";
      const bottom = this.canvas.height - 4 * scale;
      c.fillText(names[0], box.x + box.width / 2, bottom);
      c.translate(13 * scale, box.y + box.height / 2);
      c.rotate(-Math.PI / 2);
      c.textBaseline = "middle";
      c.fillText(names[1], 0, 0);
      c.restore();
    }
    // The row of the point nearest to a place of the page, within some pixels; -1: none.
    near(event, most = 9) {
      const box = this.canvas.getBoundingClientRect();
      const [x, y] = [(event.clientX - box.left) * this.scale, (event.clientY - box.top) * this.scale];
      let [best, found] = [(most * this.scale) ** 2, -1];
      for (let i = 0; i < this.rows.length; i++) {
        const away = (this.px[i] - x) ** 2 + (this.py[i] - y) ** 2;
        if (this.px[i] >= 0 && away < best) [best, found] = [away, this.rows[i]];
      }
      return found;
    }
  }

  // Call a function at most once per frame.
  function perFrame(action) {
    let waiting = false;
    return () => {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => { waiting = false; action(); });
    };
  }

  function whenRedrawn(element, resize, draw) {
    new ResizeObserver(() => { resize(); draw(); }).observe(element);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  }

  return { read, cells, show, packed, Scatter, perFrame, whenRedrawn, written };
})();
