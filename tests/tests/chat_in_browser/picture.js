// A conversation in two windows side by side; `document.title` is 'ready' when it is worth a picture.
document.head.innerHTML = `<style>
  html, body { height: 100%; }
  body { display: flex; gap: 28px; margin: 0; padding: 28px; box-sizing: border-box; background: #dfe7e4; overflow: hidden; }
  iframe { border: 0; border-radius: 18px; background: #fff; box-shadow: 0 1px 3px #0f2d2526, 0 14px 40px #0f2d2526; height: 100%; }
</style>`;
document.body.innerHTML = '';

async function open(name, width) {
  const frame = document.createElement('iframe');
  frame.style.cssText = width;
  frame.src = `/#room=lighthouse&name=${name}`;
  document.body.append(frame);
  const query = (selector) => frame.contentDocument?.querySelector(selector);
  const until = async (what) => { while (!what()) await pause(30); };
  const person = {
    query,
    until,
    is: (state) => until(() => query('#state')?.dataset.state === state),
    click: (selector) => query(selector).click(),
    say(text) {
      query('#text').value = text;
      query('#compose').requestSubmit();
    },
    hears: (text) => until(() => query('#log').textContent.includes(text)),
  };
  await person.is('connected');
  await until(() => query('#people .me'));
  return person;
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const areAcked = ({ query, until }) => until(() => !query('.mine:not([data-state=acked])'));

(async () => {
  const ada = await open('Ada', 'flex: 1');
  const ben = await open('Ben', 'flex: none; width: 390px');
  await ada.hears('Ben joined');
  ada.say('The train goes into the tunnel in a minute.');
  await ben.hears('tunnel');
  ben.say('See you on the other side!');
  await ada.hears('other side');
  await areAcked(ada);
  ada.click('#cut-long');
  ada.say('It is dark in here.');
  ben.say('Are you still there?');
  ben.say('I talk on, it will be there when you are back.');
  ada.say('No signal at all, but I type on.');
  await ada.is('connected');
  await ada.hears('talk on');
  await ben.hears('type on');
  ada.say('And there is everything you said. Once, and in order.');
  await ben.hears('in order');
  ben.say('Yours too.');
  await ada.hears('Yours too.');
  await Promise.all([areAcked(ada), areAcked(ben)]);
  ben.click('#cut-long');
  ben.say('My turn in the tunnel.');
  await ada.until(() => ada.query('[data-away]'));
  await ben.until(() => ben.query('.label').textContent.includes('in'));
  await pause(300); // for what moves to come to rest
  document.activeElement.contentDocument?.activeElement.blur();
  document.title = 'ready';
})();
