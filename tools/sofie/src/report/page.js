"use strict";
// Zooming and moving of the graphs, and what belongs together in the two.
const graphs = [...document.querySelectorAll("svg.graph")];
for (const svg of graphs) {
  const full = { w: +svg.dataset.w, h: +svg.dataset.h };
  const size = () => ({ w: svg.clientWidth || 600, h: svg.clientHeight || 620 });
  let view;
  const show = () => svg.setAttribute("viewBox", `${view.x} ${view.y} ${view.w} ${view.h}`);
  const fit = () => {
    // All of it, but no smaller than can be read: then its beginning, around the first input.
    const s = size();
    const scale = Math.min(1.3, Math.max(0.72, Math.min(s.w / full.w, s.h / full.h)));
    view = { w: s.w / scale, h: s.h / scale };
    const middle = full.w <= view.w ? full.w / 2 : Math.min(Math.max(+svg.dataset.x, view.w / 2), full.w - view.w / 2);
    view.x = middle - view.w / 2;
    view.y = full.h <= view.h ? (full.h - view.h) / 2 : 0;
    show();
  };
  const zoom = (by, at) => {
    const w = Math.min(Math.max(view.w * by, 80), full.w * 8 + 800), f = w / view.w;
    view = { x: at.x - (at.x - view.x) * f, y: at.y - (at.y - view.y) * f, w, h: view.h * f };
    show();
  };
  const place = e => {
    const box = svg.getBoundingClientRect();
    return { x: view.x + (e.clientX - box.left) / box.width * view.w, y: view.y + (e.clientY - box.top) / box.height * view.h };
  };
  fit();
  svg.addEventListener("wheel", e => { e.preventDefault(); zoom(Math.exp(e.deltaY * 0.0015), place(e)); }, { passive: false });
  let from = null;
  svg.addEventListener("pointerdown", e => { from = place(e); svg.setPointerCapture(e.pointerId); });
  svg.addEventListener("pointermove", e => {
    if (!from) return;
    const to = place(e);
    view.x += from.x - to.x; view.y += from.y - to.y;
    show();
  });
  svg.addEventListener("pointerup", () => { from = null; });
  const middle = () => ({ x: view.x + view.w / 2, y: view.y + view.h / 2 });
  const buttons = svg.parentElement.querySelectorAll(".zoom button");
  if (buttons.length === 3) {
    buttons[0].onclick = () => zoom(0.7, middle());
    buttons[1].onclick = () => zoom(1 / 0.7, middle());
    buttons[2].onclick = fit;
  }
}
const keys = node => node.dataset.k ? node.dataset.k.split(" ") : [];
const light = hits => {
  for (const svg of graphs) {
    svg.classList.toggle("lit", hits.size > 0);
    for (const node of svg.querySelectorAll(".node")) node.classList.toggle("hit", keys(node).some(k => hits.has(k)));
  }
};
for (const node of document.querySelectorAll("svg.graph .node")) {
  node.addEventListener("pointerenter", () => light(new Set(keys(node))));
  node.addEventListener("pointerleave", () => light(new Set()));
}
document.documentElement.dataset.ready = "yes";
