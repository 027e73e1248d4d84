"use strict";
(function () {
  var WIDTH = 1180, MARGIN = 10, LETTER = 6.7;
  var boxes = Array.prototype.slice.call(document.querySelectorAll(".f")).map(function (g) {
    return {
      g: g, x: +g.dataset.x, w: +g.dataset.w, d: +g.dataset.d,
      rect: g.querySelector("rect"), text: g.querySelector("text"),
      told: g.querySelector("title").textContent
    };
  });
  var told = document.getElementById("told");
  var found = document.getElementById("found");

  function fitting(name, letters) {
    var all = Array.from(name);
    if (all.length <= letters) return name;
    return letters < 3 ? "" : all.slice(0, letters - 1).join("") + "\u2026";
  }

  function zoom(to) {
    var end = to.x + to.w, slack = 1e-6;
    boxes.forEach(function (box) {
      var above = box.d < to.d && box.x <= to.x + slack && box.x + box.w >= end - slack;
      var inside = box.d >= to.d && box.x >= to.x - slack && box.x + box.w <= end + slack;
      box.g.style.display = above || inside ? "" : "none";
      box.g.classList.toggle("up", above && to.d > 0);
      if (!above && !inside) return;
      var left = above ? 0 : (box.x - to.x) / to.w;
      var width = (above ? 1 : box.w / to.w) * WIDTH;
      var x = MARGIN + left * WIDTH;
      box.rect.setAttribute("x", x);
      box.rect.setAttribute("width", width);
      box.text.setAttribute("x", x + 3);
      box.text.textContent = fitting(box.g.dataset.n, Math.floor((width - 6) / LETTER));
    });
  }

  function search() {
    var wanted = prompt("mark functions that match (a regular expression)", "");
    if (wanted === null) return;
    var matches;
    try { matches = wanted && new RegExp(wanted); } catch (error) { found.textContent = error.message; return; }
    var count = 0;
    boxes.forEach(function (box) {
      var hit = Boolean(matches) && matches.test(box.told);
      box.g.classList.toggle("hit", hit);
      count += hit ? 1 : 0;
    });
    found.textContent = matches ? count + " marked" : " ";
  }

  boxes.forEach(function (box) {
    box.g.addEventListener("click", function () { zoom(box); });
    box.g.addEventListener("mouseenter", function () { told.textContent = box.told; });
    box.g.addEventListener("mouseleave", function () { told.textContent = " "; });
  });
  document.getElementById("reset").addEventListener("click", function () { if (boxes[0]) zoom(boxes[0]); });
  document.getElementById("search").addEventListener("click", search);
})();
