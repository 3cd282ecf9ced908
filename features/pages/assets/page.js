"use strict";
// The table of clips, its filters, and the view of one clip. What is shown is kept in the address:
// #scene=park&predicted=bus chooses clips, &open=12 opens one; so links, Back and Forward work.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const names = data.columns.map((column) => column.name);
  const filters = document.getElementById("filters");
  const dialog = document.getElementById("clip");
  const body = document.getElementById("clip-body");
  const loaded = new Map();
  let table = null;
  let chosen = "";
  let current = -1;

  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children.filter((child) => child !== null));
    return element;
  };
  const shown = (value, column) => {
    if (value === null) return "–";
    if (column.several) return value.join(", ");
    return column.number === null ? String(value) : value.toFixed(column.number);
  };
  const values = (value) => (value === null ? ["–"] : [value].flat().map(String));

  for (const select of filters.elements) {
    if (select.tagName !== "SELECT") continue;
    const index = names.indexOf(select.name);
    const every = new Set(data.rows.flatMap((row) => values(row[index])));
    for (const value of [...every].sort((a, b) => a.localeCompare(b, "en", { numeric: true })))
      select.append(make("option", { value }, value));
  }

  const dark = matchMedia("screen and (prefers-color-scheme: dark)");
  const theme = () => document.documentElement.classList.toggle("dark", dark.matches);
  dark.addEventListener("change", theme);
  theme();

  function linked(value, type, row, meta) {
    if (type !== "display") return value;
    return make("a", { href: `#open=${meta.row}`, "data-open": meta.row }, value).outerHTML;
  }
  function cell(column) {
    return (value, type) => {
      if (column.number !== null && type !== "display") return value ?? -Infinity;
      const text = shown(value, column);
      return type === "display" ? make("span", {}, text).innerHTML : text;
    };
  }
  function makeTable(DataTable) {
    table = new DataTable("#clip-table", {
      data: data.rows,
      columns: data.columns.map((column, i) => ({
        title: make("span", {}, column.title).innerHTML,
        name: column.name,
        className: column.number === null ? "" : "dt-body-right",
        type: column.number === null ? "string" : "num",
        render: i === 0 ? linked : cell(column),
      })),
      order: [],
      pageLength: 25,
      deferRender: true,
      autoWidth: false,
      layout: { topStart: "pageLength", topEnd: "search", bottomStart: "info", bottomEnd: "paging" },
      language: { search: "Search clips", lengthMenu: "_MENU_ clips a page", info: "_START_ to _END_ of _TOTAL_ clips",
        infoFiltered: "(of _MAX_)", infoEmpty: "no clips", zeroRecords: "No clip matches." },
    });
    table.on("draw", () => {
      document.getElementById("shown").textContent =
        `${table.rows({ search: "applied" }).count()} of ${data.rows.length} clips`;
    });
    follow();
  }

  // a clip is opened beside what is chosen
  function opening(number) {
    return chosen === "#all" ? `#open=${number}` : `${chosen}&open=${number}`;
  }
  document.getElementById("clip-table").addEventListener("click", (event) => {
    const link = event.target.closest("a[data-open]");
    if (link) link.href = opening(link.dataset.open);
  });

  // the address -> the page
  function follow() {
    const wanted = new URLSearchParams(location.hash.slice(1));
    const number = wanted.has("open") ? Number(wanted.get("open")) : -1;
    wanted.delete("open");
    const known = [...wanted.keys()].some((name) => names.includes(name));
    if (number in data.rows) {
      choose(wanted, known);
      return open(number);
    }
    if (dialog.open) dialog.close();
    const section = location.hash && !known && location.hash !== "#all";
    if (section && chosen) return;
    if (choose(wanted, known) && known) {
      const heading = document.getElementById("clips");
      if (!filters.contains(document.activeElement)) heading.focus({ preventScroll: true });
      heading.scrollIntoView();
    }
  }
  function choose(wanted, known) {
    const address = known ? `#${wanted}` : "#all";
    if (address === chosen) return false; // a clip was closed: the table stays where it was
    chosen = address;
    for (const select of filters.elements)
      if (select.tagName === "SELECT") select.value = wanted.get(select.name) ?? "";
    names.forEach((name, i) => {
      const value = wanted.get(name);
      const test = value === null ? null : (_, row) => values(row[i]).includes(value);
      table.column(i).search.fixed("address", test);
    });
    table.draw();
    return true;
  }

  filters.addEventListener("change", () => {
    const set = [...new FormData(filters)].filter(([, value]) => value !== "");
    location.hash = set.length ? new URLSearchParams(set).toString() : "all";
  });
  filters.addEventListener("reset", () => { location.hash = "all"; });
  filters.addEventListener("submit", (event) => event.preventDefault());

  // one clip
  window.showClip = (number, clip) => {
    loaded.set(number, clip);
    if (number === current) fill(number, clip);
  };
  function open(number) {
    current = number;
    document.getElementById("clip-name").textContent = data.rows[number][0];
    body.replaceChildren(make("p", {}, "Loading …"));
    if (!dialog.open) {
      dialog.showModal();
      document.getElementById("clip-name").focus();
    }
    if (loaded.has(number)) return fill(number, loaded.get(number));
    const script = make("script", { src: `${data.folder}/${number}.js` });
    script.onerror = () =>
      body.replaceChildren(make("p", {}, `${data.folder}/${number}.js is not beside this page.`));
    document.head.append(script);
  }
  dialog.addEventListener("close", () => {
    if (new URLSearchParams(location.hash.slice(1)).has("open")) location.hash = chosen;
    current = -1;
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog || "close" in event.target.dataset) dialog.close();
    if ("step" in event.target.dataset) {
      const order = table.rows({ order: "applied", search: "applied" }).indexes().toArray();
      const next = order[order.indexOf(current) + Number(event.target.dataset.step)];
      if (next !== undefined) location.replace(opening(next));
    }
  });

  function fill(number, clip) {
    const facts = make("dl", { class: "facts" });
    data.columns.slice(1).forEach((column, i) => {
      facts.append(make("dt", {}, column.title), make("dd", {}, shown(data.rows[number][i + 1], column)));
    });
    for (const [title, value] of clip.facts ?? []) facts.append(make("dt", {}, title), make("dd", {}, value));
    const parts = clip.images ? [images(clip.images)] : [];
    if (clip.sound) parts.push(make("audio", { controls: "", preload: "none", src: clip.sound, "aria-label": "Sound of the clip" }));
    parts.push(...(clip.strips ?? []).map(strip), facts);
    if (clip.spectra?.length) parts.push(make("div", { class: "spectra" }, ...clip.spectra.flatMap(spectrum)));
    const drawn = clip.spectra?.find((found) => found.png);
    if (drawn) parts.push(make("p", {},
      `Colour is level: yellow is the clip's maximum, dark blue ${drawn.decibels} dB below it or less.`));
    body.replaceChildren(...parts);
  }
  function images(list) {
    if (!list.length) return make("p", {}, "No images in the store.");
    return make("ul", { class: "images" }, ...list.map((image) => {
      const text = image.name;
      const picture = image.webp
        ? make("img", { src: `data:image/webp;base64,${image.webp}`, alt: `Image of ${text}` })
        : make("p", {}, `damaged: ${image.damaged}`);
      return make("li", {}, picture, text);
    }));
  }
  function spectrum(found) {
    if (found.damaged) return [make("p", {}, `${found.product}, damaged: ${found.damaged}`)];
    const channels = found.png.length === 2 ? ["average", "difference"] : found.png.map((_, i) => `channel ${i + 1}`);
    return found.png.flatMap((png, i) => {
      const box = make("div", { class: "spectrum" },
        make("img", { src: `data:image/png;base64,${png}`, alt: `${found.product}, ${channels[i]} channel` }));
      for (const [hertz, height] of found.ticks) {
        const mark = make("span", { class: "hertz" }, hertz < 1000 ? `${hertz} Hz` : `${hertz / 1000} kHz`);
        mark.style.bottom = `${100 * height}%`;
        box.append(mark);
      }
      const step = Math.ceil(found.seconds / 10);
      for (let second = Math.ceil(found.start / step) * step; second <= found.start + found.seconds; second += step) {
        const mark = make("span", { class: "time" }, `${second} s`);
        mark.style.left = `${(100 * (second - found.start)) / found.seconds}%`;
        box.append(mark);
      }
      return make("div", {}, make("h3", {}, `${found.product}, ${channels[i]} channel`), box);
    });
  }
  function strip(found) {
    const head = make("tr", {}, make("th", { scope: "col" }, found.title),
      ...found.seconds.map((second) => make("th", { scope: "col" }, second === null ? "clip" : `${second} s`)));
    const rows = found.rows.map((row) => make("tr", {}, make("th", { scope: "row" }, row.name),
      ...row.percent.map((percent) => {
        const element = make("td", { class: "shade" }, String(percent));
        element.style.setProperty("--share", percent / 100);
        return element;
      })));
    return make("div", { class: "wide strip", tabindex: "0", role: "region", "aria-label": found.title },
      make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)));
  }

  addEventListener("hashchange", () => { if (table) follow(); });
  const source = document.getElementById("data-tables").textContent;
  import(URL.createObjectURL(new Blob([source], { type: "text/javascript" })))
    .then((module) => makeTable(module.default))
    .catch((fault) => { document.getElementById("shown").textContent = `The table cannot be shown: ${fault}`; });
})();
