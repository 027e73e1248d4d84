// The dialogs: who you are, and which rooms there are.
// In: what is typed. Out: a name, a user signed in or out, a room entered or made.
// Leaves to others: what the server thinks of it (account.js, chat.js).

import { account } from "./account.js";
import { byId, h, icon, recall, remember } from "./dom.js";

const ROOMS = 100; // listed at once

/** Runs what a form is for; says in it what went wrong. Afterwards `next` has the focus. */
function onSubmit(form, act, next) {
  const wrong = form.querySelector(".wrong");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (form.ariaBusy === "true") return;
    form.ariaBusy = "true";
    wrong.textContent = "";
    try {
      await act(event.submitter);
      form.closest("dialog").close();
      next?.focus();
    } catch (problem) {
      wrong.textContent = problem.message;
    } finally {
      form.ariaBusy = "false";
    }
  });
}

/** Name, account, colours, notifications of the system. */
export function prepareProfile(chat, redraw) {
  const dialog = byId("profile");
  const open = () => {
    byId("guest-form").hidden = account.isSignedIn;
    byId("sign-part").hidden = account.isSignedIn;
    byId("user-part").hidden = !account.isSignedIn;
    byId("guest-name").value = account.isSignedIn ? "" : account.name;
    byId("user-name").textContent = account.name;
    dialog.showModal();
  };
  byId("profile-open").addEventListener("click", open);
  onSubmit(byId("guest-form"), () => {
    const name = byId("guest-name").value.trim();
    if (!name) throw new Error("a name has at least one sign");
    if (name === account.name) return;
    account.rename(name);
    redraw();
    chat.restart();
  });
  onSubmit(byId("sign-form"), async (submitter) => {
    await account.sign(submitter.value, byId("username").value.trim(), byId("password").value);
    byId("password").value = "";
  });
  byId("sign-out").addEventListener("click", () => {
    dialog.close();
    account.signOut();
  });
  chat.addEventListener("refused", ({ detail }) => {
    byId("sign-why").textContent = detail.message || "This server asks you to sign in.";
    if (!dialog.open) open();
    // A guest's name is of no use here.
    byId("guest-form").hidden = true;
    byId("username").focus();
  });
  prepareColours();
  prepareSystemNotices();
}

function prepareColours() {
  const choices = [...document.querySelectorAll("input[name=colours]")];
  const wear = (theme) => {
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
  };
  const kept = recall("colours") ?? "system";
  wear(kept);
  for (const choice of choices) {
    choice.checked = choice.value === kept;
    choice.addEventListener("change", () => {
      remember("colours", choice.value);
      wear(choice.value);
    });
  }
}

function prepareSystemNotices() {
  const button = byId("system-notices");
  const draw = () => {
    const is = typeof Notification === "undefined" ? "missing" : Notification.permission;
    button.hidden = is !== "default" || !window.isSecureContext;
    byId("system-notices-fact").textContent = {
      granted: "You are told about messages while you look elsewhere.",
      denied: "Your browser does not let this page notify you; its settings can change that.",
      default: window.isSecureContext ? "" : "Your browser notifies over HTTPS alone.",
      missing: "Your browser has no notifications.",
    }[is];
  };
  button.addEventListener("click", async () => {
    await Notification.requestPermission();
    draw();
  });
  draw();
}

/** Rooms that there are, and a new one. */
export function prepareRooms(chat) {
  const dialog = byId("rooms-dialog");
  const list = byId("rooms-found");
  let rooms = [];
  const draw = () => {
    const wanted = byId("rooms-filter").value.trim().toLowerCase();
    const isWanted = ({ id, title = "" }) => `${id} ${title}`.toLowerCase().includes(wanted);
    const found = rooms.filter(isWanted);
    byId("rooms-none").hidden = found.length > 0;
    list.replaceChildren(...found.map((room) => h("li", {}, entry(chat, room, dialog))));
  };
  const fetch = async () => {
    byId("rooms-wrong").textContent = "";
    try {
      ({ rooms } = await account.call("GET", `/rooms?limit=${ROOMS}`));
    } catch (problem) {
      byId("rooms-wrong").textContent = problem.message;
    }
    draw();
  };
  byId("rooms-find").addEventListener("click", () => {
    byId("rooms-filter").value = "";
    // A private room has members, and guests belong to none.
    byId("room-private").parentElement.hidden = !account.isSignedIn;
    fetch();
    dialog.showModal();
  });
  byId("rooms-filter").addEventListener("input", draw);
  chat.addEventListener("rooms", () => { if (dialog.open) fetch(); });
  onSubmit(byId("room-form"), async () => {
    const id = byId("room-new").value.trim();
    const isPublic = !byId("room-private").checked;
    if (account.isSignedIn) {
      try {
        await account.call("POST", "/rooms", { id, title: id, public: isPublic });
      } catch (problem) {
        // One of that name is there: it is entered.
        if (problem.status !== 409) throw problem;
      }
    }
    await chat.join(id);
    byId("room-form").reset();
  }, byId("words"));
}

function entry(chat, { id, title, members = 0, public: isPublic = true }, dialog) {
  const isIn = chat.conversations.has(id);
  const name = title && title !== id ? `${title} (#${id})` : `#${id}`;
  const people = members === 1 ? "1 person" : `${members} people`;
  return h("button", {
    type: "button", class: "room",
    onclick: async () => {
      try {
        await chat.join(id);
        dialog.close();
        byId("words").focus();
      } catch (problem) {
        byId("rooms-wrong").textContent = problem.message;
      }
    },
  }, icon(isPublic ? "room" : "lock"), h("span", { class: "name" }, name),
  h("span", { class: "fact" }, isIn ? `${people}, you are in it` : people));
}

/** Every dialog closes by its cross and by a click beside it. */
export function prepareDialogs() {
  for (const dialog of document.querySelectorAll("dialog")) {
    dialog.querySelector(".close").addEventListener("click", () => dialog.close());
    dialog.addEventListener("pointerdown", ({ target }) => {
      if (target === dialog) dialog.close();
    });
  }
}
