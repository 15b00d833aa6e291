/**
 * Writes the folder of a published model with made-up weights: every value is a function of the tensor's name and its index, so
 * that a full-size model needs no download and every language computes the same. For measuring and for tests; what such a model
 * computes is noise.
 *
 *   npm run fake-weights -- sd21|sd15|flan-t5-large|flan-t5-xl|blip-base OUT [--dtype f16|f32] [--shard 1GB]
 *
 * OUT must not exist or be empty; it appears when it is complete. test/support/fake-models.ts holds the models.
 */
import { mkdir, open, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { InputError } from '../src/core/errors.ts';
import type { ByteSource } from '../src/core/tensor-source.ts';
import { reason } from '../src/node/files.ts';
import { makeFolder } from '../src/node/make-folder.ts';
import { FAKE_MODELS, type FakeModel, fakeModelFiles } from '../test/support/fake-models.ts';
import type { FakeDType } from '../test/support/fake-weights.ts';

const DTYPES: Readonly<Record<string, FakeDType>> = { f16: 'F16', f32: 'F32' };
const UNITS: Readonly<Record<string, number>> = { KB: 1e3, MB: 1e6, GB: 1e9 };
/** Bytes that are made up and written at a time. */
const PIECE = 2 ** 23;

const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort(signal));
try {
  await main();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : `stopped by ${error}`}\n`);
  process.exitCode = 1;
}

async function main(): Promise<void> {
  const { model, out, dtype, shardBytes } = asked();
  const start = performance.now();
  const inside = await readdir(out).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw refused('OUT cannot be a folder', 'a folder that is empty or does not exist', out);
  });
  if (inside && inside.length > 0) throw refused('OUT is not empty', 'a folder that is empty or does not exist', out);
  const partial = `${out}.partial-${process.pid}`;
  try {
    await makeFolder(dirname(out));
    await mkdir(partial);
    // Now rather than when gigabytes are written: a link or a mount point cannot be replaced.
    await rename(partial, out);
    await rename(out, partial);
    for (const [path, content] of fakeModelFiles(model, { dtype, shardBytes })) {
      const file = join(partial, path);
      await mkdir(dirname(file), { recursive: true });
      if (typeof content === 'object' && 'read' in content) await writePieces(file, path, content);
      else await writeFile(file, content as string | Uint8Array);
    }
    await rename(partial, out);
  } catch (error) {
    if (!(error instanceof Error) || !('syscall' in error)) throw error;
    throw refused(reason(error), 'a folder that can be written, and room for the model', out);
  } finally {
    await rm(partial, { recursive: true, force: true });
    if (inside) await mkdir(out, { recursive: true }); // it was there before
  }
  process.stdout.write(`${out}: ${model}, ${dtype}, ${((performance.now() - start) / 1000).toFixed(0)} s\n`);
}

async function writePieces(file: string, name: string, source: ByteSource): Promise<void> {
  process.stderr.write(`${name}: ${Math.round(source.byteLength / 1e6)} MB\n`);
  const handle = await open(file, 'wx');
  try {
    const buffers = [new Uint8Array(PIECE), new Uint8Array(PIECE)];
    let writing: Promise<unknown> = Promise.resolve();
    for (let at = 0, i = 0; at < source.byteLength; at += PIECE, i++) {
      stop.signal.throwIfAborted();
      const piece = buffers[i % 2].subarray(0, Math.min(PIECE, source.byteLength - at));
      await source.read(at, piece);
      await writing; // of the other buffer: the disk works while this one is filled
      writing = handle.writeFile(piece);
      writing.catch(() => {}); // awaited below or in the next turn
    }
    await writing;
  } finally {
    await handle.close();
  }
}

function asked(): { model: FakeModel; out: string; dtype: FakeDType; shardBytes: number } {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { dtype: { type: 'string', default: 'f16' }, shard: { type: 'string', default: '10GB' } },
  });
  const [name, out, ...more] = positionals;
  const model = FAKE_MODELS.find(known => known === name);
  if (model === undefined) throw refused('no such model', FAKE_MODELS.join(', '), name);
  if (out === undefined || more.length > 0) throw refused('one folder to write is needed', 'MODEL OUT', positionals);
  const dtype = DTYPES[values.dtype];
  if (dtype === undefined) throw refused('--dtype', 'f16 or f32', values.dtype);
  const [, count, unit] = /^(\d+(?:\.\d+)?)([KMG]B)$/.exec(values.shard) ?? [];
  if (!(Number(count) > 0)) throw refused('--shard', 'a size such as 500MB or 1GB', values.shard);
  return { model, out: resolve(out), dtype, shardBytes: Number(count) * UNITS[unit] };
}

function refused(problem: string, expected: string, value: unknown): InputError {
  return new InputError({ op: 'fake-weights', problem, expected, value });
}
