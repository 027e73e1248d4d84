// The message box: words, emoji, files.
// In: keys, drops, pastes. Out: messages handed to the chat, a draft for each conversation.
// Leaves to others: sending (chat.js), files on their way (files.js), signs (emoji.js).

import { byId } from "./dom.js";
import { Picker, withSigns } from "./emoji.js";
import { Tray } from "./files.js";

const LONGEST = 8_000; // signs; a message may have 64 KiB with everything around it
const TALLEST_PX = 180;

export class Composer {
  #chat;
  #words = byId("words");
  #send = byId("send");
  #tray = new Tray(() => this.#check());

  constructor(chat) {
    this.#chat = chat;
    this.#words.maxLength = LONGEST;
    byId("words-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#words.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#submit();
    });
    this.#words.addEventListener("input", () => {
      this.#grow();
      if (this.#words.value.trim()) chat.type();
      else chat.stopTyping();
    });
    new Picker((sign) => this.#put(sign));
    this.#takeFiles();
    let shown = chat.current;
    chat.addEventListener("opened", ({ detail }) => {
      if (shown) shown.draft = this.#words.value;
      shown = detail.conversation;
      this.#words.value = shown.draft;
      this.#label();
      this.#grow();
    });
    this.#label();
    this.#grow();
  }

  focus() {
    this.#words.focus();
  }

  #label() {
    this.#words.placeholder = `Message ${this.#chat.current.label}`;
  }

  #submit() {
    const words = withSigns(this.#words.value.trim());
    if (this.#tray.isBusy || (!words && this.#tray.isEmpty)) return;
    const content = [words, this.#tray.take()].filter(Boolean).join("\n");
    this.#words.value = "";
    this.#chat.current.draft = "";
    this.#grow();
    this.#chat.send(content);
  }

  #put(sign) {
    const { selectionStart, selectionEnd } = this.#words;
    this.#words.setRangeText(sign, selectionStart, selectionEnd, "end");
    this.#words.focus();
    this.#grow();
  }

  #check() {
    this.#send.disabled = this.#tray.isBusy || (!this.#words.value.trim() && this.#tray.isEmpty);
  }

  #grow() {
    const { style } = this.#words;
    style.height = "auto";
    // The border stands outside of what scrolls.
    const border = this.#words.offsetHeight - this.#words.clientHeight;
    style.height = `${Math.min(TALLEST_PX, this.#words.scrollHeight + border)}px`;
    this.#check();
  }

  #takeFiles() {
    const chooser = byId("files");
    byId("files-open").addEventListener("click", () => chooser.click());
    chooser.addEventListener("change", () => {
      this.#tray.add(chooser.files);
      chooser.value = "";
      this.focus();
    });
    this.#words.addEventListener("paste", (event) => {
      const { files } = event.clipboardData;
      if (!files.length) return;
      event.preventDefault();
      this.#tray.add(files);
    });
    const place = byId("conversation");
    const isFiles = ({ dataTransfer }) => dataTransfer?.types.includes("Files");
    let depth = 0;
    const over = (step) => (event) => {
      if (!isFiles(event)) return;
      event.preventDefault();
      depth = Math.max(0, depth + step);
      place.classList.toggle("dropping", depth > 0);
    };
    place.addEventListener("dragenter", over(1));
    place.addEventListener("dragover", over(0));
    place.addEventListener("dragleave", over(-1));
    // A file that is dropped beside it would take the place of the page.
    window.addEventListener("dragover", (event) => { if (isFiles(event)) event.preventDefault(); });
    window.addEventListener("drop", (event) => {
      if (!isFiles(event)) return;
      event.preventDefault();
      depth = 0;
      place.classList.remove("dropping");
      if (place.contains(event.target)) this.#tray.add(event.dataTransfer.files);
      this.focus();
    });
  }
}
