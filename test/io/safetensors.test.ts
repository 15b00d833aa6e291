import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { ByteSource } from '../../src/core/tensor-source.ts';
import { openSafetensors, type WritableTensor, writeSafetensors } from '../../src/io/safetensors.ts';
import { memorySource } from '../../src/io/sources.ts';

const golden = (name: string): Uint8Array =>
  new Uint8Array(readFileSync(new URL(`../golden/torch/${name}`, import.meta.url)));

/** A file of any header text, honest about its length unless told otherwise. */
function file(header: unknown, dataBytes = 0, length?: bigint): Uint8Array {
  const json =
    header instanceof Uint8Array
      ? header
      : new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header));
  const out = new Uint8Array(8 + json.length + dataBytes);
  new DataView(out.buffer).setBigUint64(0, length ?? BigInt(json.length), true);
  out.set(json, 8);
  return out;
}

const open = (bytes: Uint8Array): ReturnType<typeof openSafetensors> =>
  openSafetensors(memorySource(bytes, 'x.safetensors'));
const f32 = (begin: number, extra: object = {}): object => ({
  dtype: 'F32',
  shape: [1],
  data_offsets: [begin, begin + 4],
  ...extra,
});

/** Counts what is read of a source, and whether it was closed. */
function watched(bytes: Uint8Array): { source: ByteSource; reads: [number, number][]; closed: () => number } {
  const reads: [number, number][] = [];
  let closed = 0;
  const memory = memorySource(bytes, 'x.safetensors');
  const source: ByteSource = {
    ...memory,
    async read(offset, into) {
      reads.push([offset, into.byteLength]);
      await memory.read(offset, into);
    },
    async close() {
      closed++;
    },
  };
  return { source, reads, closed: () => closed };
}

describe('openSafetensors', () => {
  it('lists tensors in file order with the metadata of the reference writer', async () => {
    const source = await open(golden('reference.safetensors'));
    expect(source.metadata).toEqual({ format: 'pt' });
    expect(source.tensors.get('f32')).toMatchObject({ dtype: 'F32', shape: [2, 3], byteLength: 24 });
    expect(source.tensors.get('scalar')).toMatchObject({ shape: [], byteLength: 4 });
    expect(source.tensors.get('empty')).toMatchObject({ shape: [0, 3], byteLength: 0 });
    const index = JSON.parse(new TextDecoder().decode(golden('index.json')));
    const bytes = new Uint8Array(24);
    await source.read('f32', 0, bytes);
    expect([...new Float32Array(bytes.buffer)]).toEqual(index['kinds.bin'].f32.values);
  });

  it('reads the header and the asked bytes, nothing else', async () => {
    const { source, reads, closed } = watched(file({ a: f32(0), b: f32(4) }, 8));
    const opened = await openSafetensors(source);
    const header = source.byteLength - 16;
    await opened.read('b', 1, new Uint8Array(2));
    await opened.read('b', 4, new Uint8Array(0));
    expect(reads).toEqual([
      [0, 8],
      [8, header],
      [8 + header + 4 + 1, 2],
    ]);
    await opened.close?.();
    expect(closed()).toBe(1);
  });

  it('closes a file that it refuses', async () => {
    const { source, closed } = watched(file('[]'));
    await expect(openSafetensors(source)).rejects.toThrow(/does not start with/);
    expect(closed()).toBe(1);
  });

  it('accepts trailing spaces, unknown fields, no tensors, empty tensors, sub-byte types and a tensor called __proto__', async () => {
    await expect(open(file(`${JSON.stringify({ a: f32(0, { note: 1 }) })}   `, 4))).resolves.toBeDefined();
    expect((await open(file({}))).tensors.size).toBe(0);
    const empty = { dtype: 'F32', shape: [0, 9], data_offsets: [0, 0] };
    expect((await open(file({ a: f32(0), b: empty, c: { ...empty, data_offsets: [4, 4] } }, 4))).tensors.size).toBe(3);
    expect(
      (await open(file({ a: { dtype: 'F4', shape: [4], data_offsets: [0, 2] } }, 2))).tensors.get('a')?.byteLength,
    ).toBe(2);
    expect([
      ...(await open(file('{"__proto__":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}', 1))).tensors.keys(),
    ]).toEqual(['__proto__']);
    expect((await open(file({ __metadata__: null, a: f32(0) }, 4))).metadata).toEqual({});
  });

  it('refuses reads beyond a tensor and of unknown tensors', async () => {
    const source = await open(file({ a: f32(0), b: f32(4) }, 8));
    await expect(source.read('a', 2, new Uint8Array(3))).rejects.toThrowErrorMatchingInlineSnapshot(
      `[WeightsError: read: bytes beyond the end of tensor "a": expected a range within 4 bytes, got 2 to 5 (x.safetensors)]`,
    );
    await expect(source.read('a', -1, new Uint8Array(1))).rejects.toThrow(/beyond the end/);
    await expect(source.read('c', 0, new Uint8Array(1))).rejects.toThrowErrorMatchingInlineSnapshot(
      `[WeightsError: read: no tensor "c" (x.safetensors)]`,
    );
  });

  it('refuses a damaged frame: too short, header too long, header beyond the end', async () => {
    await expect(open(new Uint8Array(7))).rejects.toThrowErrorMatchingInlineSnapshot(
      `[WeightsError: safetensors: too short for a header: expected at least 8 bytes, got 7 (x.safetensors). Download or save the file again.]`,
    );
    await expect(open(file('{}', 0, 100_000_001n))).rejects.toThrowErrorMatchingInlineSnapshot(
      `[WeightsError: safetensors: the header is too long: expected at most 100000000 bytes, got 100000001 (x.safetensors). Download or save the file again.]`,
    );
    await expect(open(file('{}', 0, 2n ** 64n - 1n))).rejects.toThrow(/the header is too long/);
    await expect(open(file('{}', 0, 3n))).rejects.toThrowErrorMatchingInlineSnapshot(
      `[WeightsError: safetensors: the header is longer than the file: expected 11 bytes, got 10 (x.safetensors). Download or save the file again.]`,
    );
  });

  it('refuses headers that are no JSON object', async () => {
    await expect(open(file(''))).rejects.toThrowErrorMatchingInlineSnapshot(
      `[WeightsError: safetensors: the header does not start with "{": got nothing (x.safetensors). Download or save the file again.]`,
    );
    await expect(open(file('[]'))).rejects.toThrowErrorMatchingInlineSnapshot(
      `[WeightsError: safetensors: the header does not start with "{": got byte 91 (x.safetensors). Download or save the file again.]`,
    );
    await expect(open(file(' {}'))).rejects.toThrowErrorMatchingInlineSnapshot(
      `[WeightsError: safetensors: the header does not start with "{": got byte 32 (x.safetensors). Download or save the file again.]`,
    );
    await expect(open(file('{"a":'))).rejects.toThrow(/^safetensors: the header is not JSON: got /);
    await expect(open(file('{}\0\0'))).rejects.toThrow(/the header is not JSON/);
    await expect(open(file(Uint8Array.of(0x7b, 0xff, 0x7d)))).rejects.toThrowErrorMatchingInlineSnapshot(
      `[WeightsError: safetensors: the header is not UTF-8 (x.safetensors). Download or save the file again.]`,
    );
    const pair = JSON.stringify(f32(0));
    await expect(open(file(`{"a":${pair},"\\u0061":${pair}}`, 4))).rejects.toThrowErrorMatchingInlineSnapshot(
      `[WeightsError: safetensors: the key "a" stands twice in the header (x.safetensors). Download or save the file again.]`,
    );
    await expect(open(file('{"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}', 4))).rejects.toThrow(
      /"dtype" stands twice/,
    );
    await expect(open(file({ __metadata__: { k: 1 }, a: f32(0) }, 4))).rejects.toThrowErrorMatchingInlineSnapshot(
      `[WeightsError: safetensors: __metadata__ "k" is not a string: got 1 (x.safetensors). Download or save the file again.]`,
    );
    const half = '{"__metadata__":{"k":"\\ud83c"}}';
    await expect(open(file(half))).rejects.toThrowErrorMatchingInlineSnapshot(
      `[WeightsError: safetensors: a text with half a character: got the escape of one surrogate (x.safetensors). Download or save the file again.]`,
    );
    await expect(open(file(half.replace('"k"', '"\\udf4e"')))).rejects.toThrow(/half a character/);
    expect((await open(file(half.replace('ud83c', 'ud83c\\udf4e')))).metadata).toEqual({ k: '\u{1f34e}' });
    await expect(open(file({ __metadata__: 'x' }))).rejects.toThrowErrorMatchingInlineSnapshot(
      `[WeightsError: safetensors: __metadata__ is not an object: got x (x.safetensors). Download or save the file again.]`,
    );
  });

  it('refuses tensors without sense: dtype, shape, offsets, sizes', async () => {
    await expect(open(file({ a: f32(0, { dtype: 'Q9' }) }, 4))).rejects.toThrowErrorMatchingInlineSnapshot(
      `[WeightsError: safetensors: tensor "a" has an unknown dtype: got Q9 (x.safetensors). Download or save the file again.]`,
    );
    await expect(open(file({ a: f32(0, { dtype: 3 }) }, 4))).rejects.toThrow(/unknown dtype: got 3/);
    await expect(open(file({ a: 'F32' }, 4))).rejects.toThrowErrorMatchingInlineSnapshot(
      `[WeightsError: safetensors: tensor "a" is not an object: got F32 (x.safetensors). Download or save the file again.]`,
    );
    await expect(open(file({ a: f32(0, { shape: [-1] }) }, 4))).rejects.toThrowErrorMatchingInlineSnapshot(
      `[WeightsError: safetensors: tensor "a" has no valid shape: got [-1] (x.safetensors). Download or save the file again.]`,
    );
    await expect(open(file({ a: f32(0, { shape: [0.5] }) }, 4))).rejects.toThrow(/no valid shape/);
    await expect(open(file({ a: f32(0, { shape: undefined }) }, 4))).rejects.toThrow(/no valid shape/);
    await expect(open(file({ a: f32(0, { data_offsets: [4, 0] }) }, 4))).rejects.toThrowErrorMatchingInlineSnapshot(
      `[WeightsError: safetensors: tensor "a" has no valid data_offsets: got [4, 0] (x.safetensors). Download or save the file again.]`,
    );
    await expect(open(file({ a: f32(0, { data_offsets: [0, 2, 4] }) }, 4))).rejects.toThrow(/no valid data_offsets/);
    await expect(open(file({ a: f32(0, { shape: [2] }) }, 4))).rejects.toThrowErrorMatchingInlineSnapshot(
      `[WeightsError: safetensors: tensor "a" does not fit its data_offsets: expected 8 bytes for F32 [2], got 4 (x.safetensors). Download or save the file again.]`,
    );
    await expect(
      open(file({ a: f32(0, { shape: [2 ** 40, 2 ** 40] }) }, 4)),
    ).rejects.toThrowErrorMatchingInlineSnapshot(
      `[WeightsError: safetensors: the size of tensor "a" overflows: got [1099511627776, 1099511627776] (x.safetensors). Download or save the file again.]`,
    );
    const zero = { dtype: 'F32', shape: [2 ** 50, 2 ** 50, 0], data_offsets: [0, 0] };
    await expect(open(file({ a: zero }))).rejects.toThrow(/overflows/);
    await expect(
      open(file({ a: { dtype: 'F4', shape: [3], data_offsets: [0, 2] } }, 2)),
    ).rejects.toThrowErrorMatchingInlineSnapshot(
      `[WeightsError: safetensors: tensor "a" does not end on a whole byte: got F4 3 (x.safetensors). Download or save the file again.]`,
    );
  });

  it('refuses overlaps, gaps, and another number of bytes than the tensors need', async () => {
    await expect(open(file({ a: f32(0), b: f32(2) }, 6))).rejects.toThrowErrorMatchingInlineSnapshot(
      `[WeightsError: safetensors: tensor "b" overlaps the tensor before it: expected begin 4, got 2 (x.safetensors). Download or save the file again.]`,
    );
    await expect(open(file({ a: f32(0), b: f32(0) }, 4))).rejects.toThrow(/"b" overlaps/);
    await expect(open(file({ a: f32(0), b: f32(5) }, 9))).rejects.toThrowErrorMatchingInlineSnapshot(
      `[WeightsError: safetensors: tensor "b" leaves a gap before it: expected begin 4, got 5 (x.safetensors). Download or save the file again.]`,
    );
    await expect(open(file({ a: f32(1) }, 5))).rejects.toThrow(/"a" leaves a gap/);
    await expect(open(file({ a: f32(0) }, 3))).rejects.toThrowErrorMatchingInlineSnapshot(
      `[WeightsError: safetensors: the file is cut short: expected 4 bytes of tensors, got 3 (x.safetensors). Download or save the file again.]`,
    );
    await expect(open(file({ a: f32(0) }, 5))).rejects.toThrowErrorMatchingInlineSnapshot(
      `[WeightsError: safetensors: bytes after the last tensor: expected 4 bytes of tensors, got 5 (x.safetensors). Download or save the file again.]`,
    );
    await expect(open(file({}, 1))).rejects.toThrow(/bytes after the last tensor/);
  });
});

describe('writeSafetensors', () => {
  it('writes the bytes of the reference writer', async () => {
    const expected = golden('reference.safetensors');
    const source = await open(expected);
    const tensors: Record<string, WritableTensor> = {};
    for (const { name, dtype, shape, byteLength } of [...source.tensors.values()].reverse()) {
      const data = new Uint8Array(byteLength);
      await source.read(name, 0, data);
      tensors[name] = { dtype, shape, data };
    }
    expect(Buffer.from(writeSafetensors(tensors, source.metadata)).equals(expected)).toBe(true);
  });

  it('writes a tensor that was read back as it is', async () => {
    const data = Float32Array.of(1, 2);
    const bytes = writeSafetensors({ weight: { dtype: 'F32', shape: [2], data } });
    const stored = (await openSafetensors(memorySource(bytes))).tensors.get('weight');
    expect(writeSafetensors({ weight: { ...stored!, data } })).toEqual(bytes);
  });

  it('pads the header to 8 bytes and takes views of larger buffers', async () => {
    const data = new Float32Array([9, 1, 2]).subarray(1);
    const bytes = writeSafetensors(new Map([['weight', { dtype: 'F32', shape: [2], data }]]));
    expect(Number(new DataView(bytes.buffer).getBigUint64(0, true)) % 8).toBe(0);
    const source = await open(bytes);
    const back = new Uint8Array(8);
    await source.read('weight', 0, back);
    expect([...new Float32Array(back.buffer)]).toEqual([1, 2]);
  });

  it('refuses unknown dtypes, sizes that do not fit, and the reserved name', () => {
    const data = new Float32Array(2);
    expect(() => writeSafetensors({ a: { dtype: 'X', shape: [2], data } })).toThrowErrorMatchingInlineSnapshot(
      `[InputError: writeSafetensors: unknown dtype: got X (a)]`,
    );
    expect(() => writeSafetensors({ a: { dtype: 'F32', shape: [3], data } })).toThrowErrorMatchingInlineSnapshot(
      `[InputError: writeSafetensors: data does not fit the shape: expected 12 bytes for F32 [3], got 8 (a)]`,
    );
    expect(() =>
      writeSafetensors({ __metadata__: { dtype: 'F32', shape: [2], data } }),
    ).toThrowErrorMatchingInlineSnapshot(
      `[InputError: writeSafetensors: a tensor cannot be called __metadata__ (__metadata__)]`,
    );
  });

  it('refuses metadata that no reader opens', () => {
    const write = (metadata: unknown) => () => writeSafetensors({}, metadata as Record<string, string>);
    for (const metadata of [new Map([['a', 'b']]), ['a'], null, 'a', 7]) {
      expect(write(metadata)).toThrow(
        /metadata is no object of strings: expected an object, got (a Map|a list|\w+) \(/,
      );
    }
    for (const value of [1, true, null, undefined, { a: 'b' }, ['c']]) {
      expect(write({ fine: 'yes', steps: value })).toThrow(/no string: expected a string, got \w+ \(metadata\.steps\)/);
    }
    for (const half of [{ key: '\ud800' }, { key: 'a\udc00b' }, { '\udfff': 'x' }]) {
      expect(write(half)).toThrow(/a text with half a character/);
    }
    expect(write({ key: 'x'.repeat(100_000_000) })).toThrowErrorMatchingInlineSnapshot(
      `[InputError: writeSafetensors: the header is too long: expected at most 100000000 bytes, got 100000032 (metadata)]`,
    );
  });

  it('refuses names, shapes and data that no reader opens', () => {
    const data = Uint8Array.of(1, 2);
    const write =
      (shape: unknown, extra: object = {}) =>
      () =>
        writeSafetensors({ a: { dtype: 'U8', shape: shape as number[], data, ...extra } });
    for (const shape of [[-1, -2], [2.5], [Number.NaN], ['2'], 2, undefined, [2 ** 60]]) {
      expect(write(shape)).toThrow(/a shape is not a list of sizes: expected whole numbers >= 0/);
    }
    expect(write([2 ** 50, 2 ** 50, 0])).toThrow(/the size of a tensor overflows/);
    expect(write([2], { data: [1, 2] })).toThrow(/data is no typed array/);
    expect(write([3], { dtype: 'F4' })).toThrow(/expected 1\.5 bytes for F4 \[3\], got 2/);
    expect(() => writeSafetensors({ '\ud83c': { dtype: 'U8', shape: [2], data } })).toThrow(/half a character/);
  });

  it('writes keys that objects have of their own, and characters beyond the basic plane', async () => {
    const metadata: Record<string, string> = { toString: 'b', '\ud83c\udf4e': '\0\n"c' };
    Object.defineProperty(metadata, '__proto__', { value: 'a', enumerable: true });
    const data = Uint8Array.of(1);
    const written = writeSafetensors(new Map([['__proto__', { dtype: 'U8', shape: [], data }]]), metadata);
    const source = await open(written);
    expect(Object.entries(source.metadata)).toEqual(Object.entries(metadata));
    expect([...source.tensors.keys()]).toEqual(['__proto__']);
  });
});

describe('files of torch.save called .safetensors', () => {
  it.each(['module.bin', 'old-format.bin'])('are named: %s', async name => {
    await expect(open(golden(name))).rejects.toThrow(/a file of torch\.save under another name \(x\.safetensors\)/);
  });
});
