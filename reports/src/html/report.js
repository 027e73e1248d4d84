"use strict";
// Draws the charts of a report from the data in the page, and opens what is folded. Text goes
// into the page as text alone, never as markup. Without this script the tables stand as they are.
(function () {
  const data = JSON.parse(document.getElementById("run").textContent);
  document.documentElement.classList.add("js");
  const NS = "http://www.w3.org/2000/svg";
  const LEFT = 62, RIGHT = 22, TOP = 18, HEIGHT = 140, AXIS = 20, ZOOM_MIN_S = 1;
  const all = { from: 0, to: Math.max(data.end, 1) };
  const view = { from: all.from, to: all.to };
  const charts = [];
  let chosen = null;

  const svg = (name, attributes, parent) => {
    const node = document.createElementNS(NS, name);
    for (const key in attributes) node.setAttribute(key, attributes[key]);
    if (parent) parent.appendChild(node);
    return node;
  };
  const html = (name, text, parent, className) => {
    const node = document.createElement(name);
    if (text !== undefined && text !== null) node.textContent = text;
    if (className) node.className = className;
    if (parent) parent.appendChild(node);
    return node;
  };
  const grouped = (value) => Math.round(value).toString().replace(/\B(?=(\d{3})+$)/g, ",");
  const number = (value) => {
    const size = Math.abs(value);
    if (size === 0) return "0";
    if (size >= 99.95) return grouped(value);
    return value.toFixed(size >= 9.995 ? 1 : size >= 0.095 ? 2 : 3);
  };
  const bytes = (value) => {
    if (Math.abs(value) < 9999.5) return number(Math.round(value)).replace(/\.0+$/, "") + " B";
    let unit = 0;
    while (Math.abs(value) >= 1000 && unit < 4) { value /= 1024; unit += 1; }
    return value.toFixed(Math.abs(value) < 99.95 ? 1 : 0) + " " + ["B", "KiB", "MiB", "GiB", "TiB"][unit];
  };
  const signed = (value, figure) => (value > 0 ? "+" : "") + figure(value);
  const millis = (value) => (value >= 999.5 ? number(value / 1000) + " s" : number(value) + " ms");
  const clock = (s) => (s < 120 ? trimmed(s) + " s" : Math.floor(s / 60) + ":" + String(Math.floor(s % 60)).padStart(2, "0"));
  const trimmed = (value) => String(Math.round(value * 10) / 10);
  // On an axis: without the zeros that only a column of figures needs.
  const short = (words) => words.replace("/s", "").replace(/(\.\d*?)0+(?=\D|$)/, "$1").replace(/\.(?=\D|$)/, "");
  const units = { rate: (v) => number(v) + "/s", time: millis, count: grouped, bytes: bytes };

  // The five charts, each with its series: name, colour, values, dashed or not.
  const load = data.load, memory = data.memory;
  const line = (name, color, values, dash) => ({ name, color, values, dash });
  const has = (values) => Array.isArray(values) && values.some((value) => value !== null);
  const specs = {
    rate: { unit: "rate", t: load.t, s: load.s, series: [line("offered", 0, load.offered, true), line("achieved", 1, load.achieved)] },
    latency: { unit: "time", log: true, t: load.t, s: load.s, series: [
      line("p50", 3, load.p50), line("p90", 1, load.p90), line("p99", 2, load.p99), line("max", 0, load.max),
      line("corrected p50", 3, load.corrected_p50, true), line("corrected p99", 2, load.corrected_p99, true)] },
    errors: { unit: "rate", t: load.t, bars: true, series: [line("failed", 2, load.failed), line("dropped", 0, load.dropped)] },
    memory: { unit: "bytes", t: memory.t, gems: true, series: [line("RSS", 2, memory.rss), line("live heap", 1, memory.live)] },
    census: { unit: "count", t: memory.t, series: Object.keys(memory.kinds).map((kind, i) => line(kind, i + 1, memory.kinds[kind])) },
  };

  const ticks = (low, high, wanted) => {
    const raw = (high - low) / wanted;
    const power = Math.pow(10, Math.floor(Math.log10(raw)));
    const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= raw);
    const marks = [];
    for (let n = Math.ceil(low / step - 1e-9); n * step <= high * (1 + 1e-9); n += 1) marks.push(n * step);
    return marks;
  };
  const timeTicks = (from, to, wanted) => {
    const step = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400].find((n) => (to - from) / n <= wanted) || (to - from);
    if (to - from < wanted) return ticks(from, to, wanted);
    const marks = [];
    for (let n = Math.ceil(from / step); n * step <= to; n += 1) marks.push(n * step);
    return marks;
  };
  const byteTicks = (high, wanted) => {
    let step = 1;
    while (high / step > wanted) step *= 2;
    return Array.from({ length: Math.floor(high / step) + 1 }, (_, n) => n * step);
  };
  const logTicks = (low, high) => {
    const marks = [];
    const steps = Math.log10(high / low) > 2.2 ? [1] : [1, 2, 5];
    for (let k = Math.floor(Math.log10(low)); k <= Math.ceil(Math.log10(high)); k += 1)
      for (const n of steps) { const v = n * Math.pow(10, k); if (v >= low && v <= high) marks.push(v); }
    return marks;
  };

  // Values seen in the view, with one point on each side so that lines reach the edges.
  const span = (t) => {
    let first = t.findIndex((s) => s >= view.from);
    if (first < 0) first = t.length;
    let last = first;
    while (last < t.length && t[last] <= view.to) last += 1;
    return [Math.max(0, first - 1), Math.min(t.length, last + 1)];
  };

  function scale(chart, height) {
    const [first, last] = span(chart.t);
    let low = Infinity, high = 0;
    for (let i = first; i < last; i += 1) {
      const stack = chart.bars ? chart.series.reduce((sum, series) => sum + (series.values[i] || 0), 0) : 0;
      high = Math.max(high, stack);
      for (const series of chart.series) {
        const v = series.values[i];
        if (v !== null && (!chart.log || v > 0)) { low = Math.min(low, v); high = Math.max(high, v); }
      }
    }
    if (!(high > 0)) high = 1;
    if (chart.log) {
      low = Math.min(low, high) * 0.8; high *= 1.2;
      const ratio = Math.log(high / low);
      return { marks: logTicks(low, high), y: (v) => height - (Math.log(Math.max(v, low) / low) / ratio) * height };
    }
    high *= 1.06;
    const marks = chart.unit === "bytes" ? byteTicks(high, 6) : ticks(0, high, 3).filter((v) => chart.unit !== "count" || v % 1 === 0);
    return { marks, y: (v) => height - (v / high) * height };
  }

  function path(chart, values, x, y) {
    const [first, last] = span(chart.t);
    let d = "", pen = "M";
    for (let i = first; i < last; i += 1) {
      if (values[i] === null) { pen = "M"; continue; }
      // A pause between two rounds is no load: the line is broken there, not drawn through it.
      // A second of load begins before the moment at which it was written.
      const length = chart.s ? chart.s[i] : 0;
      const pause = i > first ? chart.t[i] - length - chart.t[i - 1] : 0;
      if (pause > (chart.s ? length / 2 : chart.gap)) pen = "M";
      if (pen === "M" && length) { d += "M" + x(chart.t[i] - length).toFixed(1) + " " + y(values[i]).toFixed(1); pen = "L"; }
      d += pen + x(chart.t[i]).toFixed(1) + " " + y(values[i]).toFixed(1);
      pen = "L";
    }
    return d;
  }

  function rounds(plot, x, height) {
    for (const round of data.rounds) {
      const from = Math.max(round.from, view.from), to = Math.min(round.to, view.to);
      if (to <= from) continue;
      svg("rect", { x: x(from), y: 0, width: Math.max(1, x(to) - x(from)), height, class: round.kind }, plot);
      if (x(to) - x(from) > 16)
        svg("text", { x: (x(from) + x(to)) / 2, y: -5, "text-anchor": "middle" }, plot).textContent = round.index;
    }
  }

  function draw(chart) {
    const width = Math.max(260, chart.box.clientWidth), inner = width - LEFT - RIGHT;
    const x = (s) => ((s - view.from) / (view.to - view.from)) * inner;
    const { marks, y } = scale(chart, HEIGHT);
    chart.x = x; chart.inner = inner;
    const root = svg("svg", { viewBox: `0 0 ${width} ${TOP + HEIGHT + AXIS}`, height: TOP + HEIGHT + AXIS, role: "img", "aria-label": chart.label });
    const id = "clip-" + chart.name;
    svg("rect", { x: 0, y: -TOP, width: inner, height: HEIGHT + TOP + 4 }, svg("clipPath", { id }, root));
    const plot = svg("g", { transform: `translate(${LEFT},${TOP})` }, root);
    for (const mark of marks) {
      svg("line", { x1: 0, x2: inner, y1: y(mark), y2: y(mark), class: "grid" }, plot);
      svg("text", { x: -8, y: y(mark) + 4, "text-anchor": "end" }, plot).textContent = short(units[chart.unit](mark));
    }
    for (const s of timeTicks(view.from, view.to, inner / 80)) {
      svg("line", { x1: x(s), x2: x(s), y1: HEIGHT, y2: HEIGHT + 4, class: "axis" }, plot);
      svg("text", { x: x(s), y: HEIGHT + 16, "text-anchor": "middle" }, plot).textContent = clock(s);
    }
    svg("line", { x1: 0, x2: inner, y1: HEIGHT, y2: HEIGHT, class: "axis" }, plot);
    const inside = svg("g", { "clip-path": `url(#${id})` }, plot);
    rounds(inside, x, HEIGHT);
    for (const taken of data.snapshots) svg("line", { x1: x(taken.t), x2: x(taken.t), y1: 0, y2: HEIGHT, class: "snap" }, inside);
    for (const series of chart.series)
      if (!chart.bars) svg("path", { d: path(chart, series.values, x, y), class: `s s${series.color}${series.dash ? " dash" : ""}` }, inside);
    if (chart.bars) bars(chart, inside, x, y);
    chart.cursor = svg("line", { y1: 0, y2: HEIGHT, class: "cursor", visibility: "hidden" }, inside);
    chart.drag = svg("rect", { y: 0, height: HEIGHT, class: "drag", visibility: "hidden" }, inside);
    svg("rect", { x: 0, y: 0, width: inner, height: HEIGHT, fill: "transparent", class: "plot" }, plot);
    if (chart.gems) gems(plot, x, y);
    chart.box.replaceChildren(root);
  }

  function bars(chart, inside, x, y) {
    const [first, last] = span(chart.t);
    for (let i = first; i < last; i += 1) {
      let below = 0;
      const from = x(chart.t[i] - load.s[i]), to = x(chart.t[i]);
      for (const series of chart.series) {
        const value = series.values[i] || 0;
        if (value > 0) svg("rect", { x: from, y: y(below + value), width: Math.max(1.5, to - from - 1), height: y(below) - y(below + value), class: "f" + series.color }, inside);
        below += value;
      }
    }
  }

  function gems(plot, x, y) {
    data.snapshots.forEach((taken, i) => {
      if (taken.t < view.from || taken.t > view.to) return;
      const cx = x(taken.t), cy = y(taken.live);
      const gem = svg("path", { d: `M${cx} ${cy - 6}L${cx + 6} ${cy}L${cx} ${cy + 6}L${cx - 6} ${cy}Z`, class: "gem" + (i === chosen ? " on" : ""), tabindex: 0, role: "button", "aria-label": "snapshot " + taken.index + ": compare with the one before" }, plot);
      gem.addEventListener("click", () => compare(i));
      gem.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); compare(i); } });
    });
  }

  function legend(chart) {
    const box = html("figcaption", null, null, "legend");
    html("b", chart.title, box);
    for (const series of chart.series) {
      const item = html("span", series.name + " ", box, `k${series.color}${series.dash ? " dash" : ""}`);
      series.out = html("output", "", item);
    }
    chart.when = html("output", "", box, "soft");
    return box;
  }

  function point(s) {
    for (const chart of charts) {
      const t = chart.t;
      let best = -1;
      if (s !== null) for (let i = 0; i < t.length; i += 1) if (best < 0 || Math.abs(t[i] - s) < Math.abs(t[best] - s)) best = i;
      const on = best >= 0 && s >= view.from && s <= view.to;
      chart.cursor.setAttribute("visibility", on ? "visible" : "hidden");
      if (on) { chart.cursor.setAttribute("x1", chart.x(s)); chart.cursor.setAttribute("x2", chart.x(s)); }
      for (const series of chart.series) {
        const value = on ? series.values[best] : null;
        series.out.textContent = value === null || value === undefined ? "" : units[chart.unit](value);
      }
      chart.when.textContent = on ? "at " + clock(t[best]) : "";
    }
  }

  const reset = document.getElementById("reset");
  function zoom(from, to) {
    view.from = Math.max(all.from, from); view.to = Math.min(all.to, to);
    reset.disabled = view.from === all.from && view.to === all.to;
    charts.forEach(draw);
  }

  function listen(chart) {
    let start = null, at = null;
    const second = (event) => {
      const box = chart.box.getBoundingClientRect();
      const s = view.from + ((event.clientX - box.left - LEFT) / chart.inner) * (view.to - view.from);
      return Math.min(view.to, Math.max(view.from, s));
    };
    const shade = (to) => charts.forEach((other) => {
      const on = start !== null && Math.abs(to - start) > 0;
      other.drag.setAttribute("visibility", on ? "visible" : "hidden");
      if (on) { other.drag.setAttribute("x", other.x(Math.min(start, to))); other.drag.setAttribute("width", Math.abs(other.x(to) - other.x(start))); }
    });
    chart.box.addEventListener("pointerdown", (event) => { if (event.button === 0 && !event.target.closest(".gem")) { start = second(event); chart.box.setPointerCapture(event.pointerId); } });
    chart.box.addEventListener("pointermove", (event) => { at = second(event); point(at); if (start !== null) shade(at); });
    chart.box.addEventListener("pointerup", (event) => {
      if (start === null) return;
      const from = Math.min(start, second(event)), to = Math.max(start, second(event));
      start = null; shade(0);
      if (to - from >= ZOOM_MIN_S) zoom(from, to);
    });
    chart.box.addEventListener("pointercancel", () => { start = null; shade(0); });
    chart.box.addEventListener("pointerleave", () => { if (start === null) point(null); });
    chart.box.addEventListener("dblclick", () => zoom(all.from, all.to));
    chart.box.addEventListener("keydown", (event) => {
      const wide = view.to - view.from;
      if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
        at = Math.min(view.to, Math.max(view.from, (at === null ? view.from : at) + (event.key === "ArrowLeft" ? -1 : 1) * wide / 60));
        point(at); event.preventDefault();
      } else if (event.key === "+" && wide > 2 * ZOOM_MIN_S) {
        const middle = at === null ? (view.from + view.to) / 2 : at; zoom(middle - wide / 4, middle + wide / 4);
      } else if (event.key === "-") zoom(view.from - wide / 2, view.to + wide / 2);
      else if (event.key === "Escape") zoom(all.from, all.to);
    });
  }

  for (const figure of document.querySelectorAll("figure[data-chart]")) {
    const chart = specs[figure.dataset.chart];
    chart.name = figure.dataset.chart; chart.title = figure.dataset.title; chart.label = figure.dataset.label;
    chart.series = chart.series.filter((series) => has(series.values));
    // A gap is what is longer than a few usual steps.
    const steps = chart.t.slice(1).map((s, i) => s - chart.t[i]).sort((a, b) => a - b);
    chart.gap = 2.5 * (steps[Math.floor(steps.length / 2)] || 1);
    chart.box = html("div", null, null);
    chart.box.tabIndex = 0;
    figure.prepend(legend(chart), chart.box);
    charts.push(chart); draw(chart); listen(chart);
  }
  if (reset) { reset.disabled = true; reset.addEventListener("click", () => zoom(all.from, all.to)); }

  // A snapshot against the one before. What is not among the sites written with a full list is
  // unknown, not zero.
  const panel = document.getElementById("diff");
  function compare(i) {
    chosen = i;
    for (const button of document.querySelectorAll("button[data-snapshot]")) button.setAttribute("aria-pressed", String(Number(button.dataset.snapshot) === i));
    charts.filter((chart) => chart.gems).forEach(draw);
    const after = data.snapshots[i], before = data.snapshots[i - 1];
    panel.hidden = false; panel.replaceChildren();
    const words = (taken) => "snapshot " + taken.index + (taken.round === null ? "" : " (round " + taken.round + ", " + taken.kind + ")");
    html("h3", before ? words(after) + " against " + words(before) : words(after), panel);
    if (before) html("p", "Live heap " + bytes(before.live) + " to " + bytes(after.live) + ", " + signed(after.live - before.live, bytes) + ".", panel, "soft");
    const cells = (taken) => new Map(taken ? taken.sites.map((site) => [site[0], site]) : []);
    const olds = cells(before), news = cells(after);
    const known = (taken, map, id, field) => map.has(id) ? map.get(id)[field] : taken && taken.sites.length < data.sites_max ? 0 : null;
    const rows = [...new Set([...olds.keys(), ...news.keys()])].map((id) => {
      const was = known(before, olds, id, 1), is = known(after, news, id, 1);
      const had = known(before, olds, id, 2), have = known(after, news, id, 2);
      return { id, was, is, change: was === null || is === null ? null : is - was, objects: had === null || have === null ? null : have - had };
    }).sort((a, b) => Math.abs(b.change || 0) - Math.abs(a.change || 0));
    const table = html("table", null, html("div", null, panel, "scroll"));
    const head = html("tr", null, html("thead", null, table));
    for (const [title, className] of [["site", ""], ["kind", ""], ["before", "num"], ["after", "num"], ["change", "num"], ["objects", "num"]]) html("th", title, head, className).scope = "col";
    const body = html("tbody", null, table);
    const figure = (value, write) => (value === null ? "unknown" : write(value));
    for (const row of rows) {
      const [name, file, at, kind] = data.names[row.id], tr = html("tr", null, body);
      const cell = html("td", null, tr, "name");
      html("code", name, cell); html("small", file + (at ? ":" + at : ""), cell);
      html("td", kind, tr);
      html("td", before ? figure(row.was, bytes) : "", tr, "num"); html("td", figure(row.is, bytes), tr, "num");
      html("td", before ? figure(row.change, (v) => signed(v, bytes)) : "", tr, "num");
      html("td", before ? figure(row.objects, (v) => signed(v, grouped)) : "", tr, "num");
    }
  }
  for (const button of document.querySelectorAll("button[data-snapshot]")) button.addEventListener("click", () => compare(Number(button.dataset.snapshot)));

  // A site's live bytes over operations, with the line its growth per operation means.
  function fit(box, site) {
    const width = Math.max(260, box.clientWidth), inner = width - LEFT - RIGHT, height = 170;
    const measured = site.y.map((y, i) => i).filter((i) => site.kinds[i] !== "warmup");
    const mean = (values) => measured.reduce((sum, i) => sum + values[i], 0) / Math.max(1, measured.length);
    const mx = mean(site.x), my = mean(site.y), last = Math.max(...site.x) * 1.03 || 1, first = site.x[measured[0]] || 0;
    const top = Math.max(...site.y, site.slope ? my + site.slope.high * (last - mx) : 0, 1) * 1.08;
    const x = (v) => (v / last) * inner, y = (v) => height - (Math.max(0, v) / top) * height;
    const root = svg("svg", { viewBox: `0 0 ${width} ${TOP + height + 36}`, height: TOP + height + 36, role: "img", "aria-label": "live bytes of the site over operations" });
    const plot = svg("g", { transform: `translate(${LEFT},${TOP})` }, root);
    for (const mark of byteTicks(top, 6)) {
      svg("line", { x1: 0, x2: inner, y1: y(mark), y2: y(mark), class: "grid" }, plot);
      svg("text", { x: -8, y: y(mark) + 4, "text-anchor": "end" }, plot).textContent = short(bytes(mark));
    }
    for (const mark of ticks(0, last, inner / 110)) svg("text", { x: x(mark), y: height + 16, "text-anchor": "middle" }, plot).textContent = grouped(mark);
    svg("text", { x: inner / 2, y: height + 32, "text-anchor": "middle" }, plot).textContent = site.axis;
    svg("line", { x1: 0, x2: inner, y1: height, y2: height, class: "axis" }, plot);
    if (site.slope && measured.length > 1) {
      const at = (slope, v) => `${x(v).toFixed(1)} ${y(my + slope * (v - mx)).toFixed(1)}`;
      const { value, low, high } = site.slope;
      svg("path", { d: `M${at(low, first)}L${at(low, last)}L${at(high, last)}L${at(high, first)}Z`, class: "area" }, plot);
      svg("path", { d: `M${at(value, first)}L${at(value, last)}`, class: "s s1 dash" }, plot);
    }
    site.y.forEach((v, i) => svg("circle", { cx: x(site.x[i]), cy: y(v), r: 4, class: "s " + ({ warmup: "s0 hollow", replay: "s1 hollow", new: "s1 f1" }[site.kinds[i]] || "s1 f1") }, plot));
    box.replaceChildren(root);
  }
  const fits = () => { for (const box of document.querySelectorAll("tr.open [data-fit]")) fit(box, data.sites[Number(box.dataset.fit)]); };
  for (const button of document.querySelectorAll("button[data-site]"))
    button.addEventListener("click", () => {
      const row = document.getElementById("site-" + button.dataset.site), open = row.classList.toggle("open");
      button.closest("tr").classList.toggle("opened", open);
      button.setAttribute("aria-expanded", String(open));
      fits();
    });
  const worst = document.querySelector("button[data-site][data-worst]");
  if (worst) worst.click();

  let waiting = 0;
  const again = () => { charts.forEach(draw); fits(); };
  addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(again, 120); });
  addEventListener("beforeprint", again);
})();
