/** The peers themselves on this adapter, fetched by npm: every operation is right, on the device, and really run. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import type { AskedRow } from '../../../bench/peer-protocol.ts';
import { installPeer } from '../../../bench/peers/install-peer.ts';
import { PEER_PACKAGES } from '../../../bench/peers/packages.ts';
import { PeerProcess } from '../../../bench/peers/peer-process.ts';
import { type Peer, type PeerOptions, startPeer } from '../../../bench/peers/start-peer.ts';
import { PEERS, type PeerName } from '../../../bench/schema.ts';
import { listAdapters } from '../../../src/node/device.ts';

const NODE = process.env['PENTIMENTO_NODE'] ?? process.execPath;
const file = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const LOADER = file('../../support/run-typescript.mjs');

const row = (op: string, shape: AskedRow['shape'], activations = 'f32', weights = activations): AskedRow => ({
  ...{ name: `${op} ${activations}`, op, shape, storage: { activations, weights } },
});

const map = { images: 2, height: 7, width: 9 };
const ROWS: readonly AskedRow[] = [
  row('matmul', { rows: 100, k: 96, columns: 132 }),
  row('matmul', { rows: 1, k: 256, columns: 512 }),
  row('conv3x3', { ...map, cin: 16, cout: 24 }),
  row('attention', { heads: 3, queries: 50, keys: 77, width: 40 }),
  row('group-norm-silu', { ...map, channels: 32, groups: 8 }),
  row('layer-norm', { rows: 20, width: 320 }),
  row('rms-norm', { rows: 20, width: 320 }),
  row('softmax', { rows: 20, width: 500 }),
];

const open: Peer[] = [];
afterAll(() => {
  for (const peer of open) peer.close();
});

async function start(name: PeerName, options: Partial<PeerOptions> = {}) {
  const folder = await installPeer(name, PEER_PACKAGES[name]);
  const [{ info }] = await listAdapters();
  const program = [NODE, '--import', LOADER];
  const peerScript = file('../../../bench/peers/peer.ts');
  const peer = await startPeer(name, { adapter: info, program, peerScript, folder, ...options });
  if (!('missing' in peer)) open.push(peer);
  return { peer, info };
}

describe.runIf(process.env['PENTIMENTO_FULL'])('peers of the race', () => {
  it.each(PEERS)('%s runs every operation right on our adapter', async name => {
    const { peer, info } = await start(name);
    if ('missing' in peer) expect.unreachable(peer.missing);
    expect(peer).toMatchObject({ name, version: PEER_PACKAGES[name].version, package: PEER_PACKAGES[name].package });
    expect(peer.adapter.description).toBe(info.description);
    for (const asked of ROWS) {
      const opened = await peer.open(asked);
      if ('missing' in opened) expect.unreachable(`${asked.name}: ${opened.missing}`);
      expect(opened.wrong, asked.name).toBe(undefined);
      expect(opened.error, asked.name).toBeLessThan(1e-5);
      expect(await peer.sample()).toEqual({ ms: expect.any(Number), cpu: expect.any(Number) });
    }
  });

  it.each(PEERS)('%s does all runs that are counted', async name => {
    const { peer, info } = await start(name);
    if ('missing' in peer) expect.unreachable(peer.missing);
    await peer.open(row('matmul', { rows: 512, k: 512, columns: 512 }));
    const cost = await peer.sample();
    if ('missing' in cost) expect.unreachable(cost.missing);
    // Software multiplies at most 16 pairs a clock and core.
    if (/llvmpipe|SwiftShader/i.test(info.description)) expect((2 * 512 ** 3) / cost.cpu).toBeLessThan(150e9);
  });

  it.each(PEERS)('%s has the rows in f16 that it can have', async name => {
    const { peer } = await start(name);
    if ('missing' in peer) expect.unreachable(peer.missing);
    const half = (await listAdapters())[0].features.includes('shader-f16');
    const opened = await peer.open(row('softmax', { rows: 20, width: 500 }, 'f16-packed'));
    if (name === 'tfjs') expect(opened).toEqual({ missing: 'TensorFlow.js has no f16' });
    else if (!half) expect(opened).toEqual({ missing: 'the adapter has no f16' });
    else expect(opened).toMatchObject({ error: expect.closeTo(0, 2) });
    expect(await peer.open(row('matmul', { rows: 4, k: 4, columns: 4 }, 'f32', 'f16'))).toEqual({
      missing: 'f16 weights beside f32 activations are ours alone',
    });
  });

  it.runIf(process.platform === 'linux').each(PEERS)(
    '%s opens the device that we see, by the word of the loader',
    async name => {
      const { version } = PEER_PACKAGES[name];
      const folder = await installPeer(name, PEER_PACKAGES[name]);
      const [adapter] = await listAdapters();
      const command = [NODE, '--import', LOADER, file('../../../bench/peers/peer.ts'), name, '--folder', folder];
      const child = new PeerProcess([...command, '--version', version], { label: name, patienceMs: 600_000 });
      expect(await child.ask({ ask: 'open', row: ROWS[7] })).toMatchObject({ opened: true });
      expect([...child.opened]).toEqual([adapter.name]);
      child.close();
    },
  );

  it.each(PEERS)('%s is refused another adapter, and none at all', async name => {
    const other = { vendor: 'nvidia', architecture: 'ampere', device: 'a card', description: 'that is not here' };
    const { peer } = await start(name, { adapter: other });
    expect(peer).toEqual({ missing: 'no adapter of this machine is nvidia ampere a card that is not here' });
  });

  it('runs exported networks on onnxruntime alone', async () => {
    const network = file('../../../out/peers/unet.onnx');
    const asked: AskedRow = { name: 'unet', op: 'network', shape: {}, storage: {}, file: network };
    const { peer } = await start('jax');
    if ('missing' in peer) expect.unreachable(peer.missing);
    expect(await peer.open(asked)).toEqual({ missing: '@jax-js/jax runs no exported network' });
    const { peer: ort } = await start('onnxruntime');
    if ('missing' in ort) expect.unreachable(ort.missing);
    const opened = await ort.open(asked);
    if (!existsSync(network)) expect(opened).toEqual({ missing: expect.stringMatching(/unet\.onnx/) });
    else expect(await ort.sample()).toEqual({ ms: expect.any(Number), cpu: expect.any(Number) });
  });
});
