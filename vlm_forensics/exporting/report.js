"use strict";
const stage = document.querySelector(".stage");
const slider = document.querySelector("#cut");
if (slider) {
  slider.addEventListener("input", () => stage.style.setProperty("--cut", slider.value + "%"));
}
for (const part of document.querySelectorAll("[data-region]")) {
  const light = (on) => {
    for (const other of document.querySelectorAll("[data-region]")) {
      if (other.dataset.region === part.dataset.region) other.classList.toggle("lit", on);
    }
  };
  for (const event of ["mouseenter", "focus"]) part.addEventListener(event, () => light(true));
  for (const event of ["mouseleave", "blur"]) part.addEventListener(event, () => light(false));
}
if (window.parent !== window) {
  const tell = () => window.parent.postMessage({ vlmfHeight: document.documentElement.offsetHeight }, "*");
  new ResizeObserver(tell).observe(document.documentElement);
}
