/** A worker whose script is looked for, with workers that are stand-ins. */
import { expect, it } from 'vitest';
import { ScriptPort } from '../../src/worker/script-port.ts';

/** A worker that says what it is told to. */
class StandIn extends EventTarget {
  readonly heard: unknown[] = [];
  ended = false;
  postMessage(message: unknown): void {
    this.heard.push(message);
  }
  terminate(): void {
    this.ended = true;
  }
  say(type: 'message' | 'error', fields: object = {}): void {
    this.dispatchEvent(Object.assign(new Event(type, { cancelable: true }), fields));
  }
}

const way = (worker: StandIn) => async () => worker as unknown as Worker;
const turn = () => new Promise(resolve => setTimeout(resolve));

it('keeps what is sent until the script hears', async () => {
  const worker = new StandIn();
  const port = new ScriptPort([way(worker)]);
  port.postMessage('first');
  await turn();
  expect(worker.heard).toEqual([]);
  worker.say('message', { data: 'ready' });
  await turn();
  port.postMessage('second');
  expect(worker.heard).toEqual(['first', 'second']);
});

it('goes on to the next way where a script is not there, and listens to that worker alone', async () => {
  const [missing, found] = [new StandIn(), new StandIn()];
  const told: unknown[] = [];
  const none = async () => undefined;
  const refused = async () => Promise.reject(new TypeError('Invalid URL'));
  const port = new ScriptPort([none, refused, way(missing), way(found)]);
  port.addEventListener('error', event => told.push(event));
  port.addEventListener('message', event => told.push((event as MessageEvent).data));
  port.postMessage('open');
  await turn();
  missing.say('error');
  await turn();
  expect([missing.ended, missing.heard]).toEqual([true, []]);
  found.say('message', { data: 'ready' });
  await turn();
  found.say('message', { data: 'opened' });
  expect([found.heard, told]).toEqual([['open'], ['opened']]);
});

it('tells all who listen, also later, where there is no script', async () => {
  const broken = new StandIn();
  const port = new ScriptPort([way(broken), async () => Promise.reject(new TypeError('Invalid URL'))]);
  const told: unknown[] = [];
  port.addEventListener('error', event => told.push((event as ErrorEvent).message));
  port.postMessage('open');
  await turn();
  broken.say('error', { message: 'SyntaxError: ?' });
  await turn();
  port.addEventListener('error', event => told.push((event as ErrorEvent).message));
  await turn();
  const message = 'no script of it was found (SyntaxError: ?; Invalid URL)';
  expect(told).toEqual([message, message]);
});

it.each(['before its worker is there', 'before the script hears', 'afterwards'])('ends its worker %s', async when => {
  const worker = new StandIn();
  const port = new ScriptPort([way(worker)]);
  if (when !== 'before its worker is there') await turn();
  if (when === 'afterwards') worker.say('message');
  await turn();
  port.terminate();
  port.postMessage('late');
  await turn();
  expect([worker.ended, worker.heard.filter(message => message !== 'late')]).toEqual([true, []]);
});
