// What pages add when the browser runs scripts. Every page works without.
(() => {
    const root = document.documentElement;
    root.classList.add("js");
    // Words come from the page, which speaks the reader's language.
    const say = (word) => document.body.getAttribute(`data-say-${word}`) ?? word;
    const ready = () => {
        for (const element of document.querySelectorAll("[data-theme-toggle], [data-menu]")) element.hidden = false;
        document.querySelector("[data-theme-toggle]")?.addEventListener("click", () => {
            const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
            root.dataset.theme = dark ? "light" : "dark";
            document.cookie = `theme=${root.dataset.theme}; Path=/admin; Max-Age=31536000; SameSite=Strict`;
        });
        const menu = document.querySelector("[data-menu]");
        menu?.addEventListener("click", () => {
            const open = document.getElementById("nav").classList.toggle("open");
            menu.setAttribute("aria-expanded", String(open));
        });
        for (const select of document.querySelectorAll("select[data-submit]")) {
            select.form.querySelector("button")?.setAttribute("hidden", "");
            select.addEventListener("change", () => select.form.requestSubmit());
        }
        for (const element of document.querySelectorAll("[data-copy]")) {
            const button = document.createElement("button");
            button.type = "button";
            button.className = "copy";
            button.textContent = say("copy");
            button.addEventListener("click", async () => {
                await navigator.clipboard.writeText(element.textContent);
                button.textContent = say("copied");
            });
            element.after(button);
        }
        for (const button of document.querySelectorAll("[data-print]")) {
            button.hidden = false;
            button.addEventListener("click", () => print());
        }
        for (const box of document.querySelectorAll("[data-strength]")) {
            const input = box.querySelector("input");
            const told = document.createElement("progress");
            told.max = 24;
            told.setAttribute("aria-label", say("strength"));
            input.after(told);
            const show = () => { told.value = Math.min(24, new Set(input.value).size + input.value.length / 2); };
            input.addEventListener("input", show);
            show();
        }
        const live = document.querySelector("[data-live]");
        if (live) setInterval(refresh, live.dataset.live === "soon" ? 1000 : 5000);
        if (location.hash === "#print") print();
    };
    // One press, one request: the second press of an impatient finger is not sent.
    document.addEventListener("submit", (event) => {
        const form = event.target;
        if (form.dataset.sent) return event.preventDefault();
        if (form.dataset.confirm && !form.dataset.confirmed) {
            event.preventDefault();
            ask(form);
            return;
        }
        if (form.method === "post") form.dataset.sent = "1";
    });
    addEventListener("pageshow", () => document.querySelectorAll("form[data-sent]").forEach((form) => delete form.dataset.sent));
    const ask = (form) => {
        const dialog = document.createElement("dialog");
        const words = document.createElement("p");
        words.textContent = form.dataset.confirm;
        const buttons = document.createElement("div");
        buttons.className = "buttons";
        const yes = (form.querySelector("button[type=submit]") ?? form.querySelector("button")).cloneNode(true);
        yes.type = "button";
        const no = document.createElement("button");
        no.type = "button";
        no.dataset.no = "";
        no.textContent = say("cancel");
        yes.addEventListener("click", () => { form.dataset.confirmed = "1"; dialog.close(); form.requestSubmit(); });
        no.addEventListener("click", () => dialog.close());
        dialog.addEventListener("close", () => dialog.remove());
        buttons.append(yes, no);
        dialog.append(words, buttons);
        document.body.append(dialog);
        dialog.showModal();
        no.focus();
    };
    // Parts of a page that live: they are asked for again and put in place, unless somebody is working in them.
    const refresh = async () => {
        if (document.hidden || document.querySelector("dialog[open]")) return;
        const answer = await fetch(location.href, { headers: { Accept: "text/html", "Callthrough-Live": "1" } }).catch(() => null);
        if (!answer?.ok || answer.redirected) return;
        const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
        for (const part of document.querySelectorAll("[data-live]")) {
            // What was awaited is there: the page is another one now.
            if (part.dataset.live === "soon" && !fresh.getElementById(part.id)) return location.reload();
            const now = fresh.getElementById(part.id);
            if (now && !part.querySelector("details[open]") && !part.contains(document.activeElement) && now.innerHTML !== part.innerHTML) part.replaceChildren(...now.childNodes);
        }
    };
    document.addEventListener("keydown", (event) => {
        if (event.key !== "/" || event.ctrlKey || event.metaKey || event.target.closest("input, textarea, select")) return;
        const search = document.querySelector(".filters input");
        if (search) { event.preventDefault(); search.focus(); }
    });
    if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", ready); else ready();
})();
