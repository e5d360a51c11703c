"use strict";
// An image in the clipboard goes the way of a chosen file; its bytes are not touched.
document.addEventListener("paste", (event) => {
  const file = event.clipboardData?.files[0];
  const field = document.querySelector("#image input[type=file]");
  if (!file || !field) return;
  const carrier = new DataTransfer();
  carrier.items.add(file);
  field.files = carrier.files;
  field.dispatchEvent(new Event("change", { bubbles: true }));
});
// The report says how tall it is, so that the page scrolls as one.
window.addEventListener("message", (event) => {
  const frame = document.querySelector("#report iframe");
  const height = Number(event.data?.vlmfHeight);
  if (frame && event.source === frame.contentWindow && height > 0 && height < 1e5) {
    frame.style.height = `${Math.ceil(height)}px`;
  }
});
function vlmfSave(ending, text) {
  const frame = document.querySelector("#report iframe");
  const type = ending === "json" ? "application/json" : "text/html";
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text ?? frame.srcdoc], { type }));
  link.download = `${frame.dataset.key}.${ending}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}
