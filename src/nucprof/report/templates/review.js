// The review page: one cell at a time, answered by keys; answers become corrections.csv.
"use strict";
(() => {
  const { data, keyOf, load, draw, facts, panel, element, hiddenAtFirst } = nucprofCells;
  const cells = data.cells;
  const undefinedClass = "undefined"; // what an excluded cell is called in the file
  const at = (id) => document.getElementById(id);
  const view = { hidden: hiddenAtFirst(), gain: 1, edge: true };
  const colourOf = new Map([...data.classes.map((c) => [c.name, c.colour]), [undefinedClass, "#8a8a8a"]]);
  let place = 0;
  let answers = new Map(); // of one person: the cell's number -> its row of the file
  let order = []; // the cells answered, in order, for undo
  let file = null; // the file that is kept up to date
  let unsaved = false;

  // Answers

  const who = () => at("who").value.trim();
  const memory = () => `nucprof-review/${data.page}/${who()}`;

  function say(text, warn = false) {
    at("message").textContent = text;
    at("message").classList.toggle("warn", warn);
  }

  function answer(name) {
    if (!who()) {
      say("Type your name first; it is saved with every answer.", true);
      at("who").focus();
      return;
    }
    const cell = cells[place];
    answers.set(place, {
      plate: cell.plate, ROI_img_name: cell.roi, true_condition: name, was: cell.label, who: who(),
      when: new Date().toISOString(),
    });
    order = [...order.filter((number) => number !== place), place];
    say("");
    const next = cells.findIndex((_, number) => number > place && !answers.has(number));
    remember();
    mark(place);
    go(next >= 0 ? next : Math.min(place + 1, cells.length - 1));
    if (answers.size === cells.length) say("All cells are answered. Save the file.");
  }

  function undo() {
    const last = order.pop();
    if (last === undefined) return say("There is nothing to undo.");
    answers.delete(last);
    remember();
    mark(last);
    go(last);
    say(`The answer for ${cells[last].roi} is undone.`);
  }

  function remember() {
    unsaved = true;
    try {
      localStorage.setItem(memory(), JSON.stringify([...answers.values()]));
    } catch {
      say("This browser keeps no answers: save the file before you close the page.", true);
    }
    if (file) writeFile();
  }

  function recall() {
    let rows = [];
    try {
      rows = JSON.parse(localStorage.getItem(memory()) ?? "[]");
    } catch {
      rows = [];
    }
    const numbers = new Map(cells.map((cell, number) => [keyOf(cell.plate, cell.roi), number]));
    answers = new Map(
      rows
        .map((row) => [numbers.get(keyOf(row.plate, row.ROI_img_name)), row])
        .filter(([number]) => number !== undefined),
    );
    order = [...answers.keys()];
    cells.forEach((_, number) => mark(number));
    const open = cells.findIndex((_, number) => !answers.has(number));
    go(open >= 0 ? open : 0);
    if (answers.size) say(`${answers.size} answers of ${who()} were kept in this browser.`);
  }

  // The file

  const formula = /^[=+\-@\t\r]/;

  function csvField(text) {
    const plain = formula.test(text) ? `'${text}` : text;
    return /[",\r\n]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
  }

  function parseCsv(text) {
    const rows = [[]];
    for (const [, quoted, plain, end] of text.replace(/^\ufeff/, "").matchAll(/(?:"((?:[^"]|"")*)"|([^,\r\n]*))(,|\r?\n|$)/g)) {
      rows.at(-1).push(quoted === undefined ? plain : quoted.replaceAll('""', '"'));
      if (end === "") break;
      if (end !== ",") rows.push([]);
    }
    return rows.filter((row) => row.some((value) => value));
  }

  // Rows that there were before, without those that this person answers anew, and the answers.
  function csvText(before) {
    const mine = new Set([...answers.values()].map((row) => keyOf(row.plate, row.ROI_img_name)));
    const kept = before.filter(
      (row) => row.who !== who() || !mine.has(keyOf(row.plate, row.ROI_img_name)));
    const rows = [...kept, ...answers.values()];
    const lines = rows.map((row) => data.columns.map((name) => csvField(row[name] ?? "")).join(","));
    return [data.columns.join(","), ...lines, ""].join("\n");
  }

  function rowsOf(text) {
    const [titles = [], ...lines] = parseCsv(text);
    const plain = (value) => (/^'[=+\-@\t\r]/.test(value) ? value.slice(1) : value);
    return lines.map((line) =>
      Object.fromEntries(titles.map((title, column) => [title, plain(line[column] ?? "")])));
  }

  function download() {
    const link = element("a", {
      href: URL.createObjectURL(new Blob([csvText(data.before)], { type: "text/csv" })),
      download: "corrections.csv",
    });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    unsaved = false;
    say(`${answers.size} answers are in corrections.csv, in the browser's download folder.`);
  }

  let writing = Promise.resolve();

  function writeFile() {
    writing = writing.then(async () => {
      const text = await (await file.getFile()).text();
      const before = text.trim() ? rowsOf(text) : data.before;
      const stream = await file.createWritable();
      await stream.write(csvText(before));
      await stream.close();
      unsaved = false;
      say(`${answers.size} answers are saved in ${file.name}.`);
    }).catch((error) => {
      file = null;
      say(`The file could not be written (${error.message}). Download corrections.csv instead.`, true);
    });
  }

  async function chooseFile() {
    try {
      file = await showSaveFilePicker({
        suggestedName: "corrections.csv", types: [{ accept: { "text/csv": [".csv"] } }],
      });
    } catch {
      return; // the dialog was closed
    }
    writeFile();
  }

  // What is shown

  function go(number) {
    place = Math.max(0, Math.min(cells.length - 1, number));
    const cell = cells[place];
    show(cell);
    at("facts").replaceChildren(...facts(cell));
    const given = answers.get(place);
    at("answer").textContent = `${place + 1} of ${cells.length}: ` +
      (given ? (given.true_condition === undefinedClass ? "excluded" : given.true_condition)
        : "no answer yet");
    at("progress").value = answers.size;
    for (const button of at("classes").querySelectorAll("[data-class]")) {
      button.setAttribute("aria-pressed", String(given?.true_condition === button.dataset.class));
    }
    for (const thumb of thumbs) thumb.removeAttribute("aria-current");
    thumbs[place].setAttribute("aria-current", "true");
    for (const next of cells.slice(place + 1, place + 6)) load(next);
  }

  function mark(number) {
    const given = answers.get(number);
    const thumb = thumbs[number];
    if (given) {
      thumb.dataset.answer = given.true_condition;
      thumb.style.setProperty("--tint", colourOf.get(given.true_condition));
    } else {
      delete thumb.dataset.answer;
    }
    thumb.title = `${cells[number].roi}: ${given ? given.true_condition : "no answer yet"}`;
  }

  function classButton(key, text, name) {
    const button = element("button", { type: "button", className: "class" });
    button.append(...(key ? [element("kbd", { textContent: key }), ` ${text}`] : [text]));
    button.dataset.class = name;
    button.style.setProperty("--tint", colourOf.get(name));
    button.addEventListener("click", () => answer(name));
    return button;
  }

  const tool = (key, text, action) => {
    const button = element("button", { type: "button" }, element("kbd", { textContent: key }), ` ${text}`);
    button.addEventListener("click", action);
    return button;
  };

  const keep = () => answer(cells[place].label);
  at("classes").append(
    ...data.classes.map((own, number) =>
      classButton(number < 9 ? String(number + 1) : "", own.name, own.name)),
    classButton("0", "exclude", undefinedClass),
    tool("Space", "as it is", keep),
    tool("U", "undo", undo),
  );
  const show = panel(at("pictures"), view, () => show(cells[place]));

  const seen = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      seen.unobserve(target);
      draw(target, cells[Number(target.dataset.number)], { edge: false });
    }
  }, { rootMargin: "300px" });
  const thumbs = cells.map((cell, number) => {
    const canvas = element("canvas");
    canvas.dataset.number = number;
    const thumb = element("button", { type: "button" }, canvas);
    thumb.addEventListener("click", () => go(number));
    at("strip").append(thumb);
    seen.observe(canvas);
    return thumb;
  });

  // Keys and controls

  const keys = {
    u: undo, 0: () => answer(undefinedClass), " ": keep,
    ArrowRight: () => go(place + 1), ArrowLeft: () => go(place - 1),
    o: () => at("edge").click(),
  };
  data.classes.slice(0, 9).forEach((own, number) => (keys[number + 1] = () => answer(own.name)));

  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input[type=text]")) return;
    if (event.key.startsWith("Arrow") && event.target.matches("input")) return;
    if (event.key === " " && event.target.matches("summary, input")) return;
    const action = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
  // A button keeps no focus: Space means "as it is".
  addEventListener("click", (event) => event.target.closest("button, input:not([type=text])")?.blur());
  addEventListener("beforeunload", (event) => unsaved && event.preventDefault());
  at("who").addEventListener("change", recall);
  at("who").addEventListener("keydown", (event) => event.key === "Enter" && event.target.blur());
  at("gain").addEventListener("input", (event) => {
    view.gain = 2 ** Number(event.target.value);
    show(cells[place]);
  });
  at("edge").addEventListener("change", (event) => {
    view.edge = event.target.checked;
    show(cells[place]);
  });
  at("download").addEventListener("click", download);
  at("save").addEventListener("click", chooseFile);
  at("save").hidden = !("showSaveFilePicker" in window);
  recall();
})();
