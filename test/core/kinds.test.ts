/** Values of the wrong kind are named and refused where they are passed, not where something fails on them. */
import { describe, expect, it } from 'vitest';
import { kindOf } from '../../src/core/kinds.ts';
import { checkNames } from '../../src/core/known-names.ts';
import { openWeightFile, sniffImage } from '../../src/index.ts';
import { openSafetensors } from '../../src/io/safetensors.ts';
import { blobSource, mapFolder, memorySource, type RangeReader, readerSource } from '../../src/io/sources.ts';
import { decoderTiling, encoderTiling, SD21_VAE, tileSizes } from '../../src/models/stable-diffusion/index.ts';
import { decodeImage } from '../../src/node/index.ts';

class Picture {}

it('names the kind of a value', () => {
  const values = [null, undefined, [1], 'a', 1, {}, Object.create(null), new Picture(), new Map(), Promise.resolve()];
  expect(values.map(kindOf)).toEqual([
    ...['null', 'undefined', 'a list', 'string', 'number', 'an object', 'an object', 'Picture', 'Map', 'a promise'],
  ]);
  expect(kindOf(new Uint8Array(1))).toBe('Uint8Array');
});

const WRONG = [null, undefined, 5, 'a.png', [1, 2], {}, new Map(), new Picture()];

describe('wrong kinds are an InputError', () => {
  it.each<[string, (value: never) => unknown, readonly unknown[]]>([
    ['sniffImage', sniffImage, [...WRONG, new ArrayBuffer(8), new Blob([])]],
    ['decodeImage', decodeImage, [...WRONG, new ArrayBuffer(8)]],
    ['openWeightFile', openWeightFile, [...WRONG, new Uint8Array(8)]],
    [
      'openSafetensors',
      openSafetensors,
      [...WRONG, new Uint8Array(8), Promise.resolve(memorySource(new Uint8Array(8)))],
    ],
    ['blobSource', value => blobSource(value), [...WRONG, new Uint8Array(8)]],
    ['blobSource', value => blobSource(value, 'name'), WRONG],
    ['memorySource', value => memorySource(value), [...WRONG, new Blob([])]],
    ['readerSource', value => readerSource(value as RangeReader), [null, undefined, 5, {}]],
    ['mapFolder', mapFolder, [null, undefined, 5, 'folder', []]],
    ['tileSizes', tileSizes, WRONG],
    ['encoderTiling', value => encoderTiling(64, 64, value), WRONG],
    ['decoderTiling', value => decoderTiling('64' as never, 64, value), [...WRONG, tileSizes(SD21_VAE)]],
  ])('%s', async (op, call, values) => {
    for (const value of values) {
      const error = await (async () => call(value as never))().catch((thrown: unknown) => thrown);
      expect(error, `${kindOf(value)}`).toMatchObject({ name: 'InputError', op });
    }
  });

  it('which says what a promise wants', async () => {
    const source = Promise.resolve(memorySource(new Uint8Array(8)));
    await expect(openSafetensors(source as never)).rejects.toThrow('expected a ByteSource, got a promise. Await it.');
  });
});

describe('a signal', () => {
  const given = (signal: unknown) => () => checkNames('op', { signal }, ['signal']);

  it('is an AbortSignal, or none', () => {
    for (const signal of [undefined, null, new AbortController().signal, AbortSignal.abort()])
      expect(given(signal)).not.toThrow();
    const page = {
      aborted: false,
      throwIfAborted: () => {},
      addEventListener: () => {},
      removeEventListener: () => {},
    };
    expect(given(page)).not.toThrow();
  });

  it.each([
    [new AbortController(), 'got an object of another class'],
    [{ aborted: true }, 'got an object of another class'],
    ['abort', 'got "abort"'],
    [true, 'got true'],
    [() => {}, 'got a function'],
  ])('%s is none', (signal, text) => {
    expect(given(signal)).toThrow(
      `op: this is no signal: expected an AbortSignal, ${text} (signal). Pass controller.signal`,
    );
  });
});
