/** What peers find in their processes: their packages, and a page. */
import { expect, it } from 'vitest';
import { loadEngine } from '../../../bench/peers/load-engine.ts';
import { pretendPage } from '../../../bench/peers/peer-adapter.ts';
import { isSoftware } from '../../../src/gpu/caps.ts';
import { listAdapters } from '../../../src/node/device.ts';

it('lets Dawn sleep between two looks on software, as the process of ours does, and nowhere else', async () => {
  const paced = Symbol.for('pentimento.dawn-pace');
  const { navigator, setImmediate: before } = globalThis;
  const [found] = await listAdapters();
  const card = { vendor: 'nvidia', architecture: 'ampere', device: 'a card', description: 'a card' };
  try {
    for (const info of [card, found.info]) {
      Reflect.deleteProperty(globalThis, paced); // as in a process that has just begun
      await pretendPage({ ...found, info: info as typeof found.info }, false);
      expect(globalThis.setImmediate !== before).toBe(isSoftware(info as typeof found.info));
    }
    expect(isSoftware(card as typeof found.info)).toBe(false);
  } finally {
    Object.defineProperty(globalThis, 'navigator', { value: navigator, configurable: true });
    Object.assign(globalThis, { setImmediate: before, [paced]: true });
  }
});

it('says what to do where packages are not whole', async () => {
  const lost = await loadEngine('jax', { folder: '/no/such', version: '1' }, { adapter: undefined, trusted: false });
  expect(lost).toEqual({ missing: 'its packages are not whole: delete /no/such, and they are fetched anew' });
});
