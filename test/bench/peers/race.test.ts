/** The race's processes, with planted peers: what is right, wrong, missing, crashing, hanging or on another adapter. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import type { AskedRow } from '../../../bench/peer-protocol.ts';
import { type Peer, type PeerOptions, startPeer } from '../../../bench/peers/start-peer.ts';
import { Race } from '../../../bench/race.ts';
import type { KernelRow } from '../../../bench/schema.ts';
import type { Reading } from '../../../src/tuning/meter.ts';

const NODE = process.env['PENTIMENTO_NODE'] ?? process.execPath;
const SCRIPT = fileURLToPath(new URL('../../support/planted-peer.mjs', import.meta.url));
const ADAPTER = { vendor: 'test', architecture: 'software', device: 'planted', description: 'planted 1.0' };
const OURS = { medianMs: 1, gflops: 8 } as KernelRow;
const METERS = {
  clock: { costOf: ({ ms }: Reading) => ms },
  processor: { costOf: ({ cpu }: Reading) => 1000 * cpu },
};

const row = (name = 'matmul'): AskedRow => ({ name, op: 'matmul', shape: {}, storage: { activations: 'f32' } });
const planted = (behaviour: string, more: Partial<PeerOptions> = {}): PeerOptions => ({
  ...{ adapter: ADAPTER, program: [NODE, SCRIPT], peerScript: behaviour, folder: '', ...more },
});

const open: { end(): void }[] = [];
afterEach(() => {
  for (const one of open.splice(0)) one.end();
});

async function start(behaviour: string, more: Partial<PeerOptions> = {}): Promise<Peer> {
  const peer = await startPeer('tfjs', planted(behaviour, more));
  if ('missing' in peer) expect.unreachable(peer.missing);
  open.push({ end: () => peer.close() });
  return peer;
}

/** A row of a race against one planted peer. */
async function raced(behaviour: string, clock: 'clock' | 'processor' = 'processor') {
  const race = await Race.start(['tfjs'], { ...planted(behaviour), meter: METERS[clock] });
  open.push({ end: () => race.dispose() });
  await race.open(row());
  for (let i = 0; i < 3; i++) await race.sample();
  race.close(OURS);
  return race.results;
}

describe('a race', () => {
  it('tells times by its clock, the rate, the error and by how much ours is faster', async () => {
    const [peer] = await raced('right');
    expect(peer).toEqual({
      ...{ name: 'tfjs', package: 'planted-tfjs', version: '1.2.3', adapter: ADAPTER },
      rows: [
        {
          ...{ name: 'matmul', minMs: 2, medianMs: 2, p90Ms: 2, cpuMs: 2 },
          ...{ gflops: 4, form: 'planted', firstMs: 6, error: 1e-7, ratio: 2 },
        },
      ],
    });
    const [by] = await raced('right', 'clock');
    expect(by.rows[0]).toMatchObject({ medianMs: 4, cpuMs: 2, ratio: 4 });
  });

  it('does not take for an answer what some library prints', async () => {
    const [{ rows }] = await raced('chatters');
    expect(rows[0]).toMatchObject({ medianMs: 2, error: 1e-7 });
  });

  it('gives what is wrong no speed, and says how wrong it is', async () => {
    const [{ rows }] = await raced('wrong');
    expect(rows).toEqual([
      {
        ...{ name: 'matmul', minMs: null, medianMs: null, p90Ms: null, cpuMs: null, gflops: null, ratio: null },
        ...{ form: 'planted', firstMs: 5, error: 0.5, wrong: true },
      },
    ]);
  });

  it.each([
    ['lacks', 'no matmul'],
    ['throws', 'shader: no such function'],
    ['ends', 'tfjs: it ended with 3'],
    ['falls-back', 'it opened llvmpipe, and the race is on planted'],
    ['crashes-in-sample', 'tfjs: it was ended by SIGKILL'],
  ])('says of a peer that %s why the row did not run', async (behaviour, why) => {
    const [{ rows }] = await raced(behaviour);
    expect(rows).toEqual([expect.objectContaining({ name: 'matmul', missing: why, medianMs: null, ratio: null })]);
  });

  it('runs on without a peer that has another adapter', async () => {
    const race = await Race.start(['jax'], { ...planted('other-adapter'), meter: METERS.clock });
    await race.open(row());
    await race.sample();
    race.close(OURS);
    expect(race.results).toEqual([
      { name: 'jax', package: '@jax-js/jax', version: null, missing: 'the race is on planted', rows: [] },
    ]);
  });
});

describe('a peer', () => {
  it('starts anew after a row that ended it, and tells what it said last', async () => {
    const peer = await start('crashes');
    expect(await peer.open(row())).toMatchObject({ firstMs: 6 });
    expect(await peer.open(row('fatal'))).toEqual({
      missing: 'tfjs: it was ended by SIGKILL (the device is gone)',
    });
    expect(await peer.open(row())).toMatchObject({ firstMs: 6, error: 1e-7 });
    expect(await peer.sample()).toEqual({ ms: 4, cpu: 0.002 });
  });

  it('ends with the signal, whatever it does', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'planted-'));
    const controller = new AbortController();
    const peer = await start(`alive:${join(folder, 'pid')}`, { signal: controller.signal });
    const asked = peer.open(row());
    controller.abort(new DOMException('enough', 'AbortError'));
    await expect(asked).rejects.toThrow('enough');
    await expect(peer.open(row())).rejects.toThrow('enough');
    const pid = Number(readFileSync(join(folder, 'pid'), 'utf8'));
    await expect.poll(() => runs(pid)).toBe(false);
    rmSync(folder, { recursive: true });
  });

  it('is not waited for longer than its patience, and starts anew', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'planted-'));
    const peer = await start(`alive:${join(folder, 'pid')}`, { patienceMs: 700 });
    expect(await peer.open(row())).toEqual({ missing: 'tfjs: it gave no answer within 0.7 s' });
    rmSync(folder, { recursive: true });
  });

  it('says so where its program does not start', async () => {
    const peer = await startPeer('tfjs', {
      adapter: ADAPTER,
      program: ['/no/such/program'],
      peerScript: '',
      folder: '',
    });
    expect(peer).toEqual({
      missing: 'tfjs: it cannot be started (spawn /no/such/program ENOENT)',
    });
  });
});

function runs(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
