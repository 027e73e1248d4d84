// The chat page in a real Chromium: what people do, and what goes wrong on the way.
// Arguments: the folder that holds node_modules, the address of a server for everyone and of one
// that asks who you are, and perhaps a folder for pictures of what it looks like.
const assert = require('node:assert');
const { createRequire } = require('node:module');
const path = require('node:path');
const { deflateSync } = require('node:zlib');
const { Browser, Cable } = require('./browser.cjs');
const { contrast } = require('./contrast.cjs');

const [folder, address, strict, pictures] = process.argv.slice(2);
const { io } = createRequire(`${folder}/`)('socket.io-client');

const picture = async (page, name) => {
  if (pictures) await page.picture(path.join(pictures, `${name}.png`));
};

/** Somebody who is not at a page. */
const speaker = (username) => {
  const transports = ['websocket'];
  const auth = { username, identity: `identity-of-${username}` };
  const socket = io(address, { forceNew: true, transports, auth });
  socket.said = async (room, contents) => {
    await socket.emitWithAck('room:join', { room });
    const say = (content) => socket.emitWithAck('message:send', { room, content });
    const answers = await Promise.all(contents.map(say));
    for (const answer of answers) assert.ok(answer.seq > 0, JSON.stringify(answer));
  };
  return socket;
};

/** Opens a room at a page, as a person would. */
const enter = async (page, room) => {
  await page.click('#rooms-find');
  await page.run((name) => { document.querySelector('#room-new').value = name; }, room);
  await page.run(() => document.querySelector('#room-form').requestSubmit());
  await page.until(`room ${room}`, (name) => document.querySelector('#room-name').innerText === name
    && !document.querySelector('#rooms-dialog').open, `#${room}`);
};

/** Fills in who one is. */
const signIn = (page, name, password, how) => page.run((called, secret, wanted) => {
  document.querySelector('#username').value = called;
  document.querySelector('#password').value = secret;
  const form = document.querySelector('#sign-form');
  form.requestSubmit(form.querySelector(`[value=${wanted}]`));
}, name, password, how);

/** The sum behind each part of a PNG. */
const crc32 = (bytes) => {
  let sum = -1;
  for (const byte of bytes) {
    sum ^= byte;
    for (let bit = 0; bit < 8; bit += 1) sum = (sum >>> 1) ^ (sum & 1 ? 0xedb88320 : 0);
  }
  return (sum ^ -1) >>> 0;
};

/** A PNG of one colour. */
const png = (width, height) => {
  const part = (kind, content) => {
    const body = Buffer.concat([Buffer.from(kind), content]);
    const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(content.length);
    sum.writeUInt32BE(crc32(body));
    return Buffer.concat([length, body, sum]);
  };
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head.set([8, 2], 8);
  const rows = deflateSync(Buffer.alloc(height * (1 + width * 3)));
  const sign = Buffer.from([0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10]);
  const end = part('IEND', Buffer.alloc(0));
  return Buffer.concat([sign, part('IHDR', head), part('IDAT', rows), end]);
};

const cases = {
  'two people chat': async ({ ada, ben }) => {
    await ada.say('Good **morning**, see https://example.com/a_b_c.');
    await ben.hears('Good morning, see https://example.com/a_b_c.');
    const own = await ada.until('the answer', () => {
      const line = document.querySelector('#messages .own');
      return line && !line.querySelector('.mark') && line.innerText;
    });
    assert.match(own, /^You /);
    const other = await ben.run(() => {
      const line = document.querySelector('#messages .other');
      return [line.querySelector('.author').innerText, line.querySelector('strong').innerText,
        line.querySelector('a').href];
    });
    assert.deepEqual(other, ['Ada', 'morning', 'https://example.com/a_b_c']);
    // Who writes is seen to, until it is said.
    await ben.run(() => document.querySelector('#words').focus());
    await ben.write('Morn');
    const typing = () => document.querySelector('#typing').innerText === 'Ben is typing…';
    await ada.until('typing', typing);
    await ben.write('ing :wave:');
    await ben.press('Enter');
    await ada.hears('Morning 👋');
    await ada.until('no typing', () => document.querySelector('#typing').innerText === '');
    await ada.until('both', () => ['Ada', 'Ben'].every((name) => (
      document.querySelector('#people-list').innerText.includes(name))));
  },

  'what was missed comes, and what waited goes, once': async ({ ada, ben, cable }) => {
    const before = (await ada.messages()).length;
    cable.cut();
    await ada.until('the loss', () => document.querySelector('#state').dataset.state !== 'open');
    await ada.say('written in a tunnel');
    await ada.until('it waits', () => document.querySelector('#messages .pending') !== null);
    await picture(ada, 'lost');
    for (const n of [1, 2, 3]) await ben.say(`missed ${n}`);
    await ben.hears('missed 3');
    cable.mend();
    await ada.click('#again');
    await ada.hears('missed 3');
    await ben.hears('written in a tunnel');
    await ada.until('nothing waits', () => document.querySelector('#messages .pending') === null);
    // What the server has and whose answer is lost is not said twice.
    cable.deafen();
    await ada.say('said once');
    await ben.hears('said once');
    cable.cut();
    await ada.until('the loss', () => document.querySelector('#state').dataset.state !== 'open');
    cable.mend();
    await ada.click('#again');
    await ada.until('it is there', () => document.querySelector('#state').dataset.state === 'open'
      && document.querySelector('#messages .pending') === null);
    await ben.say('the end');
    await ada.hears('the end');
    const expected = ['missed 1', 'missed 2', 'missed 3', 'written in a tunnel', 'said once',
      'the end'];
    assert.deepEqual((await ada.messages()).slice(before), expected);
    assert.deepEqual((await ben.messages()).slice(before), expected);
  },

  'offline is said, and online comes back by itself': async ({ ada, ben }) => {
    const network = (offline) => ada.send('Network.emulateNetworkConditions', {
      offline, latency: 0, downloadThroughput: -1, uploadThroughput: -1,
    });
    await network(true);
    await ada.until('offline', () => (
      document.querySelector('#trouble-word').innerText.includes('you are offline')));
    await ben.say('you cannot hear this');
    await ben.hears('you cannot hear this');
    await network(false);
    await ada.hears('you cannot hear this');
  },

  'what people write stays text': async ({ ada, ben }) => {
    const evil = speaker('<img src=x onerror=pwned=1>');
    await evil.said('lobby', ATTACKS);
    evil.emit('typing', { room: 'lobby' });
    const whisper = (content) => (
      evil.emitWithAck('message:direct', { to: 'Ada', room: 'lobby', content }));
    await Promise.all(ATTACKS.map(whisper));
    for (const page of [ada, ben]) {
      await page.until('all of them', (last) => [...document.querySelectorAll('#messages .body')]
        .some((one) => one.innerText.includes(last)), ATTACKS.at(-1));
      await page.until('its name', () => document.querySelector('#people-list').innerText
        .includes('<img src=x onerror=pwned=1>'));
      const found = await page.run(() => {
        const all = (selector) => [...document.querySelectorAll(selector)];
        return {
          pwned: window.pwned,
          tags: all('#messages .body *').map((one) => one.tagName),
          links: all('#messages .body a').map((one) => one.protocol),
          handlers: all('body *').flatMap((one) => one.getAttributeNames())
            .filter((name) => name.startsWith('on') || name === 'srcdoc'),
          bad: all('script:not([src]), iframe, object, embed, base, [src^=x]').length,
        };
      });
      assert.equal(found.pwned, undefined);
      for (const tag of found.tags) assert.ok(TAGS.has(tag), tag);
      for (const protocol of found.links) assert.match(protocol, /^https?:$/);
      assert.deepEqual(found.handlers, []);
      assert.equal(found.bad, 0);
      const shown = (await page.messages()).join('\n');
      assert.ok(shown.includes('<script>pwned=1</script>'), 'it is shown as it was written');
    }
    evil.disconnect();
    await ada.until('the private ones', () => document.querySelector('#directs button'));
    await ada.click('#directs button');
    await ada.until('all of them', (number) => (
      document.querySelectorAll('#messages .body').length === number), ATTACKS.length);
    assert.equal(await ada.run(() => window.pwned), undefined);
    await ada.click('#leave');
  },

  'a keyboard is enough': async ({ ada, ben }) => {
    await ada.run(() => document.activeElement.blur());
    const focused = () => {
      const { activeElement: one } = document;
      return one.id || one.getAttribute('aria-label') || one.innerText;
    };
    const tab = async (wanted) => {
      for (let steps = 0; steps < 40; steps += 1) {
        if (await ada.run(focused) === wanted) return steps;
        await ada.press('Tab');
        // What has the focus is seen to have it.
        const seen = await ada.run(() => {
          const one = document.activeElement;
          const box = one.closest('.box') ?? one;
          const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(box);
          return one === document.body || outlineStyle !== 'none' && outlineWidth !== '0px'
            || boxShadow !== 'none';
        });
        assert.ok(seen, `${await ada.run(focused)} shows no focus`);
      }
      throw new Error(`Tab does not come to ${wanted}`);
    };
    await ada.send('Page.reload');
    await ada.connected();
    await ada.run(() => document.querySelector('.skip').focus());
    await ada.press('Enter');
    assert.equal(await ada.run(focused), 'words');
    await ada.write('typed');
    await tab('emoji-open');
    await ada.press('Enter');
    await ada.press('ArrowDown');
    await ada.press('ArrowRight');
    await ada.press('Enter');
    assert.equal(await ada.run(focused), 'words');
    await ada.press('Enter');
    await ben.hears('typed😏');
    // A room of one's own, and back.
    await ada.run(() => document.querySelector('.skip').focus());
    await tab('rooms-find');
    await ada.press('Enter');
    await ada.until('the dialog', () => document.querySelector('#rooms-dialog').open);
    await tab('room-new');
    await ada.write('keys');
    await ada.press('Enter');
    await ada.until('the room', () => document.querySelector('#room-name').innerText === '#keys');
    await ada.until('the focus', () => document.activeElement.id === 'words');
    await ada.press('ArrowUp', 1);
    await ada.until('back', () => document.querySelector('#room-name').innerText === '#lobby');
    await tab('profile-open');
    await ada.press('Enter');
    await ada.press('Escape');
    assert.equal(await ada.run(focused), 'profile-open');
  },

  'a screen reader finds its way': async ({ ada }) => {
    await ada.send('Accessibility.enable');
    const { nodes } = await ada.send('Accessibility.getFullAXTree');
    const seen = nodes.filter((node) => !node.ignored);
    const roles = new Set(seen.map((node) => node.role.value));
    for (const role of ['main', 'navigation', 'complementary', 'log', 'status', 'form']) {
      assert.ok(roles.has(role), `no ${role} among ${[...roles]}`);
    }
    const named = ['button', 'textbox', 'link', 'log', 'navigation', 'searchbox'];
    for (const { role, name } of seen.filter((node) => named.includes(node.role.value))) {
      assert.ok(name?.value, `a ${role.value} has no name`);
    }
    const friend = speaker('Cleo');
    await friend.said('lobby', ['said *aloud*']);
    const said = () => document.querySelector('#said').innerText.includes('Cleo: said');
    await ada.until('it is read out', said);
    friend.disconnect();
  },

  'a long history keeps its place': async ({ ada }) => {
    const writer = speaker('Wendy');
    const line = (n) => `line ${n} ${'and on '.repeat(n % 30)}`.trim();
    const lines = Array.from({ length: 170 }, (_, n) => line(n));
    await writer.said('long', lines);
    await enter(ada, 'long');
    await ada.hears(lines.at(-1));
    const end = () => {
      const list = document.querySelector('#messages');
      return list.scrollHeight - list.scrollTop - list.clientHeight;
    };
    assert.ok(await ada.run(end) < 5, 'the newest is in view');
    for (let pages = 0; pages < 3; pages += 1) {
      const before = await ada.run(() => {
        const list = document.querySelector('#messages');
        list.scrollTop = 0;
        const first = list.querySelector('.other');
        window.kept = first;
        return { top: first.getBoundingClientRect().top, count: list.children.length };
      });
      await ada.until('older lines', (count) => (
        document.querySelectorAll('#messages > li').length > count), before.count);
      const top = await ada.run(() => (
        window.kept.querySelector('.bubble').getBoundingClientRect().top));
      assert.ok(Math.abs(top - before.top) < 60, `it moved from ${before.top} to ${top}`);
    }
    const shown = await ada.until('the first line', () => {
      const texts = [...document.querySelectorAll('#messages .body')].map((one) => one.innerText);
      return texts[0] === 'line 0' && texts;
    });
    assert.deepEqual(shown, lines);
    // Who reads above is not torn away, and is told.
    await ada.run(() => { document.querySelector('#messages').scrollTop = 400; });
    await writer.said('long', ['news']);
    await ada.until('the button', () => (
      document.querySelector('#newest').innerText.trim() === '1 new message'));
    assert.equal(await ada.run(() => document.querySelector('#messages').scrollTop), 400);
    await picture(ada, 'above');
    await ada.click('#newest');
    assert.ok(await ada.run(end) < 5);
    writer.disconnect();
  },

  'who looks elsewhere is told': async ({ ada, ben }) => {
    await enter(ben, 'tea');
    await enter(ada, 'tea');
    await ada.click('#rooms button[data-id=lobby]');
    await ben.say('nothing for anyone');
    await ben.say('@ada the kettle is on');
    await ada.until('a number at the room', () => {
      const entry = document.querySelector('#rooms button[data-id=tea]');
      const name = entry.getAttribute('aria-label');
      return entry.innerText.includes('2') && name.includes('you are named');
    });
    const toast = await ada.until('a toast', () => document.querySelector('.toast')?.innerText);
    assert.match(toast, /Ben named you in #tea\s+@ada the kettle is on/);
    assert.match(await ada.run(() => document.title), /^\(2\) #lobby/);
    assert.equal(await ada.run(() => document.querySelector('#bell').getAttribute('aria-label')),
      'Notifications, 1 unread');
    await picture(ada, 'told');
    await ada.click('.toast button.text');
    await ada.until('the room', () => document.querySelector('#room-name').innerText === '#tea');
    await ada.hears('@ada the kettle is on');
    await ada.until('all is read', () => document.querySelector('#bell-count').hidden);
    // Alone with somebody.
    const person = '#people-list button[aria-label^=Ben]';
    await ada.until('Ben', (found) => document.querySelector(found), person);
    await ada.click(person);
    await ada.say('just you and me');
    await ben.until('a private conversation', () => document.querySelector('#directs button'));
    await ben.click('#directs button');
    await ben.hears('just you and me');
    await ben.say('quite so');
    await ada.hears('quite so');
    assert.deepEqual(await ada.messages(), ['just you and me', 'quite so']);
    await picture(ada, 'private');
    await ada.click('#rooms button[data-id=lobby]');
    await ben.click('#rooms button[data-id=lobby]');
  },

  'files go up, and pictures are shown': async ({ ada, fay }) => {
    const drop = (page, name, type, bytes) => page.run((called, kind, content) => {
      const files = new DataTransfer();
      files.items.add(new File([new Uint8Array(content)], called, { type: kind }));
      const event = new DragEvent('drop', { dataTransfer: files, bubbles: true, cancelable: true });
      document.querySelector('#messages').dispatchEvent(event);
    }, name, type, [...bytes]);
    const tray = (page, words) => page.until(`“${words}”`, (wanted) => (
      document.querySelector('#tray').innerText.includes(wanted)), words);
    // Who may not send any is told so at the file, and the chat goes on.
    await drop(ada, 'notes.txt', 'text/plain', Buffer.from('hello'));
    await tray(ada, 'sign in to send files');
    await ada.click('#tray .failed [aria-label]');
    ada.wrong = ada.wrong.filter((text) => !text.includes('401'));
    await drop(fay, 'run.png', 'image/png', Buffer.from('\x7fELF\x01\x01\0', 'latin1'));
    await tray(fay, 'the server takes no files of this kind');
    await fay.click('#tray .failed [aria-label]');
    fay.wrong = fay.wrong.filter((text) => !text.includes('415'));
    const file = png(600, 300);
    await drop(fay, 'a [sea].png', 'image/png', file);
    await tray(fay, file.length < 1_000 ? `${file.length} bytes` : 'KB');
    await picture(fay, 'tray');
    await fay.say('look');
    const shown = (page, widths) => page.until('the picture', (wanted) => {
      const image = document.querySelector('#messages .picture img');
      return image?.src.startsWith('blob:') && wanted.includes(image.naturalWidth);
    }, widths);
    for (const page of [ada, fay]) await shown(page, [256, 600]);
    // The small one is made in the background.
    await fay.until('the small one', async () => {
      const { access } = JSON.parse(localStorage.getItem('ebbtide.session'));
      const headers = { authorization: `Bearer ${access}` };
      const { uploads } = await (await fetch('/api/v1/uploads', { headers })).json();
      return uploads[0].small === 'made';
    });
    await ada.send('Page.reload');
    await ada.connected();
    await shown(ada, [256]);
    await ada.click('#messages .picture');
    await ada.until('it is large', () => document.querySelector('#picture').open
      && document.querySelector('#picture img').naturalWidth === 600);
    await picture(ada, 'large');
    await ada.press('Escape');
  },

  'an account is told of what it missed, and once': async ({ ada, fay }) => {
    await enter(ada, 'harbour');
    await ada.say('@fay the ship is in');
    await fay.until('a toast', () => {
      const shown = document.querySelector('.toast')?.innerText ?? '';
      return /Ada named you in #harbour\s+@fay the ship is in/.test(shown);
    });
    const unread = (page, words) => page.until(words, (wanted) => (
      document.querySelector('#bell').getAttribute('aria-label') === wanted), words);
    await unread(fay, 'Notifications, 1 unread');
    await picture(fay, 'told by the server');
    await fay.send('Page.reload');
    await fay.connected();
    await unread(fay, 'Notifications, 1 unread');
    await fay.click('#bell');
    await fay.click('#notices-list .unread');
    const name = () => document.querySelector('#room-name').innerText === '#harbour';
    await fay.until('the room', name);
    await unread(fay, 'Notifications');
    await fay.hears('@fay the ship is in');
    // Read is read, here and in any other window.
    await fay.send('Page.reload');
    await fay.connected();
    await fay.until('the list', () => document.querySelector('#notices-list .read'));
    await unread(fay, 'Notifications');
    await ada.click('#rooms button[data-id=lobby]');
  },

  'who was away too long is told that something is missing': async ({ fay }) => {
    await enter(fay, 'gap');
    const wendy = speaker('Wendy');
    await wendy.said('gap', ['before']);
    await fay.hears('before');
    const network = (offline) => fay.send('Network.emulateNetworkConditions', {
      offline, latency: 0, downloadThroughput: -1, uploadThroughput: -1,
    });
    await network(true);
    await fay.until('offline', () => (
      document.querySelector('#trouble-word').innerText.includes('you are offline')));
    await wendy.said('gap', Array.from({ length: 450 }, (_, n) => `missed ${n}`));
    await network(false);
    await fay.hears('missed 449');
    const shown = await fay.run(() => (
      [...document.querySelectorAll('#messages > li')].map((one) => one.innerText)));
    assert.ok(shown.some((line) => line.includes('You were away too long')), shown.slice(0, 5));
    assert.ok(!shown.some((line) => line.includes('missed 0')), 'only the newest');
    wendy.disconnect();
  },

  'an account is asked for, made, and kept': async ({ browser }) => {
    const eve = await browser.person('Eve');
    await eve.send('Page.navigate', { url: strict });
    await eve.until('the question', () => document.querySelector('#profile')?.open
      && document.activeElement.id === 'username');
    await picture(eve, 'sign');
    const sign = (...words) => signIn(eve, ...words);
    await sign('Eve', 'not the right one', 'login');
    await eve.until('the refusal', () => document.querySelector('#sign-form .wrong').innerText);
    await sign('Eve', 'a long secret of Eve', 'register');
    const isIn = () => document.querySelector('#state')?.dataset.state === 'open'
      && document.querySelector('#own-kind').innerText === 'Signed in'
      && document.querySelector('#messages .system') !== null;
    await eve.until('she is in', isIn);
    await eve.say('me');
    // What is one's own is known again after the page was closed, and in another window.
    await eve.send('Page.reload');
    await eve.until('she is in again', isIn);
    await eve.until('her own words', () => (
      document.querySelector('#messages .own .body')?.innerText === 'me'));
    // A token that is no good any more is renewed, and nobody notices.
    await eve.run(() => {
      const session = JSON.parse(localStorage.getItem('ebbtide.session'));
      localStorage.setItem('ebbtide.session', JSON.stringify({ ...session, until: 0 }));
    });
    await eve.send('Page.reload');
    await eve.until('she is in once more', isIn);
    await eve.click('#profile-open');
    await eve.click('#sign-out');
    await eve.until('she is asked again', () => document.querySelector('#profile').open
      && document.querySelector('#state').dataset.state === 'refused');
    assert.equal(await eve.run(() => localStorage.getItem('ebbtide.session')), null);
    eve.wrong = eve.wrong.filter((text) => !text.includes('401'));
    assert.deepEqual(eve.wrong, []);
  },

  'it fits a phone, in the light and in the dark': async ({ ada, ben }) => {
    await ada.size(360, 640);
    const wide = await ada.run(() => [...document.querySelectorAll('main *')]
      .filter((one) => one.getBoundingClientRect().right > 361 && !one.closest('pre, .unseen'))
      .map((one) => one.outerHTML.slice(0, 80)));
    assert.deepEqual(wide, []);
    assert.equal(await ada.run(() => document.documentElement.scrollWidth), 360);
    const small = await ada.run(() => [...document.querySelectorAll('main button')]
      .filter((one) => !one.closest('#messages, #emoji') && one.checkVisibility())
      .filter((one) => Math.min(one.offsetWidth, one.offsetHeight) < 40).map((one) => one.id));
    assert.deepEqual(small, [], 'a finger needs room');
    await picture(ada, 'phone');
    const drawer = (visibility) => ada.until(`a drawer that is ${visibility}`, (wanted) => (
      getComputedStyle(document.querySelector('#sidebar')).visibility === wanted), visibility);
    await drawer('hidden');
    await ada.click('#rooms-open');
    await drawer('visible');
    await picture(ada, 'drawer');
    await ada.press('Escape');
    await drawer('hidden');
    await ada.size(1280, 800);
    for (const scheme of ['light', 'dark']) {
      await ben.colours(scheme);
      assert.deepEqual(await ben.run(contrast), [], scheme);
      await picture(ben, scheme);
    }
  },
};

/** What Markdown may become here; of uploads none is named. */
const TAGS = new Set(['A', 'STRONG', 'EM', 'S', 'CODE', 'PRE']);

const ATTACKS = [
  '<script>pwned=1</script>',
  '<img src=x onerror="pwned=1">',
  '<svg/onload=pwned=1>',
  '"><iframe srcdoc="<script>parent.pwned=1</script>">',
  '[click](javascript:pwned=1)',
  '[click](JaVaScRiPt://example.com/%0apwned=1)',
  '[click](data:text/html,<script>opener.pwned=1</script>)',
  '[a](https://example.com/"onmouseover="pwned=1)',
  '![x](javascript:pwned=1)',
  '![x](https://example.com/pixel.png)',
  '![x](/api/v1/uploads/../../../logout)',
  '![x](/api/v1/uploads/../notifications)',
  '![x](//example.com/pixel.png)',
  '**<b onclick=pwned=1>bold</b>**',
  '`<img src=x onerror=pwned=1>`',
  '```\n</code></pre><script>pwned=1</script>\n```',
  'https://example.com/<script>pwned=1</script>',
  '{{constructor.constructor("pwned=1")()}}',
  '\u202e<script>pwned=1</script>\u0000',
  '*'.repeat(400) + '_'.repeat(400) + '['.repeat(400) + '`'.repeat(401),
  'the last of them',
];

(async () => {
  const browser = new Browser();
  const cable = await Cable.to(address);
  const ada = await browser.person('Ada');
  const ben = await browser.person('Ben');
  const fay = await browser.person('Fay');
  await Promise.all([ada.open(cable.address), ben.open(address), fay.open(address)]);
  await fay.click('#profile-open');
  await signIn(fay, 'Fay', 'a long secret of Fay', 'register');
  await fay.until('she is in', () => document.querySelector('#state').dataset.state === 'open'
    && document.querySelector('#own-kind').innerText === 'Signed in');
  let passed = 0;
  const only = process.env.PAGE_CASE;
  for (const [name, act] of Object.entries(cases)) {
    if (only && !name.includes(only)) continue;
    const begun = Date.now();
    try {
      await act({ ada, ben, fay, cable, browser });
      for (const page of [ada, ben, fay]) {
        page.wrong.push(...await page.run(() => window.violations.splice(0)));
        assert.deepEqual(page.wrong, [], 'something went wrong in the page');
      }
      passed += 1;
    } catch (error) {
      console.error(`${name}:`, error);
    }
    console.log(`${name}: ${Date.now() - begun} ms`);
  }
  console.log(`page: ${passed} of ${Object.keys(cases).length}`);
  cable.close();
  await browser.close();
  process.exit(passed === Object.keys(cases).length ? 0 : 1);
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
