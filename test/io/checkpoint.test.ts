import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { ByteSource, TensorSource } from '../../src/core/tensor-source.ts';
import { type CheckpointStem, candidates, openCheckpoint } from '../../src/io/checkpoint.ts';
import { type WritableTensor, writeSafetensors } from '../../src/io/safetensors.ts';
import { type FileContent, mapFolder, memorySource } from '../../src/io/sources.ts';

const tensor = (value: number): WritableTensor => ({ dtype: 'F32', shape: [1], data: Float32Array.of(value) });
const file = (...values: [string, number][]): Uint8Array =>
  writeSafetensors(Object.fromEntries(values.map(([k, v]) => [k, tensor(v)])));
const indexOf = (weightMap: Record<string, unknown>): string =>
  JSON.stringify({ metadata: { total_size: 8 }, weight_map: weightMap });
const bin = new Uint8Array(readFileSync(new URL('../golden/torch/module.bin', import.meta.url)));

async function value(source: TensorSource, name: string): Promise<number | undefined> {
  const into = new Uint8Array(4);
  await source.read(name, 0, into);
  return new Float32Array(into.buffer)[0];
}

const open = (
  files: Record<string, FileContent>,
  stem: CheckpointStem = 'model',
  options = {},
): Promise<TensorSource> => openCheckpoint(mapFolder(files, 'dir'), stem, options);

/** A file that reports when it is closed. */
function tracked(bytes: Uint8Array, log: string[], name: string): ByteSource {
  return { ...memorySource(bytes, name), close: async () => void log.push(name) };
}

describe('openCheckpoint', () => {
  it('opens a single file of either stem', async () => {
    expect(await value(await open({ 'model.safetensors': file(['a', 1]) }), 'a')).toBe(1);
    const unet = await open({ 'diffusion_pytorch_model.safetensors': file(['a', 2]) }, 'diffusion_pytorch_model');
    expect(await value(unet, 'a')).toBe(2);
  });

  it('prefers safetensors to .bin and a single file to shards', async () => {
    const files = {
      'model.safetensors': file(['a', 1]),
      'pytorch_model.bin': bin,
      'model.safetensors.index.json': 'no JSON',
    };
    expect(await value(await open(files), 'a')).toBe(1);
  });

  it('falls back to .bin under its own name', async () => {
    expect((await open({ 'pytorch_model.bin': bin })).tensors.has('0.weight')).toBe(true);
    const unet = await open({ 'diffusion_pytorch_model.bin': bin }, 'diffusion_pytorch_model');
    expect(unet.tensors.has('1.bias')).toBe(true);
    const sharded = await open({
      'pytorch_model.bin.index.json': indexOf(
        Object.fromEntries(
          ['0.weight', '0.bias', '1.weight', '1.bias'].map(k => [k, 'pytorch_model-00001-of-00001.bin']),
        ),
      ),
      'pytorch_model-00001-of-00001.bin': bin,
    });
    expect(sharded.tensors.size).toBe(4);
  });

  it.each(candidates('model', 'fp16').filter(name => name.includes('safetensors')))(
    'finds the variant under %s',
    async name => {
      const shard = 'model-00001-of-00001.fp16.safetensors';
      const single = !name.endsWith('.json');
      const files = {
        [name]: single ? file(['a', 16]) : indexOf({ a: shard }),
        [shard]: file(['a', 16]),
        'model.safetensors': file(['a', 32]),
      };
      expect(await value(await open(files, 'model', { variant: 'fp16' }), 'a')).toBe(16);
    },
  );

  it('knows all spellings', () => {
    expect(candidates('diffusion_pytorch_model', undefined)).toMatchInlineSnapshot(`
      [
        "diffusion_pytorch_model.safetensors",
        "diffusion_pytorch_model.safetensors.index.json",
        "diffusion_pytorch_model.bin",
        "diffusion_pytorch_model.bin.index.json",
      ]
    `);
    expect(candidates('model', 'fp16')).toMatchInlineSnapshot(`
      [
        "model.fp16.safetensors",
        "model.safetensors.index.fp16.json",
        "model.fp16.safetensors.index.json",
        "model.safetensors.fp16.index.json",
        "pytorch_model.fp16.bin",
        "pytorch_model.bin.index.fp16.json",
        "pytorch_model.fp16.bin.index.json",
        "pytorch_model.bin.fp16.index.json",
      ]
    `);
  });

  it('refuses an absent variant, or takes the plain file and says so when asked to', async () => {
    const files = { 'model.safetensors': file(['a', 32]) };
    await expect(open(files, 'model', { variant: 'fp16' })).rejects.toThrowErrorMatchingInlineSnapshot(
      `[WeightsError: openCheckpoint: no weights of the variant "fp16": expected one of model.fp16.safetensors, model.safetensors.index.fp16.json, model.fp16.safetensors.index.json, model.safetensors.fp16.index.json, pytorch_model.fp16.bin, pytorch_model.bin.index.fp16.json, pytorch_model.fp16.bin.index.json, pytorch_model.bin.fp16.index.json (dir). Download it, or leave the variant out.]`,
    );
    const messages: string[] = [];
    const source = await open(files, 'model', { variant: 'fp16', onMissingVariant: (m: string) => messages.push(m) });
    expect([await value(source, 'a'), messages]).toEqual([32, ['dir: no variant "fp16", model.safetensors is used']]);
    await expect(open({}, 'model', { variant: 'fp16', onMissingVariant: () => {} })).rejects.toThrow(
      /model\.safetensors\.index\.json/,
    );
  });

  it('names everything that it looked for', async () => {
    await expect(open({})).rejects.toThrowErrorMatchingInlineSnapshot(
      `[WeightsError: openCheckpoint: no weights: expected one of model.safetensors, model.safetensors.index.json, pytorch_model.bin, pytorch_model.bin.index.json (dir). Download the missing file.]`,
    );
  });
});

describe('openCheckpoint on shards', () => {
  const index = 'model.safetensors.index.json';
  const [one, two] = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'];
  const shards = { [one]: file(['a', 1], ['b', 2]), [two]: file(['c', 3]) };

  it('shows them as one, and closes all', async () => {
    const log: string[] = [];
    const source = await open({
      [index]: indexOf({ a: one, b: one, c: two }),
      [one]: tracked(shards[one]!, log, 'one'),
      [two]: tracked(shards[two]!, log, 'two'),
    });
    expect([...source.tensors.keys()]).toEqual(['a', 'b', 'c']);
    expect([await value(source, 'a'), await value(source, 'b'), await value(source, 'c')]).toEqual([1, 2, 3]);
    await expect(source.read('d', 0, new Uint8Array(1))).rejects.toThrow(/no tensor "d"/);
    expect(log).toEqual([]);
    await source.close?.();
    expect(log.sort()).toEqual(['one', 'two']);
  });

  it('refuses an index that does not agree with its shards, and closes them', async () => {
    const log: string[] = [];
    const files = {
      [index]: indexOf({ a: one, c: one, d: two }),
      [one]: tracked(shards[one]!, log, 'one'),
      [two]: tracked(shards[two]!, log, 'two'),
    };
    await expect(open(files)).rejects.toThrowErrorMatchingInlineSnapshot(
      `[WeightsError: openCheckpoint: index and shards disagree about 3 tensors: "c" is not in model-00001-of-00002.safetensors; "b" in model-00001-of-00002.safetensors is not in the index; "c" in model-00002-of-00002.safetensors is not in the index (dir/model.safetensors.index.json). Download index and shards of one revision.]`,
    );
    expect(log.sort()).toEqual(['one', 'two']);
  });

  it('leaves out what the index alone names, and says so once', async () => {
    const files = { [index]: indexOf({ a: one, b: one, c: two, d: two, e: one }), ...shards };
    const messages: string[] = [];
    const source = await open(files, 'model', { onWarning: (m: string) => messages.push(m) });
    expect([...source.tensors.keys()]).toEqual(['a', 'b', 'c']);
    expect(messages).toEqual([`dir/${index} names tensors that no shard holds: d, e`]);
    await expect(source.read('d', 0, new Uint8Array(1))).rejects.toThrow(/no tensor "d"/);
    expect((await open(files)).tensors.size).toBe(3);
  });

  it('names a missing shard and closes the others', async () => {
    const log: string[] = [];
    const files = { [index]: indexOf({ a: one, b: one, c: two }), [one]: tracked(shards[one]!, log, 'one') };
    await expect(open(files)).rejects.toThrowErrorMatchingInlineSnapshot(
      `[WeightsError: openCheckpoint: a shard is missing: expected model-00002-of-00002.safetensors (dir/model.safetensors.index.json). Download the missing file.]`,
    );
    expect(log).toEqual(['one']);
  });

  it('refuses indices without sense, and shards outside the folder', async () => {
    await expect(open({ [index]: '{' })).rejects.toThrow(/^openCheckpoint: the index is not JSON: got /);
    await expect(open({ [index]: '{}' })).rejects.toThrowErrorMatchingInlineSnapshot(
      `[WeightsError: openCheckpoint: the index has no weight_map (dir/model.safetensors.index.json). Download the index again.]`,
    );
    for (const bad of ['../x.safetensors', '/etc/x.safetensors', 'a\\b.safetensors', 'x.txt', 3]) {
      await expect(open({ [index]: indexOf({ a: bad }) })).rejects.toThrow(/gives no valid file for "a": got/);
    }
  });
});
