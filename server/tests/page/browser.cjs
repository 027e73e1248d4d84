// A real Chromium, driven over its debugging pipe; and a network that can be cut.
// In: what a person would do. Out: what the page shows, and everything that went wrong in it.
const { spawn } = require('node:child_process');
const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');

const PATIENCE_MS = 30_000; // then what is waited for will not come
const LOOK_MS = 15; // between two looks

const FLAGS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-quic',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
  '--disable-extensions', '--disable-default-apps', '--mute-audio', '--remote-debugging-pipe',
  // A page behind another one is slowed down otherwise, as if nobody looked at it.
  '--disable-renderer-backgrounding', '--disable-background-timer-throttling',
  '--disable-backgrounding-occluded-windows', '--lang=en-US',
];

class Browser {
  #child;
  #profile = fs.mkdtempSync(path.join(os.tmpdir(), 'page-test-'));
  #next = 1;
  #waiting = new Map();
  #hearers = new Map();

  constructor() {
    const flags = [...FLAGS, `--user-data-dir=${this.#profile}`, 'about:blank'];
    const stdio = ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'];
    this.#child = spawn('chromium', flags, { stdio });
    this.#child.on('error', (error) => {
      console.error(`chromium does not start (${error.message}): run cargo xtask setup`);
      process.exit(1);
    });
    process.on('exit', () => this.#child.kill('SIGKILL'));
    let rest = '';
    this.#child.stdio[4].setEncoding('utf8').on('data', (text) => {
      const parts = (rest + text).split('\0');
      rest = parts.pop();
      for (const part of parts) this.#hear(JSON.parse(part));
    });
  }

  #hear({ id, result, error, method, params, sessionId }) {
    const waiter = this.#waiting.get(id);
    if (!waiter) {
      this.#hearers.get(sessionId)?.(method, params);
      return;
    }
    this.#waiting.delete(id);
    if (error) waiter.reject(new Error(`${waiter.method}: ${error.message}`));
    else waiter.resolve(result);
  }

  send(method, params = {}, sessionId = undefined) {
    const id = this.#next;
    this.#next += 1;
    this.#child.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject, method });
    });
  }

  /** A window of a person of its own: nothing is shared with the others. */
  async person(name, { width = 1280, height = 800 } = {}) {
    const { browserContextId } = await this.send('Target.createBrowserContext');
    const blank = { url: 'about:blank', browserContextId };
    const { targetId } = await this.send('Target.createTarget', blank);
    const { sessionId } = await this.send('Target.attachToTarget', { targetId, flatten: true });
    const page = new Page(this, sessionId);
    this.#hearers.set(sessionId, (method, params) => page.hear(method, params));
    await page.prepare(name, { width, height });
    return page;
  }

  async close() {
    const gone = new Promise((resolve) => { this.#child.on('exit', resolve); });
    await this.send('Browser.close').catch(() => {});
    await gone;
    fs.rmSync(this.#profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

const KEYS = {
  Enter: ['Enter', 13, '\r'], Tab: ['Tab', 9, ''], Escape: ['Escape', 27, ''],
  ArrowRight: ['ArrowRight', 39, ''], ArrowDown: ['ArrowDown', 40, ''],
  ArrowUp: ['ArrowUp', 38, ''],
};

class Page {
  /** What no page of ours may do: throw, or break its policy. */
  wrong = [];
  #browser;
  #session;

  constructor(browser, session) {
    this.#browser = browser;
    this.#session = session;
  }

  send(method, params) {
    return this.#browser.send(method, params, this.#session);
  }

  async prepare(name, { width, height }) {
    for (const domain of ['Page', 'Runtime', 'Log', 'Network']) await this.send(`${domain}.enable`);
    await this.size(width, height);
    // Set before the page's own scripts run; kept by the page from then on.
    const guest = JSON.stringify({ name, identity: `identity-of-${name}` });
    await this.send('Page.addScriptToEvaluateOnNewDocument', {
      source: `
        if (!localStorage.getItem('ebbtide.guest')) {
          localStorage.setItem('ebbtide.guest', ${JSON.stringify(guest)});
        }
        window.violations = [];
        document.addEventListener('securitypolicyviolation', (event) => {
          window.violations.push(event.violatedDirective + ' ' + event.blockedURI);
        });`,
    });
  }

  size(width, height) {
    const mobile = width < 600;
    const metrics = { width, height, deviceScaleFactor: 1, mobile };
    return this.send('Emulation.setDeviceMetricsOverride', metrics);
  }

  colours(scheme) {
    const features = [{ name: 'prefers-color-scheme', value: scheme }];
    return this.send('Emulation.setEmulatedMedia', { features });
  }

  hear(method, params) {
    if (method === 'Runtime.exceptionThrown') {
      const { text, exception } = params.exceptionDetails;
      this.wrong.push(`${text} ${exception?.description ?? ''}`);
    } else if (method === 'Log.entryAdded' && params.entry.source === 'security') {
      this.wrong.push(params.entry.text);
    }
  }

  /** Runs a function in the page. */
  async run(act, ...args) {
    const expression = `(${act})(...${JSON.stringify(args)})`;
    const options = { expression, awaitPromise: true, returnByValue: true };
    const { result, exceptionDetails } = await this.send('Runtime.evaluate', options);
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? 'in the page');
    return result.value;
  }

  /** Looks until the function gives something that is true, and gives that. */
  async until(what, look, ...args) {
    const end = Date.now() + PATIENCE_MS;
    for (;;) {
      const found = await this.run(look, ...args);
      if (found) return found;
      if (Date.now() > end) {
        const shown = await this.run(() => document.body.innerText);
        throw new Error(`${what}: not within ${PATIENCE_MS / 1000} s; the page shows\n${shown}`);
      }
      await new Promise((resolve) => { setTimeout(resolve, LOOK_MS); });
    }
  }

  async open(address) {
    await this.send('Page.navigate', { url: address });
    await this.connected();
  }

  /** The page has come into its first room. */
  connected() {
    return this.until('the connection', () => (
      document.querySelector('#state')?.dataset.state === 'open'
        && document.querySelector('#messages .system') !== null));
  }

  /** A key as a keyboard sends it. */
  async press(key, modifiers = 0) {
    const [code, windowsVirtualKeyCode, text] = KEYS[key];
    const event = { key, code, windowsVirtualKeyCode, modifiers };
    const type = text ? 'keyDown' : 'rawKeyDown';
    await this.send('Input.dispatchKeyEvent', { type, text, ...event });
    await this.send('Input.dispatchKeyEvent', { type: 'keyUp', ...event });
  }

  write(text) {
    return this.send('Input.insertText', { text });
  }

  /** Writes into the message box and sends it. */
  async say(text) {
    await this.run(() => document.querySelector('#words').focus());
    await this.write(text);
    await this.press('Enter');
  }

  click(selector) {
    return this.run((found) => document.querySelector(found).click(), selector);
  }

  /** What stands in the messages, without the page's own lines. */
  messages() {
    return this.run(() => [...document.querySelectorAll('#messages .body')]
      .map((one) => one.innerText));
  }

  hears(text) {
    return this.until(`“${text}”`, (wanted) => [...document.querySelectorAll('#messages .body')]
      .some((one) => one.innerText === wanted), text);
  }

  async picture(file) {
    const { data } = await this.send('Page.captureScreenshot', { format: 'png' });
    fs.writeFileSync(file, Buffer.from(data, 'base64'));
  }
}

/** A way to the server that can be cut, and that can lose what comes back. */
class Cable {
  #server;
  #pairs = new Set();
  #isCut = false;
  #isDeaf = false;

  static async to(address) {
    const { hostname, port } = new URL(address);
    const cable = new Cable();
    cable.#server = net.createServer((near) => cable.#join(near, Number(port), hostname));
    await new Promise((resolve) => { cable.#server.listen(0, '127.0.0.1', resolve); });
    cable.address = `http://127.0.0.1:${cable.#server.address().port}/`;
    return cable;
  }

  #join(near, port, host) {
    if (this.#isCut) {
      near.destroy();
      return;
    }
    const far = net.connect(port, host);
    const pair = [near, far];
    this.#pairs.add(pair);
    near.on('data', (data) => far.write(data));
    far.on('data', (data) => { if (!this.#isDeaf) near.write(data); });
    for (const end of pair) {
      end.on('error', () => {});
      end.on('close', () => {
        this.#pairs.delete(pair);
        near.destroy();
        far.destroy();
      });
    }
  }

  /** What the server says from now on is lost. */
  deafen() {
    this.#isDeaf = true;
  }

  cut() {
    this.#isCut = true;
    for (const pair of this.#pairs) for (const end of pair) end.destroy();
  }

  mend() {
    this.#isCut = false;
    this.#isDeaf = false;
  }

  close() {
    this.cut();
    this.#server.close();
  }
}

module.exports = { Browser, Cable };
