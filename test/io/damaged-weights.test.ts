/** Ten thousand damaged files of every format that holds weights; `npm test` takes a sample of the same seeds. */
import { readFileSync } from 'node:fs';
import { getHeapStatistics } from 'node:v8';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PentimentoError } from '../../src/core/errors.ts';
import type { TensorSource } from '../../src/core/tensor-source.ts';
import { widened } from '../../src/core/widened-source.ts';
import { openSafetensors } from '../../src/io/safetensors.ts';
import { memorySource } from '../../src/io/sources.ts';
import { openWeightFile } from '../../src/io/weight-file.ts';
import { Allocations } from '../support/allocations.ts';
import { Chance, damage, damageJson, damagePickle } from '../support/damage.ts';
import { zipEntries, zipOf } from '../support/zip-writer.ts';

const COUNT = process.env.PENTIMENTO_FULL ? 10_000 : 200;
const MIB = 2 ** 20;

const golden = (name: string): Uint8Array =>
  new Uint8Array(readFileSync(new URL(`../golden/${name}`, import.meta.url)));
const outside = (...names: string[]): Uint8Array[] => names.map(name => golden(`outside-weights/${name}`));

const allocations = new Allocations();
beforeAll(() => allocations.start());
afterAll(() => allocations.stop());

interface Outcome {
  /** 'read', or the reader's refusal. */
  readonly what: string;
  readonly ms: number;
  /** Of buffers, in all, and growth of the heap. */
  readonly bytes: number;
}

/** Opens a file and reads all that it claims to hold; fails on anything but sound values or an error of the library. */
async function outcomeOf(open: (bytes: Uint8Array) => Promise<TensorSource>, bytes: Uint8Array): Promise<Outcome> {
  const before = performance.now();
  const [heap, buffers] = [getHeapStatistics().used_heap_size, allocations.bytes];
  let what = 'read';
  try {
    const source = widened(await open(bytes));
    for (const { name, byteLength } of source.tensors.values()) await readTwice(source, name, byteLength);
    await source.close?.();
  } catch (error) {
    if (!(error instanceof PentimentoError)) throw error;
    expect(error.code).toBe('weights');
    expect(error.message.length).toBeLessThan(2000);
    what = error.problem.replace(/".*"|\d+/g, 'x');
  }
  const grown = Math.max(0, getHeapStatistics().used_heap_size - heap);
  return { what, ms: performance.now() - before, bytes: allocations.bytes - buffers + grown };
}

/** Into buffers that were filled with different bytes: what a reader leaves out stays different. */
async function readTwice(source: TensorSource, name: string, byteLength: number): Promise<void> {
  const length = Math.min(byteLength, MIB);
  const [one, two] = [0x55, 0xaa].map(fill => new Uint8Array(length).fill(fill));
  await source.read(name, byteLength - length, one!);
  await source.read(name, byteLength - length, two!);
  expect(Buffer.compare(one!, two!), name).toBe(0);
}

/** The worst of all files, and how often each outcome was. */
async function tally(
  open: (bytes: Uint8Array) => Promise<TensorSource>,
  files: readonly Uint8Array[],
  broken: (base: Uint8Array, chance: Chance) => Uint8Array,
  repaired: (base: Uint8Array, chance: Chance) => Uint8Array,
): Promise<Map<string, number>> {
  const outcomes = new Map<string, number>();
  for (let seed = 0; seed < COUNT; seed++) {
    const chance = new Chance(seed);
    const base = files[seed % files.length]!;
    const bad = (Math.floor(seed / files.length) % 2 ? broken : repaired)(base, chance);
    const measure = () =>
      outcomeOf(open, bad).catch((cause: unknown) => {
        throw new Error(`seed ${seed}`, { cause });
      });
    const first = await measure();
    // A busy machine and the collector's moods are not the reader's: what is too much must be so twice.
    const again = first.ms < 2000 && first.bytes < 16 * bad.length + 64 * MIB ? first : await measure();
    const [what, ms, bytes] = [first.what, Math.min(first.ms, again.ms), Math.min(first.bytes, again.bytes)];
    expect(ms, `seed ${seed}: milliseconds`).toBeLessThan(2000);
    expect(bytes, `seed ${seed}: bytes, ${what}`).toBeLessThan(16 * bad.length + 64 * MIB);
    outcomes.set(what, (outcomes.get(what) ?? 0) + 1);
  }
  return outcomes;
}

describe('damaged files', () => {
  it('of safetensors are read or refused, in bounded time and memory', async () => {
    const files = [...outside('float8.safetensors'), golden('torch/reference.safetensors')];
    /** The header is JSON, and its length is right. */
    const repaired = (base: Uint8Array, chance: Chance): Uint8Array => {
      const end = 8 + new DataView(base.buffer).getUint32(0, true);
      const text = damageJson(new TextDecoder().decode(base.subarray(8, end)), chance);
      if (!chance.below(5)) return base.map((byte, i) => (i < end || chance.below(9) ? byte : chance.below(256)));
      const header = chance.below(4) ? new TextEncoder().encode(text) : damage(base.slice(8, end), chance);
      const file = new Uint8Array(8 + header.length + base.length - end);
      new DataView(file.buffer).setUint32(0, header.length, true);
      file.set(header, 8);
      file.set(base.subarray(end), 8 + header.length);
      return file;
    };
    const outcomes = await tally(b => openSafetensors(memorySource(b, 'x')), files, damage, repaired);
    expect(outcomes.size, 'different refusals').toBeGreaterThan(10);
    expect(outcomes.get('read')).toBeGreaterThan(COUNT / 20);
  });

  it('of torch.save as zip are read or refused, in bounded time and memory', async () => {
    const files = [
      ...outside('trained.ckpt', 'trained-protocol4.ckpt', 'float8.bin', 'odd-kinds.bin', 'embedding-module.pt'),
    ];
    files.push(golden('torch/shared.bin'), golden('torch/zip64.bin'));
    /** Lengths and checksums are right: the damage lies in what the entries hold. */
    const repaired = (base: Uint8Array, chance: Chance): Uint8Array => {
      const entries = zipEntries(base);
      const [pickle] = [...entries.keys()].filter(name => name.endsWith('data.pkl'));
      const name = chance.below(5) ? pickle! : chance.of([...entries.keys()]);
      const data = entries.get(name)!;
      if (chance.below(20)) entries.set(name, name === pickle ? damagePickle(data, chance) : damage(data, chance));
      else entries.delete(name);
      return zipOf(entries);
    };
    const outcomes = await tally(b => openWeightFile(memorySource(b, 'x')), files, damage, repaired);
    expect(outcomes.size, 'different refusals').toBeGreaterThan(20);
    expect(outcomes.get('read')).toBeGreaterThan(COUNT / 20);
  });

  it('of torch before 1.6 are read or refused, in bounded time and memory', async () => {
    const files = outside('trained-old.ckpt', 'float8-old.bin', 'old.bin');
    const outcomes = await tally(b => openWeightFile(memorySource(b, 'x')), files, damage, damagePickle);
    expect(outcomes.size, 'different refusals').toBeGreaterThan(20);
    expect(outcomes.get('read')).toBeGreaterThan(COUNT / 20);
  });
});
