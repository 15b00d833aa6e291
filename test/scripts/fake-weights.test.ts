/** Published models with made-up weights: values, names and counts, and the tool that writes them to disk. */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { afterAll, expect, it } from 'vitest';
import { openSafetensors } from '../../src/io/safetensors.ts';
import { directory } from '../../src/node/files.ts';
import { DiffEditPipeline } from '../../src/pipeline/diffedit/pipeline.ts';
import { BlipForConditionalGeneration } from '../../src/pipeline/text/blip.ts';
import { T5ForConditionalGeneration } from '../../src/pipeline/text/t5.ts';
import { FAKE_MODELS, fakeModel, fakeModelFiles } from '../support/fake-models.ts';
import { fakeFile, fill, fillFloats, fullSize, published } from '../support/fake-weights.ts';
import { testGpu } from '../support/gpu.ts';

const folder = mkdtempSync(join(tmpdir(), 'pentimento-fake-'));
afterAll(() => rmSync(folder, { recursive: true }));

// Of little-endian bytes, by the definition in Python.
it.each([
  ['conv_in.weight', [320, 4, 3, 3], 0x96450aa6, 0x7183a7a1],
  ['conv_norm_out.weight', [320], 0x39017569, 0x86e4723d],
  ['conv_in.bias', [320], 0x3d5e7ae1, 0x9733f32c],
  ['text_model.embeddings.position_embedding.weight', [77, 1024], 0x463e1fb8, 0x94f51d52],
  ['vision_model.embeddings.class_embedding', [1, 1, 768], 0xed7da83d, 0xa01e607a],
  ['encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight', [32, 16], 0xeeb2730a, 0x6fad5db1],
])('%s has the bits of the definition in Python', (name, shape, wide, half) => {
  const count = shape.reduce((a, b) => a * b, 1);
  const [floats, halves] = [new Float32Array(count), new Uint16Array(count)];
  fillFloats({ name, shape }, 0, floats);
  fill({ name, shape }, 0, halves);
  expect([crc32(new Uint8Array(floats.buffer)), crc32(new Uint8Array(halves.buffer))]).toEqual([wide, half]);
});

it('names, shapes and counts are the published ones', () => {
  const counts = (part: Parameters<typeof published>[0]) => {
    const shapes = Object.values(published(part).tensors);
    return [shapes.length, shapes.reduce((sum, shape) => sum + shape.reduce((a, b) => a * b, 1), 0)];
  };
  expect(counts('unet')).toEqual([686, 865_910_724]);
  expect(counts('unet-1.5')).toEqual([686, 859_520_964]);
  for (const vae of ['vae', 'vae-1.5'] as const) expect(counts(vae)).toEqual([248, 83_653_863]);
  expect(counts('clip')).toEqual([372, 340_387_840]);
  expect(counts('clip-1.5')).toEqual([196, 123_060_480]);
  expect(counts('t5-small')).toEqual([190, 76_961_152]);
  expect(counts('t5')).toEqual([558, 783_150_080]);
  expect(counts('t5-xl')).toEqual([558, 2_849_757_184]);
  expect(published('t5-xl').tensors['shared.weight']).toEqual([32128, 2048]);
});

it('a file of them is the same in whatever pieces it is read', async () => {
  for (const dtype of ['F16', 'F32'] as const) {
    const { tensors } = published('vae');
    const names = Object.keys(tensors).slice(0, 12);
    const file = fakeFile('file', Object.fromEntries(names.map(name => [name, tensors[name]])), dtype);
    const whole = new Uint8Array(file.byteLength);
    await file.read(0, whole);
    const pieces = new Uint8Array(file.byteLength);
    for (let at = 0; at < pieces.length; at += 9973) await file.read(at, pieces.subarray(at, at + 9973));
    expect(Buffer.compare(whole, pieces)).toBe(0);
    const opened = await openSafetensors(file);
    const { source } = fullSize('vae', dtype);
    for (const name of names) {
      const size = opened.tensors.get(name)?.byteLength ?? 0;
      const [a, b] = [new Uint8Array(size), new Uint8Array(size)];
      await Promise.all([opened.read(name, 0, a), source.read(name, 0, b)]);
      expect(Buffer.compare(a, b), name).toBe(0);
    }
  }
});

it.each(FAKE_MODELS)('%s opens', async model => {
  const gpu = await testGpu();
  const options = { gpu, loadWhenNeeded: true, onWarning: (line: string) => expect.fail(line) };
  for (const shardBytes of [1e10, 3e8]) {
    const source = fakeModel(model, { shardBytes });
    if (model.startsWith('sd')) (await DiffEditPipeline.fromPretrained(source, options)).dispose();
    else if (model === 'blip-base') (await BlipForConditionalGeneration.fromPretrained(source, options)).dispose();
    else (await T5ForConditionalGeneration.fromPretrained(source, options)).dispose();
  }
});

it('Flan-T5 xl is cut in two as the published one, in float32', () => {
  const weights = [...fakeModelFiles('flan-t5-xl', { dtype: 'F32' }).keys()].filter(path => path.includes('model-'));
  expect(weights).toEqual(['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors']);
});

function write(...args: readonly string[]): Promise<{ readonly code: number; readonly said: string }> {
  const all = ['--import', './test/support/run-typescript.mjs', 'scripts/fake-weights.ts', ...args];
  return new Promise(done =>
    execFile(process.execPath, all, (error, stdout, stderr) =>
      done({ code: Number(error?.code ?? 0), said: `${stdout}${stderr}` }),
    ),
  );
}

it('the tool writes what is in memory, and nothing where it is refused', async () => {
  const [out, full] = [join(folder, 'deep', 'out'), join(folder, 'full')];
  const written = await write('flan-t5-small', out, '--shard', '100MB');
  expect(written).toMatchObject({ code: 0 });
  const files = fakeModelFiles('flan-t5-small', { shardBytes: 1e8 });
  expect(readdirSync(out).sort()).toEqual([...files.keys()].sort());
  expect(readdirSync(join(folder, 'deep'))).toEqual(['out']);
  const [disk, memory] = [await directory(out), fakeModel('flan-t5-small', { shardBytes: 1e8 })];
  for (const path of files.keys()) {
    const [a, b] = await Promise.all([disk.bytes(path), memory.bytes(path)]);
    expect(a.byteLength, path).toBe(b.byteLength);
    const [here, there] = [new Uint8Array(a.byteLength), new Uint8Array(b.byteLength)];
    await Promise.all([a.read(0, here), b.read(0, there)]);
    expect(Buffer.compare(here, there), path).toBe(0);
    await a.close?.();
  }

  const again = await write('flan-t5-small', out);
  expect(again).toMatchObject({ code: 1, said: expect.stringContaining('OUT is not empty') });
  writeFileSync(full, 'a file');
  expect(await write('flan-t5-small', full)).toMatchObject({ code: 1, said: expect.stringContaining('folder') });
  expect(readFileSync(full, 'utf8')).toBe('a file');
  for (const args of [['sd3', 'x'], ['sd21'], ['sd21', 'x', '--dtype', 'bf16'], ['sd21', 'x', '--shard', '1']]) {
    expect((await write(...args)).code, args.join(' ')).toBe(1);
  }
  expect(await write('flan-t5-small', '/proc/deep/out')).toMatchObject({
    code: 1,
    said: expect.stringContaining('a folder that can be written'),
  });
  expect(readdirSync(folder).sort()).toEqual(['deep', 'full']);
});

it('the tool refuses what it could not replace in the end before it writes', async () => {
  const [target, link] = [join(folder, 'target'), join(folder, 'link')];
  mkdirSync(target);
  symlinkSync(target, link);
  const { code, said } = await write('blip-base', link);
  expect([code, said]).toEqual([
    1,
    `fake-weights: a file in place of a folder: expected a folder that can be written, and room for the model, got "${link}"\n`,
  ]);
  expect([readdirSync(target), readdirSync(link)]).toEqual([[], []]);
});
